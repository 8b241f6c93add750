"""The schema registry: which schema an id or GUID stands for, asked once and remembered.

Speaks the API of Confluent's Schema Registry, as Apicurio, Karapace and Redpanda do too, and gets along with those that
lack a path of it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from stream_lineage.errors import RegistryUnavailable, SchemaError, StreamLineageError, UnknownSchema
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire.registered_schema import (
    RegisteredSchema,
    Role,
    SubjectVersion,
    fingerprint,
    preferred,
    record_name,
)
from stream_lineage.wire.registry_http import Answer, RegistryHttp
from stream_lineage.wire.settings import RegistrySettings
from stream_lineage.wire.single_flight import SingleFlight

T = TypeVar("T")

MAX_REFERENCES = 200
MAX_REFERENCE_DEPTH = 20
MAX_SCHEMA_CHARACTERS = 10_000_000
MAX_HELD_CHARACTERS = 200_000_000
"""Of all schemas that are remembered, with what they refer to. One that would exceed it stays unknown."""
_REMEMBERED_FAILURES = 100_000

_SUBJECT_UNKNOWN, _VERSION_UNKNOWN, _SCHEMA_UNKNOWN = 40401, 40402, 40403


@dataclass(frozen=True, slots=True)
class _Text:
    """A schema without its names."""

    type: SchemaType
    text: str
    references: Mapping[str, str]
    fingerprint: str


class SchemaRegistry:
    """One registry. Thread-safe; callers that ask for the same thing at one time share one request.

    What the registry knows is remembered for ever, what it does not know for ``registry_negative_ttl_seconds``. After a
    call without an answer it is left alone for ``registry_retry_seconds``, in which every question that is not answered
    from memory raises at once.
    """

    def __init__(self, settings: RegistrySettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._http = RegistryHttp(settings, clock=clock)
        self._flights = SingleFlight()
        self._lock = threading.Lock()
        self._schemas: dict[tuple[int | str, str, Role], RegisteredSchema] = {}
        self._texts: dict[int | str, _Text] = {}
        self._held_characters = 0
        self._versions: dict[int, tuple[SubjectVersion, ...]] = {}
        self._failures: OrderedDict[Hashable, tuple[float, StreamLineageError]] = OrderedDict()

    def by_id(self, id: int, *, topic: str, role: Role) -> RegisteredSchema:
        """The schema that stands behind a Confluent prefix in a topic's values or keys.

        Raises:
            UnknownSchema: the registry does not know the id, or a schema that this one refers to.
            RegistryUnavailable: it did not answer.
            SchemaError: the schema's references form a cycle or are beyond a bound.
        """
        return self._schema(id, topic, role, lambda: self._resolved_id(id, topic, role))

    def by_guid(self, guid: str, *, topic: str, role: Role) -> RegisteredSchema:
        """The schema that a GUID header names. Raises as ``by_id`` does; an old registry knows no GUID at all."""
        return self._schema(guid, topic, role, lambda: self._resolved_guid(guid, topic, role))

    def cached(self, key: int | str, *, topic: str, role: Role) -> RegisteredSchema | None:
        """What ``by_id`` or ``by_guid`` has found before. Never waits."""
        return self._schemas.get((key, topic, role))

    def latest(self, subject: str) -> RegisteredSchema:
        """The newest version of a subject, asked for each time. Raises as ``by_id`` does."""
        return self._version(subject, "latest")

    def version(self, subject: str, version: int) -> RegisteredSchema:
        """One version of a subject, deleted or not. Asked for each time. Raises as ``by_id`` does."""
        return self._version(subject, f"{version}?deleted=true")

    def versions(self, subject: str, *, deleted: bool = True) -> tuple[int, ...]:
        """The versions of a subject, ``deleted`` ones too where the registry tells them. Asked for each time. Raises as
        ``by_id`` does."""
        path = f"/subjects/{quote(subject, safe='')}/versions{'?deleted=true' if deleted else ''}"
        answer = self._http.get(path)
        if answer.status == 404 and answer.error_code == _SUBJECT_UNKNOWN:
            raise UnknownSchema(f"the schema registry does not know subject {subject}")
        numbers = answer.document
        if answer.status != 200 or not isinstance(numbers, list) or not all(isinstance(n, int) for n in numbers):
            raise _no_answer(path, answer)
        return tuple(sorted(numbers))

    def _version(self, subject: str, version: str) -> RegisteredSchema:
        path = f"/subjects/{quote(subject, safe='')}/versions/{version}"
        document = self._document(self._http.get(path), path, f"subject {subject}")
        id_, number = _integer(document, "id", path), _integer(document, "version", path)
        text = self._text_of(document, path)
        return _registered(text, Framing.CONFLUENT_PREFIX, id_, None, SubjectVersion(subject, number))

    def subjects(self) -> tuple[str, ...]:
        """All subjects, ordered by name. Raises RegistryUnavailable."""
        answer = self._http.get("/subjects")
        names = answer.document
        if answer.status != 200 or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _no_answer("/subjects", answer)
        return tuple(sorted(names))

    def compatibility(self, subject: str | None = None) -> str | None:
        """The compatibility level of a subject, null where it has none of its own (some registries tell their default
        then); of the registry where no subject is given. Asked for each time. Raises RegistryUnavailable."""
        path = "/config" if subject is None else f"/config/{quote(subject, safe='')}"
        answer = self._http.get(path)
        if subject is not None and answer.status == 404:
            return None
        level = answer.document.get("compatibilityLevel") if isinstance(answer.document, dict) else None
        if answer.status != 200 or not isinstance(level, str):
            raise _no_answer(path, answer)
        return level

    def register(
        self,
        subject: str,
        text: str,
        type_: SchemaType = SchemaType.AVRO,
        references: tuple[Mapping[str, Any], ...] = (),
    ) -> int:
        """The id of a schema, which becomes the subject's newest version unless it is one already.

        ``references`` are as the registry takes them: ``{"name", "subject", "version"}``.

        Raises:
            SchemaError: the registry does not take it: invalid, or not compatible with what is there.
            RegistryUnavailable: it did not answer.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._http.post(path, _body(text, type_, references))
        if answer.status in (409, 422):
            raise SchemaError(f"the registry refuses the schema for {subject}: {answer.message or answer.status}")
        if answer.status != 200:
            raise _no_answer(path, answer)
        return _integer(answer.document, "id", path)

    def versions_of(self, id: int) -> tuple[SubjectVersion, ...]:
        """The names that an id has been registered under, deleted ones only where there is no other.

        None at all where the registry has no such path or does not let us. Asked for each time. Raises
        RegistryUnavailable.
        """
        path = f"/schemas/ids/{id}/versions"
        for suffix in ("", "?deleted=true"):
            answer = self._http.get(path + suffix)
            if answer.status == 200 and (found := _subject_versions(answer.document, path)):
                return found
        return ()

    def close(self) -> None:
        """Close connections. What is remembered can still be asked for."""
        self._http.close()

    def _schema(
        self, key: int | str, topic: str, role: Role, resolve: Callable[[], RegisteredSchema]
    ) -> RegisteredSchema:
        known = (key, topic, role)
        if (schema := self._schemas.get(known)) is not None:
            return schema

        def first_time() -> RegisteredSchema:
            if (found := self._schemas.get(known)) is not None:
                return found  # another flight landed between our look and our start
            found = self._schemas[known] = self._unless_failed(known, resolve)
            return found

        return self._flights.do(known, first_time)

    def _resolved_id(self, id_: int, topic: str, role: Role) -> RegisteredSchema:
        text = self._text(id_, f"/schemas/ids/{id_}", f"schema id {id_}")
        return _registered(text, Framing.CONFLUENT_PREFIX, id_, None, self._name(id_, text, topic, role))

    def _resolved_guid(self, guid: str, topic: str, role: Role) -> RegisteredSchema:
        text = self._text(guid, f"/schemas/guids/{guid}", f"schema GUID {guid}")
        id_ = self._id_of(guid)
        name = None if id_ is None else self._name(id_, text, topic, role)
        return _registered(text, Framing.GUID_HEADER, id_, guid, name)

    def _text(self, key: int | str, path: str, what: str) -> _Text:
        if (text := self._texts.get(key)) is not None:
            return text

        def first_time() -> _Text:
            if (found := self._texts.get(key)) is not None:
                return found
            found = self._text_of(self._document(self._http.get(path), path, what), path)
            with self._lock:
                held = self._held_characters + len(found.text) + sum(map(len, found.references.values()))
                if held > MAX_HELD_CHARACTERS:
                    raise SchemaError(f"{what} is one too many: all together are longer than {MAX_HELD_CHARACTERS}")
                self._held_characters = held
                self._texts[key] = found
            return found

        return self._flights.do(("text", key), lambda: self._unless_failed(("text", key), first_time))

    def _unless_failed(self, key: Hashable, call: Callable[[], T]) -> T:
        """``call``, or what it raised not long ago: the registry's answers, but not its silence, are remembered."""
        with self._lock:
            until, failure = self._failures.get(key, (0.0, None))
            if failure is not None:
                if self._clock() < until:
                    raise type(failure)(failure.message, hint=failure.hint)
                del self._failures[key]
        try:
            return call()
        except (UnknownSchema, SchemaError) as error:
            self._remember_failure(key, error, self._settings.registry_negative_ttl_seconds)
            raise
        except _NoAnswer as error:
            self._remember_failure(key, error, self._settings.registry_retry_seconds)
            raise

    def _remember_failure(self, key: Hashable, error: StreamLineageError, seconds: float) -> None:
        with self._lock:
            self._failures[key] = (self._clock() + seconds, error)
            while len(self._failures) > _REMEMBERED_FAILURES:
                self._failures.popitem(last=False)

    def _name(self, id_: int, text: _Text, topic: str, role: Role) -> SubjectVersion | None:
        versions = self._versions.get(id_, ())
        if not any(version.subject == f"{topic}-{role}" for version in versions):
            # Another topic may have registered the same schema since.
            versions = self._flights.do(("versions", id_), lambda: self.versions_of(id_))
            self._versions[id_] = versions
        name = preferred(versions, topic, role, record_name(text.type, text.text))
        return name if versions else self._looked_up(id_, text, f"{topic}-{role}")

    def _looked_up(self, id_: int, text: _Text, subject: str) -> SubjectVersion | None:
        """The version of a subject that is this schema: for registries that do not tell an id's names."""
        if text.references:
            return None  # it would have to be asked with the references as they were registered
        path = f"/subjects/{quote(subject, safe='')}"
        answer = self._http.post(path, _body(text.text, text.type, ()))
        if answer.status != 200 or not isinstance(answer.document, dict) or answer.document.get("id") != id_:
            return None
        return SubjectVersion(subject, _integer(answer.document, "version", path))

    def _id_of(self, guid: str) -> int | None:
        """The id of a GUID, the default context's first; None where the registry does not say."""
        answer = self._http.get(f"/schemas/guids/{guid}/ids")
        if answer.status != 200 or not isinstance(answer.document, list):
            return None
        entries = [entry for entry in answer.document if isinstance(entry, dict) and isinstance(entry.get("id"), int)]
        entries.sort(key=lambda entry: (entry.get("context") != ".", str(entry.get("context"))))
        return int(entries[0]["id"]) if entries else None

    def _text_of(self, document: Mapping[str, Any], path: str) -> _Text:
        text = document.get("schema")
        if not isinstance(text, str):
            raise _NoAnswer(f"the schema registry's answer to {path} holds no schema")
        type_ = _type(document.get("schemaType"))
        references: dict[str, str] = {}
        self._collect(document, references, under_way=(), deadline=self._clock() + self._patience())
        return _Text(type_, text, references, fingerprint(type_, text, references))

    def _patience(self) -> float:
        """How many seconds the references of one schema may take."""
        return 10 * self._settings.registry_timeout_seconds

    def _collect(
        self,
        document: Mapping[str, Any],
        into: dict[str, str],
        *,
        under_way: tuple[tuple[str, int], ...],
        deadline: float,
    ) -> None:
        """Adds the texts that a schema refers to, those that they refer to first."""
        for reference in document.get("references") or ():
            name, subject, version = _reference(reference)
            if (subject, version) in under_way:
                raise SchemaError(f"the references of subject {subject} version {version} form a cycle")
            if name in into:
                continue
            if len(under_way) >= MAX_REFERENCE_DEPTH or len(into) >= MAX_REFERENCES:
                limits = f"{MAX_REFERENCES} references, or more than {MAX_REFERENCE_DEPTH} levels of them"
                raise SchemaError(f"a schema has more than {limits}")
            if self._clock() > deadline:
                raise _NoAnswer(f"the schema registry took more than {self._patience():g} s for a schema's references")
            # Deleted, it is still what records were written with.
            path = f"/subjects/{quote(subject, safe='')}/versions/{version}?deleted=true"
            referred = self._document(self._http.get(path), path, f"subject {subject} version {version}")
            text = referred.get("schema")
            if not isinstance(text, str):
                raise _NoAnswer(f"the schema registry's answer to {path} holds no schema")
            self._collect(referred, into, under_way=(*under_way, (subject, version)), deadline=deadline)
            into[name] = text
            if sum(map(len, into.values())) > MAX_SCHEMA_CHARACTERS:
                raise SchemaError(f"a schema's references are longer than {MAX_SCHEMA_CHARACTERS} characters")

    def _document(self, answer: Answer, path: str, what: str) -> Mapping[str, Any]:
        if answer.status == 200 and isinstance(answer.document, dict):
            return answer.document
        if answer.status == 404 and answer.error_code in (_SUBJECT_UNKNOWN, _VERSION_UNKNOWN, _SCHEMA_UNKNOWN):
            raise UnknownSchema(f"the schema registry does not know {what}")
        if answer.status in (404, 405) and path.startswith("/schemas/guids/"):
            raise UnknownSchema(f"the schema registry does not know {what}", hint="It may be too old to know GUIDs.")
        raise _no_answer(path, answer)


class _NoAnswer(RegistryUnavailable):
    """The registry answered this question with something that is no answer; others it may answer well."""


def _no_answer(path: str, answer: Answer) -> _NoAnswer:
    said = f": {answer.message}" if answer.message else ""
    hint = "Check that schema_registry_url ends where the registry's API begins, and what its user may read."
    return _NoAnswer(f"the schema registry answered {answer.status} to {path}{said}", hint=hint)


def _registered(
    text: _Text, framing: Framing, id_: int | None, guid: str | None, name: SubjectVersion | None
) -> RegisteredSchema:
    reference = SchemaReference(
        type=text.type,
        framing=framing,
        id=id_,
        guid=guid,
        subject=None if name is None else name.subject,
        version=None if name is None else name.version,
        fingerprint=text.fingerprint,
    )
    return RegisteredSchema(reference, text.text, text.references)


def _body(text: str, type_: SchemaType, references: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": text}
    if type_ is not SchemaType.AVRO:  # registries from before there were others refuse the member
        body["schemaType"] = type_.value
    if references:
        body["references"] = list(references)
    return body


def _type(name: Any) -> SchemaType:
    if name is None:
        return SchemaType.AVRO
    try:
        return SchemaType(str(name).upper())
    except ValueError:
        raise SchemaError(f"schemas of type {str(name)[:50]!r} are not supported") from None


def _integer(document: Any, member: str, path: str) -> int:
    value = document.get(member) if isinstance(document, dict) else None
    if not isinstance(value, int):
        raise _NoAnswer(f"the schema registry's answer to {path} holds no {member}")
    return value


def _reference(reference: Any) -> tuple[str, str, int]:
    if isinstance(reference, dict):
        name, subject, version = reference.get("name"), reference.get("subject"), reference.get("version")
        if isinstance(name, str) and isinstance(subject, str) and isinstance(version, int):
            return name, subject, version
    raise SchemaError("a schema's reference lacks its name, subject or version")


def _subject_versions(document: Any, path: str) -> tuple[SubjectVersion, ...]:
    try:
        return tuple(sorted(SubjectVersion(str(entry["subject"]), int(entry["version"])) for entry in document))
    except (TypeError, KeyError, ValueError):
        raise _NoAnswer(f"the schema registry's answer to {path} is no list of subjects and versions") from None

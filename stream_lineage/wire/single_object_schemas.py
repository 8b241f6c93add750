"""The schemas of Avro single objects, found by the fingerprint that records name: in a directory of ``.avsc`` files and
among the registry's subjects.

No registry has a path for these fingerprints, so each topic's subjects are looked through: all versions of
``<topic>-value`` and ``<topic>-key``, of subjects whose names start with the topic's, then of those that are named
after records. A version is asked for once and for ever; a topic is looked through again, for new versions, once in
``registry_negative_ttl_seconds`` at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from stream_lineage.errors import RegistryUnavailable, SchemaError, SettingsError, UnknownSchema
from stream_lineage.logs import get_logger
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire.avro_fingerprint import crc64_name
from stream_lineage.wire.avro_schema import fingerprint, parse_schema
from stream_lineage.wire.registered_schema import RegisteredSchema, Role, SubjectVersion, preferred, record_name
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.single_flight import SingleFlight

_log = get_logger("stream_lineage.wire")
MAX_SUBJECTS = 200
"""Subjects that one topic is looked through for. Larger: more is found where subjects are named after records, and the
registry is asked more."""
MAX_VERSIONS = 200
MAX_FILES = 10_000
MAX_FILE_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class _Known:
    """A schema with one of its names; a file has none."""

    name: SubjectVersion | None
    schema: RegisteredSchema


@dataclass(slots=True)
class _Subject:
    versions: set[int] = field(default_factory=set)
    asked_again_at: float = 0.0


class SingleObjectSchemas:
    """Thread-safe. Without registry and directory it knows nothing."""

    def __init__(
        self,
        registry: SchemaRegistry | None,
        folder: Path | None,
        *,
        negative_ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises SettingsError: the directory cannot be read."""
        self._registry = registry
        self._folder = folder
        self._ttl = negative_ttl_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._flights = SingleFlight()
        self._known: dict[str, list[_Known]] = {}
        self._subjects: dict[str, _Subject] = {}
        self._looked: dict[str, float] = {}
        self._files: dict[str, RegisteredSchema] = {}
        self._files_again_at = 0.0
        if folder is not None:
            self._read_folder()

    @property
    def has_sources(self) -> bool:
        """Whether there is anything to look through."""
        return self._registry is not None or self._folder is not None

    def find(self, crc64: str, *, topic: str, role: Role) -> RegisteredSchema:
        """The schema of this fingerprint (16 hexadecimal digits), under the name by which the topic knows it.

        Raises:
            UnknownSchema: it is nowhere, or was not when the topic was last looked through.
            RegistryUnavailable: the registry did not answer, and the directory does not have it.
        """
        if (found := self._chosen(crc64, topic, role)) is not None:
            return found
        failure: RegistryUnavailable | None = None
        try:
            self._flights.do(topic, lambda: self._look_through(topic, crc64))
        except RegistryUnavailable as error:
            failure = error
        if (found := self._chosen(crc64, topic, role)) is not None:
            return found
        if crc64 not in self._files and self._folder is not None and self._clock() >= self._files_again_at:
            self._flights.do(self._folder, self._read_folder)
        if crc64 in self._files:
            return self._files[crc64]
        raise failure or UnknownSchema(f"no schema is known with the fingerprint {crc64}")

    def _chosen(self, crc64: str, topic: str, role: Role) -> RegisteredSchema | None:
        with self._lock:
            known = list(self._known.get(crc64, ()))
        names = [each.name for each in known if each.name is not None]
        if not names:
            return None
        best = preferred(names, topic, role, record_name(SchemaType.AVRO, known[0].schema.text))
        return next(each.schema for each in known if each.name == best)

    def _look_through(self, topic: str, crc64: str) -> None:
        registry = self._registry
        if registry is None or self._clock() < self._looked.get(topic, 0.0) or crc64 in self._known:
            return
        subjects = registry.subjects()
        own = [name for name in subjects if name.startswith(f"{topic}-")]
        own.sort(key=lambda name: name not in (f"{topic}-value", f"{topic}-key"))
        records = (name for name in subjects if not name.endswith(("-value", "-key")) and name not in own)
        for number, subject in enumerate(chain(own, records)):
            if number >= MAX_SUBJECTS:
                _log.warning("the registry has too many subjects to look through all", topic=topic, looked=number)
                break
            if number >= len(own) and crc64 in self._known:
                break
            self._learn(registry, subject, again=number < len(own))
        if len(self._looked) > MAX_FILES:
            self._looked.clear()
        self._looked[topic] = self._clock() + self._ttl

    def _learn(self, registry: SchemaRegistry, subject: str, *, again: bool) -> None:
        """Ask for the versions of a subject that are not known yet. Where subjects are shared by topics (``again`` is
        false) they are asked for once in a while."""
        state = self._subjects.setdefault(subject, _Subject())
        if not again and self._clock() < state.asked_again_at:
            return
        try:
            versions = registry.versions(subject)
        except UnknownSchema:  # deleted a moment ago
            versions = ()
        for version in sorted(set(versions) - state.versions, reverse=True)[:MAX_VERSIONS]:
            try:
                schema = registry.version(subject, version)
                if schema.type is SchemaType.AVRO:
                    self._add(SubjectVersion(subject, version), schema)
            except (UnknownSchema, SchemaError) as error:
                _log.debug("a schema cannot be used", subject=subject, version=version, error=error.message)
            state.versions.add(version)
        state.asked_again_at = self._clock() + self._ttl

    def _add(self, name: SubjectVersion, schema: RegisteredSchema) -> None:
        crc64 = crc64_name(parse_schema(schema.text, schema.references))
        found = schema.reference
        reference = SchemaReference(
            SchemaType.AVRO,
            Framing.SINGLE_OBJECT,
            id=found.id,
            subject=name.subject,
            version=name.version,
            fingerprint=found.fingerprint,
            crc64=crc64,
        )
        with self._lock:
            known = _Known(name, RegisteredSchema(reference, schema.text, schema.references))
            self._known.setdefault(crc64, []).append(known)

    def _read_folder(self) -> None:
        assert self._folder is not None  # noqa: S101  (callers have looked)
        self._files_again_at = self._clock() + self._ttl
        texts = dict(_texts(self._folder))
        found: dict[str, RegisteredSchema] = {}
        alone = {name: text for name, text in texts.items() if _stands_alone(text)}
        for name, text in texts.items():
            try:
                references = {} if name in alone else alone
                schema = parse_schema(text, references)
                crc64 = crc64_name(schema)
                digest = fingerprint(text, references)
            except SchemaError as error:
                _log.warning("a schema file cannot be used", file=name, error=error.message)
                continue
            reference = SchemaReference(SchemaType.AVRO, Framing.SINGLE_OBJECT, fingerprint=digest, crc64=crc64)
            found.setdefault(crc64, RegisteredSchema(reference, text, references))
        self._files = found


def _texts(folder: Path) -> Iterable[tuple[str, str]]:
    try:
        paths = sorted(path for path in folder.rglob("*.avsc") if path.is_file())
        for path in paths[:MAX_FILES]:
            if path.stat().st_size <= MAX_FILE_BYTES:
                yield str(path.relative_to(folder)), path.read_text(encoding="utf-8", errors="replace")
        if not folder.is_dir():
            raise NotADirectoryError("no such directory")
    except OSError as error:
        hint = "avro_schemas must be a directory that may be read"
        raise SettingsError(
            f"the schema files in {folder} cannot be read: {error.strerror or error}", hint=hint
        ) from error


def _stands_alone(text: str) -> bool:
    try:
        parse_schema(text)
    except SchemaError:
        return False
    return True

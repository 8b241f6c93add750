"""A schema as a registry has it, and under which of its names a topic knows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stream_lineage.errors import SchemaError
from stream_lineage.model.schema import SchemaReference, SchemaType
from stream_lineage.wire.avro_schema import fingerprint as avro_fingerprint
from stream_lineage.wire.protobuf_text import canonical, first_message

Role = Literal["value", "key"]


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema's text, with the texts that it refers to by name (those that others refer to come first)."""

    reference: SchemaReference
    text: str
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> SchemaType:
        return self.reference.type


@dataclass(frozen=True, slots=True, order=True)
class SubjectVersion:
    """One of the names that a schema has been registered under."""

    subject: str
    version: int


def preferred(
    versions: Iterable[SubjectVersion], topic: str, role: Role, record_name: str | None
) -> SubjectVersion | None:
    """The name under which a topic's records have a schema.

    In this order: ``<topic>-value`` or ``<topic>-key``, ``<topic>-<record>``, ``<record>``, the lowest subject by name;
    then the highest version under it.
    """
    ranked = [f"{topic}-{role}", *((f"{topic}-{record_name}", record_name) if record_name else ())]
    known = tuple(versions)
    subjects = {version.subject for version in known}
    chosen = next((subject for subject in ranked if subject in subjects), min(subjects, default=None))
    return max((version for version in known if version.subject == chosen), default=None)


def fingerprint(type_: SchemaType, text: str, references: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of the canonical schema.

    Avro: of its canonical form, references in place. JSON, and Avro that we cannot parse: of the JSON with sorted keys.
    Protobuf: of the text without comments and white space. The last two are followed by those of the references.
    """
    if type_ is SchemaType.AVRO:
        try:
            return avro_fingerprint(text, references)
        except SchemaError:
            pass  # the registry took it: it still is the same schema under any id
    parts = [
        _canonical(type_, text),
        *(f"{name}\n{_canonical(type_, references[name])}" for name in sorted(references)),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def record_name(type_: SchemaType, text: str) -> str | None:
    """The full name of an Avro record or of the first Protobuf message, or the title of a JSON schema, which subjects
    may be named after."""
    if type_ is SchemaType.PROTOBUF:
        return first_message(text)
    if type_ not in (SchemaType.AVRO, SchemaType.JSON):
        return None
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    name, namespace = document.get("name" if type_ is SchemaType.AVRO else "title"), document.get("namespace")
    if not isinstance(name, str):
        return None
    if type_ is SchemaType.AVRO and "." not in name and isinstance(namespace, str) and namespace:
        return f"{namespace}.{name}"
    return name


def _canonical(type_: SchemaType, text: str) -> str:
    if type_ is not SchemaType.PROTOBUF:
        try:
            return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        except (ValueError, RecursionError):
            return text
    return canonical(text)

"""What a group's schema codes stand for: the references of its records, and how they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stream_lineage.collect.decode_process import DecodeSchema
from stream_lineage.collect.decode_work import Plan
from stream_lineage.collect.flush import Group, GroupKey
from stream_lineage.collect.resolver import Question, SchemaResolver
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.wire.registered_schema import Role

_OPAQUE_SCHEMA = DecodeSchema(SchemaType.NONE, Framing.OPAQUE, None)
_JSON_SCHEMA = DecodeSchema(SchemaType.JSON, Framing.PLAIN_JSON, None)


@dataclass(slots=True)
class Answer:
    """How records under a schema key of a topic are recorded, and decoded if they can be."""

    reference: SchemaReference
    schema: DecodeSchema | None
    error: tuple[str, str] | None = None


class SchemaAnswers:
    """Answers from what the resolver knows by now. Asks nobody."""

    def __init__(self, codes: SchemaCodes, resolver: SchemaResolver) -> None:
        self._codes = codes
        self._resolver = resolver

    def questions(self, key: GroupKey) -> Iterator[Question]:
        """What the registry is to be asked for a group."""
        topic, value_code, key_code = key
        roles: tuple[tuple[Role, int], ...] = (("value", value_code), ("key", key_code))
        for role, code in roles:
            schema_key = self._codes.key(code)
            if schema_key.registered:
                yield Question(topic, role, schema_key)

    def of(self, group: Group) -> tuple[Answer, Answer]:
        """The answers for value and key."""
        return (
            self._answer(group.topic, "value", group.value_code),
            self._answer(group.topic, "key", group.key_code),
        )

    def plan(self, group: Group, *, values_only: bool = False) -> Plan | None:
        """How a group is decoded; null while that is not known. ``values_only``: keys are not looked into."""
        value, key = self.of(group)
        if values_only:
            key = Answer(OPAQUE, _OPAQUE_SCHEMA)
        if value.schema is None or key.schema is None:
            return None
        skips = tuple(
            0 if schema is _OPAQUE_SCHEMA else self._codes.payload_offset(code)
            for schema, code in ((value.schema, group.value_code), (key.schema, group.key_code))
        )
        return Plan(value.schema, key.schema, (skips[0], skips[1]))

    def _answer(self, topic: str, role: Role, code: int) -> Answer:
        key = self._codes.key(code)
        if key.registered:
            question = Question(topic, role, key)
            known = self._resolver.answer(question)
            if known is not None:
                references = tuple(known.references.items())
                in_header = known.type is SchemaType.PROTOBUF and key.framing is Framing.GUID_HEADER
                indexes = self._codes.indexes(code) if in_header else None
                schema = DecodeSchema(known.type, key.framing, known.text, references, indexes=indexes)
                return Answer(known.reference, schema)
            if key.framing is not Framing.GUID_HEADER and self._resolver.looks_opaque(topic, role):
                return Answer(OPAQUE, _OPAQUE_SCHEMA)
            error = None
            if self._resolver.is_unknown(question):
                said = (
                    "no schema is known with the fingerprint"
                    if key.is_crc64
                    else "the schema registry does not know schema"
                )
                error = ("unknown-schema", f"{said} {key.id}")
            return Answer(key.unresolved_reference(), None, error)
        expected = self._resolver.is_framed(topic, role)
        error = ("wrong-magic", "this topic has registered schemas, but the record names none") if expected else None
        if key.framing is Framing.PLAIN_JSON:
            return Answer(PLAIN_JSON, _OPAQUE_SCHEMA if error else _JSON_SCHEMA, error)
        envelope = self._codes.envelope(code)
        if envelope is not None:
            reference = SchemaReference(SchemaType.JSON, key.framing, fingerprint=envelope.fingerprint)
            schema = DecodeSchema(SchemaType.JSON, key.framing, envelope.schema, tail=len(envelope.tail))
            return Answer(reference, _OPAQUE_SCHEMA if error else schema, error)
        return Answer(OPAQUE, _OPAQUE_SCHEMA, error)

"""What makes two schema references the same version, and what records themselves say of their schema."""

from __future__ import annotations

from collections.abc import Iterable

from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.model.span import OffsetSpan


def is_version(reference: SchemaReference, role: str) -> bool:
    """Whether a reference says which schema the bytes have. JSON without a schema is a format of values only: as keys,
    texts that happen to look like JSON are everywhere."""
    if reference.unresolved or reference.type is SchemaType.NONE:
        return False
    return role == "value" or reference.framing is not Framing.PLAIN_JSON


def version_key(reference: SchemaReference) -> str:
    """The same for the same schema under any id."""
    if reference.fingerprint is not None:
        return reference.fingerprint
    return f"{reference.type.value}:{reference.framing.value}:{reference.guid or reference.wire_name}"


def wire_id_of(reference: SchemaReference) -> str | None:
    """What the records themselves name their schema by, as text; null where they name none."""
    if reference.crc64 is not None:
        return str(reference.wire_name)
    if reference.guid is not None:
        return f"guid:{reference.guid}"
    return f"id:{reference.id}" if reference.id is not None else None


def unresolved(wire_id: str) -> SchemaReference:
    """The reference that ``wire_id_of`` gave this for."""
    kind, _, name = wire_id.partition(":")
    if kind == "id":
        return SchemaReference(SchemaType.NONE, Framing.CONFLUENT_PREFIX, id=int(name), unresolved=True)
    if kind == "guid":
        return SchemaReference(SchemaType.NONE, Framing.GUID_HEADER, guid=name, unresolved=True)
    return SchemaReference(SchemaType.NONE, Framing.SINGLE_OBJECT, crc64=name, unresolved=True)


def bare_subject(subject: str | None) -> str | None:
    """A subject without the context that it is in (``:.context:subject``)."""
    return subject.split(":", 2)[-1] if subject is not None and subject.startswith(":.") else subject


def group_name(reference: SchemaReference, topic: str, role: str) -> str:
    """The subject, or nothing for subjects named after the topic, of which a topic has one."""
    subject = bare_subject(reference.subject)
    return "" if subject in (None, f"{topic}-{role}") else str(subject)


def sightings_of(spans: Iterable[OffsetSpan]) -> list[tuple[int, int]]:
    """Partition and first record of each span, ordered. Spans that hold no record say nothing of the schema."""
    return sorted((span.partition, span.first_record_offset) for span in spans if span.count)

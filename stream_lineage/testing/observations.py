"""Builders of observations, schema references and spans for tests: what is not named has a plausible value."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from stream_lineage.model.observation import EventTimes, Link, Observation, ObservationKind, Producer
from stream_lineage.model.profile import Profile
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_ids = itertools.count(1)


def avro_reference(
    id: int,
    *,
    subject: str | None = "clicks-value",
    version: int | None = None,
    fingerprint: str | None = None,
) -> SchemaReference:
    """A resolved Avro schema. Without a fingerprint it gets one that is the id's own."""
    return SchemaReference(
        SchemaType.AVRO,
        Framing.CONFLUENT_PREFIX,
        id=id,
        subject=subject,
        version=id if version is None else version,
        fingerprint=fingerprint or hashlib.sha256(str(id).encode()).hexdigest(),
    )


def unresolved_reference(id: int) -> SchemaReference:
    """The same id before the registry has answered."""
    return SchemaReference(SchemaType.NONE, Framing.CONFLUENT_PREFIX, id=id, unresolved=True)


def span(
    partition: int, first: int, last: int, lost: Iterable[tuple[int, int]] = (), reason: str = "retention"
) -> OffsetSpan:
    """All offsets from ``first`` to ``last`` but those of the ``lost`` ranges."""
    missing = tuple(MissingRange(a, b, MissingReason(reason)) for a, b in lost)
    return OffsetSpan(partition, first, last, last - first + 1 - sum(gap.length for gap in missing), missing)


def observation(
    value: SchemaReference,
    *spans: OffsetSpan,
    key: SchemaReference = OPAQUE,
    topic: str = "clicks",
    cluster: str = "test",
    topic_id: str | None = "epoch-1",
    at: datetime = NOON,
    kind: ObservationKind = ObservationKind.OBSERVATION,
    profile: Profile | None = None,
    event_times: EventTimes | None = None,
    links: tuple[Link, ...] = (),
    observation_id: str | None = None,
    bytes_per_record: int = 45,
    tombstones: int = 0,
    producers: Sequence[str] = (),
) -> Observation:
    """One observation; ``records`` is what its spans hold."""
    records = sum(item.count for item in spans)
    return Observation(
        observation_id=observation_id or f"observation-{next(_ids)}",
        kind=kind,
        cluster=cluster,
        topic=topic,
        topic_id=topic_id,
        collector="collector-1",
        observed_at=at,
        value_schema=value,
        key_schema=key,
        records=records,
        bytes=records * bytes_per_record,
        tombstones=tombstones,
        event_times=event_times,
        spans=spans,
        profile=profile,
        links=links,
        producers=tuple(Producer(name, 1) for name in producers),
    )

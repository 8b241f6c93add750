"""Observations: what the collector writes about the records that it saw in one flush."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stream_lineage.model.profile import Profile
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import OffsetSpan


class ObservationKind(StrEnum):
    OBSERVATION = "OBSERVATION"
    RESOLUTION = "RESOLUTION"  # supplies the reference of an id that earlier observations kept as unresolved


@dataclass(frozen=True, slots=True)
class EventTimes:
    """Kafka timestamps of an observation's records, in milliseconds since the epoch.

    Every record is looked at while traffic is light, an evenly spaced sample of ``sampled`` records when it is heavy.
    ``lag`` is observation time minus timestamp. ``out_of_order`` counts sampled records that are older than one seen
    before in their partition. ``without`` counts sampled records with no timestamp (-1).
    """

    sampled: int
    without: int
    out_of_order: int
    min_timestamp: int | None
    max_timestamp: int | None
    mean_lag_ms: float | None
    max_lag_ms: int | None


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a partition's hash chain. ``previous`` is 32 zero bytes for the first link of a topic epoch."""

    partition: int
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Producer:
    """Somebody who wrote records, by what a header calls it, and how many of the ``sampled`` records were its own."""

    name: str
    sampled: int


@dataclass(frozen=True, slots=True)
class Observation:
    """One topic, one pair of schema references (value and key), one flush, all partitions that a collector owns.

    ``bytes`` counts keys and values. ``producers`` are the most frequent ones of a sample, as far as headers name any.
    ``profile`` is null where the schema is unresolved. The links come last, so that
    what they sign is a prefix of the encoded observation.
    """

    observation_id: str
    kind: ObservationKind
    cluster: str
    topic: str
    topic_id: str | None
    collector: str
    observed_at: datetime
    value_schema: SchemaReference
    key_schema: SchemaReference
    records: int
    bytes: int
    tombstones: int
    event_times: EventTimes | None
    spans: tuple[OffsetSpan, ...]
    profile: Profile | None
    links: tuple[Link, ...]
    producers: tuple[Producer, ...] = ()

"""Observations as metric points: one per series and window, whatever number of collectors wrote them.

``lineage_topic`` has a point per partition and schema version (``records``, ``missing``, ``lost``) and one of partition
``all`` for what is known of the topic as a whole only. ``lineage_field`` has a point per field path; paths in keys
start with ``@key``. docs/alerts.md lists the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from stream_lineage.errors import DecodeError
from stream_lineage.logs import get_logger
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.profile import FieldProfile, Profile
from stream_lineage.model.schema import Framing, SchemaReference
from stream_lineage.model.span import MissingReason
from stream_lineage.profile.merge import merge_profiles
from stream_lineage.profile.reading import (
    distinct_estimate,
    distinct_of,
    missing_ratio,
    null_ratio,
    quantiles,
    variance,
)
from stream_lineage.store.ports import FieldValue, Point

WINDOW_SECONDS = 10
"""How wide windows are, where no setting says otherwise."""
ALL = "all"
QUANTILES: Mapping[str, float] = {
    "p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99,
}  # fmt: skip
_log = get_logger("stream_lineage.agents")
T = TypeVar("T")


@dataclass(slots=True)
class _PartitionCounts:
    records: int = 0
    missing: int = 0
    lost: int = 0


@dataclass(slots=True)
class TopicWindow:
    """What one topic's observations of one window add up to. ``start`` is aligned to the epoch, to ``seconds``."""

    cluster: str
    topic: str
    start: datetime
    records: int = 0
    bytes: int = 0
    tombstones: int = 0
    sampled: int = 0
    without_time: int = 0
    out_of_order: int = 0
    lag_sum: float = 0.0
    lag_count: int = 0
    lag_max: int | None = None
    newest: int | None = None
    unresolved: int = 0
    profile: Profile | None = None
    partitions: dict[tuple[int, str], _PartitionCounts] = field(default_factory=dict)
    first_offsets: dict[int, int] = field(default_factory=dict)
    last_offsets: dict[int, int] = field(default_factory=dict)
    schemas: dict[str, None] = field(default_factory=dict)
    seconds: int = WINDOW_SECONDS

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def add(self, observation: Observation) -> None:
        """Take in one observation. A resolution counts nothing: its records have been counted."""
        if observation.kind is ObservationKind.RESOLUTION:
            return
        self.records += observation.records
        self.bytes += observation.bytes
        self.tombstones += observation.tombstones
        version = version_tag(observation.value_schema)
        for span in observation.spans:
            counts = self.partitions.setdefault((span.partition, version), _PartitionCounts())
            counts.records += span.count
            if span.count:
                first, last = span.first_record_offset, span.last_offset
                self.first_offsets[span.partition] = min(self.first_offsets.get(span.partition, first), first)
                self.last_offsets[span.partition] = max(self.last_offsets.get(span.partition, last), last)
            for gap in span.missing:
                counts.missing += gap.length
                if gap.reason is MissingReason.RETENTION:
                    counts.lost += gap.length
        if observation.records and observation.value_schema.fingerprint is not None:
            self.schemas[observation.value_schema.fingerprint] = None
        times = observation.event_times
        if times is not None:
            self.sampled += times.sampled
            self.without_time += times.without
            self.out_of_order += times.out_of_order
            timed = times.sampled - times.without
            if times.mean_lag_ms is not None and timed > 0:
                self.lag_sum += times.mean_lag_ms * timed
                self.lag_count += timed
            if times.max_lag_ms is not None:
                self.lag_max = times.max_lag_ms if self.lag_max is None else max(self.lag_max, times.max_lag_ms)
            if times.max_timestamp is not None:
                self.newest = times.max_timestamp if self.newest is None else max(self.newest, times.max_timestamp)
        if observation.profile is None:
            self.unresolved += observation.records
        else:
            self._add_profile(observation.profile)

    def _add_profile(self, profile: Profile) -> None:
        try:
            self.profile = profile if self.profile is None else merge_profiles(self.profile, profile)
        except DecodeError as error:
            _log.error("profile left out of the metrics", topic=self.topic, error=error.message)

    def points(self, extra: Mapping[str, FieldValue] | None = None) -> list[Point]:
        """The window as points, all of them at its start. ``extra`` is what else is known of the topic as a whole."""
        tags = {"cluster": self.cluster, "topic": self.topic}
        points = [
            Point(
                "lineage_topic",
                {**tags, "partition": str(partition), "schema_version": version},
                {"records": counts.records, "missing": counts.missing, "lost": counts.lost},
                self.start,
            )
            for (partition, version), counts in sorted(self.partitions.items())
        ]
        whole = {**tags, "partition": ALL, "schema_version": ALL}
        points.append(Point("lineage_topic", whole, self._whole() | dict(extra or {}), self.start))
        profile = self.profile
        if profile is not None:
            for decoder, prefix, fields in (
                (profile.decoder.value, "", profile.fields),
                (profile.key_decoder.value, "@key", profile.key_fields),
            ):
                points += [
                    Point(
                        "lineage_field",
                        {**tags, "field": field_path(prefix, item.path)},
                        _field(item, decoder),
                        self.start,
                    )
                    for item in fields
                ]
        return points

    def _whole(self) -> dict[str, FieldValue]:
        fields: dict[str, FieldValue] = {
            "bytes": self.bytes,
            "tombstones": self.tombstones,
            "out_of_order": self.out_of_order,
            "out_of_order_ratio": self.out_of_order / self.sampled if self.sampled else 0.0,
            "without_time": self.without_time,
            "unprofiled": self.unresolved,
        }
        if self.records:
            fields["bytes_per_record"] = self.bytes / self.records
        if self.lag_count:
            fields["lag_ms_mean"] = self.lag_sum / self.lag_count
        if self.lag_max is not None:
            fields["lag_ms_max"] = self.lag_max
        if self.newest is not None:
            fields["newest_ms"] = self.newest
            fields["age_ms"] = int(self.end.timestamp() * 1000) - self.newest
        profile = self.profile
        if profile is not None:
            fields["decoder"] = profile.decoder.value
            fields["key_decoder"] = profile.key_decoder.value
            fields["undecoded"] = profile.undecoded
            fields["truncated_fields"] = profile.truncated_fields
            keys = sketched(lambda: distinct_of(profile.key_distinct))
            if keys is not None:
                fields["key_distinct"] = keys
        return fields


def version_tag(reference: SchemaReference) -> str:
    """A schema as the tag ``schema_version``: the version where there is one, else what is known."""
    if reference.unresolved:
        return f"unresolved:{reference.wire_name}"
    if reference.version is not None:
        return str(reference.version)
    if reference.id is not None or reference.guid is not None:
        return f"id:{reference.guid if reference.id is None else reference.id}"
    if reference.framing is Framing.CONNECT_JSON and reference.fingerprint is not None:
        return f"connect:{reference.fingerprint[:12]}"
    if reference.framing is Framing.SINGLE_OBJECT:
        return "single-object" if reference.crc64 is None else str(reference.wire_name)
    return "json" if reference.framing is Framing.PLAIN_JSON else "opaque"


def window_of(observation: Observation, seconds: int = WINDOW_SECONDS) -> datetime:
    """The start of the window of so many seconds that an observation is in."""
    start = int(observation.observed_at.timestamp()) // seconds * seconds
    return datetime.fromtimestamp(start, observation.observed_at.tzinfo)


def field_path(prefix: str, path: str) -> str:
    """A path under ``@key``, or as it is without a prefix."""
    if not prefix:
        return path
    return f"{prefix}.{path}" if path else prefix


def _field(item: FieldProfile, decoder: str) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {
        "slots": item.slots,
        "nulls": item.nulls,
        "null_ratio": null_ratio(item),
        "missing_ratio": missing_ratio(item),
        "decoder": decoder,
        "types": len(item.types),
    }
    distinct = sketched(lambda: distinct_estimate(item))
    if distinct is not None:
        fields["distinct"] = distinct
    if item.numeric is not None and item.numeric.count:
        numbers = {"min": item.numeric.min, "max": item.numeric.max, "variance": variance(item)}
        fields |= {name: value for name, value in numbers.items() if value is not None}
        fields["mean"] = item.numeric.mean
        values = sketched(lambda: quantiles(item, list(QUANTILES.values())))
        if values is not None:
            fields |= dict(zip(QUANTILES, values, strict=True))
    if item.numeric is not None:
        fields["not_finite"] = item.numeric.not_finite
    if item.lengths is not None and item.lengths.count:
        fields["length_min"] = item.lengths.min
        fields["length_max"] = item.lengths.max
        fields["length_mean"] = item.lengths.mean
    return fields


def sketched(read: Callable[[], T | None]) -> T | None:
    """What is read of a sketch; null, with a line in the log, where it is damaged."""
    try:
        return read()
    except DecodeError as error:
        _log.error("sketch left out of the metrics", error=error.message)
        return None

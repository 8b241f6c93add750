"""The first bad records of a topic: from the observation log, and from the topic itself as long as Kafka has it.

Reads in no group, a bounded number of records, bytes and seconds, and shows no payload value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median

from confluent_kafka.admin import OffsetSpec

from stream_lineage import connections
from stream_lineage.agents.metrics import version_tag
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.range_reader import RangeReader
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.value_rows import RowsRead, ValueRows
from stream_lineage.errors import NotFound, StreamLineageError
from stream_lineage.explain.first_bad import By, FirstBad, Row, Sought, judged
from stream_lineage.model.observation import Observation
from stream_lineage.model.schema import SchemaReference
from stream_lineage.profile.reading import missing_ratio, null_ratio
from stream_lineage.provenance.flushes import read_flushes
from stream_lineage.provenance.topics import OBSERVATIONS
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store
from stream_lineage.wire import kafka
from stream_lineage.wire.log_offsets import listed_offsets

MOST_RECORDS = 40_000
"""Read again for one answer, of all partitions together."""
MOST_BYTES = 64 * 1024 * 1024
MOST_SECONDS = 15.0
"""For reading and judging records; as much again, at most, for reading the observation log."""
BEFORE, AFTER = 500, 200
"""Records of a partition before the time in question, by which it is known what is usual, and after it."""
_MOST_MESSAGES = 50_000
_MARGIN = timedelta(seconds=120)
_SLACK = timedelta(seconds=2)
_KEYS = "@key"
Range = tuple[int, int]
"""First offset and the one after the last."""


@dataclass(frozen=True, slots=True)
class Place:
    """What began to deviate in a topic, and when: not before ``since`` and not after ``until``. ``schema_changed``:
    that was a schema that had not been there before."""

    topic: str
    sought: Sought
    since: datetime
    until: datetime
    schema_changed: bool = False


@dataclass(frozen=True, slots=True)
class Pinpointed:
    """By partition; those through which the deviation does not go have none. ``notes`` are for people."""

    first_bad: tuple[FirstBad, ...]
    notes: tuple[str, ...]


def pinpoint(settings: Settings, place: Place) -> Pinpointed:
    """The first bad record of each partition.

    Raises:
        NotFound: there is no such topic any more.
        ConnectionFailed: Kafka or the registry did not answer.
    """
    return _Search(settings, place).found()


class _Search:
    def __init__(self, settings: Settings, place: Place) -> None:
        self._settings, self._place = settings, place
        self._admin = kafka.admin(settings.kafka)
        self._facts = ClusterFacts(self._admin)
        self._notes: list[str] = []
        self._whole = True
        self._topic_id: str | None = None

    def found(self) -> Pinpointed:
        topic = self._place.topic
        count = self._facts.topics().get(topic)
        if count is None:
            raise NotFound(f"there is no topic {topic} any more")
        self._topic_id = self._facts.topic_ids([topic]).get(topic)
        keys = [(topic, number) for number in range(count)]
        starts = {number: offset for (_, number), offset in self._facts.log_starts(keys).items()}
        ends = {number: offset for (_, number), offset in self._facts.log_ends(keys).items()}
        seen = self._observed()
        if self._place.schema_changed:
            found = _first_of_schema(topic, seen, self._place, self._doubt)
            if found:
                return self._told(found, starts)
            self._notes.append("The first record with the new schema is not in the observation log any more.")
        zones, by = self._zones(seen, starts, ends)
        self._tell_open(zones, ends)
        if not zones:
            self._notes.append(f"Nothing is known of records of {topic} of that time.")
            return self._told([], starts)
        return self._told(self._judged(zones, by, starts, ends), starts)

    def _observed(self) -> list[Observation]:
        """What was observed around the onset, of the topic as it is now."""
        place = self._place
        with closing(connections.log_reader(self._settings)) as consumer:
            flushes = read_flushes(
                consumer, self._settings.kafka.topic(OBSERVATIONS), place.topic, place.since - _MARGIN,
                place.until + _MARGIN, most_messages=_MOST_MESSAGES, seconds=MOST_SECONDS,
            )  # fmt: skip
        if flushes.cut:
            self._notes.append("More was observed of that time than is read for one answer.")
        self._whole = flushes.whole
        now = self._topic_id
        return [each for each in flushes.observations if now is None or each.topic_id in (None, now)]

    def _doubt(self, schema: SchemaReference) -> str | None:
        """Why a schema that was not observed shortly before may have been there all the same; null where it was not, as
        far back as the metric store has points."""
        if not self._whole:
            return "the observation log has not all of that time"
        place, settings = self._place, self._settings
        tags = {"cluster": settings.kafka.cluster_name, "topic": place.topic, "schema_version": version_tag(schema)}
        try:
            with closing(open_store(settings.store)) as store:
                known = store.latest("lineage_topic", tags, before=place.since - _MARGIN)
        except StreamLineageError as error:
            return f"whether there were others long before is not known: {error.message}"
        return f"there were others at {max(each.time for each in known):%Y-%m-%d %H:%M} UTC" if known else None

    def _zones(
        self, seen: Sequence[Observation], starts: Mapping[int, int], ends: Mapping[int, int]
    ) -> tuple[dict[int, Range], By]:
        """Where the deviation begins, by partition: at the first offset at the earliest, before the one after the last
        at the latest."""
        place = self._place
        within = [each for each in seen if place.since <= each.observed_at <= place.until + _SLACK]
        if within and self._whole:  # else records before the first of them may be bad as well
            zones = _zones_of(within)
            if sum(stop - first for first, stop in zones.values()) > MOST_RECORDS // 4:
                narrow = _narrowed(seen, within, place.sought)
                zones = {number: narrow.get(number, zone) for number, zone in zones.items()}
            return {number: zone for number, zone in zones.items() if number in starts}, By.OBSERVATIONS
        first, stop = self._first_at(place.since - _SLACK), self._first_at(place.until + _SLACK)
        zones = {}
        for number, end in ends.items():
            begin, over = first.get(number, -1), stop.get(number, -1)
            if begin >= 0:
                zones[number] = (begin, end if over < 0 else over)
        self._notes.append("The observation log has not all of that time: it is told by the records' own timestamps.")
        return {number: zone for number, zone in zones.items() if zone[0] < zone[1]}, By.TIME

    def _tell_open(self, zones: Mapping[int, Range], ends: Mapping[int, int]) -> None:
        """Say where a transaction is open: what is behind its beginning can neither be read again nor be found by
        time."""
        near = [number for number, end in ends.items() if number not in zones or zones[number][1] + AFTER > end]
        keys = [(self._place.topic, number) for number in near]
        written = listed_offsets(self._admin, keys, OffsetSpec.latest(), timeout_seconds=10.0, committed=False)
        for (_, number), end in sorted(written.items()):
            if end > ends[number]:
                self._notes.append(
                    f"In partition {number} a transaction is open: its {end - ends[number]:,} offsets from"
                    f" {ends[number]} on cannot be read yet."
                )

    def _first_at(self, time_: datetime) -> dict[int, int]:
        topic = self._place.topic
        keys = [(topic, number) for number in range(self._facts.topics().get(topic, 0))]
        spec = OffsetSpec.for_timestamp(max(0, int(time_.timestamp() * 1000)))
        found = listed_offsets(self._admin, keys, spec, timeout_seconds=10.0)
        return {number: offset for (_, number), offset in found.items()}

    def _judged(
        self, zones: Mapping[int, Range], by: By, starts: Mapping[int, int], ends: Mapping[int, int]
    ) -> list[FirstBad]:
        place, each = self._place, MOST_RECORDS // len(zones)
        ranges: dict[int, Range] = {}
        for number, (first, stop) in zones.items():
            begin = max(starts[number], first - min(BEFORE, each // 3))
            end = min(ends[number], stop + min(AFTER, each // 6), begin + each)
            if begin < end:
                ranges[number] = (begin, end)
        read = RowsRead()
        if ranges and not (place.sought.field or "").startswith(_KEYS):
            read = self._rows(ranges)
        if read.trouble is not None:
            self._notes.append(f"Not all records could be read again: {read.trouble}.")
        if read.cut:
            self._notes.append(
                f"{read.records:,} records were read again, which is as many as may be: what is beyond is a range."
            )
        found = []
        for number, (first, stop) in sorted(zones.items()):
            rows, log_start = read.rows.get(number, []), starts[number]
            whole = FirstBad(place.topic, number, None, first, stop - 1, False, by, "")
            if log_start >= stop:
                found.append(replace(whole, why="retention has taken these records: by what was observed of them"))
            elif log_start > first:
                found.append(_after_retention(whole, rows, log_start, place.sought))
            elif not rows:
                found.append(replace(whole, why="the records could not be read again"))
            else:
                reached = rows[-1].offset + 1
                told = judged(rows, first, min(stop, reached), place.sought)
                if told is not None:
                    what = By.VALUES if told.offset is not None else by
                    found.append(
                        replace(
                            whole, offset=told.offset, first=told.first, last=max(told.first, told.last),
                            exact=told.exact, by=what, why=told.why, timestamp=_written(rows, told.offset),
                        )
                    )  # fmt: skip
                elif reached < stop:
                    found.append(replace(whole, first=reached, why=f"none of those before {reached} is bad"))
        if not found:
            self._notes.append("Records that were read again do not tell where it begins.")
            told_by = "none of the records is bad by itself"
            found = [
                FirstBad(place.topic, number, None, first, stop - 1, False, by, told_by)
                for number, (first, stop) in sorted(zones.items())
            ]
        return found

    def _rows(self, ranges: Mapping[int, Range]) -> RowsRead:
        settings, deadline = self._settings, time.monotonic() + MOST_SECONDS
        with ExitStack() as stack:
            registry = connections.registry_of(settings)
            if registry is not None:
                stack.callback(registry.close)
            resolver = connections.resolver_of(settings, registry)
            stack.callback(resolver.close)
            consumer = stack.enter_context(closing(connections.range_reader(settings)))
            rows = ValueRows(
                codes=SchemaCodes(resolver), resolver=resolver, asks_registry=registry is not None,
                path=self._place.sought.field, decodes=self._place.sought.metric == "undecoded",
            )  # fmt: skip
            try:
                reader = RangeReader(consumer, self._place.topic, dict(ranges), silence_seconds=MOST_SECONDS)
                return rows.read(reader, most_bytes=MOST_BYTES, deadline=deadline)
            except StreamLineageError as error:
                self._notes.append(f"Records could not be read again: {error.message}.")
                return RowsRead()

    def _told(self, found: list[FirstBad], starts: Mapping[int, int]) -> Pinpointed:
        gone = [each for each in found if starts.get(each.partition, 0) > each.start]
        if gone:
            self._notes.append(
                f"Of {len(gone)} partition{'s' if len(gone) > 1 else ''} retention has taken the first bad records."
            )
        named = (replace(each, topic_id=self._topic_id) for each in found)
        return Pinpointed(tuple(named), tuple(dict.fromkeys(self._notes)))


def _written(rows: Sequence[Row], offset: int | None) -> datetime | None:
    at = next((each.timestamp for each in rows if each.offset == offset), -1)
    try:
        return None if at < 0 else datetime.fromtimestamp(at / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _after_retention(whole: FirstBad, rows: Sequence[Row], log_start: int, sought: Sought) -> FirstBad:
    """Where the log begins within the time in question: the first bad record that is left is not known to be the
    first."""
    told = judged(rows, log_start, log_start, sought) if rows else None
    left = None if told is None or told.offset is None else told.offset
    why = f"retention has taken the records before {log_start}"
    if left is None:
        return replace(whole, why=why)
    return replace(
        whole, last=left, by=By.VALUES, timestamp=None, why=f"{why}; {left} is the first bad one that is left"
    )  # fmt: skip


def _zones_of(observations: Sequence[Observation]) -> dict[int, Range]:
    zones: dict[int, Range] = {}
    for observation in observations:
        for span in observation.spans:
            first, stop = zones.get(span.partition, (span.first_offset, 0))
            zones[span.partition] = (min(first, span.first_offset), max(stop, span.last_offset + 1))
    return zones


def _narrowed(seen: Sequence[Observation], within: Sequence[Observation], sought: Sought) -> dict[int, Range]:
    """The flush in which the deviation begins, and the one before it: where the metric of the flush alone passes the
    middle between what it was before and what it is after. Nothing where the flushes do not tell."""
    values = {id(each): _value(each, sought) for each in seen}
    earliest, latest = within[0].observed_at, within[-1].observed_at
    before = [value for each in seen if each.observed_at < earliest and (value := values[id(each)]) is not None]
    after = [value for each in seen if each.observed_at >= latest and (value := values[id(each)]) is not None]
    if not before or not after:
        return {}
    usual, found = median(before), median(after)
    if usual == found:
        return {}
    middle = (usual + found) / 2
    for place, each in enumerate(within):
        value = values[id(each)]
        if value is not None and (value > middle) == (found > usual):
            return _zones_of(within[max(0, place - 1) : place + 2])
    return {}


def _value(observation: Observation, sought: Sought) -> float | None:
    """A metric of one flush."""
    profile = observation.profile
    if sought.metric == "bytes_per_record":
        return observation.bytes / observation.records if observation.records else None
    if profile is None:
        return None
    if sought.metric == "undecoded":
        return profile.undecoded / (profile.undecoded + profile.decoded or 1)
    field = next((each for each in profile.fields if each.path == sought.field), None)
    if field is None:
        return None
    numeric, lengths = field.numeric, field.lengths
    found: dict[str, float | None] = {
        "null_ratio": null_ratio(field),
        "missing_ratio": missing_ratio(field),
        "types": float(len(field.types)),
        "length_mean": None if lengths is None else lengths.mean,
        "min": None if numeric is None else numeric.min,
        "max": None if numeric is None else numeric.max,
        "mean": None if numeric is None else numeric.mean,
        "p50": None if numeric is None else numeric.mean,
    }
    return found.get(sought.metric)


def _first_of_schema(
    topic: str, seen: Sequence[Observation], place: Place, doubt: Callable[[SchemaReference], str | None]
) -> list[FirstBad]:
    """The first record of each partition with a schema that it did not have before. ``doubt`` says why it may have had
    it all the same: then a bad record may be any that was observed until then."""
    known = {_name(each.value_schema) for each in seen if each.observed_at < place.since}
    if not known:
        return []
    since = [each for each in seen if each.observed_at >= place.since]
    first: dict[int, tuple[int, SchemaReference]] = {}
    for each in since:
        if _name(each.value_schema) in known:
            continue
        for span in each.spans:
            offset = span.first_record_offset
            if span.count and (span.partition not in first or offset < first[span.partition][0]):
                first[span.partition] = offset, each.value_schema
    doubts = {_name(schema): doubt(schema) for _, schema in first.values()}
    begun, found = _zones_of(since), []
    for number, (offset, schema) in sorted(first.items()):
        why, unsure = f"the first one with the schema {schema.label()}", doubts[_name(schema)]
        if unsure is None:
            found.append(FirstBad(topic, number, offset, offset, offset, True, By.SCHEMA, why))
        else:
            why = f"{why} since that time; {unsure}"
            found.append(FirstBad(topic, number, offset, begun[number][0], offset, False, By.SCHEMA, why))
    return found


def _name(reference: SchemaReference) -> tuple[str, str]:
    return reference.framing.value, str(reference.wire_name or reference.fingerprint or "")

"""The path of one record, with the schemas and the alerts on it: all that the index knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from stream_lineage.errors import NotFound
from stream_lineage.index.alert_paths import AlertOnPath, alerts_on
from stream_lineage.index.gaps import Gaps, gaps_of
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex, moment
from stream_lineage.index.strip_table import (
    FIRST_TIME,
    FLAGS,
    LAST_TIME,
    OUT_FIRST,
    OUT_LAST,
    OUT_LOG,
    PARENT_FIRST,
    PARENT_LAST,
    PARENT_LOG,
    RUN,
    SOURCE,
    UNCLEAR,
    WIDTH,
)
from stream_lineage.index.strips import INCOMPLETE, SOURCES, WIDENED
from stream_lineage.index.walk import MOST_STRIPS, Direction, Walk, walk
from stream_lineage.model.record_edge import EdgeSource
from stream_lineage.model.schema import SchemaReference

EndKind = Literal["source", "outcome", "unknown-parents", "not-observed", "in-doubt"]
"""What a record is at which a path ends: a ``source``, downstream an ``outcome`` of which nothing was made, as far as
the index knows. Or that is not known: its header names no parents though there are some (``unknown-parents``), nobody
has observed it (``not-observed``), or its topic's edges were not all recorded (``in-doubt``)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records of one partition that were written with one pair of schemas; null where nobody has observed them.

    ``hop`` is how far the nearest of them is. ``uncertain`` are those of which only a widened range tells. ``ends`` are
    those that lead no further: sources, or what nothing was made of.
    """

    number: int
    log: Log
    ranges: Ranges
    hop: int
    schema: SchemaReference | None
    key_schema: SchemaReference | None
    ends: Ranges
    uncertain: Ranges


@dataclass(frozen=True, slots=True)
class Link:
    """Outputs and the parents that they were made from, as one run of records: see ``strips``. Of a path downstream the
    parents are those on the path."""

    output: Log
    first_output: int
    last_output: int
    parent: Log
    first_parent: int
    last_parent: int
    each: int
    widened: bool
    incomplete: bool
    unclear: bool
    source: EdgeSource | None
    run_id: str | None
    first_timestamp: datetime | None
    last_timestamp: datetime | None


@dataclass(slots=True)
class Trace:
    """What a record was made from, or what became of it. ``walk`` has it by partition. ``unobserved`` are ends that
    nobody has observed; ``gaps`` what the index knows not to know; ``doubts`` what else speaks against its being whole,
    in sentences."""

    number: int
    log: Log
    offset: int
    walk: Walk
    start: Stretch
    stretches: list[Stretch]
    alerts: list[AlertOnPath]
    unobserved: dict[int, Ranges] = field(default_factory=dict)
    gaps: Gaps = field(default_factory=Gaps)
    doubts: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether it names every record, and no other."""
        walk = self.walk
        not_sure = walk.uncertain or walk.unknown or walk.unclear or walk.cut
        return not (not_sure or self.unobserved or self.gaps or self.doubts)

    @property
    def ends(self) -> dict[int, Ranges]:
        """Where the path ends, by the numbers of partitions: sources upstream."""
        return self.walk.ends

    def ends_by_kind(self) -> Iterator[tuple[int, EndKind, Ranges]]:
        """The ends with what they are, each in one kind, by the numbers of partitions."""
        kinds: list[tuple[EndKind, dict[int, Ranges]]] = [("not-observed", self.unobserved)]
        last: EndKind = "outcome"
        if self.walk.direction == "upstream":
            kinds = [("unknown-parents", self.walk.unknown), *kinds, ("in-doubt", self.gaps.ends)]
            last = "source"
        for number, rest in sorted(self.ends.items()):
            for kind, known in [*kinds, (last, self.ends)]:
                part = rest & known.get(number, Ranges.empty())
                if part:
                    yield number, kind, part
                    rest = rest - part


def trace(
    index: ProvenanceIndex,
    topic: str,
    partition: int,
    offset: int,
    direction: Direction = "upstream",
    *,
    topic_id: str | None = None,
    depth: int | None = None,
    most_strips: int = MOST_STRIPS,
    doubts: Iterable[str] = (),
) -> Trace:
    """The path of one record, of the newest life of its topic unless ``topic_id`` names another.

    Args:
        index: where the edges are.
        topic, partition, offset: the record.
        direction: ``upstream`` to the sources.
        topic_id: of the life of the topic.
        depth: hops at most; all where null.
        most_strips: how large the answer may become.
        doubts: why the index may not have everything, in sentences: nothing is called exact then.

    Raises:
        NotFound: the index knows nothing of it, or knows that the offset holds no record.
        IndexUnusable: the index is damaged.
    """
    with index.snapshot():
        found = _traced(index, (topic, topic_id, partition), offset, direction, depth, most_strips)
        found.unobserved = _unobserved(index, [found.start, *found.stretches])
        found.gaps = gaps_of(index, found.walk)
    found.doubts += doubts
    return found


def _traced(
    index: ProvenanceIndex,
    place: tuple[str, str | None, int],
    offset: int,
    direction: Direction,
    depth: int | None,
    most_strips: int,
) -> Trace:
    (topic, topic_id, partition), logs = place, index.logs
    named = None if topic_id is None else logs.number(Log(topic, topic_id, partition))
    number = named if topic_id is not None else logs.current(topic, partition)
    hint = "`stream-lineage index status` shows how far the index is; `index update` reads on."
    if number is None:
        raise NotFound(f"nothing is known of {topic}[{partition}]", hint=hint)
    gap = index.hole_at(number, offset)
    if gap is not None:
        raise NotFound(
            f"offset {offset} of {topic}[{partition}] holds no record: {gap.reason.value} "
            f"(offsets {gap.first_offset} to {gap.last_offset})"
        )
    found = walk(index, {number: Ranges.single(offset)}, direction, depth=depth, most_strips=most_strips)
    (start, *_) = _stretches(index, number, Ranges.single(offset), found, 0)
    if start.schema is None and not found.reached and not found.unknown:
        raise NotFound(f"offset {offset} of {topic}[{partition}] is in nothing that was observed", hint=hint)
    stretches = [
        stretch
        for log, ranges in found.reached.items()
        for stretch in _stretches(index, log, ranges, found, _nearest(found, log))
    ]
    stretches.sort(key=lambda each: (each.hop, each.log.topic, each.log.partition, int(each.ranges.firsts[0])))
    return Trace(number, index.logs[number], offset, found, start, stretches, alerts_on(index, [start, *stretches]))


def links(index: ProvenanceIndex, found: Walk) -> Iterator[Link]:
    """The edges of a path."""
    runs: dict[int, str | None] = {}
    for row in found.strips.tolist():
        run = row[RUN]
        if run not in runs:
            runs[run] = index.run(run)
        yield Link(
            index.logs[row[OUT_LOG]], row[OUT_FIRST], row[OUT_LAST],
            index.logs[row[PARENT_LOG]], row[PARENT_FIRST], row[PARENT_LAST],
            row[WIDTH],
            bool(row[FLAGS] & WIDENED),
            bool(row[FLAGS] & INCOMPLETE),
            bool(row[FLAGS] & UNCLEAR),
            SOURCES[row[SOURCE]] if 0 <= row[SOURCE] < len(SOURCES) else None,
            runs[run],
            moment(row[FIRST_TIME]) if row[FIRST_TIME] >= 0 else None,
            moment(row[LAST_TIME]) if row[LAST_TIME] >= 0 else None,
        )  # fmt: skip


def _unobserved(index: ProvenanceIndex, stretches: Iterable[Stretch]) -> dict[int, Ranges]:
    """Where the path ends without anybody's having observed a record there: whether it goes on is not known."""
    out: dict[int, Ranges] = {}
    for each in stretches:
        part = each.ends if each.schema is None or not each.ends else index.holes_in(each.number, each.ends)
        if part:
            out[each.number] = out[each.number] | part if each.number in out else part
    return out


def _nearest(found: Walk, number: int) -> int:
    return next(hop for hop, ranges in enumerate(found.hops, 1) if number in ranges)


def _stretches(index: ProvenanceIndex, number: int, ranges: Ranges, found: Walk, hop: int) -> list[Stretch]:
    log, empty = index.logs[number], Ranges.empty()
    ends, uncertain = found.ends.get(number, empty), found.uncertain.get(number, empty)
    parts: list[tuple[Ranges, SchemaReference | None, SchemaReference | None]] = []
    rest = ranges
    for part, schema, key_schema in index.schemas_of(number, log.topic, ranges):
        parts.append((part, schema, key_schema))
        rest = rest - part
    if rest:
        parts.append((rest, None, None))
    return [
        Stretch(number, log, part, hop, schema, key_schema, part & ends, part & uncertain)
        for part, schema, key_schema in parts
    ]

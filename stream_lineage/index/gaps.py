"""What an index knows not to know: edges that were never written, never read, or removed before they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex, moment
from stream_lineage.index.walk import Walk

_MOST_ROWS = 10_000
"""Rows of records with unknown parents that are looked at for a path downstream."""
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Gaps:
    """What may be missing in a path, in sentences. ``ends`` are those ends of it that may go on therefore, by the
    number of a partition."""

    notes: tuple[str, ...] = ()
    ends: dict[int, Ranges] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.notes)


def gaps_of(index: ProvenanceIndex, found: Walk) -> Gaps:
    """What may be missing in a path. Upstream a record that has an edge has all of it: only where the path ends may
    something be missing. Downstream any edge may."""
    notes: list[str] = []
    ends: dict[int, Ranges] = {}
    upstream = found.direction == "upstream"
    for topic, topic_id, why, count, first, last in index.unchanging(
        "SELECT topic, topic_id, why, count, first_seen, last_seen FROM gap ORDER BY topic, topic_id, why"
    ):
        concerned = _unrecorded(index) if why == "removed" else _of_topic(topic, topic_id)
        mine = {
            number: part
            for number, ranges in found.ends.items()
            if (log := index.logs[number]).cluster is None and (part := concerned(number, log, ranges))
        }
        if upstream and not mine:
            continue
        where = f"{topic}: " if topic else ""
        when = f" between {moment(first):%F %T}Z and {moment(last):%F %T}Z" if first else ""
        notes.append(where + _SENTENCES[why].format(count=count) + when)
        if upstream:
            for number, part in mine.items():
                ends[number] = ends[number] | part if number in ends else part
    if not upstream:
        notes += _nameless(index, found)
    return Gaps(tuple(notes), ends)


_SENTENCES = {
    "no-room": "what {count:,} records were made from was not recorded, since there was no room for it",
    "unreadable": "{count:,} messages that should say what records were made from could not be read",
    "removed": "up to {count:,} messages that said what records were made from had been removed by retention before "
    "the index read them",
}
_Concerned = Callable[[int, Log, Ranges], Ranges]


def _of_topic(topic: str, topic_id: str) -> _Concerned:
    def concerned(_: int, log: Log, ranges: Ranges) -> Ranges:
        mine = topic in ("", log.topic) and (not topic_id or log.topic_id in (None, topic_id))
        return ranges if mine else Ranges.empty()

    return concerned


def _unrecorded(index: ProvenanceIndex) -> _Concerned:
    limits = dict(index.rows("SELECT log, last_offset FROM unrecorded"))

    def concerned(number: int, _: Log, ranges: Ranges) -> Ranges:
        return ranges & Ranges.single(0, limits[number]) if number in limits else Ranges.empty()

    return concerned


def _nameless(index: ProvenanceIndex, found: Walk) -> Iterator[str]:
    """Records that do not name all their parents may have been made of any record: of a path downstream nobody knows
    whether they belong to it."""
    topics = []
    for number in _with_nameless(index):
        rows = index.rows(
            "SELECT out_first, out_last FROM edge WHERE flags & 2 AND out_log = ? LIMIT ?", (number, _MOST_ROWS)
        )
        nameless = Ranges.of([row[0] for row in rows], [row[1] for row in rows])
        sure = _certain(found, number)
        if len(rows) == _MOST_ROWS or nameless - sure:
            topics.append(index.logs[number].topic)
    if topics:
        names = sorted(set(topics))
        shown = ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")
        yield f"{shown}: records that do not name all their parents may have been made of these too"


def _with_nameless(index: ProvenanceIndex) -> Iterator[int]:
    """From one partition to the next by the index of such edges, not by all of them."""
    number = -1
    while (row := index.rows("SELECT min(out_log) FROM edge WHERE flags & 2 AND out_log > ?", (number,))[0])[
        0
    ] is not None:
        number = int(row[0])
        yield number


def _certain(found: Walk, number: int) -> Ranges:
    known: Mapping[int, Ranges] = found.reached
    nothing = Ranges.empty()
    return (known.get(number, nothing) | found.start.get(number, nothing)) - found.uncertain.get(number, nothing)

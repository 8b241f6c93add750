"""The last good offset of each partition: the last record before the first one that something is wrong with.

From the provenance index alone: what was observed, and what was told about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stream_lineage.index.alert_onset import Onset
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.model.finding import Severity

_RANK = {severity.value: rank for rank, severity in enumerate(Severity)}
_NOT_OF_RECORDS = ("group-", "graph-", "upcoming-schema", "compatibility-changed", "subject-deleted", "freshness")
"""What begins so is about groups, the graph or the registry, or that nothing comes: no record is bad for it."""


@dataclass(frozen=True, slots=True)
class GoodOffset:
    """``offset`` is the last good one of what was observed; null where everything that was observed is bad, or nothing
    was. ``newest`` is the last offset that was observed. ``because`` is the problem that begins first of those that are
    not over, null where there is none; ``others`` counts the rest of them."""

    topic: str
    partition: int
    offset: int | None
    newest: int | None
    because: Onset | None
    others: int


def is_bad(onset: Onset, *, since: datetime, at_least: Severity) -> bool:
    """Whether it counts: it lasts and is not over, or it is one of those that are told once, after ``since``."""
    if onset.kind.startswith(_NOT_OF_RECORDS) or _RANK.get(onset.severity, 0) < _RANK[at_least]:
        return False
    return onset.open or (not onset.lasting and onset.observed_at >= since)


def good_offsets(
    index: ProvenanceIndex, onsets: Iterable[Onset], topics: Sequence[str] | None = None
) -> list[GoodOffset]:
    """Of each partition of the newest life of each topic, in their order. ``onsets`` are the problems that count; those
    that ended of themselves in a partition, such as a loss of data, do not count there.

    Raises:
        IndexUnusable: the index is damaged.
    """
    with index.snapshot():
        newest_lives: dict[str, str | None] = {epoch.topic: epoch.topic_id for epoch in index.epochs()}
        problems: dict[str, list[Onset]] = {}
        for onset in onsets:
            life = index.logs.life_at(onset.topic, int(onset.observed_at.timestamp() * 1000))
            if onset.topic in newest_lives and life == newest_lives[onset.topic]:
                problems.setdefault(onset.topic, []).append(onset)
        chosen = sorted(newest_lives) if topics is None else [each for each in topics if each in newest_lives]
        return [
            found for topic in chosen for found in _of_topic(index, topic, newest_lives[topic], problems.get(topic, ()))
        ]


def _of_topic(
    index: ProvenanceIndex, topic: str, topic_id: str | None, onsets: Sequence[Onset]
) -> Iterable[GoodOffset]:
    observed: Mapping[int, tuple[int, int, int]] = {
        number: (log, first, last)
        for log, number, first, last in index.rows(
            "SELECT l.id, l.number, min(s.first_offset), max(s.last_offset) FROM log l JOIN span s ON s.log = l.id"
            " WHERE l.cluster = '' AND l.topic = ? AND l.topic_id = ? GROUP BY l.id ORDER BY l.number",
            (topic, topic_id or ""),
        )
    }
    for number, (log, first, newest) in observed.items():
        bad = [each for each in onsets if number in each.first and (each.lasting or number not in each.last)]
        bad.sort(key=lambda each: (each.first[number], each.observed_at))
        offset: int | None = min(newest, bad[0].first[number] - 1) if bad else newest
        while offset is not None and (gap := index.hole_at(log, offset)) is not None:
            offset = gap.first_offset - 1
        if offset is not None and offset < first:
            offset = None
        yield GoodOffset(topic, number, offset, newest, bad[0] if bad else None, max(0, len(bad) - 1))

"""Spans of a topic a page at a time, as documents. A page goes on behind the last offset that the one before it told
of: a span that has become longer meanwhile goes on in its middle, and one that has gone is not missed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from stream_lineage.index.pages import TopicLife
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import MissingRange, MissingReason, joined_ranges
from stream_lineage.provenance.documents import schema_document, span_fields

_CHUNK = 512
"""Rows that are read at once."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SpanPlace(NamedTuple):
    """The last span of a page: when the life of its topic was first seen, in milliseconds, and its id, ``""`` where
    nobody knows it; its partition and its last offset."""

    life_seen: int
    topic_id: str
    partition: int
    last_offset: int


class SpanLog(NamedTuple):
    """A partition of a life of a topic, with its number in the index."""

    life: TopicLife
    partition: int
    number: int


def span_logs(
    index: ProvenanceIndex, lives: Sequence[TopicLife], partition: int | None, after: SpanPlace | None
) -> list[SpanLog]:
    """The partitions of these lives, the earliest first, or one partition of them; from the one on that a page ended
    in."""
    return [
        SpanLog(life, number, log)
        for life, first in _lives_from(lives, after)
        for number, log in index.rows(
            "SELECT number, id FROM log WHERE cluster = '' AND topic = ? AND topic_id = ? AND number >= ?"
            " AND (?4 IS NULL OR number = ?4) ORDER BY number",
            (life.topic, life.topic_id or "", first, partition),
        )
    ]


def span_page(
    index: ProvenanceIndex, logs: Iterable[SpanLog], most: int, *, offset: int = 0, after: SpanPlace | None = None
) -> tuple[list[dict[str, Any]], SpanPlace | None]:
    """So many spans, in each partition from the one on that holds ``offset``, as ``span_document`` has them; and the
    place of the last one where there are more."""
    items: list[dict[str, Any]] = []
    last: SpanPlace | None = None
    for each in logs:
        life_id = each.life.topic_id or ""
        told = after.last_offset if after is not None and (life_id, each.partition) == after[1:3] else -1
        found, more = _spans(index, each, max(told + 1, offset), told + 1, max(most - len(items), 1))
        if found and len(items) == most:
            return items, last
        if found:
            items += found
            last = SpanPlace(_milliseconds(each.life.first_seen), life_id, each.partition, found[-1]["last_offset"])
        if more:
            return items, last
    return items, None


def _lives_from(lives: Sequence[TopicLife], after: SpanPlace | None) -> Iterator[tuple[TopicLife, int]]:
    """Lives with the first partition that is wanted of each. Where the one that a page ended in has gone, those that
    came after it."""
    if after is None:
        yield from ((life, 0) for life in lives)
        return
    at = next((n for n, life in enumerate(lives) if (life.topic_id or "") == after.topic_id), None)
    for number, life in enumerate(lives):
        if at is not None and number >= at:
            yield life, after.partition if number == at else 0
        elif at is None and (_milliseconds(life.first_seen), life.topic_id or "") > after[:2]:
            yield life, 0


def _spans(
    index: ProvenanceIndex, where: SpanLog, begin: int, least: int, most: int
) -> tuple[list[dict[str, Any]], bool]:
    """From the span on that holds ``begin``, none of it below ``least``; and whether there are more."""
    rows: list[list[int]] = []  # first and last offset, pair
    pairs: list[tuple[SchemaReference, SchemaReference]] = []
    numbers: dict[tuple[int, int], int] = {}
    start, more, chunk = begin, False, min(_CHUNK, most + 2)
    while not more:
        found = index.rows(
            "SELECT first_offset, last_offset, value_schema, key_schema FROM span WHERE log = ?1 AND first_offset >="
            " coalesce((SELECT max(first_offset) FROM span WHERE log = ?1 AND first_offset <= ?2), ?2)"
            " ORDER BY first_offset LIMIT ?3",
            (where.number, start, chunk),
        )
        for first, last, value, key in found:
            if last < start:
                continue
            pair = numbers.get((value, key))
            if pair is None:
                pair = numbers[value, key] = _pair(index, where.life.topic, (value, key), pairs)
            if rows and rows[-1][1] + 1 == first and rows[-1][2] == pair:
                rows[-1][1] = last
            elif len(rows) == most:
                more = True
                break
            else:
                rows.append([max(first, least), last, pair])
        if len(found) < chunk:
            break
        start, chunk = found[-1][1] + 1, _CHUNK  # rows may merge: then it takes more of them than a page has
    missing = _missing(index, where.number, rows)
    shown = [(schema_document(value), schema_document(key)) for value, key in pairs]
    return [
        span_fields(where.partition, first, last, gaps, shown[pair], where.life.topic_id)
        for (first, last, pair), gaps in zip(rows, missing, strict=True)
    ], more


def _pair(
    index: ProvenanceIndex,
    topic: str,
    row: tuple[int, int],
    pairs: list[tuple[SchemaReference, SchemaReference]],
) -> int:
    """The place of a pair of schemas among those that there are: two rows may have become of one pair, since a
    reference was completed."""
    value, key = row
    pair = (
        index.completed(topic, "value", index.reference(value)),
        index.completed(topic, "key", index.reference(key)),
    )
    if pair not in pairs:
        pairs.append(pair)
    return pairs.index(pair)


def _missing(index: ProvenanceIndex, log: int, rows: Sequence[Sequence[int]]) -> Iterator[tuple[MissingRange, ...]]:
    """What is missing in each of these stretches."""
    holes: list[tuple[int, int, str]] = []
    if rows:
        lowest = rows[0][0]
        holes = index.rows(
            "SELECT max(first_offset, ?2), last_offset, reason FROM hole WHERE log = ?1 AND first_offset <= ?3"
            " AND last_offset >= ?2 AND first_offset >="
            " coalesce((SELECT max(first_offset) FROM hole WHERE log = ?1 AND first_offset <= ?2), ?2)"
            " ORDER BY hole.first_offset",
            (log, lowest, rows[-1][1]),
        )
    at = 0
    for _, last, _ in rows:
        start = at
        while at < len(holes) and holes[at][0] <= last:
            at += 1
        yield joined_ranges(MissingRange(low, high, MissingReason(why)) for low, high, why in holes[start:at])


def _milliseconds(at: datetime) -> int:
    return max((at - _EPOCH) // timedelta(milliseconds=1), 0)

"""Asking the provenance index for a part of a list at a time, so that an answer stays small however much there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stream_lineage.errors import NotFound
from stream_lineage.index.reader import Log, ProvenanceIndex, moment
from stream_lineage.model.schema import SchemaReference


@dataclass(frozen=True, slots=True)
class TopicLife:
    """One life of a topic; ``topic_id`` null where nobody knows it."""

    topic: str
    topic_id: str | None
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class IndexedAlert:
    """An alert as the index has it. ``number`` orders alerts as they came; offsets are by partition."""

    number: int
    event_id: str
    topic: str
    kind: str
    severity: str
    phase: str | None
    field_path: str | None
    summary: str
    fingerprint: str
    observed_at: datetime
    first_offsets: dict[int, int]
    last_offsets: dict[int, int]


def topic_lives(index: ProvenanceIndex, topic: str | None = None) -> list[TopicLife]:
    """Of a topic, or of all, in the order of their names, the newest last."""
    rows = index.rows(
        "SELECT topic, topic_id, first_seen, last_seen FROM epoch WHERE ?1 IS NULL OR topic = ?1"
        " ORDER BY topic, first_seen, topic_id",
        (topic,),
    )
    return [TopicLife(name, id_ or None, moment(first), moment(last)) for name, id_, first, last in rows]


def partitions(index: ProvenanceIndex, topic: str, topic_id: str | None) -> list[tuple[int, int, int, int]]:
    """Number, number in the index, first and last offset of each partition of a life of a topic that was observed."""
    rows = index.rows(
        "SELECT number, id, (SELECT first_offset FROM span WHERE log = id ORDER BY first_offset LIMIT 1),"
        " (SELECT last_offset FROM span WHERE log = id ORDER BY first_offset DESC LIMIT 1)"
        " FROM log WHERE cluster = '' AND topic = ? AND topic_id = ? ORDER BY number",
        (topic, topic_id or ""),
    )
    return [tuple(row) for row in rows if row[2] is not None]


def schemas_in_use(
    index: ProvenanceIndex, topic: str, topic_id: str | None
) -> list[tuple[str, SchemaReference, dict[int, int]]]:
    """Role, schema and the first offset with it in each partition, in the order in which the index met them."""
    found: dict[tuple[str, int], dict[int, int]] = {}
    for number, log, _, _ in partitions(index, topic, topic_id):
        for role, column in (("value", "value_schema"), ("key", "key_schema")):
            for reference, first in index.rows(
                f"SELECT {column}, min(first_offset) FROM span WHERE log = ? GROUP BY {column}",  # noqa: S608 - ours
                (log,),
            ):
                found.setdefault((role, reference), {})[number] = first
    out: dict[tuple[str, SchemaReference], dict[int, int]] = {}
    for (role, number), firsts in sorted(found.items(), key=lambda item: (item[0][0] != "value", item[0][1])):
        known = out.setdefault((role, index.completed(topic, role, index.reference(number))), {})
        for partition, first in firsts.items():
            known[partition] = min(first, known.get(partition, first))
    return [(role, reference, firsts) for (role, reference), firsts in out.items()]


def alerts_before(
    index: ProvenanceIndex,
    before: int | None,
    most: int,
    *,
    topic: str | None = None,
    kind: str | None = None,
    severity: str | None = None,
    fingerprint: str | None = None,
) -> tuple[list[IndexedAlert], bool]:
    """Alerts that came before the one of a number, the newest first, and whether there are more."""
    rows = index.rows(
        f"SELECT {_ALERT} FROM alert WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR topic = ?2)"  # noqa: S608 - ours
        " AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR severity = ?4) AND (?5 IS NULL OR fingerprint = ?5)"
        " ORDER BY id DESC LIMIT ?6",
        (before, topic, kind, severity, fingerprint, most + 1),
    )
    return [_alert(index, row) for row in rows[:most]], len(rows) > most


def alert(index: ProvenanceIndex, event_id: str) -> IndexedAlert:
    """By its id as an event.

    Raises:
        NotFound: there is none.
    """
    rows = index.rows(f"SELECT {_ALERT} FROM alert WHERE event_id = ?", (event_id,))  # noqa: S608 - a name of ours
    if not rows:
        raise NotFound(f"there is no alert {event_id}")
    return _alert(index, rows[0])


def newest(index: ProvenanceIndex, topic: str, topic_id: str | None, partition: int) -> int | None:
    """A partition's number in the index: of the newest life of its topic, unless one is named."""
    if topic_id is None:
        return index.logs.current(topic, partition)
    return index.logs.number(Log(topic, topic_id, partition))


_ALERT = "id, event_id, topic, kind, severity, phase, field_path, summary, fingerprint, observed_at"


def _alert(index: ProvenanceIndex, row: Sequence[Any]) -> IndexedAlert:
    number, event_id, topic, kind, severity, phase, field_path, summary, fingerprint, seen = row
    ranges = index.rows(
        "SELECT r.number, r.first_offset, r.last_offset FROM alert_range r WHERE r.topic = ?2 AND r.alert = ?1",
        (number, topic),
    )
    firsts = {partition: first for partition, first, _ in ranges}
    lasts = {partition: last for partition, _, last in ranges if last is not None}
    return IndexedAlert(
        number, event_id, topic, kind, severity, phase, field_path, summary, fingerprint, moment(seen), firsts, lasts
    )

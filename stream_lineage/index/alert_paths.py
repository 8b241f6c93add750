"""Alerts about the records on a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex, moment
from stream_lineage.model.schema import SchemaReference

if TYPE_CHECKING:
    from stream_lineage.index.trace import Stretch

_MOST = 200
_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class AlertOnPath:
    """An alert that records on the path lie in. ``offset`` is the first of them in ``partition``; ``closed_at`` is null
    as long as the problem lasts, and for what happens once."""

    event_id: str
    topic: str
    partition: int
    offset: int
    kind: str
    severity: str
    field_path: str | None
    summary: str
    fingerprint: str
    observed_at: datetime
    closed_at: datetime | None


def alerts_on(index: ProvenanceIndex, stretches: Sequence[Stretch]) -> list[AlertOnPath]:
    """What was told about these records, the newest first; of one problem in one topic the first word.

    An alert is about its first offset and all that follow, up to its last one or that of the alert that closed it; one
    about a schema only about records of that schema.
    """
    found: dict[tuple[str, str], AlertOnPath] = {}
    for stretch in stretches:
        if stretch.log.cluster is not None:
            continue
        last = int(stretch.ranges.lasts[-1])
        for row in index.rows(
            "SELECT r.first_offset, r.last_offset, a.event_id, a.kind, a.severity, a.field_path, a.summary,"
            " a.fingerprint, a.observed_at, a.phase, a.schema_fingerprint, a.schema_id FROM alert_range r"
            " JOIN alert a ON a.id = r.alert WHERE r.topic = ? AND r.number = ? AND r.first_offset <= ?"
            " AND coalesce(r.last_offset, ?) >= ? AND a.phase IS NOT 'close' ORDER BY r.first_offset DESC LIMIT ?",
            (*(stretch.log.topic, stretch.log.partition, last), 2**53, int(stretch.ranges.firsts[0]), _LOOKED_AT),
        ):
            alert = _on(index, stretch, row)
            key = (stretch.log.topic, row[7])
            if alert is not None and (key not in found or alert.observed_at < found[key].observed_at):
                found[key] = alert
    return sorted(found.values(), key=lambda each: each.observed_at, reverse=True)[:_MOST]


def _on(index: ProvenanceIndex, stretch: Stretch, row: Sequence[object]) -> AlertOnPath | None:
    first, last, event_id, kind, severity, field, summary, fingerprint, seen, phase, schema, schema_id = row
    if not _same_life(index, stretch.log, int(str(seen))):
        return None
    if (schema is not None or schema_id is not None) and not _of_schema(stretch, schema, schema_id):
        return None
    closed_at = None
    if phase is not None:
        closing = index.rows(
            "SELECT a.observed_at, r.last_offset FROM alert a LEFT JOIN alert_range r ON r.alert = a.id"
            " AND r.topic = a.topic AND r.number = ? WHERE a.fingerprint = ? AND a.observed_at >= ?"
            " AND a.phase = 'close' ORDER BY a.observed_at LIMIT 1",
            (stretch.log.partition, fingerprint, seen),
        )
        if closing:
            closed_at, last = moment(closing[0][0]), closing[0][1] if closing[0][1] is not None else last
    end = 2**53 if last is None else max(int(str(last)), int(str(first)))
    hit = stretch.ranges & Ranges.single(int(str(first)), end)
    if not hit:
        return None
    return AlertOnPath(
        str(event_id), stretch.log.topic, stretch.log.partition, int(hit.firsts[0]), str(kind), str(severity),
        None if field is None else str(field), str(summary), str(fingerprint), moment(int(str(seen))), closed_at,
    )  # fmt: skip


def _same_life(index: ProvenanceIndex, log: Log, seen: int) -> bool:
    """Alerts say no topic id: what was told while another life of the topic was current is not about this one."""
    unnamed = index.logs.number(log)
    if unnamed is None or index.logs.lives(unnamed) < 2:
        return True
    return index.logs.life_at(log.topic, seen) == log.topic_id


def _of_schema(stretch: Stretch, fingerprint: object, schema_id: object) -> bool:
    """Value and key alerts are alike in this: either may be of the schema that is told of."""
    references: list[SchemaReference] = [each for each in (stretch.schema, stretch.key_schema) if each is not None]
    if fingerprint is not None:
        return any(each.fingerprint == fingerprint for each in references)
    return any(each.id == schema_id for each in references)

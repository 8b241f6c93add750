"""Since which offsets something is wrong, and whether it still is: alerts of one problem taken together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from stream_lineage.errors import NotFound
from stream_lineage.index.reader import ProvenanceIndex, moment

Bounds = dict[int, tuple[int, int | None]]
"""First and last bad offset by partition; the last one is null where it is not known."""
_COLUMNS = "id, event_id, topic, kind, severity, phase, field_path, summary, fingerprint, observed_at"


@dataclass(frozen=True, slots=True)
class Onset:
    """One occurrence of one problem. ``event_ids`` are those of all that was told of it, the first word first.

    ``first`` has the first bad offset of each partition, ``last`` the last one of those where it is known to have
    ended. ``lasting`` is what begins and ends; else it was told once. ``closed_at`` is null as long as it lasts.
    """

    event_ids: tuple[str, ...]
    topic: str
    kind: str
    severity: str
    field_path: str | None
    summary: str
    fingerprint: str
    lasting: bool
    observed_at: datetime
    closed_at: datetime | None
    first: Mapping[int, int]
    last: Mapping[int, int]

    @property
    def open(self) -> bool:
        """Whether it begins and ends, and has not ended."""
        return self.lasting and self.closed_at is None


def onset_of(index: ProvenanceIndex, wanted: str) -> Onset:
    """Of the alert with this ``ce_id``, or the newest with this fingerprint.

    Raises:
        NotFound: the index has no such alert.
        IndexUnusable: the index is damaged.
    """
    named = index.rows("SELECT fingerprint, topic FROM alert WHERE event_id = ?", (wanted,))
    if named:
        where, values = "fingerprint = ? AND topic = ?", tuple(named[0])
    else:
        where, values = "fingerprint = ?", (wanted,)
    found = list(_onsets(index, where, values))
    if not found:
        raise NotFound(
            f"there is no alert {wanted[:200]}",
            hint="Alerts are named by their ce_id or fingerprint; `stream-lineage index status` shows how far it is.",
        )
    for each in found:
        if wanted in each.event_ids:
            return each
    return max(found, key=lambda each: each.observed_at)


def onsets(index: ProvenanceIndex, topic: str | None = None) -> list[Onset]:
    """All that was ever told about a topic, or about all of them."""
    where, values = ("1", ()) if topic is None else ("topic = ?", (topic,))
    return list(_onsets(index, where, values))


def _onsets(index: ProvenanceIndex, where: str, values: tuple[str, ...]) -> Iterator[Onset]:
    rows = index.rows(
        f"SELECT {_COLUMNS} FROM alert WHERE {where} ORDER BY fingerprint, topic, observed_at, id",  # noqa: S608
        values,
    )
    offsets = _offsets(index, where, values)
    for _, same in groupby(rows, key=lambda row: (row[8], row[2])):
        yield from _episodes(same, offsets)


def _offsets(index: ProvenanceIndex, where: str, values: tuple[str, ...]) -> dict[int, Bounds]:
    chosen = f"SELECT topic, id FROM alert WHERE {where}"  # noqa: S608
    query = f"SELECT alert, number, first_offset, last_offset FROM alert_range WHERE (topic, alert) IN ({chosen})"  # noqa: S608
    found: dict[int, Bounds] = {}
    for alert, number, first, last in index.rows(query, values):
        found.setdefault(alert, {})[number] = (first, last)
    return found


def _episodes(rows: Iterable[Any], offsets: Mapping[int, Bounds]) -> Iterator[Onset]:
    """From the first word to the one that it is over. Of what is told once, those are one that say all that was said
    before, and more."""
    going: Onset | None = None
    for row in rows:
        number, event_id, topic, kind, severity, phase, field, summary, fingerprint, seen = row
        ranges = offsets.get(number, {})
        first = {partition: low for partition, (low, _) in ranges.items()}
        last = {partition: high for partition, (_, high) in ranges.items() if high is not None}
        if going is not None and phase == "close":
            lasts = {**going.last, **last}
            starts = going.first or first
            yield replace(
                going, event_ids=(*going.event_ids, event_id), closed_at=moment(seen), first=starts, last=lasts
            )
            going = None
            continue
        if going is not None and (phase is not None or going.first.items() <= first.items()):
            earliest = {**first, **going.first}
            earliest |= {each: min(first[each], earliest[each]) for each in first}
            going = replace(
                going, event_ids=(*going.event_ids, event_id), severity=severity, summary=summary,
                first=earliest, last=last,
            )  # fmt: skip
            continue
        if going is not None:
            yield going
        closed_at = moment(seen) if phase == "close" else None
        going = Onset(
            (event_id,), topic, kind, severity, field, summary, fingerprint, phase is not None, moment(seen), closed_at,
            first, last,
        )  # fmt: skip
        if closed_at is not None:  # what it closed is not known
            yield going
            going = None
    if going is not None:
        yield going

"""Which offsets of a topic somebody means: by offset, by partition and offset, or by time.

``150`` is an offset of every partition, ``0:100-200,1:50-`` names partitions, each with the first and maybe the last
offset. Times are ISO 8601 (UTC where they do not say), ``now``, or ``2h ago`` (s, m, h, d, w). Offsets are inclusive on
both sides; of times, the first record at or after ``--from`` and the last one before the first at or after ``--to``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stream_lineage.errors import NotFound

_EACH = re.compile(r"(?P<partition>\d{1,9}):(?P<first>\d{1,18})(?:(?P<dash>-)(?P<last>\d{1,18})?)?")
_AGO = re.compile(r"(?P<count>\d{1,9}(?:\.\d{1,3})?)\s*(?P<unit>[smhdw])\s+ago", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SYNTAX = "an offset, PARTITION:FIRST-LAST,..., a time such as 2026-03-01T12:00Z, `now` or `2h ago`"


@dataclass(frozen=True, slots=True)
class Everywhere:
    """This offset in every partition, as far as it goes."""

    offset: int


@dataclass(frozen=True, slots=True)
class Each:
    """Partitions by number, each with an offset and maybe the last one of its range."""

    partitions: Mapping[int, tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class At:
    """The first record with this timestamp or a later one."""

    time: datetime


Bound = Everywhere | Each | At
Ranges = dict[int, tuple[int, int]]
"""First offset and the one after the last, by partition."""


def parse_bound(text: str, now: datetime) -> Bound:
    """What somebody wrote.

    Raises:
        ValueError: nothing that is understood; the message says what is.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,18}", text):
        return Everywhere(int(text))
    if ":" in text and (found := _each(text)) is not None:
        return found
    return At(_time(text, now))


def chosen_ranges(
    topic: str,
    begin: Bound | None,
    end: Bound | None,
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    first_at: Callable[[datetime], Mapping[int, int]],
) -> Ranges:
    """The ranges that two bounds mean, without partitions in which nothing is meant.

    Args:
        topic: for messages.
        begin: null for the beginning.
        end: null for the end.
        starts: the first offset of each partition's log.
        ends: the offset after the last one that can be read, of each partition.
        first_at: the first offset at or after a time, by partition; partitions without one may be left out.

    Raises:
        NotFound: the log does not hold a range that was named, or nothing is left.
    """
    named = [bound.partitions.keys() for bound in (begin, end) if isinstance(bound, Each)]
    partitions = sorted(set(starts).union(*named) if not named else set.intersection(*map(set, named)))
    unknown = [partition for bound in named for partition in bound if partition not in starts]
    if unknown:
        raise NotFound(f"{topic} has no partition {min(unknown)}: its partitions are 0 to {max(starts)}")
    firsts = _firsts(begin, partitions, starts, ends, first_at)
    stops = _stops(begin, end, partitions, starts, ends, first_at)
    ranges: Ranges = {}
    for partition in partitions:
        first, stop = firsts[partition], stops[partition]
        low, high = starts[partition], ends[partition]
        if named:
            _check(topic, partition, first, stop, low, high)
        first, stop = max(first, low), min(stop, high)
        if first < stop:
            ranges[partition] = (first, stop)
    if not ranges:
        held = ", ".join(_held(partition, starts[partition], ends[partition]) for partition in sorted(starts)[:5])
        raise NotFound(f"no offset of {topic} lies in that range", hint=f"The log holds {held or 'nothing'}.")
    return ranges


def _firsts(
    begin: Bound | None,
    partitions: Iterable[int],
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    first_at: Callable[[datetime], Mapping[int, int]],
) -> Mapping[int, int]:
    match begin:
        case Everywhere(offset):
            return dict.fromkeys(partitions, offset)
        case Each(named):
            return {partition: named[partition][0] for partition in partitions}
        case At(time):
            found = first_at(time)
            return {partition: _offset(found, partition, ends) for partition in partitions}
    return starts


def _stops(
    begin: Bound | None,
    end: Bound | None,
    partitions: Iterable[int],
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    first_at: Callable[[datetime], Mapping[int, int]],
) -> Mapping[int, int]:
    stops: dict[int, int] = dict(ends)
    match end:
        case Everywhere(offset):
            stops = dict.fromkeys(partitions, offset + 1)
        case Each(named):
            stops = {partition: named[partition][0] + 1 for partition in partitions}
        case At(time):
            found = first_at(time)
            stops = {partition: _offset(found, partition, ends) for partition in partitions}
    if isinstance(begin, Each):
        for partition in partitions:
            last = begin.partitions[partition][1]
            if last is not None:
                stops[partition] = last + 1 if end is None else min(last + 1, stops[partition])
    return stops


def _offset(found: Mapping[int, int], partition: int, ends: Mapping[int, int]) -> int:
    """Where no record is so late, the broker says -1."""
    offset = found.get(partition, -1)
    return ends[partition] if offset < 0 else offset


def _check(topic: str, partition: int, first: int, stop: int, low: int, high: int) -> None:
    if first >= stop:
        raise NotFound(f"the range of {topic}[{partition}] is empty: {first} to {stop - 1}")
    if first < low or stop > high:
        raise NotFound(
            f"{topic}[{partition}] does not hold offsets {first} to {stop - 1}",
            hint=f"The log holds {_held(partition, low, high)}.",
        )


def _held(partition: int, low: int, high: int) -> str:
    return f"{partition}:{low}-{high - 1}" if high > low else f"nothing in partition {partition}"


def _each(text: str) -> Each | None:
    """The partitions; null where the text is something else, such as a time."""
    parts = [_EACH.fullmatch(part.strip()) for part in text.split(",")]
    partitions: dict[int, tuple[int, int | None]] = {}
    for part in parts:
        if part is None:
            return None
        first, last = int(part["first"]), None if part["last"] is None else int(part["last"])
        if last is not None and last < first:
            raise ValueError(f"the range {part[0]} is empty")
        partition = int(part["partition"])
        if partition in partitions:
            raise ValueError(f"partition {partition} is named twice")
        partitions[partition] = (first, last)
    return Each(partitions)


def _time(text: str, now: datetime) -> datetime:
    if text.lower() == "now":
        return now
    ago = _AGO.fullmatch(text)
    try:
        if text.isdigit():  # ISO 8601 without its dashes cannot be told from an offset
            raise ValueError
        if ago is not None:
            return now - timedelta(seconds=float(ago["count"]) * _SECONDS[ago["unit"].lower()])
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"'{text[:100]}' is not understood: say {_SYNTAX}") from None

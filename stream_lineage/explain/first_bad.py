"""The first bad record of a partition, from the records around the time at which a metric began to deviate.

Pure: whoever reads the records is elsewhere. What makes a record bad follows from the metric; where nothing does (fewer
records, later ones), no single record is bad. Where such records came before as well, the first one of the deviation is
where their rate changes: the likelihood of one change in a sequence of yes and no (Hinkley and Hinkley, Biometrika 57,
1970) says where, and how sure that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
LEAST_BEFORE = 20
"""Records before that must be without a mark, for the first one that has it to be the first bad one for sure."""
_GAIN = 6.0
"""By so much a change of the rate must be likelier than none, in natural logarithms."""
_WITHIN = 3.0
"""Places that are less likely than the best one by no more than this may be it, too."""
_SURELY = 4.6
"""Nor those by no more than this (a hundredth as likely), if one is to be the first bad one for sure."""
_MOST_LIMITS = 256
_CLEAN = 0.8
"""A limit that nothing went beyond before is taken where it tells so large a part of what the best one tells apart."""
_EXTREMES = frozenset({"min", "max"})
_OF_VALUES = frozenset({"mean", "variance", "p01", "p05", "p25", "p50", "p75", "p95", "p99", *_EXTREMES})


class By(StrEnum):
    """How the first bad record is known."""

    SCHEMA = "schema"  # the first one with the new schema, by what was recorded of every record
    VALUES = "values"  # records were read again and judged one by one
    OBSERVATIONS = "observations"  # what was observed when the deviation began
    TIME = "time"  # the timestamps of the records alone


@dataclass(frozen=True, slots=True)
class Row:
    """What one record shows of a field, without its value. ``hashes`` stand for values, within one process. ``low`` and
    ``high`` are of its numbers, ``length`` of its text. ``timestamp`` is in milliseconds, negative where there is none.
    ``readable``: it could be decoded; else nothing is known of the field. ``tombstone``: its value is null."""

    offset: int
    timestamp: int
    size: int
    key: int | None = None
    readable: bool = True
    tombstone: bool = False
    null: bool = False
    missing: bool = False
    types: tuple[str, ...] = ()
    hashes: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    length: float | None = None


@dataclass(frozen=True, slots=True)
class Sought:
    """What began to deviate. ``rising``: it went up; null where it has nothing to go up from."""

    metric: str
    field: str | None
    rising: bool | None


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first bad record of a partition. ``offset`` is null where only a range is known: it is one of ``first`` to
    ``last``, inclusive. ``exact``: it is this one, and none before. ``why`` is for people; no payload value is in it.
    ``topic_id`` is Kafka's, where there is one: in a topic of that name that is made later the offsets mean nothing.
    """

    topic: str
    partition: int
    offset: int | None
    first: int
    last: int
    exact: bool
    by: By
    why: str
    timestamp: datetime | None = None
    topic_id: str | None = None

    @property
    def start(self) -> int:
        """Nothing before this offset is bad."""
        return self.first if self.offset is None or not self.exact else self.offset

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "topic": self.topic,
            "topic_id": self.topic_id,
            "partition": self.partition,
            "offset": self.offset,
            "exact": self.exact,
            "first": self.first,
            "last": self.last,
            "by": self.by.value,
            "timestamp": None if self.timestamp is None else self.timestamp.isoformat(timespec="milliseconds"),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """Of one partition. ``offset`` null: no record is bad by itself, or none of those that were read."""

    offset: int | None
    first: int
    last: int
    exact: bool
    why: str


def judged(rows: Sequence[Row], begin: int, end: int, sought: Sought) -> Judged | None:
    """Where the deviation begins among the records of one partition; null where it does not go through it.

    Args:
        rows: in the order of offsets.
        begin: records before this offset are as usual.
        end: from this offset on it deviates; in between it begins.
        sought: what deviates.
    """
    if sought.metric not in _OF_FIELDS:
        return _judged(rows, begin, end, sought)
    told = [each for each in rows if each.readable and not each.tombstone]
    hidden = [each.offset for each in rows if not each.readable and not each.tombstone and each.offset >= begin]
    found = _judged(told, begin, end, sought)
    if found is None:
        if hidden and hidden[0] < end and not any(begin <= each.offset < end for each in told):
            return Judged(None, begin, max(begin, end - 1), False, "none of these records could be decoded")
        return None
    if found.exact and found.offset is not None and hidden and hidden[0] < found.offset:
        why = f"{found.why}; but some before it could not be decoded"
        return replace(found, first=min(found.first, hidden[0]), exact=False, why=why)
    return found


def _judged(rows: Sequence[Row], begin: int, end: int, sought: Sought) -> Judged | None:
    offsets = np.array([each.offset for each in rows], np.int64)
    first, last = int(np.searchsorted(offsets, begin)), int(np.searchsorted(offsets, end))
    whole = Judged(None, begin, max(begin, end - 1), False, "no single record is bad by itself")
    if first >= len(rows):
        return whole if sought.metric not in _MARKS else None
    marks = _marks(rows, first, min(last, len(rows) - 1), sought)
    if marks is None:
        return whole
    flags, what = marks
    before = int(np.count_nonzero(flags[:first]))
    bad = np.flatnonzero(flags)
    bad = bad[bad >= first]
    if not len(bad):
        return None
    if not before and sought.metric not in _BY_CHANCE:
        offset = int(offsets[bad[0]])
        sure = first >= LEAST_BEFORE
        why = f"the first one {what}: none of the {first} before it" if sure else (
            f"the first one {what}; only {first} before it could be read"
        )  # fmt: skip
        return Judged(offset, offset if sure else min(begin, offset), offset, sure, why)
    change = _change(flags, bad, _WITHIN if before else _SURELY)
    if change is None:
        if before:
            return None
        offset = int(offsets[bad[0]])
        last = max(offset, end - 1)
        return Judged(offset, min(begin, offset), last, False, f"the first one {what}, which few are after it")
    best, low, high = (int(offsets[place]) for place in change)
    earlier = int(np.count_nonzero(flags[: change[0]]))
    if not earlier and low == high and first >= LEAST_BEFORE:
        return Judged(best, best, best, True, f"the first one {what}: none of the {change[0]} before it")
    rate = f"{earlier} of the {change[0]} before {'was' if earlier == 1 else 'were'} so, too"
    low = low if first >= LEAST_BEFORE else min(begin, low)
    return Judged(best, low, high, False, f"the likeliest place from which on records are {what} more often: {rate}")


def _change(flags: Flags, bad: NDArray[np.intp], within: float) -> tuple[int, int, int] | None:
    """The likeliest place from which on there are more, with the first and the last that may be it: those that are
    less likely by ``within`` at most."""
    count = len(flags)
    total = np.concatenate(([0], np.cumsum(flags)))
    left, right = bad.astype(np.float64), count - bad.astype(np.float64)
    ones_left, ones_right = total[bad], total[count] - total[bad]
    rises = ones_right / right > ones_left / np.maximum(left, 1)
    likely = _likelihood(ones_left, left) + _likelihood(ones_right, right)
    likely = np.where(rises, likely, -np.inf)
    best = int(np.argmax(likely))
    alone = float(_likelihood(np.array([total[count]]), np.array([float(count)]))[0])
    if not np.isfinite(likely[best]) or likely[best] - alone < _GAIN:
        return None
    may = np.flatnonzero(likely >= likely[best] - within)
    return int(bad[best]), int(bad[may[0]]), int(bad[may[-1]])


def _likelihood(ones: NDArray[Any], count: NDArray[np.float64]) -> NDArray[np.float64]:
    rate = np.clip(ones / np.maximum(count, 1), 1e-12, 1 - 1e-12)
    found: NDArray[np.float64] = ones * np.log(rate) + (count - ones) * np.log1p(-rate)
    return found


def _marks(rows: Sequence[Row], first: int, last: int, sought: Sought) -> tuple[Flags, str] | None:
    """Which records are marked, and what they are; null where the metric marks none. ``first`` and ``last`` are where
    the deviation begins, at the earliest and at the latest."""
    metric, rising = sought.metric, sought.rising is not False
    if metric in ("null_ratio", "missing_ratio"):
        absent = "null" if metric == "null_ratio" else "missing"
        flags = np.array([each.null if absent == "null" else each.missing for each in rows], np.bool_)
        return (flags, f"in which the field is {absent}") if rising else (~flags, f"in which it is not {absent}")
    if metric == "undecoded":
        flags = np.array([not each.readable for each in rows], np.bool_)
        return (flags, "that cannot be decoded") if rising else None
    if metric == "types":
        known = {kind for each in rows[:first] for kind in each.types}
        return np.array([bool(set(each.types) - known) for each in rows], np.bool_), "of a type that is new"
    if metric == "distinct" and rising:
        values = {value for each in rows[:first] for value in each.hashes}
        return np.array([bool(set(each.hashes) - values) for each in rows], np.bool_), "with a value that is new"
    if metric == "key_distinct" and sought.rising is False:
        return _repeated(rows), "whose key was there shortly before"
    if metric == "out_of_order_ratio" and rising:
        times = np.array([each.timestamp for each in rows], np.int64)
        return times < np.maximum.accumulate(times), "older than one before it"
    if metric == "bytes_per_record":
        sizes = np.array([each.size for each in rows], np.float64)
        return _beyond(sizes, sizes, first, last, clean=False), "of a size beyond what was usual"
    if metric == "length_mean":
        lengths = np.array([np.nan if each.length is None else each.length for each in rows], np.float64)
        return _beyond(lengths, lengths, first, last, clean=False), "of a length beyond what was usual"
    if metric in _OF_VALUES:
        lows = np.array([np.nan if each.low is None else each.low for each in rows], np.float64)
        highs = np.array([np.nan if each.high is None else each.high for each in rows], np.float64)
        return _beyond(lows, highs, first, last, clean=metric in _EXTREMES), "whose value is beyond what was usual"
    return None


_OF_FIELDS = frozenset({"null_ratio", "missing_ratio", "types", "distinct", "length_mean", *_OF_VALUES})
_BY_CHANCE = (_OF_VALUES - _EXTREMES) | {
    "distinct", "length_mean", "bytes_per_record", "key_distinct", "out_of_order_ratio"
}  # fmt: skip
"""Where a good record may be marked as well, now and then."""
_MARKS = _OF_FIELDS | {"undecoded", "key_distinct", "out_of_order_ratio", "bytes_per_record"}


def _repeated(rows: Sequence[Row]) -> Flags:
    seen: set[int] = set()
    flags = np.zeros(len(rows), np.bool_)
    for place, each in enumerate(rows):
        if each.key is not None:
            flags[place] = each.key in seen
            seen.add(each.key)
    return flags


def _beyond(lows: NDArray[np.float64], highs: NDArray[np.float64], first: int, last: int, *, clean: bool) -> Flags:
    """Beyond the limit, above or below, that best tells what came later from what came before. ``clean``: only limits
    beyond which nothing was before."""
    none = np.zeros(len(lows), np.bool_)
    later = slice(last, None) if len(lows) - last >= LEAST_BEFORE else slice((first + len(lows)) // 2, None)
    best, found = 0.0, none
    for values in (highs, -lows):
        before, after = values[:first], values[later]
        before, after = before[~np.isnan(before)], after[~np.isnan(after)]
        if not len(before) or not len(after):
            continue
        top = float(before.max())
        limits = np.unique(
            np.quantile(np.concatenate((before, after)), np.linspace(0, 1, _MOST_LIMITS), method="lower")
        )
        limits = np.array([top]) if clean else np.append(limits, top)
        beyond = 1 - np.searchsorted(np.sort(after), limits, side="right") / len(after)
        usual = 1 - np.searchsorted(np.sort(before), limits, side="right") / len(before)
        gains = beyond - usual
        place = int(np.argmax(gains))
        if gains[-1] >= _CLEAN * gains[place]:
            place = len(gains) - 1
        if gains[place] > best:
            best, found = float(gains[place]), np.nan_to_num(values, nan=-np.inf) > limits[place]
    return found


def sought_of(metric: str, field: str | None, usual: float | None, found: float | None) -> Sought:
    """What deviates, from its usual and its present value."""
    return Sought(metric, field, None if usual is None or found is None or usual == found else found > usual)


FAULTS: Mapping[tuple[str, bool | None], str] = {
    ("null_ratio", True): "more nulls", ("null_ratio", False): "fewer nulls",
    ("missing_ratio", True): "missing field", ("missing_ratio", False): "field that is there again",
    ("records", True): "more records", ("records", False): "fewer records", ("records", None): "silence",
    ("key_distinct", False): "repeated keys", ("key_distinct", True): "more keys",
    ("distinct", True): "new values", ("distinct", False): "fewer values",
    ("lag_ms_mean", True): "delay", ("out_of_order_ratio", True): "late records", ("lag", True): "backlog",
    ("undecoded", True): "undecodable records",
}  # fmt: skip
"""What went wrong, by metric and direction; see ``fault_of``."""


def fault_of(sought: Sought) -> str:
    """What kind of fault it is, in a few words."""
    told = FAULTS.get((sought.metric, sought.rising))
    if told is not None:
        return told
    if sought.metric in _OF_VALUES:
        return "shifted values"
    if sought.metric in ("bytes_per_record", "length_mean"):
        return "other sizes"
    if sought.metric == "types":
        return "other types"
    return "schema change" if "schema" in sought.metric or sought.metric == "structure-drift" else sought.metric

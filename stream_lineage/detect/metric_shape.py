"""The shape of a field's numbers: each window against the same hour of the last seven days, by Kolmogorov and Smirnov.

What is compared are points of the profiles' KLL sketches. The distance is the largest difference of the shares of
records below some value. What of it the sketches' own errors may be is taken off before it is tested, with the number
of records of the window, and what is left has to be large enough to matter. How large a distance is usual for this
field at this time of day, the series of distances knows, which is kept beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_lineage.detect.metric_series import amount
from stream_lineage.detect.shift.compare import DEFAULT_PROBABILITY, LEAST_EFFECT, p_value
from stream_lineage.detect.shift.digest import (
    DIGEST_ERROR,
    POINTS_ERROR,
    Digest,
    distance,
    packed_points,
    unpacked_points,
    usable,
)

FEWEST_VALUES = 30
"""Values of a window whose shape means anything. Larger: fewer alerts of fields with few values."""
DAYS = 7
"""Days of which each hour is remembered. Larger: a larger state."""
HOUR_POINTS = 24
"""Points that an hour of a day is remembered by. Larger: a larger state, and smaller shifts are found."""
_HOUR_ERROR = 0.5 / HOUR_POINTS
_HOUR = 3600.0
_FEWEST_WINDOWS = 30
"""Windows of an hour, below which it is not remembered."""
_SETTLED = 100
"""Windows after which the first reference is made, before any hour is over."""
_LATEST_HOURS = 6
_SHOWN = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Distance:
    """``value`` from 0 to 1; ``corrected``: without the errors of both sides. ``told``: whether the corrected one is
    large enough to matter, and no chance."""

    value: float
    corrected: float
    told: bool


@dataclass(frozen=True, slots=True)
class _Hour:
    day: int
    windows: int
    records: int
    points: tuple[float, ...]


class Shape:
    """``distance`` of each window's points, then ``learn`` them unless they are an anomaly.

    The state: what the hour under way is like, and of each hour of the day that of at most ``DAYS`` days: 28 KB.
    """

    __slots__ = ("_digest", "_hour", "_hours", "_records", "_reference", "_reference_records")

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._hour: int | None = state.get("hour")
        self._records: int = state.get("records", 0)
        self._digest = Digest(state.get("windows", 0), state.get("levels", ()))
        self._hours: dict[int, list[_Hour]] = {
            int(hour): [_Hour(day, n, records, tuple(unpacked_points(text))) for day, n, records, text in days]
            for hour, days in state.get("hours", {}).items()
        }
        self._reference: list[float] = []
        self._reference_records = 0
        if self._hour is not None:
            self._refer(self._hour)

    def state(self) -> dict[str, Any]:
        return {
            "hour": self._hour,
            "records": self._records,
            "windows": self._digest.windows,
            "levels": self._digest.state(),
            "hours": {
                str(hour): [[each.day, each.windows, each.records, packed_points(each.points)] for each in days]
                for hour, days in self._hours.items()
            },
        }

    def distance(self, at: float, points: Sequence[float], records: int, error: float) -> Distance | None:
        """Of a window that starts ``at`` (seconds), whose sketch of so many records is off by ``error``; null as long
        as there is nothing to compare with, and where points are no finite numbers."""
        if not math.isfinite(at) or not usable(points):
            return None
        self._turn(int(at // _HOUR))
        if not self._reference:
            return None
        found = distance(self._reference, points)
        corrected = max(0.0, found - error - POINTS_ERROR - _HOUR_ERROR - DIGEST_ERROR)
        told = corrected >= LEAST_EFFECT and (
            p_value(corrected, max(self._reference_records, 1), max(records, 1)) <= DEFAULT_PROBABILITY
        )
        return Distance(found, corrected, told)

    def learn(self, at: float, points: Sequence[float], records: int) -> None:
        if not math.isfinite(at) or not usable(points):
            return
        self._turn(int(at // _HOUR))
        self._digest.add(points)
        self._records += records
        if not self._reference and self._digest.windows >= _SETTLED and self._hour is not None:
            self._close(self._hour)
            self._refer(self._hour)

    def shown(self, points: Sequence[float] | None = None) -> str:
        """The 5%, 50% and 95% quantiles, as they are or as they usually are, for people."""
        values = self._reference if points is None else points
        return "quantiles " + ", ".join(amount(values[int(share * len(values))]) for share in _SHOWN)

    def _turn(self, hour: int) -> None:
        before = self._hour
        if hour == before:
            return
        if before is not None and self._digest.windows >= _FEWEST_WINDOWS:
            self._close(before)
        self._digest, self._records = Digest(), 0
        self._hour = hour
        self._refer(hour)

    def _close(self, hour: int) -> None:
        """The hour under way, or what there is of it, is remembered."""
        day, place = divmod(hour, 24)
        digest = self._digest
        now = _Hour(day, digest.windows, self._records, tuple(digest.summary(HOUR_POINTS)))
        same = [each for each in self._hours.get(place, ()) if day - DAYS < each.day < day]
        partly = [each for each in self._hours.get(place, ()) if each.day == day and each.windows > now.windows]
        self._hours[place] = [*same, *(partly or [now])]
        self._digest, self._records = Digest(), 0

    def _refer(self, hour: int) -> None:
        """What windows of this hour are compared with."""
        day, place = divmod(hour, 24)
        known = [each for each in self._hours.get(place, ()) if day - DAYS <= each.day < day]
        if not known:
            latest = sorted(
                ((each.day * 24 + of, each) for of, days in self._hours.items() for each in days),
                key=lambda item: item[0],
            )
            known = [each for at, each in latest[-_LATEST_HOURS:] if hour - 24 * DAYS <= at]
        self._reference = sorted(value for each in known for value in each.points)
        self._reference_records = sum(each.records for each in known)

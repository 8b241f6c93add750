"""How far a value is from everything that was ever seen, overall and at this time of day.

The distance to the nearest remembered value is held against the distances that are usual for the series. Of many
remembered values those are forgotten whose loss leaves the smallest gap, so that a bounded memory covers the whole
range. Values that are far from all others are remembered only after a while: else the second one would be no news.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

from stream_lineage.detect.series.packing import packed, unpacked

HOURS = 24
_OVERALL = 192
_OF_AN_HOUR = 14
_YOUNG = 20.0  # values: of the first ones everything is new
_USUAL_MEMORY = 5000.0
_FURTHEST = 100.0
"""Standard deviations that a value counts as, at most, in what is usual: one that is none at all does not hide what
comes after it. A series that really moves so far is followed within as many values as it takes."""


class Novelty:
    __slots__ = ("_finest", "_hours", "_overall", "_text", "count", "mean", "moment", "usual", "usual_hour")

    def __init__(self, state: dict[str, Any], text: str) -> None:
        self._text: str | None = text
        self._finest, self._overall, self._hours = _unpacked(text)
        self.count: int = state["count"]
        self.mean: float = state["mean"]
        self.moment: float = state["moment"]
        self.usual: float = state["usual"]
        self.usual_hour: float = state["usual_hour"]

    @staticmethod
    def initial() -> dict[str, Any]:
        return {"count": 0, "mean": 0.0, "moment": 0.0, "usual": 0.0, "usual_hour": 0.0}

    def state(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "mean": self.mean,
            "moment": self.moment,
            "usual": self.usual,
            "usual_hour": self.usual_hour,
        }

    def text(self) -> str:
        if self._text is None:
            self._text = _packed(self._finest, self._overall, self._hours)
        return self._text

    def score(self, value: float, hour: int) -> float:
        """0 for what is known, towards 1 the further a value is from all that is."""
        overall = _distance(self._overall, value)
        self.count += 1
        count = self.count
        off, counted, reach = value - self.mean, value, math.inf
        if self.moment > 0:
            reach = _FURTHEST * math.sqrt(self.moment)
            if not -reach <= off <= reach:
                off = math.copysign(reach, off)
                counted = self.mean + off
        self.mean += off / count
        self.moment += (off * (counted - self.mean) - self.moment) / count
        if overall is None:
            return 0.0
        own: float | None = None
        for each in (hour - 1, hour, (hour + 1) % HOURS):
            near = _distance(self._hours[each], value)
            if near is not None and (own is None or near < own):
                own = near
        if own is None:
            own = overall
        score = 0.0
        if overall or own:
            spread = math.sqrt(max(self.moment, 0.0))
            young = count / (count + _YOUNG)
            score = young * (_share(overall, self.usual, spread) + _share(own, self.usual_hour, spread)) / 2
        pace = 1 / (count if count < _USUAL_MEMORY else _USUAL_MEMORY)
        self.usual += (min(overall, reach) - self.usual) * pace
        self.usual_hour += (min(own, reach) - self.usual_hour) * pace
        return score

    def learn(self, value: float, hour: int) -> None:
        if _add(self._overall, value, _OVERALL, self._finest, HOURS):
            self._text = None
        if _add(self._hours[hour], value, _OF_AN_HOUR, self._finest, hour):
            self._text = None


def _share(distance: float, usual: float, spread: float) -> float:
    if distance <= 0:
        return 0.0
    against = 5 * math.sqrt(max(usual, 0.0)) * math.sqrt(spread)
    return distance / (distance + against) if against > 0 else 1.0


def _distance(known: list[float], value: float) -> float | None:
    """From the nearest value of an ordered list; null when there is none."""
    if not known:
        return None
    at = bisect_left(known, value)
    if at == len(known):
        return value - known[-1]
    above = known[at] - value
    if not at:
        return above
    below = value - known[at - 1]
    return below if below < above else above


def _add(known: list[float], value: float, capacity: int, finest: list[float], which: int) -> bool:
    """Whether the value was remembered. A list that is half as long again as it may be is thinned; from then on values
    that are nearer to a known one than what thinning left (``finest``) are not taken."""
    at = bisect_left(known, value)
    if at < len(known) and known[at] - value <= finest[which]:
        return False
    if at and value - known[at - 1] <= finest[which]:
        return False
    known.insert(at, value)
    if len(known) > capacity + capacity // 2:
        gaps = sorted((known[index + 1] - known[index - 1], index) for index in range(1, len(known) - 1))
        gone: set[int] = set()
        for gap, index in gaps:
            if index - 1 not in gone and index + 1 not in gone:
                gone.add(index)
                finest[which] = max(finest[which], gap / 4)
                if len(gone) >= len(known) - capacity:
                    break
        known[:] = [each for index, each in enumerate(known) if index not in gone]
    return True


def _packed(finest: list[float], overall: list[float], hours: list[list[float]]) -> str:
    lists = [*hours, overall]
    return packed([*(float(len(each)) for each in lists), *finest, *(value for each in lists for value in each)])


def _unpacked(text: str) -> tuple[list[float], list[float], list[list[float]]]:
    if not text:
        return [0.0] * (HOURS + 1), [], [[] for _ in range(HOURS)]
    values = unpacked(text)
    lists: list[list[float]] = []
    at = 2 * (HOURS + 1)
    for size in values[: HOURS + 1]:
        lists.append(values[at : at + int(size)])
        at += int(size)
    return values[HOURS + 1 : 2 * (HOURS + 1)], lists[-1], lists[:-1]

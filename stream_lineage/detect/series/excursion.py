"""When deviations become an alert, how long it lasts, and when what lasts is the new normal.

Four rules run side by side, each with a threshold that fits its own statistic: one value far out, two of the last
three, three of the last four, all to the same side; and the moving average of the last dozen or so. So a heavy tail
makes single values harmless without making the series blind to what persists, and a small shift is found when it lasts.
Of values below what is expected the thresholds are also learned apart, and the lower ones hold: bursts do not hide a
fall.
"""

from __future__ import annotations

import math
from typing import Any

from stream_lineage.detect.series.tail import Tail

FLOORS = (7.0, 5.0, 4.0, 4.0)
"""No threshold is lower than these, in scales, where a block may exceed it once in half a million times: one value,
two of three, three of four, twice the average. Where it may do so more or less often, they fall or rise as the
quantiles of a normal distribution do."""
_FLOORS_AT = math.log(2e-6)
_FEWEST = (2.0, 5.0, 5.0, 5.0)  # of single values a heavy tail has to be seen soonest
_USUAL = (2.2, 1.4, 1.0, 1.0)
_AVERAGED = 8.0  # values
_CLIPPED = 6.0  # scales: what a value counts in the average, at most
_FURTHER_THAN_EVER = 8.0
"""Twice the average from which a count is too low: a scale is a quarter of the lowest that came at this time of day,
at least, so that all of the last dozen values were lower than that."""
_RETURNS_WITHIN = 7 * 86_400.0
_NEAR = 3.0  # scales
_CALM = 3  # quiet values in a row that end an excursion
_MOST_SHIFTS = 48


class Excursion:
    __slots__ = (
        "_above",
        "_below",
        "_bounded",
        "_probability",
        "_shares",
        "accepted",
        "accepted_at",
        "average",
        "calm",
        "count",
        "open",
        "recent",
        "returned",
        "shifts",
        "since",
        "strength",
        "tails",
        "usual",
        "wild",
    )

    def __init__(self, state: dict[str, Any], probability: float, windows: float, bounded: bool = False) -> None:
        """``probability``: that a block of so many ``windows`` exceeds a threshold when nothing is wrong; ``bounded``:
        values cannot be less than nothing."""
        chance = min(max(probability, 1e-12), 1e-2) / windows
        # How often a single value may exceed what two of three, or three of four, may exceed by chance alone.
        self._shares = (min(windows * math.sqrt(chance / 2), 0.5), min(windows * (chance / 4) ** (1 / 3), 0.5))
        self.open: bool = state["open"]
        self.since: float = state["since"]
        self.calm: int = state["calm"]
        self.accepted: float = state["accepted"]
        self.accepted_at: float = state["accepted_at"]
        self.average: float = state["average"]
        self.recent: list[float] = list(state["recent"])
        self.shifts: list[float] = list(state["shifts"])
        self.count: int = state["count"]
        self.usual: float = state["usual"]
        self.wild: float = state["wild"]
        self.strength = 0.0
        self.returned = 0.0
        self._probability = probability
        self._bounded = bounded
        known = state["probability"] == probability  # else the sensitivity was changed
        thresholds = state["thresholds"] if known else [None] * (2 * len(FLOORS))
        lower = math.sqrt(math.log(min(max(probability, 1e-12), 1e-2)) / _FLOORS_AT)
        self.tails = [
            Tail(
                tail,
                usual=usual,
                floor=floor * lower,
                probability=probability,
                fewest=fewest,
                threshold=threshold,
                bounded=bounded and index >= len(FLOORS),
            )
            for index, (tail, usual, floor, fewest, threshold) in enumerate(
                zip(state["tails"], 2 * _USUAL, 2 * FLOORS, 2 * _FEWEST, thresholds, strict=True)
            )
        ]
        self._independent()

    @staticmethod
    def initial() -> dict[str, Any]:
        return {
            "open": False,
            "since": 0.0,
            "calm": 0,
            "accepted": 0.0,
            "accepted_at": 0.0,
            "average": 0.0,
            "recent": [0.0, 0.0, 0.0],
            "shifts": [],
            "count": 0,
            "usual": 0.0,
            "wild": 0.0,
            "tails": [Tail.initial(usual) for usual in 2 * _USUAL],
            "probability": None,
            "thresholds": [],
        }

    def state(self) -> dict[str, Any]:
        return {
            "open": self.open,
            "since": self.since,
            "calm": self.calm,
            "accepted": self.accepted,
            "accepted_at": self.accepted_at,
            "average": self.average,
            "recent": list(self.recent),
            "shifts": list(self.shifts),
            "count": self.count,
            "usual": self.usual,
            "wild": self.wild,
            "tails": [tail.state() for tail in self.tails],
            "probability": self._probability,
            "thresholds": [tail.threshold for tail in self.tails],
        }

    def turn(self, worth: float) -> None:
        """A block of time ends; ``worth``: what it counts."""
        for tail in self.tails:
            tail.turn(worth)
        self._independent()

    def forget(self, share: float) -> None:
        for tail in self.tails:
            tail.forget(share)
        self._independent()

    def _independent(self) -> None:
        """Where single values are often far out, two of them meet by chance before that was ever seen."""
        for one, two, three in (self.tails[:3], self.tails[4:7]):
            for tail, share in zip((two, three), self._shares, strict=True):
                tail.threshold = max(tail.threshold, one.size(share))
        self._above = [tail.threshold for tail in self.tails[:4]]
        self._below = [min(both, below.threshold) for both, below in zip(self._above, self.tails[4:], strict=True)]
        if self._bounded:
            self._below[3] = min(self._below[3], _FURTHER_THAN_EVER)

    def judge(
        self,
        now: float,
        residual: float,
        deviation: float,
        matters: bool,
        bar: float,
        fewest: int,
        stuck: float,
        untried: bool = False,
    ) -> bool:
        """Whether the series is in an excursion, this value included.

        ``bar`` raises all thresholds; ``fewest``: values out of line that an excursion opens with, at least, 1 to 3.
        ``stuck``: from 1 on, the value stands still as it never did, which is an excursion of its own. ``untried``: the
        series has never moved, so that no thresholds were learned: three of four beyond the floor are one.
        """
        a, b, c = self.recent
        before = c
        self.recent = [deviation, a, b]
        distance = deviation
        if deviation < 0:
            distance = -deviation
            a, b, c = -a, -b, -c
        high, low = (a, b) if a >= b else (b, a)
        second = distance if distance < high else high
        middle = high if c >= high else (c if c > low else low)
        third = distance if distance < middle else middle
        clipped = deviation
        if distance > _CLIPPED:
            clipped = _CLIPPED if clipped > 0 else -_CLIPPED
        self.average += (clipped - self.average) / _AVERAGED
        average = 2 * abs(self.average)
        first_bar, second_bar, third_bar, _ = self._below if deviation < 0 else self._above
        lasting_bar = self._below[3] if self.average < 0 else self._above[3]
        strength, other = third / third_bar, average / lasting_bar
        strength = max(strength, other)
        if fewest < 3:
            other = second / second_bar
            strength = max(strength, other)
            if fewest < 2:
                other = distance / first_bar
                strength = max(strength, other)
        strength /= bar
        if untried and third >= FLOORS[2] and strength < 1:
            strength = 1.0
        self.strength = strength
        if self.open:
            lately = abs(sum(min(max(each, -_CLIPPED), _CLIPPED) for each in (deviation, *self.recent[1:], before))) / 4
            quiet = distance < max(2.0, third_bar / 2) and lately < max(1.0, lasting_bar / 4)
            self.calm = self.calm + 1 if quiet and stuck < 1 else 0
            if self.calm >= _CALM:
                self.close()
            return self.open
        one, two, three, lasting = self.tails[:4]
        for tail, size in ((one, distance), (two, second), (three, third), (lasting, average)):
            tail.highest = max(tail.highest, size)
        if deviation < 0:
            one, two, three, lasting = self.tails[4:]
            low = average if self.average < 0 else 0.0
            for tail, size in ((one, distance), (two, second), (three, third), (lasting, low)):
                tail.highest = max(tail.highest, size)
        far = matters and self.strength >= 1 and not self._returned(now, residual, deviation)
        if far or (stuck >= 1 and fewest == 1):
            self.open, self.since, self.calm = True, now, 0
            self.shifts, self.count, self.usual, self.wild = [], 0, 0.0, 0.0
        return self.open

    def _returned(self, now: float, residual: float, deviation: float) -> bool:
        """Whether the series went back to where it was before the last new normal."""
        if not self.accepted or now - self.accepted_at > _RETURNS_WITHIN:
            return False
        if abs(residual + self.accepted) * abs(deviation) >= _NEAR * abs(residual):
            return False
        self.returned, self.accepted = -self.accepted, 0.0
        self.recent, self.average = [0.0, 0.0, 0.0], 0.0
        return True

    def take(self, residual: float) -> None:
        """Learn what the excursion looks like."""
        self.count += 1
        off = residual - self.usual
        self.usual += off / min(self.count, 200)
        self.wild += (abs(off) - self.wild) / min(self.count, 200)

    def shifted(self, by: float) -> None:
        """A slot ended in the excursion, off by so much."""
        self.shifts = [*self.shifts[1 - _MOST_SHIFTS :], by]

    def settled(self, now: float, patience: float) -> float | None:
        """By how much the new normal differs, once the excursion has lasted and is steady (or has lasted twice)."""
        lasted = now - self.since
        if not self.open or lasted < patience or not self.shifts:
            return None
        latest = sorted(self.shifts[-12:])
        by = latest[len(latest) // 2]
        steady = latest[-1] - latest[0] <= max(abs(by), 4 * self.wild)
        return by if steady or lasted >= 2 * patience else None

    def accept(self, now: float, by: float) -> None:
        """What lasts is the new normal."""
        self.accepted, self.accepted_at = by, now
        self.close()

    def close(self) -> None:
        self.open, self.calm = False, 0
        self.recent = [0.0, 0.0, 0.0]
        self.average = 0.0
        self.shifts = []

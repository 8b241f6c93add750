"""What to expect of a series at a time of day and a day of the week.

A day is divided into slots. The medians of the slots of two weeks are remembered, and several simple forecasts are made
of them: the series' level, the same slot of the last seven days, of days of the same type (working day or weekend), and
of the same weekday; each also moved by part of what the slot before was off. The one that has been best lately is
believed. So a series without a season is not forced into one, one with a weekend gets it as soon as it was seen, and
slow drift is followed.
"""

from __future__ import annotations

import math
from typing import Any

from stream_lineage.detect.series.clock import DAY
from stream_lineage.detect.series.packing import packed, unpacked

DAYS = 15
"""Days remembered: two weeks and today."""
MAX_SLOTS = 48
_FORECASTS = 4
_BY_TYPE, _WEEKLY = 2, 3
_UNTRIED = 1.5
_REMEMBERED_DAYS = 4  # what a forecast was off: long enough to know at the weekend which one knew the last one
_FOLLOWED = 0.8  # of what the slot before was off
_STABLE = 0.9  # a forecast that follows must be better by this factor
_MOST_POINTS = 64
_STEP = 8.0  # scales
_ABRUPT = 0.5  # of the range of a day
_UNKNOWN = math.nan


class Season:
    """Time is given as whole slots since the epoch; which slot it is now is ``slot``."""

    __slots__ = (
        "_days",
        "_days_text",
        "after",
        "amplitude",
        "before",
        "chosen",
        "ended",
        "errors",
        "first_slot",
        "forecasts",
        "held",
        "level",
        "now",
        "off",
        "points",
        "seen",
        "slot",
        "slots",
        "weekly",
    )

    def __init__(self, state: dict[str, Any], days: str, slots: int) -> None:
        self.slots = slots
        self._days_text: str | None = days
        self._days: list[float] | None = None
        self.slot: int | None = state["slot"]
        self.first_slot: int = state["first_slot"]
        self.seen: int = state["seen"]
        self.weekly: bool = state["weekly"]
        self.level: float = state["level"]
        self.errors: list[float] = list(state["errors"])
        self.off: list[float] = list(state["off"])
        self.forecasts: list[float] = list(state["forecasts"])
        self.chosen: int = state["chosen"]
        self.before: float = state["before"]
        self.now: float = state["now"]
        self.after: float = state["after"]
        self.amplitude: float = state["amplitude"]
        self.points: list[float] = list(state["points"])
        self.held: list[float] = list(state["held"])
        self.ended: float | None = None  # the median of the slot that ended last, while it is being turned

    @staticmethod
    def initial() -> dict[str, Any]:
        return {
            "slot": None,
            "first_slot": 0,
            "seen": 0,
            "weekly": False,
            "level": 0.0,
            "errors": [0.0] * (2 * _FORECASTS),
            "off": [0.0] * _FORECASTS,
            "forecasts": [0.0] * _FORECASTS,
            "chosen": 0,
            "before": 0.0,
            "now": 0.0,
            "after": 0.0,
            "amplitude": 0.0,
            "points": [],
            "held": [],
        }

    def state(self) -> dict[str, Any]:
        return {
            "slot": self.slot,
            "first_slot": self.first_slot,
            "seen": self.seen,
            "weekly": self.weekly,
            "level": self.level,
            "errors": list(self.errors),
            "off": list(self.off),
            "forecasts": list(self.forecasts),
            "chosen": self.chosen,
            "before": self.before,
            "now": self.now,
            "after": self.after,
            "amplitude": self.amplitude,
            "points": list(self.points),
            "held": list(self.held),
        }

    def days_text(self) -> str:
        """The remembered medians, the same object as long as nothing changed."""
        if self._days_text is None:
            self._days_text = packed(self._days or [])
        return self._days_text

    def expected(self, position: float) -> float:
        """What to expect at this part of the slot, 0 to 1: medians stand in the middle of slots, between is a line."""
        if position < 0.5:
            return self.before + (self.now - self.before) * (position + 0.5)
        return self.now + (self.after - self.now) * (position - 0.5)

    def beyond(self, position: float, value: float, residual: float, scale: float) -> float:
        """The part of a residual that is not explained by a step: where one slot is far from the next one, as where a
        batch begins, nobody knows when within the halves of the slots beside it."""
        beside = self.before if position < 0.5 else self.after
        step = beside - self.now
        size = step if step >= 0 else -step
        if size <= _STEP * scale or size <= _ABRUPT * self.amplitude:
            return residual
        low, high = (beside, self.now) if step < 0 else (self.now, beside)
        if residual > 0:
            return min(max(value - high, 0.0), residual)
        return max(min(value - low, 0.0), residual)

    def take(self, value: float, anomalous: bool) -> None:
        """Remember a value of this slot; anomalous ones apart."""
        points = self.held if anomalous else self.points
        points.append(value)
        if len(points) > _MOST_POINTS:
            del points[::2]
        if self.seen == 0 and not anomalous:  # nothing to go by yet but this very slot
            self.level = self.before = self.now = self.after = _median(self.points)

    def turn(self, slot: int) -> float | None:
        """Go on to another slot; by how much the slot that ends was off where it was anomalous, else null."""
        ended, shifted = self.slot, None
        self.ended = None
        if ended is None:
            self.first_slot = slot
        elif self.points and len(self.points) >= len(self.held):
            self.ended = _median(self.points + self.held)
            self._learn(ended, self.ended)
        else:
            if self.held:
                shifted = _median(self.held) - self.now
            self.off = [_FOLLOWED * each for each in self.off]
        self.points, self.held = [], []
        if ended is None or slot // self.slots != ended // self.slots:
            self._clear(ended, slot)
        self.slot = slot
        if self.seen:
            self._forecast(slot)
            self.amplitude = self.range_of_a_day()
        return shifted

    def put_off(self, slot: int, fewest: float) -> bool:
        """Whether too little of the very first slot was seen to go by: what was seen counts in the next one then."""
        if self.slot is None or self.seen or len(self.points) >= fewest or self.held:
            return False
        self.slot = self.first_slot = slot
        return True

    def shift(self, by: float, factor: float) -> None:
        """A new normal: all that is remembered times ``factor``, plus ``by``."""
        days = self._unpacked()
        self._days = [each * factor + by for each in days]
        self._days_text = None
        self.level = self.level * factor + by
        self.before, self.now, self.after = (each * factor + by for each in (self.before, self.now, self.after))
        self.forecasts = [each * factor + by for each in self.forecasts]
        self.off = [0.0] * _FORECASTS

    def restart(self) -> None:
        """What came in this slot so far says nothing about the rest of it."""
        self.points, self.held = [], []

    def known_weekday(self, slot: int) -> bool:
        """Whether this type of day has been seen at this time of day."""
        return slot - self.first_slot >= 8 * self.slots or bool(self._same_type(slot))

    def _unpacked(self) -> list[float]:
        if self._days is None:
            self._days = unpacked(self._days_text or "") or [_UNKNOWN] * (DAYS * self.slots)
        return self._days

    def _clear(self, ended: int | None, slot: int) -> None:
        today = slot // self.slots
        first = today if ended is None else max(ended // self.slots + 1, today - DAYS + 1)
        days = self._unpacked()
        for day in range(first, today + 1):
            start = day % DAYS * self.slots
            days[start : start + self.slots] = [_UNKNOWN] * self.slots
        self._days_text = None

    def _learn(self, slot: int, median: float) -> None:
        days = self._unpacked()
        days[slot // self.slots % DAYS * self.slots + slot % self.slots] = median
        self._days_text = None
        if self.seen:
            pace = 1 / min(self.seen, _REMEMBERED_DAYS * self.slots)
            for index, forecast in enumerate(self.forecasts):
                for which, guess in (
                    (index, forecast),
                    (index + _FORECASTS, forecast + _FOLLOWED * self.off[index]),
                ):
                    error = self.errors[which]
                    self.errors[which] = error + (abs(median - guess) - error) * pace
            if not self.weekly:  # what was not tried yet is not believed before it was
                tried = (each for which, each in enumerate(self.errors) if which % _FORECASTS != _WEEKLY)
                untried = _UNTRIED * max(tried)
                self.errors[_WEEKLY] = self.errors[_WEEKLY + _FORECASTS] = untried
            self.off = [median - forecast for forecast in self.forecasts]
            self.level += (median - self.level) / min(self.seen + 1, 2 * self.slots)
        else:
            self.level = median
        self.seen += 1

    def _forecast(self, slot: int) -> None:
        following = self._guesses(slot + 1)
        previous = self._guesses(slot - 1)
        self.forecasts = self._guesses(slot)
        errors = self.errors
        best, least = 0, math.inf
        for which in range(2 * _FORECASTS):
            error = errors[which] * (_STABLE if which < _FORECASTS else 1.0)
            if error < least:
                best, least = which, error
        self.chosen = best
        index = best % _FORECASTS
        moved = _FOLLOWED * self.off[index] if best >= _FORECASTS else 0.0
        day, place = divmod(slot, self.slots)
        if index >= _BY_TYPE:  # weekends begin and end at once: nothing lies between the two kinds of days
            if place == 0 and _is_weekend(day) != _is_weekend(day - 1):
                previous = self.forecasts
            if place == self.slots - 1 and _is_weekend(day) != _is_weekend(day + 1):
                following = self.forecasts
        self.before, self.now, self.after = (guess[index] + moved for guess in (previous, self.forecasts, following))

    def _guesses(self, slot: int) -> list[float]:
        """By level, by the last days, by days of the type, by the weekday."""
        days, slots = self._unpacked(), self.slots
        day, place = divmod(slot, slots)
        at = [days[(day - back) % DAYS * slots + place] for back in range(1, 15)]
        recent = [each for each in at[:7] if each == each]  # noqa: PLR0124  (what is unknown is not itself)
        weekly = [each for each in (at[6], at[13]) if each == each]  # noqa: PLR0124
        self.weekly = bool(weekly)
        by_day = _median(recent) if recent else self.level
        same = self._same_type(slot)
        by_type = _median(same) if same else by_day
        return [self.level, by_day, by_type, sum(weekly) / len(weekly) if weekly else by_type]

    def _same_type(self, slot: int) -> list[float]:
        """The latest four known medians of this slot on days of the same type."""
        days, slots = self._unpacked(), self.slots
        day, place = divmod(slot, slots)
        weekend = _is_weekend(day)
        found: list[float] = []
        for back in range(1, 15):
            each = days[(day - back) % DAYS * slots + place]
            if each == each and _is_weekend(day - back) == weekend:  # noqa: PLR0124
                found.append(each)
                if len(found) == 4:
                    break
        return found

    def range_of_a_day(self) -> float:
        """How far the medians of the last two days lie apart, without the outermost tenths."""
        days = self._unpacked()
        today = (self.slot or 0) // self.slots
        known = sorted(
            each
            for back in (0, 1, 2)
            for each in days[(today - back) % DAYS * self.slots : ((today - back) % DAYS + 1) * self.slots]
            if each == each  # noqa: PLR0124
        )
        if len(known) < 3:
            return 0.0
        return known[-1 - len(known) // 10] - known[len(known) // 10]


def slots_of(window_seconds: float) -> int:
    """Slots that a day has: half an hour each, or one window where windows are longer."""
    return max(1, min(MAX_SLOTS, int(DAY // max(window_seconds, 1.0))))


def _is_weekend(day: int) -> bool:
    return (day + 4) % 7 in (0, 6)  # day 0, 1970-01-01, was a Thursday; Sunday is 0


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

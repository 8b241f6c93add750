"""The time of a series: it does not go back, and one wrong timestamp does not move it."""

from __future__ import annotations

import math
from typing import Any

DAY = 86_400.0
WEEK = 7 * DAY
_CONFIRMED = 3
_LATEST = 1e11
"""Timestamps further from 1970 than some 3,000 years are none."""


class SeriesClock:
    """Maps timestamps to a time that never goes back.

    A timestamp that is days off is a *stray*: nothing is learned at it. When three in a row agree, the clock has really
    been set, or there was a gap: the series' time then goes on where it was, whole weeks being left out, so that hours
    of the day and days of the week still mean the same.
    """

    __slots__ = ("_reach", "first", "last", "left_out", "stray", "strays")

    def __init__(self, state: dict[str, Any], window_seconds: float) -> None:
        self.first: float | None = state["first"]
        self.last: float | None = state["last"]
        self.left_out: float = state["left_out"]
        self.stray: float = state["stray"]
        self.strays: int = state["strays"]
        self._reach = max(2 * DAY, 10 * window_seconds)

    @staticmethod
    def initial() -> dict[str, Any]:
        return {"first": None, "last": None, "left_out": 0.0, "stray": 0.0, "strays": 0}

    def state(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "last": self.last,
            "left_out": self.left_out,
            "stray": self.stray,
            "strays": self.strays,
        }

    @property
    def age(self) -> float:
        """Seconds of the series' own time since its first value."""
        return 0.0 if self.last is None or self.first is None else self.last - self.first

    def advance(self, at: float) -> float | None:
        """The series' time at this timestamp; null for a stray one."""
        last = self.last
        if last is not None:
            now = at - self.left_out
            if last <= now <= last + self._reach:
                self.strays = 0
                self.last = now
                return now
        return self._unusual(at)

    def _unusual(self, at: float) -> float | None:
        if not math.isfinite(at) or abs(at) > _LATEST:
            return None
        if self.last is None:
            self.first = self.last = at
            return at
        now = at - self.left_out
        if self.last - self._reach <= now < self.last:  # a late or repeated one: it counts as of now
            self.strays = 0
            return self.last
        self.strays = self.strays + 1 if self.strays and abs(at - self.stray) <= self._reach else 1
        self.stray = at
        if self.strays < _CONFIRMED:
            return None
        self.strays = 0
        self.left_out += math.floor((now - self.last) / WEEK) * WEEK
        self.last = max(self.last, at - self.left_out)
        return self.last

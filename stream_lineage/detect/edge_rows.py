"""Rows into a job against rows out of it, over one edge.

What goes in and does not come out is owed: a job that lags pays it back, one that drops does not. So a ratio that is
not as usual is told when more is owed (or was paid too much) than a lag explains: as many rows as usually come in the
time that this edge is allowed, which is learned from what was paid back before.
"""

from __future__ import annotations

import math
from typing import Any

from stream_lineage.detect.edge_habit import FEWEST, Habit
from stream_lineage.detect.edge_minutes import Side
from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_series import MetricSeries, amount, percentage
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.model.edge import Edge
from stream_lineage.model.finding import Severity

ALLOWED_MINUTES = 2.0
"""What is owed for so long at least is a lag. Larger: told later."""
_MOST_ALLOWED = 120.0
_LONGER = 1.5
_REMEMBERED_SECONDS = 3 * 86_400.0
_FORGIVEN = 0.02  # of what is owed, each minute in which nothing is off
_SETTLED = 0.25  # minutes
_LEAST = 0.05
_GRAVE = 0.6
_PRECISE = 1 / 3
_NOTHING = 1e-3
_MOST_LAGS = 16


class EdgeRows:
    """``observe`` each minute of which both sides are known, then ask for the ``excursion``."""

    def __init__(self, edge: Edge, detector: SeriesDetector, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self._edge = edge
        self._series = MetricSeries(detector, SeriesKind.LEVEL, state.get("series"))
        self._habit = Habit(state.get("habit"))
        self._owed: float = state.get("owed", 0.0)
        self._usual: float = state.get("usual", 0.0)
        self._peak: float = state.get("peak", 0.0)
        self._peaked: int = state.get("peaked", 0)
        self._lags: list[list[float]] = [list(each) for each in state.get("lags", ())]
        self._since: int | None = state.get("since")
        self._before: float = state.get("before", 0.0)
        self._sign: int = state.get("sign", 0)
        self._told: bool = state.get("told", False)
        self._sums: list[float] = list(state.get("sums", (0.0, 0.0)))
        self._minutes: int = state.get("minutes", 0)
        self.change: float | None = None
        """The logarithm of how much the ratio of this minute is more than usual; null where there is none."""

    def state(self) -> dict[str, Any]:
        return {
            "series": self._series.state(), "habit": self._habit.state(), "owed": self._owed, "usual": self._usual,
            "peak": self._peak, "peaked": self._peaked, "lags": self._lags, "since": self._since,
            "before": self._before, "sign": self._sign, "told": self._told, "sums": self._sums,
            "minutes": self._minutes,
        }  # fmt: skip

    @property
    def allowed(self) -> float:
        """For how many minutes rows may be owed."""
        least = max(ALLOWED_MINUTES, self._edge.lag_seconds / 60 + 1)
        return min(max([least, *(_LONGER * lag for _, lag in self._lags)]), max(least, _MOST_ALLOWED))

    @property
    def precise(self) -> float:
        """How large a change this edge would have shown, at least; infinite while that is not known."""
        known = self._habit.seen >= FEWEST and self._habit.mean > 0
        return self._habit.deviation / self._habit.mean / _PRECISE if known else math.inf

    def observe(self, start: float, into: Side, out: Side) -> None:
        self._minutes += 1
        self.change = None
        if into.late or out.late:
            self._owed = 0.0
            return
        if not into.records:
            self._owe(start, 0.0, out.records)
            return
        ratio = out.records / into.records
        verdict = self._series.observe(start, ratio, into.records)
        declared = self._edge.ratio
        expected = self._habit.mean if self._habit.seen else ratio
        if declared is not None:
            off = abs(ratio - declared) > self._edge.within * declared
            expected = declared
        else:
            if verdict is not None and verdict.expected is not None and self._since is None:
                expected = verdict.expected
            least = _LEAST * expected
            off = self._habit.off(ratio, least) or (
                verdict is not None and verdict.alert and abs(ratio - expected) > least
            )
        self._habit.learn(ratio, off=off)
        if self._since is not None:
            expected = self._before  # of before it began
        sign = (ratio > expected) - (ratio < expected) if off else 0
        if sign == 0 or sign != self._sign:
            if self._told and not sign:
                self._owed = 0.0  # what was dropped does not come any more
            self._since, self._told = (self._minutes, False) if sign else (None, False)
            self._sums = [0.0, 0.0]
            self._before = expected
        elif sign and self._minutes == (self._since or 0) + 1:
            self._sums = [0.0, 0.0]  # it began somewhere within the minute before
        self._sign = sign
        self._sums = [self._sums[0] + into.records, self._sums[1] + out.records]
        self._usual += (expected * into.records - self._usual) / min(self._minutes, 10)
        self._owe(start, expected * into.records, out.records)
        self.change = math.log(max(ratio, _NOTHING * expected, 1e-12) / max(expected, 1e-12))

    def excursion(self) -> Excursion | None:
        """What is told of this edge now, if anything is."""
        if self._since is None or self.change is None:
            return None
        if not self._told and self._sign * -self._owed <= self.allowed * self._usual:
            return None
        self._told = True
        into, out = self._sums
        ratio, before = out / into, self._before
        metric = "edge-fan-out" if self._sign > 0 else "edge-drop"
        declared = self._edge.ratio is not None
        grave = declared or ratio <= _GRAVE * before or before <= _GRAVE * ratio
        expected = f"{amount(before)} within {percentage(self._edge.within)}" if declared else amount(before)
        off = abs(ratio - before) / max(before, ratio)
        return Excursion(
            metric, self._edge.name, f"{expected} rows out per row in", f"{amount(ratio)} rows out per row in",
            Severity.CRITICAL if grave else Severity.WARNING, self._minutes - self._since, round(off, 4),
        )  # fmt: skip

    def _owe(self, start: float, expected: float, came: float) -> None:
        usual = max(self._usual, 1e-9)
        if not self._sign:
            self._owed *= 1 - _FORGIVEN
        bound = _MOST_ALLOWED * usual
        self._owed = min(max(self._owed + expected - came, -bound), bound)
        minutes = abs(self._owed) / usual
        if minutes > self._peak:
            self._peak, self._peaked = minutes, self._minutes
        if minutes < _SETTLED:
            waited = self._minutes - self._peaked
            if self._peak * (1 - _FORGIVEN) ** waited > 2 * _SETTLED and not self._told:
                self._lags = [each for each in self._lags if start - each[0] < _REMEMBERED_SECONDS]
                self._lags = [*self._lags, [start, round(self._peak, 2)]][-_MOST_LAGS:]
            self._peak = 0.0

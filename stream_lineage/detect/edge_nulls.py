"""Values that get lost on the way through a job: nulls of a field of the output against those of the input."""

from __future__ import annotations

from typing import Any

from stream_lineage.detect.edge_habit import Habit
from stream_lineage.detect.edge_minutes import Side
from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_series import MetricSeries, percentage
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.model.finding import Severity

LEAST = 0.02
"""What the share of nulls has to be off to matter."""
FEWEST_VALUES = 50
_GRAVE = 0.3
_LASTS = 2  # minutes


class EdgeNulls:
    """``observe`` each minute, then ask for the ``excursion``. What comes out is compared with all that went in within
    the time that the edge is allowed: a change that is on its way is none."""

    def __init__(self, before: str, after: str, detector: SeriesDetector, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self.before, self.after = before, after
        self._series = MetricSeries(detector, SeriesKind.LEVEL, state.get("series"))
        self._habit = Habit(state.get("habit"))
        self._shares: list[float] = list(state.get("shares", ()))
        self._off: int = state.get("off", 0)
        self._usual: float = state.get("usual", 0.0)
        self._now: tuple[float, float] = (0.0, 0.0)

    def state(self) -> dict[str, Any]:
        return {
            "series": self._series.state(), "habit": self._habit.state(), "shares": self._shares, "off": self._off,
            "usual": self._usual,
        }  # fmt: skip

    def observe(self, start: float, into: Side, out: Side, allowed: float) -> None:
        share = into.share(self.before)
        if share is not None and share[1] >= FEWEST_VALUES:
            self._shares = [*self._shares, share[0]][-int(allowed + 2) :]
        found = out.share(self.after)
        if into.late or out.late or found is None or found[1] < FEWEST_VALUES or not self._shares:
            return
        ratio, values = found
        nearest = min(max(ratio, min(self._shares)), max(self._shares))
        gained = ratio - nearest
        verdict = self._series.observe(start, gained, values)
        expected = self._habit.mean
        if verdict is not None and verdict.expected is not None and not self._off:
            expected = verdict.expected
        if self._off:
            expected = self._usual
        off = self._habit.off(gained, 2 * LEAST) or (
            verdict is not None and verdict.alert and abs(gained - expected) > LEAST
        )
        self._habit.learn(gained, off=off)
        self._off, self._usual = (self._off + 1 if off else 0), expected
        self._now = (min(max(nearest + expected, 0.0), 1.0), ratio)

    def excursion(self, edge: str) -> Excursion | None:
        if self._off < _LASTS:
            return None
        expected, ratio = self._now
        severity = Severity.CRITICAL if abs(ratio - expected) >= _GRAVE else Severity.WARNING
        path = f"{edge}, {self.before} -> {self.after}" if self.before != self.after else f"{edge}, {self.after}"
        return Excursion(
            "edge-nulls", path, f"{percentage(expected)} nulls", f"{percentage(ratio)} nulls", severity, self._off - 1,
            round(min(abs(ratio - expected) + 0.5, 1.0), 4),
        )  # fmt: skip

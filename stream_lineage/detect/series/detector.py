"""The metric detector: one value after the other, each against what the series has shown before."""

from __future__ import annotations

import math
import statistics
from typing import Any

from stream_lineage.detect.detector import State
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.verdict import Phase, Verdict

DEFAULT_SENSITIVITY = 0.01
"""False alarms to expect of one series in a month."""

_REMEMBERED = 24
_HIGHEST = 1e300


class SeriesDetector:
    """Judges the values of series of one kind.

    ``sensitivity``: false alarms to expect of one series in a month; higher finds smaller deviations, and more that are
    none. ``window_seconds``: how far the values of a series are apart.
    """

    def __init__(self, kind: SeriesKind, *, sensitivity: float = DEFAULT_SENSITIVITY, window_seconds: float) -> None:
        self._kind = kind
        self._bar = 5.0 + max(0.0, -math.log10(max(sensitivity, 1e-6)) - 2)
        self._window = max(window_seconds, 1e-3)

    def initial(self) -> State:
        """The state of a series that has not been seen."""
        return {"slots": {}, "recent": [], "seen": 0, "open": False}

    def observe(self, state: State, at: float, value: float | None, weight: float = 1.0) -> tuple[State, Verdict]:
        """The next state, and what to say of the value at ``at`` (seconds since the epoch).

        ``value`` is null where the window holds no data. ``weight``: samples that the value was made of.
        """
        if value is None or not math.isfinite(value) or not math.isfinite(at):
            return state, self._verdict(state["open"], state, None, None, None, 0.0)
        value = max(-_HIGHEST, min(_HIGHEST, value))
        slot = str(int(at % 86_400 // 3_600))
        known: list[float] = state["slots"].get(slot, [])
        everything = known or [each for values in state["slots"].values() for each in values]
        if len(everything) < 3:
            return self._next(state, slot, value, 0.0, state["open"], True), self._verdict(
                state["open"], state, None, None, None, 0.0
            )
        expected = statistics.median(everything)
        spread = 1.4826 * statistics.median(abs(each - expected) for each in everything)
        scale = max(spread, self._floor(expected, weight))
        deviation = (value - expected) / scale
        bar = self._bar * (1 + 4 / len(everything))
        recent = [*state["recent"][-3:], deviation]
        high, low = sum(each >= bar for each in recent), sum(each <= -bar for each in recent)
        alert = max(high, low) >= (1 if state["open"] else 3)
        following = self._next(state, slot, value, deviation, alert, abs(deviation) < bar)
        score = abs(deviation) / (abs(deviation) + 8)
        return following, self._verdict(state["open"], following, expected, scale, deviation, score)

    def _next(self, state: State, slot: str, value: float, deviation: float, alert: bool, keep: bool) -> State:
        slots: dict[str, Any] = state["slots"]
        if keep:
            slots = {**slots, slot: [*slots.get(slot, [])[-_REMEMBERED + 1 :], value]}
        recent = [*state["recent"][-3:], deviation]
        return {"slots": slots, "recent": recent, "seen": state["seen"] + 1, "open": alert}

    def _floor(self, expected: float, weight: float) -> float:
        if self._kind is SeriesKind.COUNT:
            return math.sqrt(abs(expected) + 1)
        if self._kind is SeriesKind.RATIO:
            likely = min(max(expected, 3 / (weight + 4)), 0.5)
            return math.sqrt(likely * (1 - likely) / max(weight, 1.0)) + 1e-3
        return abs(expected) * 2e-3 + 1e-12

    def _verdict(
        self,
        before: bool,
        state: State,
        expected: float | None,
        scale: float | None,
        deviation: float | None,
        score: float,
    ) -> Verdict:
        alert: bool = state["open"]
        phase: Phase = "open" if alert else "close" if before else "quiet"
        warming_up = state["seen"] * self._window < 2 * 86_400
        return Verdict(score, alert, expected, scale, deviation, warming_up, phase)

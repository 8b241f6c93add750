"""One metric over time. Most never change: those are remembered as one value until they do."""

from __future__ import annotations

import math
from typing import Any

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.offset_trail import REMEMBERED
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.live_series import LiveSeries
from stream_lineage.detect.series.verdict import Verdict
from stream_lineage.model.finding import Severity

_RETOLD_SECONDS = 3 * 86_400.0
_RETOLD_VALUES = 200
_ALONG = 0.3
"""A window belongs to an excursion from when it is off by this part of what it is off at the end."""
_GAP = 1  # windows in between that are not


class MetricSeries:
    """``observe`` once for each window; ``alert`` says whether the metric is in an excursion since."""

    __slots__ = ("_count", "_detector", "_first", "_kind", "_last", "_live", "_recent", "_same", "_weight", "alert")

    def __init__(self, detector: SeriesDetector, kind: SeriesKind, state: list[Any] | None = None) -> None:
        self._detector = detector
        self._kind = kind
        self._live: LiveSeries | None = None
        self._same: float | None = None
        self._first = self._last = 0.0
        self._count = 0
        self._weight = 1.0
        self._recent: list[float] = []
        self.alert = False
        if state is None:
            return
        if len(state) == 5:
            self._same, self._first, self._last, self._count, self._weight = state
        else:
            self._live, self._recent, self.alert = detector.resume(state[0]), list(state[1]), state[2]

    def state(self) -> list[Any]:
        if self._live is None:
            return [self._same, self._first, self._last, self._count, self._weight]
        return [self._live.state(), list(self._recent), self.alert]

    @property
    def ramps(self) -> bool:
        """Whether it is a counter, or the like, whose height says nothing."""
        return self._live is not None and self._live.ramps

    def observe(self, at: float, value: float | None, weight: float = 1.0) -> Verdict | None:
        """What to say of the value; null for one that is as always, or no value."""
        live = self._live
        if live is None:
            if value is None or not math.isfinite(value):
                return None
            if self._same is None:
                self._same, self._first = value, at
            if value == self._same and at >= self._last:
                self._last = at
                self._count += 1
                self._weight += (weight - self._weight) / min(self._count, 100)
                return None
            live = self._live = self._retold()
        verdict = live.observe(at, value, weight)
        self.alert = verdict.alert
        if verdict.deviation is not None:
            self._recent = [verdict.deviation, *self._recent[: REMEMBERED - 1]]
        return verdict

    def began(self) -> int:
        """How many windows ago what is now an excursion began."""
        now, *before = self._recent or [0.0]
        found = 0
        for back, deviation in enumerate(before, 1):
            if deviation * now > 0 and abs(deviation) >= max(2.0, _ALONG * abs(now)):
                found = back
            elif back - found > _GAP:
                break
        return found

    def excursion(self, metric: str, path: str | None, verdict: Verdict, value: float) -> Excursion:
        """What is told of the excursion that the series is in. The verdict must have an expected value."""
        expected = verdict.expected if verdict.expected is not None else value
        severity = _severity(self._kind, expected, value)
        show = _shown(self._kind)
        return Excursion(metric, path, show(expected), show(value), severity, self.began(), verdict.score)

    def _retold(self) -> LiveSeries:
        """The series as if it had seen all those values that were the same."""
        live = self._detector.resume(self._detector.initial())
        known = min(self._count, _RETOLD_VALUES)
        start = max(self._first, self._last - _RETOLD_SECONDS)
        for index in range(known):
            at = self._last if known == 1 else start + (self._last - start) * index / (known - 1)
            live.observe(at, self._same, self._weight)
        return live


def _severity(kind: SeriesKind, expected: float, value: float) -> Severity:
    if kind is SeriesKind.RATIO:
        grave = abs(value - expected) >= 0.3
    elif kind is SeriesKind.COUNT:
        grave = value < 0.1 * expected or value > 10 * expected + 10
    else:
        grave = abs(value - expected) >= 5 * abs(expected)
    return Severity.CRITICAL if grave else Severity.WARNING


def _shown(kind: SeriesKind) -> Any:
    return percentage if kind is SeriesKind.RATIO else amount


def amount(value: float) -> str:
    """Four digits: ``1,234``, ``0.01234``, ``1.235e+20``."""
    if not math.isfinite(value):
        return str(value)
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percentage(ratio: float) -> str:
    return f"{100 * ratio:.3g}%"

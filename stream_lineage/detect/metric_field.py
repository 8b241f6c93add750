"""The baselines of one field: everything that is judged about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_categories import Categories
from stream_lineage.detect.metric_range import Range
from stream_lineage.detect.metric_series import MetricSeries
from stream_lineage.detect.metric_shape import FEWEST_VALUES, Shape
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.verdict import Verdict
from stream_lineage.detect.window import FieldWindow

FORGOTTEN_WINDOWS = 8640
"""Windows after which a field that is not there any more has no baselines."""
_USUAL_MEMORY = 180
"""Windows after which another number of values is usual, so that the part of distinct ones can be compared again."""
_KINDS: Mapping[str, SeriesKind] = {
    "null-ratio": SeriesKind.RATIO,
    "missing-ratio": SeriesKind.RATIO,
    "type-mix": SeriesKind.RATIO,
    "distinct-ratio": SeriesKind.RATIO,
    "mean": SeriesKind.LEVEL,
    "distribution": SeriesKind.RATIO,
}
_LEAST: Mapping[str, float] = {
    "null-ratio": 0.01, "missing-ratio": 0.01, "type-mix": 0.01, "distinct-ratio": 0.05,
}  # fmt: skip
"""What a ratio has to be off to matter to anybody."""
_OF_THE_SPREAD = 0.5
"""The same for a mean, in standard deviations of the values."""

Open = dict[str, Excursion | None]
"""The excursions that something is in, by their keys; null for one that goes on with nothing new to be said."""


class FieldBaselines:
    """``observe`` each window that has the field, ``absent`` each that has records and not this field."""

    __slots__ = (
        "_categories",
        "_detectors",
        "_main_type",
        "_range",
        "_series",
        "_shape",
        "_unseen",
        "_usual",
        "_warming",
        "path",
    )

    def __init__(
        self, path: str, detectors: Mapping[SeriesKind, SeriesDetector], state: Mapping[str, Any] | None = None
    ) -> None:
        state = state or {}
        self.path = path
        self._detectors = detectors
        self._series: dict[str, MetricSeries] = {
            metric: MetricSeries(detectors[_KINDS[metric]], _KINDS[metric], each)
            for metric, each in state.get("series", {}).items()
        }
        self._categories = Categories(state.get("categories"))
        self._range = Range(state.get("range"))
        self._shape = Shape(state.get("shape"))
        self._main_type: str | None = state.get("type")
        self._usual: float | None = state.get("usual")
        self._unseen: int = state.get("unseen", 0)
        self._warming = 0

    def state(self) -> dict[str, Any]:
        return {
            "series": {metric: series.state() for metric, series in self._series.items()},
            "categories": self._categories.state(),
            "range": self._range.state(),
            "shape": self._shape.state(),
            "type": self._main_type,
            "usual": self._usual,
            "unseen": self._unseen,
        }

    @property
    def warming_up(self) -> int:
        """How many series said in the last window that their memory is young."""
        return self._warming

    @property
    def series(self) -> int:
        return len(self._series)

    @property
    def forgotten(self) -> bool:
        return self._unseen >= FORGOTTEN_WINDOWS

    def absent(self) -> Open:
        """The excursions that the field stays in while there is nothing to be seen of it."""
        self._unseen += 1
        return {f"{metric} {self.path}": None for metric, series in self._series.items() if series.alert}

    def observe(self, at: float, window: FieldWindow, *, waited: bool = False) -> Open:
        """The excursions that the field is in, this window included. ``at``: the start of the window, in seconds;
        ``waited``: it also holds what waited in a pause."""
        found: Open = {}
        self._unseen = 0
        self._warming = 0
        slots, values = window.slots, window.values
        if slots > 0:
            self._judge(found, "null-ratio", at, window.nulls / slots, slots)
            self._judge(found, "missing-ratio", at, window.missing / slots, slots)
        if window.types:
            total = sum(window.types.values())
            if self._main_type is None:
                self._main_type = max(window.types, key=lambda name: (window.types[name], name))
            if total > 0:
                self._judge(found, "type-mix", at, 1 - window.types.get(self._main_type, 0) / total, total)
        if window.items is None and window.distinct is not None and values > 0:
            usual = self._as_many_as_usual(values) and not waited
            self._judge(found, "distinct-ratio", at, min(window.distinct / values, 1.0) if usual else None, values)
        if window.numbers > 0:
            self._judge(found, "mean", at, window.mean, window.numbers, _OF_THE_SPREAD * (window.deviation or 0.0))
            low, high = window.low, window.high
            if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
                beyond = self._range.observe(self.path, low, high)
                if beyond is not None:
                    found[beyond.key] = beyond
            if window.points and window.numbers >= FEWEST_VALUES:
                self._judge_shape(found, at, window)
        for item, excursion in self._categories.observe(self.path, window.items).items():
            found[f"{excursion.key} {item}"] = excursion
        return found

    def _judge(
        self, found: Open, metric: str, at: float, value: float | None, weight: float, least: float | None = None
    ) -> Verdict | None:
        series = self._series.get(metric)
        if series is None:
            kind = _KINDS[metric]
            series = self._series[metric] = MetricSeries(self._detectors[kind], kind)
        verdict = series.observe(at, value, weight)
        if verdict is None:
            return None
        self._warming += verdict.warming_up
        if verdict.alert:
            told: Excursion | None = None
            least = _LEAST[metric] if least is None else least
            if value is not None and verdict.expected is not None and abs(value - verdict.expected) >= least:
                told = series.excursion(metric, self.path, verdict, value)
            found[f"{metric} {self.path}"] = told
        return verdict

    def _judge_shape(self, found: Open, at: float, window: FieldWindow) -> None:
        shape, key = self._shape, f"distribution {self.path}"
        distance = shape.distance(at, window.points, window.numbers, window.rank_error)
        if distance is not None:
            verdict = self._judge(found, "distribution", at, distance.value, window.numbers, 0.0)
            told = found.get(key)
            if told is not None:
                further = verdict is not None and (verdict.deviation or 0.0) > 0
                mean = self._series.get("mean")
                if distance.told and further and (mean is None or not mean.ramps):
                    found[key] = replace(told, expected=shape.shown(), actual=shape.shown(window.points))
                    return  # what is usual stands still meanwhile
                found[key] = None
        shape.learn(at, window.points, window.numbers)

    def _as_many_as_usual(self, values: int) -> bool:
        """Whether there are about as many values as of late: the part of distinct ones depends on it."""
        many = math.log(values)
        if self._usual is None:
            self._usual = many
            return True
        usual = abs(many - self._usual) < math.log(1.5)
        self._usual += (many - self._usual) / _USUAL_MEMORY
        return usual

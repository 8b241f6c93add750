"""The baselines of a topic as a whole: how much comes, how late, in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_field import Open
from stream_lineage.detect.metric_series import MetricSeries, amount
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.verdict import Verdict
from stream_lineage.detect.window import Window
from stream_lineage.model.finding import Severity

CATCHING_UP_SECONDS = 60.0
"""Records so much older than usual were not written now: how many of them are read now says nothing."""
_CATCHING_UP_WINDOWS = 360
RESTART_SECONDS = 30.0
"""A topic that is always there may pause for so long, as when its writers are deployed: it is not told, nor what waited
meanwhile, which comes in as many windows and one more. Larger: silence is told later."""
_FEWEST_PRESENT = 30
_PRESENT = 0.98
_SILENT_WINDOWS = 6
_LONGER = 3.0
"""Silence needs no long memory: a topic that has been there in ``_PRESENT`` of its windows is missed after
``_SILENT_WINDOWS`` without a record, or ``_LONGER`` times its longest pause. Larger: told later, and less often."""
_MEMORY = 500
_LEAST: Mapping[str, tuple[float, float]] = {
    "throughput": (3.0, 0.2),
    "freshness": (35.0, 1.0),
    "event-time-lag": (5.0, 1.0),
    "undecoded-ratio": (0.01, 0.0),
    "out-of-order-ratio": (0.02, 0.0),
    "duplicate-keys": (0.1, 0.0),
    "bytes-per-record": (1.0, 0.1),
}
"""What a metric has to be off to matter to anybody: so much, in its unit, and this part of what is expected."""
_MORE = 0.5
"""The same part where there are more records than expected: growth is seldom a fault. Larger: less often."""
BURST_SECONDS = 120.0
"""More records than usual, but not ``_MANY_TIMES`` as many, are told when there have been for so long. Larger: later,
and fewer bursts are told."""
_MANY_TIMES = 9.0
_INCOMPARABLE = 5.0
"""So many times as many records as usual have other shares of equal keys. Larger: more is told of batches."""
_YOUNG_SECONDS = 3 * 3600.0
_FALL, _FALLING = 4.0, 6  # scales, windows
_KINDS: Mapping[str, SeriesKind] = {
    "throughput": SeriesKind.COUNT,
    "freshness": SeriesKind.LEVEL,
    "event-time-lag": SeriesKind.LEVEL,
    "undecoded-ratio": SeriesKind.RATIO,
    "out-of-order-ratio": SeriesKind.RATIO,
    "duplicate-keys": SeriesKind.RATIO,
    "bytes-per-record": SeriesKind.LEVEL,
}
_LONGEST_LAG = 1e10
_LATER_ONLY = frozenset({"freshness", "event-time-lag", "out-of-order-ratio", "undecoded-ratio"})
_UNITS: Mapping[str, str] = {"freshness": " s", "event-time-lag": " s", "bytes-per-record": " bytes"}


class TopicBaselines:
    """``observe`` each window, also those in which nothing came."""

    __slots__ = (
        "_came",
        "_last_record",
        "_longest",
        "_present",
        "_series",
        "_settled",
        "_usual_lag",
        "_usual_records",
        "_waited",
        "_waiting",
        "_warming",
        "_windows",
    )

    def __init__(self, detectors: Mapping[SeriesKind, SeriesDetector], state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        known = state.get("series", {})
        self._series = {
            metric: MetricSeries(detectors[kind], kind, known.get(metric)) for metric, kind in _KINDS.items()
        }
        self._windows: int = state.get("windows", 0)
        self._came: int = state.get("came", self._windows)
        self._settled: bool = state.get("settled", False)
        self._usual_lag: float | None = state.get("lag")
        self._last_record: float | None = state.get("last_record")
        self._present: float = state.get("present", 1.0)
        self._longest: float = state.get("longest", 0.0)
        self._usual_records: float | None = None
        self._waiting: int = state.get("waiting", 0)
        self._waited = False
        self._warming = 0

    def state(self) -> dict[str, Any]:
        return {
            "series": {metric: series.state() for metric, series in self._series.items()},
            "windows": self._windows,
            "came": self._came,
            "waiting": self._waiting,
            "settled": self._settled,
            "lag": self._usual_lag,
            "last_record": self._last_record,
            "present": self._present,
            "longest": self._longest,
        }

    @property
    def last_record(self) -> float:
        return self._last_record or 0.0

    @property
    def usual_records(self) -> float | None:
        """How many records were to be expected of the last window; null where nothing is known."""
        return self._usual_records

    @property
    def waited(self) -> bool:
        """Whether the last window was part of a short pause, or held what waited for its end."""
        return self._waited

    @property
    def warming_up(self) -> int:
        return self._warming

    @property
    def series(self) -> int:
        return len(self._series)

    def observe(self, window: Window) -> Open:
        """The excursions that the topic is in, this window included."""
        found: Open = {}
        self._warming = 0
        self._windows += 1
        records = window.records
        if self._windows == 1:
            self._last_record = window.end
            return found  # it has begun somewhere in between
        catching_up = self._catching_up(window)
        silence = 0.0 if records else window.end - (self._last_record or window.end)
        missed = self._missed(window, silence)
        restarting = self._waited = self._restarting(window, silence)
        if records:
            self._last_record = window.end
        usual_records = self._usual_records
        self._judge(found, "throughput", window, None if catching_up or restarting else float(records), 1.0)
        if restarting:
            self._usual_records = usual_records
        self._judge(found, "freshness", window, max(silence, window.seconds), 1.0)
        if missed is not None:
            found["freshness"] = missed
        if not records:
            for metric, series in self._series.items():
                if series.alert:
                    found.setdefault(metric, None)
            return found
        if window.lag_seconds is not None and self._settled and not restarting:
            self._judge(found, "event-time-lag", window, window.lag_seconds, records)
        self._judge(found, "bytes-per-record", window, window.bytes / records, records)
        if window.sampled and not restarting:
            self._judge(found, "out-of-order-ratio", window, window.out_of_order / window.sampled, window.sampled)
        if window.profiled + window.undecoded:
            total = window.profiled + window.undecoded
            self._judge(found, "undecoded-ratio", window, window.undecoded / total, total)
        many = self._usual_records is not None and records > _INCOMPARABLE * max(self._usual_records, 1.0)
        if window.keys is not None and not restarting and not many:  # more records of as many keys
            self._judge(found, "duplicate-keys", window, 1 - min(window.keys / records, 1.0), records)
        return found

    def _missed(self, window: Window, silence: float) -> Excursion | None:
        """Whether a topic that is always there is not."""
        usual = max(_SILENT_WINDOWS * window.seconds, _LONGER * self._longest)
        if window.records:
            pause = max(0.0, window.start - (self._last_record or window.start))
            missed = pause >= usual and self._present >= _PRESENT
            if not missed:
                self._longest = max(self._longest, pause)
            pace = 1 / min(self._windows, _MEMORY)
            # One long silence may have been a fault: it counts as a short one.
            self._present *= (1 - pace) ** min(pause / window.seconds, _SILENT_WINDOWS if missed else _MEMORY)
            self._present += (1 - self._present) * pace
            self._came += 1
            return None
        if self._came < _FEWEST_PRESENT or self._present < _PRESENT or silence < usual:
            return None
        expected = f"at most {amount(max(self._longest, window.seconds))} s"
        return Excursion(
            "freshness", None, expected, f"{amount(silence)} s without a record", Severity.CRITICAL,
            int(silence / window.seconds) - 1, 1.0,
        )  # fmt: skip

    def _restarting(self, window: Window, silence: float) -> bool:
        """Whether this is a short pause of a topic that is always there, or what waited for its end."""
        if not window.records:
            self._waiting = 0
            return silence <= RESTART_SECONDS and self._came >= _FEWEST_PRESENT and self._present >= _PRESENT
        pause = window.start - (self._last_record or window.start)
        if 0 < pause <= RESTART_SECONDS and self._came >= _FEWEST_PRESENT and self._present >= _PRESENT:
            self._waiting = int(pause / window.seconds) + 1
        waiting = self._waiting > 0
        self._waiting = max(0, self._waiting - 1)
        return waiting

    def _catching_up(self, window: Window) -> bool:
        """Whether these records were written long before: a collector that starts, or comes back, reads what waits."""
        lag = window.lag_seconds
        if lag is None:
            self._settled = self._settled or window.records > 0
            return False
        lag = min(max(lag, -_LONGEST_LAG), _LONGEST_LAG) if math.isfinite(lag) else _LONGEST_LAG
        usual = self._usual_lag
        if not self._settled:
            self._settled = lag < CATCHING_UP_SECONDS or self._windows > _CATCHING_UP_WINDOWS
            if not self._settled:
                return True
        if usual is None:
            self._usual_lag = lag
            return False
        behind = lag > CATCHING_UP_SECONDS + 5 * usual
        if not behind:
            self._usual_lag = usual + (lag - usual) / 100
        return behind

    def _passes(self, metric: str, window: Window, series: MetricSeries, off: float, verdict: Verdict) -> bool:
        """Whether this may be nothing but a burst, what waited in a pause, or a silence of a topic that nobody knows:
        it is told when it lasts."""
        lasts = series.began() * window.seconds
        expected, deviation = verdict.expected or 0.0, verdict.deviation or 0.0
        if metric == "throughput" and off < 0:  # what follows a burst is less than it, and no fall
            return deviation > -_FALL and series.began() < _FALLING
        if metric == "throughput":
            return 0 < off <= _MANY_TIMES * expected + 10 and lasts < BURST_SECONDS
        if metric == "event-time-lag":
            return off < RESTART_SECONDS and lasts < 2 * window.seconds
        return metric == "freshness" and self._windows * window.seconds < _YOUNG_SECONDS

    def _judge(self, found: Open, metric: str, window: Window, value: float | None, weight: float) -> None:
        series = self._series[metric]
        verdict = series.observe(window.start, value, weight)
        if metric == "throughput":
            self._usual_records = value if verdict is None else verdict.expected
        if verdict is None:
            return
        self._warming += verdict.warming_up
        if not verdict.alert:
            return
        if value is None or verdict.expected is None:
            found[metric] = None
            return
        off = value - verdict.expected
        least, part = _LEAST[metric]
        part = _MORE if metric == "throughput" and off > 0 else part
        better = metric in _LATER_ONLY and off < 0
        small = abs(off) < max(least, part * abs(verdict.expected))
        if better or small or self._passes(metric, window, series, off, verdict):
            found[metric] = None
            return
        told = series.excursion(metric, None, verdict, value)
        unit = _UNITS.get(metric, "")
        severity = Severity.CRITICAL if metric == "throughput" and not window.records else told.severity
        if metric == "bytes-per-record":
            severity = min(severity, Severity.WARNING, key=("info", "warning", "critical").index)
        found[metric] = Excursion(
            metric, None, told.expected + unit, told.actual + unit, severity, told.began, told.score
        )

"""What deviates at which node of a recording, since when, and what is known to be as usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream_lineage.explain.deviation import Aligned, Size, Timing, sizes, timing
from stream_lineage.explain.onset import Onset, Shape, onset
from stream_lineage.explain.recording import Recording, Series, SeriesName
from stream_lineage.explain.silence import Stop, stop

FAINT, STRONG = 1.25, 1.7
"""Ratios (see ``deviation``) from which something may deviate, and from which it does."""
_SHARE_OF_TIME, _MOST_STEPS, _MOST_SECONDS = 0.45, 120, 6 * 3600.0
"""The time that is looked at before the breach: a part of what is recorded, at most so many steps or so long."""

Measure = tuple[str, str | None]
"""A metric and its field."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One series that deviates. Times are epoch seconds; ``usual`` and ``found`` are in the units of the series, null
    where it has none any more. ``step`` is the usual time between its points."""

    series: Series
    ratio: float
    shape: Shape
    onset: float
    earliest: float
    latest: float
    last: float
    step: float
    usual: float
    found: float | None

    @property
    def measure(self) -> Measure:
        return (self.series.name.metric, self.series.name.field)

    @property
    def name(self) -> SeriesName:
        return self.series.name


@dataclass(frozen=True, slots=True)
class Symptoms:
    """``deviations`` of each node, the largest first; ``measured``: the metrics of each node that could be judged;
    ``unjudged``: series of which too few points are known. ``horizon`` is in seconds before the breach, ``step`` the
    usual time between points of the recording."""

    deviations: Mapping[str, tuple[Deviation, ...]]
    measured: Mapping[str, frozenset[Measure]]
    judged: Mapping[SeriesName, float]
    unjudged: tuple[SeriesName, ...]
    horizon: float
    step: float
    notes: tuple[str, ...]


def symptoms(recording: Recording) -> Symptoms:
    """All series of a recording judged against their own time before."""
    at = recording.breach.at
    horizon, step = _reach(recording)
    after = max(30 * step, horizon / 2)
    rows: list[Aligned] = []
    unjudged: list[SeriesName] = []
    timings: dict[bytes, tuple[Timing | None, Stop | None]] = {}
    stops: list[Stop | None] = []
    recorded_until = min(
        after, max((float(each.times[-1]) - at for each in recording.series if len(each.times)), default=0.0)
    )
    for series in recording.series:
        key = series.times.tobytes()  # most series of a recording have the same times
        if key not in timings:
            when = timing(series.times, at, horizon, after)
            timings[key] = (when, None if when is None else stop(when, horizon, recorded_until))
        when, silent = timings[key]
        if when is None:
            unjudged.append(series.name)
        else:
            rows.append(Aligned(series, at, when))
            stops.append(silent)
    found: dict[str, list[Deviation]] = {}
    judged: dict[SeriesName, float] = {}
    for row, size, silent in zip(rows, sizes(rows), stops, strict=True):
        each = _deviation(row, size, at)
        if silent is not None and (each is None or silent.ratio > each.ratio):
            each = _stopped(row, silent, at)
        judged[row.series.name] = each.ratio if each is not None else size.ratio
        if each is not None:
            found.setdefault(each.name.node, []).append(each)
    measured: dict[str, set[Measure]] = {}
    for name in judged:
        measured.setdefault(name.node, set()).add((name.metric, name.field))
    return Symptoms(
        {
            node: tuple(sorted(each, key=lambda one: (-one.ratio, one.onset, str(one.name))))
            for node, each in found.items()
        },
        {node: frozenset(metrics) for node, metrics in measured.items()},
        judged,
        tuple(unjudged),
        horizon,
        step,
        _notes(unjudged),
    )


def _reach(recording: Recording) -> tuple[float, float]:
    """How long before the breach deviations are looked for, and the usual time between points."""
    at = recording.breach.at
    node = recording.breach.node
    known = [each for each in recording.series if len(each.times) >= 3 and each.times[2] <= at]
    if not known:
        return 3600.0, 60.0
    own = [each for each in known if each.name.node == node] or known
    span = float(np.median([at - each.times[0] for each in own]))
    step = float(np.median([(each.times[-1] - each.times[0]) / (len(each.times) - 1) for each in known]))
    most = max(_MOST_STEPS * step, _MOST_SECONDS)
    return max(min(_SHARE_OF_TIME * span, most), 3 * step), step


def _deviation(row: Aligned, size: Size, at: float) -> Deviation | None:
    if size.ratio < FAINT:
        return None
    when: Onset = onset(row, size)
    times, values = row.series.times, row.series.values
    first, last = np.searchsorted(times, [at + when.at, at + when.last])
    before = values[: max(1, int(np.searchsorted(times, at + when.earliest, side="right")))]
    if size.seasonal:
        before = before[-max(5, int(last) - int(first) + 1) :]
    return Deviation(
        row.series, size.ratio, when.shape, at + when.at, at + when.earliest, at + when.latest, at + when.last,
        row.timing.step, float(np.median(before)),
        float(np.median(values[first : max(int(first) + 1, min(int(last) + 1, len(row.timing.times)))])),
    )  # fmt: skip


def _stopped(row: Aligned, silent: Stop, at: float) -> Deviation:
    series = row.series
    before = series.values[series.times <= at + silent.last]
    return Deviation(
        series, silent.ratio, "silence", at + silent.expected, at + silent.last, at + silent.expected,
        at + silent.until, row.timing.step, float(np.median(before)), None,
    )  # fmt: skip


def _notes(unjudged: list[SeriesName]) -> tuple[str, ...]:
    if not unjudged:
        return ()
    shown = "; ".join(str(name) for name in unjudged[:5])
    more = f" and {len(unjudged) - 5} more" if len(unjudged) > 5 else ""
    return (f"Too few points before the breach to say what is usual: {shown}{more}.",)

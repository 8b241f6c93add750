"""What deviates at which node of a recording, since when, and what is known to be as usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream_lineage.explain.deviation import Aligned, Size, aligned, sizes
from stream_lineage.explain.onset import Onset, Shape, onset
from stream_lineage.explain.recording import Recording, Series, SeriesName
from stream_lineage.explain.silence import Stop, stop

FAINT, STRONG = 1.25, 1.7
"""Ratios (see ``deviation``) from which something may deviate, and from which it does."""
_SHARE_OF_TIME, _MOST_STEPS, _MOST_SECONDS = 0.45, 120, 6 * 3600.0
"""The time that is looked at before the breach: a part of what is recorded, at most so many steps or so long."""


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
    def name(self) -> SeriesName:
        return self.series.name


@dataclass(frozen=True, slots=True)
class Symptoms:
    """``deviations`` of each node, the largest first; ``measured``: the metrics of each node that could be judged;
    ``unjudged``: series of which too few points are known. ``horizon`` is in seconds before the breach, ``step`` the
    usual time between points of the recording."""

    deviations: Mapping[str, tuple[Deviation, ...]]
    measured: Mapping[str, frozenset[str]]
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
    for series in recording.series:
        row = aligned(series, at, horizon, after)
        if row is None:
            unjudged.append(series.name)
        else:
            rows.append(row)
    found: dict[str, list[Deviation]] = {}
    judged: dict[SeriesName, float] = {}
    recorded_until = min(after, max((float(row.times[-1]) for row in rows), default=0.0))
    for row, size in zip(rows, sizes(rows), strict=True):
        each = _deviation(row, size, at)
        silent = stop(row.series, at, horizon, recorded_until)
        if silent is not None and (each is None or silent.ratio > each.ratio):
            each = _stopped(row.series, silent, at)
        judged[row.series.name] = each.ratio if each is not None else size.ratio
        if each is not None:
            found.setdefault(each.name.node, []).append(each)
    measured: dict[str, set[str]] = {}
    for name in judged:
        measured.setdefault(name.node, set()).add(name.metric)
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
    known = [each for each in recording.series if np.searchsorted(each.times, at, side="right") >= 3]
    if not known:
        return 3600.0, 60.0
    own = [each for each in known if each.name.node == node] or known
    span = float(np.median([at - each.times[0] for each in own]))
    step = float(np.median([np.median(np.diff(each.times)) for each in known]))
    most = max(_MOST_STEPS * step, _MOST_SECONDS)
    return max(min(_SHARE_OF_TIME * span, most), 3 * step), step


def _deviation(row: Aligned, size: Size, at: float) -> Deviation | None:
    if size.ratio < FAINT:
        return None
    when: Onset = onset(row, size)
    times, values = row.series.times, row.series.values
    first, last = np.searchsorted(times, [at + when.at, at + when.last])
    before = values[: max(1, int(np.searchsorted(times, at + when.earliest, side="right")))]
    if row.seasonal:
        before = before[-max(5, int(last) - int(first) + 1) :]
    return Deviation(
        row.series, size.ratio, when.shape, at + when.at, at + when.earliest, at + when.latest, at + when.last,
        float(np.median(np.diff(times))), float(np.median(before)),
        float(np.median(values[first : max(int(first) + 1, min(int(last) + 1, len(row.times)))])),
    )  # fmt: skip


def _stopped(series: Series, silent: Stop, at: float) -> Deviation:
    before = series.values[series.times <= at + silent.last]
    return Deviation(
        series, silent.ratio, "silence", at + silent.expected, at + silent.last, at + silent.expected,
        at + silent.until, float(np.median(np.diff(series.times))), float(np.median(before)), None,
    )  # fmt: skip


def _notes(unjudged: list[SeriesName]) -> tuple[str, ...]:
    if not unjudged:
        return ()
    shown = "; ".join(str(name) for name in unjudged[:5])
    more = f" and {len(unjudged) - 5} more" if len(unjudged) > 5 else ""
    return (f"Too few points before the breach to say what is usual: {shown}{more}.",)

"""What deviates at which node of a recording, since when, and what is known to be as usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream_lineage.explain.deviation import Size, sizes
from stream_lineage.explain.onset import Onset, Shape, onset
from stream_lineage.explain.recording import Array, Recording, Series, SeriesName
from stream_lineage.explain.residuals import LEAST_BEFORE, Aligned, Timing, timing
from stream_lineage.explain.silence import Stop, stop

FAINT, STRONG = 1.25, 1.7
"""Ratios (see ``deviation``) from which something may deviate, and from which it does."""
_SHARE_OF_TIME, _MOST_STEPS, _MOST_SECONDS = 0.45, 120, 6 * 3600.0
"""The time that is looked at before the breach: a part of what is recorded, at most so many steps or so long."""
_OLDER = 2 * STRONG
"""The ratio from which a breach is believed for which more time had to be looked at: its change was sought out."""
_STILL = 30
"""What was over so many points before the breach was not noticed then."""
_AFTER = 2.0
"""What begins so many points after the breach is not what was noticed."""
_AHEAD = 30
"""So many points before the breach's own change are looked at for its causes, at most."""

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
    """All series of a recording judged against their own time before. Where the breach is as usual, or deviates from
    the very start of the time that is looked at, that may have begun earlier: then from where its series changes most.
    """
    horizon, step = _reach(recording)
    known = _judged(recording, horizon, step, 0.5)
    if _seen(recording, known) and not _at_edge(recording, known):
        return known
    wider = _wider(recording, horizon, step)
    if wider is None:
        return known
    again = _judged(recording, wider, step, 0.0)
    until = recording.breach.at - _STILL * step
    return again if any(each.ratio >= _OLDER and each.last >= until for each in _own(recording, again)) else known


def _of_breach(recording: Recording, name: SeriesName) -> bool:
    breach = recording.breach
    return (name.node, name.metric) == (breach.node, breach.metric) and breach.field in (None, name.field)


def _own(recording: Recording, known: Symptoms) -> list[Deviation]:
    return [each for each in known.deviations.get(recording.breach.node, ()) if _of_breach(recording, each.name)]


def _seen(recording: Recording, known: Symptoms) -> bool:
    """Whether the breach's metric deviates for sure; or is not there to be judged."""
    return any(each.ratio >= STRONG for each in _own(recording, known)) or not any(
        _of_breach(recording, each.name) for each in recording.series
    )


def _at_edge(recording: Recording, known: Symptoms) -> bool:
    """Whether the breach deviates from the start of the time that is looked at."""
    own = max(_own(recording, known), key=lambda each: each.ratio, default=None)
    return own is not None and own.earliest <= recording.breach.at - known.horizon + own.step


def _wider(recording: Recording, horizon: float, step: float) -> float | None:
    """The time to look at from well before the breach's series changes most, if that is more than the horizon."""
    at = recording.breach.at
    found: list[float] = []
    for each in recording.series:
        count = int(np.searchsorted(each.times, at, side="right"))
        if not _of_breach(recording, each.name) or count < 2 * LEAST_BEFORE:
            continue
        values = each.values[:count] / max(float(np.abs(each.values[:count]).max()), 1e-300)
        values = values - values.mean()
        left = np.arange(1, count)
        gains = np.cumsum(values)[:-1] ** 2 * count / (left * (count - left))
        place = LEAST_BEFORE + int(np.argmax(gains[LEAST_BEFORE - 1 : count - 2])) if gains.max() > 0 else count
        first = max(LEAST_BEFORE, place - max(1, min(_AHEAD, place // 4)))
        found.append(at - float(each.times[first]))
    wider = max(found, default=0.0)
    return wider if wider > horizon + step / 2 else None


def _judged(recording: Recording, horizon: float, step: float, keep: float) -> Symptoms:
    """``keep``: the part of each series before the breach that is history, at least."""
    at = recording.breach.at
    after = reach_after(horizon, step)
    rows: list[Aligned] = []
    unjudged: list[SeriesName] = []
    ended: list[SeriesName] = []
    timings: dict[bytes, tuple[Timing | None, Stop | None]] = {}
    stops: list[Stop | None] = []
    recorded_until = _recorded_until(recording, horizon, after)
    for series in recording.series:
        key = series.times.tobytes()  # most series of a recording have the same times
        if key not in timings:
            when = timing(series.times, at, horizon, after, keep=keep)
            timings[key] = (when, None if when is None else stop(when, horizon, recorded_until))
        when, silent = timings[key]
        if when is not None:
            rows.append(Aligned(series, at, when))
            stops.append(silent)
        elif len(series.times) > LEAST_BEFORE and series.times[-1] < at - horizon:
            ended.append(series.name)
        else:
            unjudged.append(series.name)
    found: dict[str, list[Deviation]] = {}
    judged: dict[SeriesName, float] = {}
    measures = sizes(rows, by_factors=keep > 0)
    alone = [_deviation(row, size, at) for row, size in zip(rows, measures, strict=True)]
    _before_return(rows, alone, at, by_factors=keep > 0)
    for row, size, silent, each in zip(rows, measures, stops, alone, strict=True):
        if silent is not None and (each is None or silent.ratio > each.ratio):
            each = _stopped(row, silent, at)
        ratio = each.ratio if each is not None else size.ratio
        if each is not None and _of_breach(recording, each.name) and each.earliest > at + _AFTER * max(step, each.step):
            each, ratio = None, 1.0  # what came after the breach is not what was noticed
        judged[row.series.name] = ratio
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
        (*unjudged, *ended),
        horizon,
        step,
        (
            *_notes("Too few points before the breach to say what is usual", unjudged),
            *_notes(f"Ended before the time looked at ({horizon:.4g} s before the breach), so not judged", ended),
        ),
    )


def _before_return(rows: Sequence[Aligned], found: list[Deviation | None], at: float, *, by_factors: bool) -> None:
    """What began after the breach is looked at once more without that: a series that goes back to normal may do so in
    a larger step than the one by which it left it."""
    places, again = [], []
    for place, (row, each) in enumerate(zip(rows, found, strict=True)):
        if each is not None and each.earliest > at:
            count = int(np.searchsorted(row.timing.times, each.earliest - at, side="right"))
            places.append(place)
            again.append(replace(row, timing=replace(row.timing, times=row.timing.times[:count])))
    for place, row, size in zip(places, again, sizes(again, by_factors=by_factors), strict=True):
        each = _deviation(row, size, at)
        if each is not None and each.ratio >= STRONG and each.earliest <= at:
            found[place] = each


def reach_after(horizon: float, step: float) -> float:
    """How long after the breach what was recorded is still looked at."""
    return max(30 * step, horizon / 2)


def _recorded_until(recording: Recording, horizon: float, after: float) -> float:
    """When the recording ends, in seconds from the breach. It got as far as the breach, which somebody noticed;
    but where all series end at once before that, they were not recorded for longer."""
    at = recording.breach.at
    ends: dict[bytes, tuple[float, float]] = {}
    for each in recording.series:
        if len(each.times) >= 3 and each.times[-1] >= at - horizon:
            key = each.times.tobytes()  # most series of a recording have the same times
            if key not in ends:
                ends[key] = (float(each.times[-1]) - at, float(np.median(np.diff(each.times))))
    if not ends:
        return 0.0
    latest = max(last for last, _ in ends.values())
    at_once = latest < min(last + 0.99 * step for last, step in ends.values())
    return min(after, latest if at_once else max(0.0, latest))


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
    first, last = (int(times.searchsorted(at + each)) for each in (when.at, when.last))
    before = values[: max(1, int(times.searchsorted(at + when.earliest, side="right")))]
    if size.seasonal:
        before = before[-max(5, last - first + 1) :]
    return Deviation(
        row.series, size.ratio, when.shape, at + when.at, at + when.earliest, at + when.latest, at + when.last,
        row.timing.step, _median(before), _median(values[first : max(first + 1, min(last + 1, len(row.timing.times)))]),
    )  # fmt: skip


def _median(values: Array) -> float:
    """As NumPy's, in a fifth of the time: of few values that is spent on what is around it."""
    ordered = np.sort(values)
    return float((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2)


def _stopped(row: Aligned, silent: Stop, at: float) -> Deviation:
    series = row.series
    before = series.values[series.times <= at + silent.last]
    return Deviation(
        series, silent.ratio, "silence", at + silent.expected, at + silent.last, at + silent.expected,
        at + silent.until, row.timing.step, _median(before), None,
    )  # fmt: skip


def _notes(what: str, names: list[SeriesName]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = "; ".join(str(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (f"{what}: {shown}{more}.",)

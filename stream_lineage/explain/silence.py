"""Series that stop: a topic without records may have no points instead of zeros."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_lineage.explain.recording import Series

LEAST_POINTS = 6
_OF_LONGEST = 2.0
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Stop:
    """No points from ``last`` until ``until``, in seconds from the breach; ``ratio`` says how unusual that is."""

    ratio: float
    last: float
    expected: float
    until: float


def stop(series: Series, at: float, horizon: float, recorded_until: float) -> Stop | None:
    """The longest time without points that begins after the horizon and lasts longer than any before, if there is one.

    ``recorded_until``: when the recording as a whole ends, in seconds from the breach; what is missing then is no news.
    """
    times = series.times - at
    times = times[times <= recorded_until]
    before = times[times < -horizon]
    if len(before) < LEAST_POINTS:
        before = times[: max(LEAST_POINTS, len(times) // 2)]
    if len(before) < LEAST_POINTS:
        return None
    gaps = np.diff(before)
    step, longest = float(np.median(gaps)), float(gaps.max())
    late = np.append(times[len(before) - 1 :], recorded_until)
    found = np.diff(late)
    place = int(np.argmax(found))
    missing = float(found[place])
    limit = max(_STEPS * step, _OF_LONGEST * longest)
    if step <= 0 or missing <= limit:
        return None
    return Stop(min(8.0, 1.5 * missing / limit), float(late[place]), float(late[place]) + step, float(late[place + 1]))

"""Series that stop: a topic without records may have no points instead of zeros."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_lineage.explain.residuals import Timing

LEAST_POINTS = 6
_OF_LONGEST, _OF_LONGEST_AT_END = 2.0, 1.5
_STEPS, _STEPS_OF_HOLE = 3, 20
"""So many points must be missing at the end; or in between, for holes are common."""
_REGULAR = 1.1
"""A series without a longer time between points than so many usual ones never misses any."""
_OF_END = 1.72
"""What the end of a series deviates, at least: just for sure."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No points from ``last`` until ``until``, in seconds from the breach; ``ratio`` says how unusual that is."""

    ratio: float
    last: float
    expected: float
    until: float


def stop(timing: Timing, horizon: float, recorded_until: float) -> Stop | None:
    """The longest time without points that begins after the horizon and lasts longer than any before, if there is one.

    ``recorded_until``: when the recording as a whole ends, in seconds from the breach; what is missing then is no news.
    """
    times = timing.times[timing.times <= recorded_until]
    before = times[times < -horizon]
    if len(before) < LEAST_POINTS:
        before = times[: max(LEAST_POINTS, len(times) // 2)]
    if len(before) < LEAST_POINTS:
        return None
    step, longest = timing.step, float(np.diff(before).max())
    late = np.append(times[len(before) - 1 :], recorded_until)
    found = np.diff(late)
    regular = longest <= _REGULAR * step
    at_end = (_STEPS - 0.01) * step if regular else max(_STEPS * step, _OF_LONGEST_AT_END * longest)
    place = len(found) - 1 if found[-1] > at_end else int(np.argmax(found))
    missing = float(found[place])
    last = place == len(found) - 1
    limit = at_end if last else max(_STEPS_OF_HOLE * step, _OF_LONGEST * longest)
    if step <= 0 or missing <= limit:
        return None
    ratio = min(8.0, missing / max(limit, 4 * step))
    if last:  # longer than it ever was, and it goes on
        ratio = max(ratio, _OF_END)
    return Stop(ratio, float(late[place]), float(late[place]) + step, float(late[place + 1]))

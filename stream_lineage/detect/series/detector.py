"""The metric detector: one value after the other, each against what the series has shown before."""

from __future__ import annotations

from stream_lineage.detect.detector import State
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.live_series import LiveSeries
from stream_lineage.detect.series.verdict import Verdict

DEFAULT_SENSITIVITY = 0.05
"""False alarms to expect of one series in a month."""


class SeriesDetector:
    """Judges the values of series of one kind.

    ``sensitivity``: false alarms to expect of one series in a month; higher finds smaller deviations, and more that are
    none. ``window_seconds``: how far the values of a series are apart.

    A state is JSON with four members: ``now`` changes with every value (about 5 KB), ``spread`` and ``days`` when half
    an hour ends, ``novelty`` when a value is new; those that did not change are the same objects in the next state, so
    that they can be kept apart and written when they change.
    """

    def __init__(self, kind: SeriesKind, *, sensitivity: float = DEFAULT_SENSITIVITY, window_seconds: float) -> None:
        self._kind = kind
        self._sensitivity = sensitivity
        self._window = max(window_seconds, 1e-3)

    def initial(self) -> State:
        """The state of a series that has not been seen."""
        return LiveSeries.initial()

    def resume(self, state: State) -> LiveSeries:
        """The series as an object to give many values to, one after the other."""
        return LiveSeries(state, self._kind, self._sensitivity, self._window)

    def observe(self, state: State, at: float, value: float | None, weight: float = 1.0) -> tuple[State, Verdict]:
        """The next state, and what to say of the value at ``at`` (seconds since the epoch).

        ``value`` is null where the window holds no data. ``weight``: samples that the value was made of. Any float is
        taken: what is no number is no data, infinities are very large, and a timestamp that is days off is not learned.
        """
        series = self.resume(state)
        verdict = series.observe(at, value, weight)
        return series.state(), verdict

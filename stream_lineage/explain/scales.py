"""What deviates, in the scale of its own series: of many with the same times at once, which takes little longer than of
one."""

from __future__ import annotations

from collections.abc import Iterable

from stream_lineage.explain.deviation import Scaled, scaled
from stream_lineage.explain.recording import Recording, Series, SeriesName
from stream_lineage.explain.residuals import Aligned, timing
from stream_lineage.explain.symptoms import Deviation, Symptoms, reach_after

AT_ONCE = 250


class Scales:
    """Of deviations, worked out where one is asked for; ``likely`` are those that may be, too."""

    def __init__(self, recording: Recording, known: Symptoms, likely: Iterable[Deviation] = ()) -> None:
        self._at = recording.breach.at
        self._horizon, self._after = known.horizon, reach_after(known.horizon, known.step)
        self._found: dict[SeriesName, tuple[Aligned, Scaled]] = {}
        self._waiting: dict[bytes, list[Series]] = {}
        for each in likely:
            self._waiting.setdefault(each.series.times.tobytes(), []).append(each.series)

    def of(self, deviation: Deviation) -> tuple[Aligned, Scaled] | None:
        """Of a deviation; null where its series cannot be judged that far back."""
        if deviation.name not in self._found:
            self._work_out(deviation.series)
        return self._found.get(deviation.name)

    def _work_out(self, series: Series) -> None:
        waiting = self._waiting.get(series.times.tobytes(), [])
        when = timing(series.times, self._at, self._horizon, self._after, keep=0.0)
        rows = [Aligned(each, self._at, when) for each in (series, *waiting[:AT_ONCE]) if when is not None]
        del waiting[:AT_ONCE]
        self._found |= {row.series.name: (row, own) for row, own in zip(rows, scaled(rows), strict=True)}

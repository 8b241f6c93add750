"""What a coarser copy in the embedded store has of a window: count, sum, least, greatest and last of each number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from stream_lineage.store.ports import Aggregation

Row = tuple[int, str]
"""Time in microseconds and fields as JSON."""


class Summary(NamedTuple):
    """Of the numbers of a window."""

    points: float
    sum: float
    min: float
    max: float
    last: float

    def told(self, aggregation: Aggregation) -> float:
        """One of them; the mean is the sum by the count."""
        if aggregation == "mean":
            return self.sum / self.points
        return float(self._asdict()["points" if aggregation == "count" else aggregation])


def of_points(rows: Iterable[Row], window_seconds: float) -> Iterator[tuple[int, dict[str, Summary]]]:
    """The windows of a series' points, which are ordered by time. What is no number has no summary."""
    for at, found in _by_window(rows, window_seconds):
        numbers: dict[str, list[float]] = {}
        for fields in found:
            for name, value in fields.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    numbers.setdefault(name, []).append(float(value))
        if numbers:
            yield (
                at,
                {
                    name: Summary(len(each), math.fsum(each), min(each), max(each), each[-1])
                    for name, each in numbers.items()
                },
            )


def of_copies(rows: Iterable[Row], field: str, window_seconds: float) -> Iterator[tuple[int, Summary]]:
    """Windows of a series' copies, which are ordered by time, put together to larger ones, for one of the numbers."""
    for at, found in _by_window(rows, window_seconds):
        known = [Summary(*fields[field]) for fields in found if field in fields]
        if known:
            yield (
                at,
                Summary(
                    math.fsum(each.points for each in known),
                    math.fsum(each.sum for each in known),
                    min(each.min for each in known),
                    max(each.max for each in known),
                    known[-1].last,
                ),
            )


def _by_window(rows: Iterable[Row], window_seconds: float) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    width = round(window_seconds * 1_000_000)
    current: int | None = None
    held: list[dict[str, Any]] = []
    for at, text in rows:
        start = at // width * width
        if current is not None and start != current:
            yield current, held
            held = []
        current = start
        held.append(json.loads(text))
    if current is not None:
        yield current, held

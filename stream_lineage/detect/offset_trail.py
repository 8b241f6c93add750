"""Where the last few windows of a topic begin and end, by partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream_lineage.detect.window import Window

REMEMBERED = 16
"""Windows that an excursion may have begun before it is one. Larger: larger states of topics with many partitions."""

Offsets = dict[int, int]


class OffsetTrail:
    """``observe`` each window, then ask for those before it."""

    __slots__ = ("_last", "_windows")

    def __init__(self, state: Sequence[Any] | None = None) -> None:
        windows, last = state or ((), {})
        self._windows: list[tuple[float, Offsets, Offsets]] = [
            (start, _offsets(first), _offsets(end)) for start, first, end in windows
        ]
        self._last: Offsets = _offsets(last)

    def state(self) -> list[Any]:
        windows = [[start, _texts(first), _texts(last)] for start, first, last in self._windows]
        return [windows, _texts(self._last)]

    def observe(self, window: Window) -> None:
        first = dict(window.first_offsets)
        if not first:  # whatever comes next is what is affected
            first = {partition: offset + 1 for partition, offset in self._last.items()}
        self._last |= window.last_offsets
        self._windows = [*self._windows[-REMEMBERED + 1 :], (window.start, first, dict(window.last_offsets))]

    def at(self, back: int) -> tuple[float, Offsets, Offsets]:
        """Start, first and last offsets of the window so many before the last one, or of the oldest known."""
        return self._windows[max(len(self._windows) - 1 - back, 0)]


def _offsets(texts: Mapping[str, int]) -> Offsets:
    return {int(partition): offset for partition, offset in texts.items()}


def _texts(offsets: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in offsets.items()}

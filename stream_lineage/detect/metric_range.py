"""Values beyond the range that a field has always had.

Single extremes are what heavy tails are made of; a range that is left in most of a few windows, by more than it is
wide or after it stood for very long, is a change of unit, a placeholder such as -1, or an overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_series import amount
from stream_lineage.model.finding import Severity

FEWEST_WINDOWS = 60
"""Windows seen before a range means anything. Larger: fewer alerts of young topics."""
_WIDTHS = 1.0
"""How far beyond a range, in widths of it, a value has to be. Larger: less often."""
_STOOD = 0.9
"""A range that has not grown for this part of its life is firm: then a twentieth of its width is enough."""
_OF, _AT_LEAST = 4, 3
_CALM = 3
_ACCEPTED = 360


class Range:
    """``observe`` the least and greatest value of each window that has numbers."""

    __slots__ = ("_beyond", "_calm", "_grown", "_high", "_low", "_outer", "_since", "_windows")

    def __init__(self, state: Sequence[Any] | None = None) -> None:
        self._windows = 0
        self._grown = 0
        self._low = self._high = 0.0
        self._beyond: list[bool] = []
        self._outer: list[float] = []
        self._since: int | None = None
        self._calm = 0
        if state is not None:
            (
                self._windows,
                self._grown,
                self._low,
                self._high,
                beyond,
                outer,
                self._since,
                self._calm,
            ) = state
            self._beyond, self._outer = list(beyond), list(outer)

    def state(self) -> list[Any]:
        return [
            self._windows, self._grown, self._low, self._high, list(self._beyond), list(self._outer), self._since,
            self._calm,
        ]  # fmt: skip

    def observe(self, path: str, low: float, high: float) -> Excursion | None:
        """The excursion that the range is in, this window included."""
        self._windows += 1
        if self._windows == 1:
            self._low, self._high, self._grown = low, high, 1
            return None
        reach = self._reach()
        out = low < self._low - reach or high > self._high + reach
        if self._since is not None:
            return self._go_on(path, low, high, out)
        self._beyond = [*self._beyond[-_OF + 1 :], out]
        if out and self._windows > FEWEST_WINDOWS:
            self._outer = [min([low, *self._outer[:1]]), max([high, *self._outer[1:]])]
            if sum(self._beyond) >= _AT_LEAST:
                self._since = self._windows
                self._calm = 0
                return self._excursion(path, low, high)
            return None
        if not out and any(self._beyond):
            return None  # what is beyond is not learned while it is not known whether it stays
        self._settle()
        self._grow(low, high)
        return None

    def _go_on(self, path: str, low: float, high: float, out: bool) -> Excursion | None:
        self._calm = 0 if out else self._calm + 1
        if out:
            self._outer = [min(low, self._outer[0]), max(high, self._outer[1])] if self._outer else [low, high]
        over = self._calm >= _CALM
        accepted = self._windows - (self._since or 0) >= _ACCEPTED
        if not over and not accepted:
            return self._excursion(path, low, high)
        self._since, self._beyond = None, []
        if accepted:
            self._settle()
        self._outer = []
        return None

    def _excursion(self, path: str, low: float, high: float) -> Excursion:
        began = len(self._beyond) - 1 - self._beyond.index(True) if True in self._beyond else 0
        return Excursion(
            "range", path, f"{amount(self._low)} to {amount(self._high)}", f"{amount(low)} to {amount(high)}",
            Severity.WARNING, min(began, 3), 1.0,
        )  # fmt: skip

    def _settle(self) -> None:
        """Single extremes of late become part of the range."""
        if self._outer:
            self._grow(self._outer[0], self._outer[1])
            self._outer = []

    def _grow(self, low: float, high: float) -> None:
        if low < self._low or high > self._high:
            self._low, self._high = min(low, self._low), max(high, self._high)
            self._grown = self._windows

    def _reach(self) -> float:
        width = self._high - self._low
        firm = self._windows - self._grown >= max(_STOOD * self._windows, 3 * FEWEST_WINDOWS)
        reach = width * (0.05 if firm else _WIDTHS)
        return reach if reach > 0 else 0.0

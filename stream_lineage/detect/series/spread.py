"""How far values usually lie from what is expected of them, overall and at this time of day."""

from __future__ import annotations

import math
from typing import Any

from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.packing import packed, unpacked

_NORMAL = 1.2533  # standard deviation of normal values whose mean absolute deviation is 1
_CLIPPED = 5.0  # one value counts as this many times the usual distance, at most
_MEMORY = 1000.0
_OWN = 12.0  # values after which a slot's own spread counts half
_ENVELOPE = 4.0
_JUDGED = 3
"""Values that must follow before one is learned from: the last ones may be the beginning of a fault. None where windows
are so long that a slot has few of them."""


class Spread:
    """Mean absolute distances. Of each slot also the furthest values above and below, slowly forgotten: what happens
    at the same time every day is no surprise, however short it is."""

    __slots__ = (
        "_days",
        "_held",
        "_per_slot",
        "_slots",
        "_table",
        "_table_text",
        "above",
        "below",
        "count",
        "highest",
        "lowest",
        "mean",
        "moved",
        "own",
        "own_count",
        "weight",
    )

    def __init__(self, state: dict[str, Any], table: str, slots: int, per_slot: float) -> None:
        self._slots, self._per_slot = slots, per_slot
        self._table_text: str | None = table
        self._table: list[float] | None = None
        self.mean: float = state["mean"]
        self.count: int = state["count"]
        self.moved: int = state["moved"]
        self.own: float = state["own"]
        self.own_count: float = state["own_count"]
        self.above: float = state["above"]
        self.below: float = state["below"]
        self.highest: float = state["highest"]
        self.lowest: float = state["lowest"]
        self.weight: float = state["weight"]
        self._held: list[float] = list(state.get("held", ()))  # states of before have none

    @staticmethod
    def initial() -> dict[str, Any]:
        return {
            "mean": 0.0,
            "count": 0,
            "moved": 0,
            "own": 0.0,
            "own_count": 0.0,
            "above": 0.0,
            "below": 0.0,
            "highest": 0.0,
            "lowest": 0.0,
            "weight": 0.0,
            "held": [],
        }

    def state(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "count": self.count,
            "moved": self.moved,
            "own": self.own,
            "own_count": self.own_count,
            "above": self.above,
            "below": self.below,
            "highest": self.highest,
            "lowest": self.lowest,
            "weight": self.weight,
            "held": list(self._held),
        }

    def table_text(self) -> str:
        if self._table_text is None:
            self._table_text = packed(self._table or [])
        return self._table_text

    def turn(self, ended: int | None, slot: int) -> None:
        """Go on from one slot of the day to another."""
        if self._table is None:
            self._table = unpacked(self._table_text or "") or [0.0] * (4 * self._slots)
        table, slots = self._table, self._slots
        if ended is not None:
            at = 4 * (ended % slots)
            above, below = table[at + 2], table[at + 3]
            if self.own_count > table[at + 1] or self.highest > 0 or self.lowest > 0:
                rise = 0.5 if table[at + 1] else 1.0
                above += (self.highest - above) * (rise if self.highest > above else 0.2)
                below += (self.lowest - below) * (rise if self.lowest > below else 0.2)
                table[at : at + 4] = [self.own, self.own_count, above, below]
                self._table_text = None
        at = 4 * (slot % slots)
        self.own, self.own_count = table[at : at + 2]
        beside = (at, (at - 4) % len(table), (at + 4) % len(table))
        self.above = max(table[each + 2] for each in beside)
        self.below = max(table[each + 3] for each in beside)
        self.highest = self.lowest = 0.0

    def take(self, residual: float, floor: float) -> None:
        """Learn from a value that is not anomalous, once those that follow are not either; ``floor`` is the least scale
        that it can have."""
        self._held += (residual, floor)
        if len(self._held) > 2 * min(_JUDGED, self._per_slot / 16):
            residual, floor, *self._held = self._held
            self.reach(residual)
            self._learn(residual, floor)

    def disown(self) -> None:
        """An excursion has opened: what was taken last was its beginning."""
        for residual in self._held[::2]:
            self.reach(residual)
        self._held = []

    def _learn(self, residual: float, floor: float) -> None:
        mean = self.mean
        distance = away = abs(residual)
        if away > _CLIPPED * floor:
            distance = min(away, _CLIPPED * max(mean, self._usual(), floor))
        self.count += 1
        if self.moved < 100 and away > floor:
            self.moved += 1
        self.mean = mean + (distance - mean) / (self.count if self.count < _MEMORY else _MEMORY)
        self.own_count = self.own_count + 1 if self.own_count + 1 < 7 * self._per_slot else 7 * self._per_slot
        self.own += (distance - self.own) / self.own_count

    def reach(self, residual: float) -> None:
        """Learn how far a value of this slot lies out, which may be an anomaly or what happens every day."""
        if residual > self.highest:
            self.highest = residual
        elif -residual > self.lowest:
            self.lowest = -residual

    def scale(self, residual: float, floor: float) -> float:
        """The scale to measure this residual in."""
        usual = _NORMAL * self._usual()
        envelope = (self.above if residual > 0 else self.below) / _ENVELOPE
        usual = max(usual, envelope)
        return usual if usual > floor else floor

    def _usual(self) -> float:
        """The mean distance at this time of day; of a time that is hardly known yet, mostly that of all times."""
        share = self.own_count / (self.own_count + _OWN)
        return share * self.own + (1 - share) * self.mean


def scale_floor(kind: SeriesKind, expected: float, weight: float) -> float:
    """The least scale that a value of this kind can have: its sampling error, or what its digits are worth."""
    if kind is SeriesKind.COUNT:
        return math.sqrt(abs(expected) + 1)
    if kind is SeriesKind.RATIO:
        samples = max(weight, 1.0)
        likely = min(max(expected, 3 / (samples + 4)), 1 - 3 / (samples + 4), 0.5 if samples < 2 else 1.0)
        likely = min(max(likely, 0.0), 1.0)
        return math.sqrt(likely * (1 - likely) / samples) + 1e-3
    return abs(expected) * 2e-3 + 1e-12


def least_effect(kind: SeriesKind, expected: float) -> float:
    """The smallest distance from what is expected that matters to anybody."""
    if kind is SeriesKind.COUNT:
        return max(3.0, 0.1 * abs(expected))
    if kind is SeriesKind.RATIO:
        return 0.01
    return 0.01 * abs(expected)

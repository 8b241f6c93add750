"""What is said of one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["quiet", "open", "close"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``score``: how novel the value is, from 0 to 1: for ranking and severity, not for paging. ``alert``: whether the
    series is in an excursion; ``phase`` is then ``open``, and ``close`` once when it has ended.

    ``expected`` and ``scale`` are in the unit of the value, ``deviation`` is the distance between value and expected in
    scales; they are null where there is nothing to go by yet, or no value. ``warming_up``: the memory is young and the
    bar therefore higher.
    """

    score: float
    alert: bool
    expected: float | None
    scale: float | None
    deviation: float | None
    warming_up: bool
    phase: Phase

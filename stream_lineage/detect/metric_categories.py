"""New and vanished categories of a field.

A category is new when, had it always been as frequent as it is now, it would not have been missed so far; and has
vanished when so many of it were due that none coming is no chance. So a rare one that turns up once is learned without
a word, and one that takes a real share of the records is told in the first window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_series import amount, percentage
from stream_lineage.model.finding import Severity

MOST = 100
"""Categories remembered. A field with more has none that mean anything: then nothing more is said of them."""
FEWEST_WINDOWS = 20
"""Windows seen before a category can be new."""
_CHANCE = 1e-8
"""The chance of not having seen before what is there now, below which it is new. Larger: found with fewer records,
and more often wrong."""
_WATCHED = 3
"""Windows that a category has to become frequent in before it counts as known."""
_DUE = 40.0
"""Records of a category that are due and do not come, after which it has vanished. Larger: told later."""
_FEWEST_ABSENT = 3
_PRESENT = 0.98
"""Part of the windows that a category must have been in to be missed."""
_ACCEPTED = 360
"""Windows after which a new category, or a vanished one, is how things are."""
_MEMORY = 500


class Categories:
    """``observe`` the counts of each window that has values. What is remembered of a category: the window of its first
    sight, its records in the windows since while it may be new, the last window it was in, its usual share, the part of
    the windows it is in."""

    __slots__ = ("_absent", "_known", "_many", "_records", "_windows")

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._windows: int = state.get("windows", 0)
        self._records: float = state.get("records", 0)
        self._many: bool = state.get("many", False)
        self._known: dict[str, list[float]] = {item: list(each) for item, each in state.get("known", {}).items()}
        self._absent: dict[str, list[float]] = {item: list(each) for item, each in state.get("absent", {}).items()}

    def state(self) -> dict[str, Any]:
        if self._many:
            return {"many": True}
        return {
            "windows": self._windows,
            "records": self._records,
            "known": {item: list(each) for item, each in self._known.items()},
            "absent": {item: list(each) for item, each in self._absent.items()},
        }

    def observe(self, path: str, items: Mapping[str, int] | None) -> dict[str, Excursion]:
        """The excursions that the field's categories are in, by what tells them apart."""
        if self._many:
            return {}
        if items is None or len(items) > MOST:
            self._many = items is not None or self._windows > 0
            return {}
        total = sum(items.values())
        if total <= 0:
            return {}
        before = self._records
        self._windows += 1
        self._records += total
        found: dict[str, Excursion] = {}
        for item, count in items.items():
            known = self._known.get(item)
            if known is None:
                if len(self._known) >= MOST:
                    self._many = True
                    return {}
                known = self._known[item] = [self._windows, 0.0, self._windows, 0.0, 1.0, before, 0.0]
            self._seen(path, item, count, total, known, found)
        self._miss(path, items, total, found)
        return found

    def _seen(
        self, path: str, item: str, count: int, total: int, known: list[float], found: dict[str, Excursion]
    ) -> None:
        first, counted, _, share, present, before, new = known
        age = self._windows - first
        known[2] = self._windows
        known[3] = share + (count / total - share) / min(age + 1, _MEMORY)
        known[4] = present + (1.0 - present) / min(age + 1, _MEMORY)
        if first <= FEWEST_WINDOWS:
            return
        if not new and age < _WATCHED:
            known[1] = counted + count
            # Had it always been so frequent: each of its records would have to be among those of late.
            late = self._records - before
            chance = known[1] * math.log(late / self._records)
            new = known[6] = float(chance < math.log(_CHANCE))
        if new and age < _ACCEPTED:
            found[f"new {item}"] = Excursion(
                "new-category", path, "never seen", f"{_name(item)} in {percentage(known[3])} of the values",
                Severity.WARNING, int(age), 1.0,
            )  # fmt: skip

    def _miss(self, path: str, items: Mapping[str, int], total: int, found: dict[str, Excursion]) -> None:
        for item, known in self._known.items():
            if item in items:
                self._absent.pop(item, None)
                continue
            first, _, last, share, present, _, new = known
            age = self._windows - first
            gone = self._windows - last
            if age < (_ACCEPTED if new else FEWEST_WINDOWS):  # nobody misses it yet
                known[4] = present - present / min(age + 1, _MEMORY)
                continue
            missed = self._absent.get(item)
            if missed is None:
                if present < _PRESENT:
                    known[4] = present - present / min(age + 1, _MEMORY)
                    continue
                missed = self._absent[item] = [0.0, 0.0]
            missed[0] += share * total
            missed[1] += 1
            if missed[0] >= _DUE and missed[1] >= _FEWEST_ABSENT and gone < _ACCEPTED:
                usual = f"{_name(item)} in {percentage(share)} of the values"
                found[f"gone {item}"] = Excursion(
                    "vanished-category", path, usual, f"none for {amount(missed[1])} windows", Severity.WARNING,
                    int(missed[1] - 1), 1.0,
                )  # fmt: skip
        self._forget()

    def _forget(self) -> None:
        for item in [item for item, known in self._known.items() if self._windows - known[2] >= _ACCEPTED]:
            if item in self._absent:
                del self._absent[item]
                self._known[item][4] = 0.0  # it is not missed any more until it has been there for long again


def _name(item: str) -> str:
    """A category as it may be told: one that may not be shown is a hash."""
    return item[1:] if item.startswith("=") else f"category {item}"

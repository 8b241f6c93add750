"""Categories of one field: those that training never saw, and how the others are spread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from stream_lineage.detect.training_chance import LOG_ALPHA, all_in_second, chi_square_tail
from stream_lineage.detect.training_finding import TrainingFinding, TrainingKind, shown_share
from stream_lineage.model.finding import Severity
from stream_lineage.model.profile import FieldProfile
from stream_lineage.profile.frequent import load_items
from stream_lineage.profile.reading import item_counts

MIN_DISTANCE = 0.1
"""So large a share of the records must have changed category (total variation). Larger: smaller shifts go unnoticed."""
MIN_OCCURRENCES = 5
"""A category that training never saw must come so often."""
_SHOWN = 5
_FEW_EXPECTED = 5.0
_NOBODY = "\x00"
"""An item that no field has: the sketch's answer for it is its error."""


def comparable(base: FieldProfile, given: FieldProfile, *, same_key: bool) -> bool:
    """Whether equal categories are written alike on both sides: as they are, or as hashes of one key."""
    before, after = item_counts(base), item_counts(given)
    if not before or not after:
        return True  # there is nothing to compare
    forms = {item[:1] for item in before}, {item[:1] for item in after}
    return forms[0] == forms[1] and (same_key or "#" not in forms[0])


def find_categories(base: FieldProfile, given: FieldProfile) -> Iterator[TrainingFinding]:
    """New categories, and categories that are much more or less frequent. Only where training kept all of them.

    Raises:
        DecodeError: a sketch is damaged.
    """
    before, after = item_counts(base), item_counts(given)
    if base.items is None or not before or not after:
        return
    if load_items(base.items).get_upper_bound(_NOBODY) > 0:
        return
    totals = sum(before.values()), sum(after.values())
    yield from _new(base.path, before, after, totals, given)
    yield from _shifted(base.path, before, after, totals)


def _new(
    path: str, before: dict[str, int], after: dict[str, int], totals: tuple[int, int], given: FieldProfile
) -> Iterator[TrainingFinding]:
    sketch: Any = load_items(given.items or b"")
    each_alpha = LOG_ALPHA - math.log(len(after))
    new: dict[str, int] = {}
    for item in after.keys() - before.keys():
        count = int(sketch.get_lower_bound(item))
        if count >= MIN_OCCURRENCES and all_in_second(count, *totals) <= each_alpha:
            new[item] = count
    if not new:
        return
    named = sorted(new, key=lambda item: (-new[item], item))
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    share = sum(new.values()) / totals[1]
    shown = ", ".join(item.removeprefix("=") for item in named[:_SHOWN])
    yield TrainingFinding(
        TrainingKind.NEW_CATEGORY, Severity.WARNING, path, f"{len(before)} categories without it",
        f"{shown}{more} in {shown_share(share)} of the values", share,
    )  # fmt: skip


def _shifted(
    path: str, before: dict[str, int], after: dict[str, int], totals: tuple[int, int]
) -> Iterator[TrainingFinding]:
    distance = 0.0
    statistic, cells = 0.0, 0
    rest = [0, 0]
    for item in before.keys() | after.keys():
        counts = before.get(item, 0), after.get(item, 0)
        distance += abs(counts[0] / totals[0] - counts[1] / totals[1]) / 2
        if min(_expected(sum(counts), totals)) < _FEW_EXPECTED:
            rest[0] += counts[0]
            rest[1] += counts[1]
        else:
            statistic += _cell(counts, totals)
            cells += 1
    if min(_expected(sum(rest), totals)) >= _FEW_EXPECTED:
        statistic += _cell((rest[0], rest[1]), totals)
        cells += 1
    if distance < MIN_DISTANCE or chi_square_tail(statistic, cells - 1) > LOG_ALPHA:
        return
    moved = sorted(
        before.keys() | after.keys(),
        key=lambda item: -abs(before.get(item, 0) / totals[0] - after.get(item, 0) / totals[1]),
    )[:3]
    yield TrainingFinding(
        TrainingKind.SHIFTED, Severity.WARNING, path,
        _shown(moved, before, totals[0]), _shown(moved, after, totals[1]), distance,
    )  # fmt: skip


def _expected(count: int, totals: tuple[int, int]) -> tuple[float, float]:
    both = sum(totals)
    return count * totals[0] / both, count * totals[1] / both


def _cell(counts: tuple[int, int], totals: tuple[int, int]) -> float:
    expected = _expected(sum(counts), totals)
    return sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))


def _shown(items: list[str], counts: dict[str, int], total: int) -> str:
    return ", ".join(f"{item.removeprefix('=')} {shown_share(counts.get(item, 0) / total)}" for item in items)

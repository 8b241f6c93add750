"""What somebody declared that a topic and its fields must be like: exact, at each window, and told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_series import amount, percentage
from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.model.finding import Severity

SHOWN_CHARACTERS = 64
_NAMED = 3


@dataclass(frozen=True, slots=True)
class FieldExpectation:
    """Bounds that are met when reached; null for what is not declared. ``values`` are categories as people write them,
    or the hash, ``#`` first, of one that may not be shown."""

    null_ratio: float | None = None
    missing_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    values: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class TopicExpectation:
    """``rows_deviation``: how far the records of a window may be from what is usual, as a ratio. ``schema_hashes``: the
    fingerprints that the value schemas may have; null for any."""

    rows_deviation: float | None = None
    schema_hashes: frozenset[str] | None = None
    fields: Mapping[str, FieldExpectation] = field(default_factory=dict)

    def unmet(self, window: Window, usual_records: float | None) -> dict[str, Excursion | None]:
        """What is not met in a window, by what tells it apart. What an empty window says nothing about is met, but for
        the rows."""
        found: dict[str, Excursion | None] = {}
        allowed = self.rows_deviation
        if allowed is not None and usual_records is not None and usual_records > 0:
            off = abs(window.records - usual_records) / usual_records
            if off > allowed:
                usual = f"{amount(usual_records)} records within {percentage(allowed)}"
                found["rows"] = _unmet(None, usual, f"{amount(window.records)} records ({percentage(off)} off)")
        if self.schema_hashes is not None:
            others = sorted(set(window.schemas) - self.schema_hashes)
            if others:
                expected = "schema " + " or ".join(each[:12] for each in sorted(self.schema_hashes))
                found["schema"] = _unmet(None, expected, "schema " + ", ".join(each[:12] for each in others[:_NAMED]))
        for each in window.fields:
            declared = self.fields.get(each.path)
            if declared is not None:
                found |= _unmet_by(each, declared)
        return found


def _unmet_by(window: FieldWindow, declared: FieldExpectation) -> dict[str, Excursion | None]:
    found: dict[str, Excursion | None] = {}
    path = window.path
    for name, allowed, count in (
        ("null ratio", declared.null_ratio, window.nulls),
        ("missing ratio", declared.missing_ratio, window.missing),
    ):
        if allowed is not None and window.slots and count / window.slots > allowed:
            actual = f"{name} {percentage(count / window.slots)}"
            found[f"{name} {path}"] = _unmet(path, f"{name} at most {percentage(allowed)}", actual)
    if declared.low is not None and window.low is not None and window.low < declared.low:
        found[f"min {path}"] = _unmet(path, f"min at least {amount(declared.low)}", f"min {amount(window.low)}")
    if declared.high is not None and window.high is not None and window.high > declared.high:
        found[f"max {path}"] = _unmet(path, f"max at most {amount(declared.high)}", f"max {amount(window.high)}")
    if declared.values is not None and window.items:
        allowed_items = {each if each.startswith("#") else "=" + each[:SHOWN_CHARACTERS] for each in declared.values}
        others = sorted(set(window.items) - allowed_items)
        if others:
            named = ", ".join(each.removeprefix("=") for each in others[:_NAMED])
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            found[f"in {path}"] = _unmet(path, f"one of {len(allowed_items)} values", named + more)
    return found


def _unmet(path: str | None, expected: str, actual: str) -> Excursion:
    return Excursion("expectation", path, expected, actual, Severity.CRITICAL, 0, 1.0)

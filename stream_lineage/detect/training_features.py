"""Features: the fields that values have, how many and in which order, of which types, and under which schemas.

A feature is a field that holds no other fields and lies in no array or map: what a model is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from stream_lineage.detect.training_chance import LOG_ALPHA, all_in_second, ratios_differ
from stream_lineage.detect.training_finding import TrainingFinding, TrainingKind, shown_share
from stream_lineage.model.baseline import Sample
from stream_lineage.model.finding import Severity
from stream_lineage.model.profile import FieldProfile

MIN_PRESENCE = 0.01
"""A feature that fewer of the training records had is not missed."""
MIN_TYPE_SHARE = 0.01
"""A type must gain so large a share of a field's values. Larger: rarer types go unnoticed."""
_SHOWN_FEATURES = 12
_CONTAINERS = frozenset({"record", "object", "map"})
_ALIKE = {"enum": "string", "object": "record"}
_MOST_SCHEMAS = 5

Wanted = Callable[[str], bool]


def find_features(base: Sample, given: Sample, wanted: Wanted) -> Iterator[TrainingFinding]:
    """Missing and extra features, their number and their order."""
    expected = [field for field in base.profile.fields if is_feature(field) and wanted(field.path)]
    seen = [field for field in given.profile.fields if is_feature(field) and wanted(field.path)]
    apart = base.tells_nulls_apart and given.tells_nulls_apart
    here = {field.path for field in seen if _presence(field, given, apart=apart) > 0}
    known = {field.path for field in expected if _presence(field, base, apart=apart) > 0}
    named = {field.path for field in expected}  # a column that is empty is there all the same
    missing = [] if given.profile.truncated_fields else list(_missing(expected, here, base, given, apart=apart))
    extra = [] if base.profile.truncated_fields else list(_extra(seen, known | named, base, given, apart=apart))
    yield from missing
    yield from extra
    count = len(named) - len(missing) + len(extra)
    if (missing or extra) and count != len(named):
        severity = Severity.CRITICAL if missing else Severity.INFO
        yield TrainingFinding(
            TrainingKind.FEATURE_COUNT, severity, None, f"{len(named)} expected", f"{count} given",
            min(1.0, abs(count - len(named)) / len(named)) if named else None,
        )  # fmt: skip
    yield from _order(base, given, wanted)


def find_types(base: FieldProfile, given: FieldProfile) -> Iterator[TrainingFinding]:
    """Types that a field's values did not have, or much more rarely. Whole numbers are numbers."""
    before, after = _types(base), _types(given)
    total_before, total_after = sum(before.values()), sum(after.values())
    if not total_before or not total_after:
        return
    if "number" in before:
        for types in (before, after):
            types["number"] = types.get("number", 0) + types.pop("integer", 0)
    for name, count in after.items():
        share, was = count / total_after, before.get(name, 0) / total_before
        if share - was < MIN_TYPE_SHARE or ratios_differ(before.get(name, 0), total_before, count, total_after) > (
            LOG_ALPHA
        ):
            continue
        yield TrainingFinding(
            TrainingKind.TYPE_CHANGED, Severity.CRITICAL, base.path,
            _shown_types(before, total_before), _shown_types(after, total_after), share - was,
        )  # fmt: skip
        return


def find_lengths(base: FieldProfile, given: FieldProfile) -> Iterator[TrainingFinding]:
    """Arrays that all had one length and now have another: 13 values expected, 12 given."""
    before, after = base.lengths, given.lengths
    if before is None or after is None or before.min != before.max or not after.count:
        return
    if any(set(_types(field)) != {"array"} for field in (base, given)):
        return
    furthest = max(abs(after.max - before.min), abs(before.min - after.min))
    if furthest == 0:
        return
    # So many must have another length at least for the mean to be where it is.
    others = max(1.0, abs(after.mean - before.min) * after.count / furthest)
    if all_in_second(others, before.count, after.count) > LOG_ALPHA:
        return
    held = str(after.min) if after.min == after.max else f"{after.min} to {after.max}"
    yield TrainingFinding(
        TrainingKind.LENGTH_CHANGED, Severity.CRITICAL, base.path, f"{before.min} items", f"{held} items",
        min(1.0, others / after.count),
    )  # fmt: skip


def find_schemas(base: Sample, given: Sample) -> Iterator[TrainingFinding]:
    """Schemas that no training record was written with. What they change for the features is told by other rules."""
    known = {share.reference.fingerprint for share in base.schemas} - {None}
    if not known:
        return
    was = ", ".join(share.reference.label() for share in base.schemas[:_MOST_SCHEMAS])
    for share in given.schemas[:_MOST_SCHEMAS]:
        reference = share.reference
        if reference.fingerprint is not None and reference.fingerprint not in known:
            total = sum(each.records for each in given.schemas)
            yield TrainingFinding(
                TrainingKind.SCHEMA, Severity.INFO, None, was, f"{reference.label()} {reference.fingerprint[:12]}",
                share.records / total if total else None,
            )  # fmt: skip


def is_feature(field: FieldProfile) -> bool:
    """Whether a field is one that a model is given."""
    if "[]" in field.path or "{}" in field.path:
        return False
    return not field.types or not all(count.type in _CONTAINERS for count in field.types)


def _presence(field: FieldProfile, sample: Sample, *, apart: bool) -> float:
    """In which share of the records it is there. Where files are compared, what is null is as good as not there."""
    values = field.slots - field.missing - (0 if apart else field.nulls)
    return min(1.0, values / sample.records) if sample.records else 0.0


def _missing(
    expected: Sequence[FieldProfile], here: set[str], base: Sample, given: Sample, *, apart: bool
) -> Iterator[TrainingFinding]:
    for field in expected:
        presence = _presence(field, base, apart=apart)
        if field.path in here or presence < MIN_PRESENCE:
            continue
        likely = presence * base.records / (base.records + 1)
        if given.records * math.log1p(-likely) <= LOG_ALPHA:
            yield TrainingFinding(
                TrainingKind.MISSING_FEATURE, Severity.CRITICAL, field.path,
                f"in {shown_share(presence)} of the records", "in none", presence,
            )  # fmt: skip


def _extra(
    seen: Sequence[FieldProfile], known: set[str], base: Sample, given: Sample, *, apart: bool
) -> Iterator[TrainingFinding]:
    for field in seen:
        presence = _presence(field, given, apart=apart)
        if field.path in known or all_in_second(presence * given.records, base.records, given.records) > LOG_ALPHA:
            continue
        yield TrainingFinding(
            TrainingKind.EXTRA_FEATURE, Severity.INFO, field.path, "in none",
            f"in {shown_share(presence)} of the records", presence,
        )  # fmt: skip


def _order(base: Sample, given: Sample, wanted: Wanted) -> Iterator[TrainingFinding]:
    """Features that both have, in another order. In JSON text an order is nobody's promise: it is judged only between
    members that are never missing, and told as information."""
    declared = base.is_ordered and given.is_ordered
    orders = [
        [
            field.path
            for field in sample.profile.fields
            if is_feature(field) and wanted(field.path) and (sample.is_ordered or not field.missing)
        ]
        for sample in (base, given)
    ]
    both = set(orders[0]) & set(orders[1])
    before, after = ([path for path in order if path in both] for order in orders)
    if before == after:
        return
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    yield TrainingFinding(
        TrainingKind.FEATURE_ORDER, Severity.WARNING if declared else Severity.INFO, None,
        _shown_features(before), _shown_features(after), moved / len(before),
    )  # fmt: skip


def _shown_features(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN_FEATURES} more" if len(paths) > _SHOWN_FEATURES else ""
    return ", ".join(path[:60] for path in paths[:_SHOWN_FEATURES]) + more


def _types(field: FieldProfile) -> dict[str, int]:
    found: dict[str, int] = {}
    for count in field.types:
        name = _ALIKE.get(count.type, count.type)
        found[name] = found.get(name, 0) + count.count
    return found


def _shown_types(types: dict[str, int], total: int) -> str:
    named = sorted(types.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(name if count == total else f"{name} {shown_share(count / total)}" for name, count in named)

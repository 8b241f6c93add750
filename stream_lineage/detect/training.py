"""Live data, or a file, against the training baseline that something was built on.

Every rule needs an effect that matters and a chance that is negligible (``training_chance``): data compared with their
like give nothing, and small samples say nothing.

| training | given | finding |
| --- | --- | --- |
| a feature in all records | in none | missing-feature, feature-count |
| | a feature that was never there | extra-feature (info), feature-count |
| features in one order | in another | feature-order |
| an integer | texts in 1% of the values or more | type-changed |
| arrays of 13 | of 12 | length-changed |
| 1% null | 30% null | null-ratio |
| numbers about 100 | about 130, spread by 100 | shifted-distribution |
| numbers to 100 | 5% beyond | out-of-range |
| click, view | scroll as well | new-category |
| one schema | another | schema-changed (info) |
| anything | 99 records | nothing: too few |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stream_lineage.detect.training_categories import comparable, find_categories
from stream_lineage.detect.training_features import find_features, find_lengths, find_schemas, find_types
from stream_lineage.detect.training_finding import TrainingComparison, TrainingFinding
from stream_lineage.detect.training_values import find_range, find_ratios, find_shift
from stream_lineage.errors import DecodeError
from stream_lineage.model.baseline import Sample
from stream_lineage.model.finding import Severity
from stream_lineage.model.profile import FieldProfile
from stream_lineage.profile.options import PathPatterns

MIN_RECORDS = 100
"""Records that either side must have, and slots that a field must have. Larger: small samples say even less."""
_ORDER = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def compare(base: Sample, given: Sample, ignored: Iterable[str] = ()) -> TrainingComparison:
    """How ``given`` differs from ``base``. Fields whose paths match ``ignored`` are left out."""
    few = [
        f"too few records {whose}: {sample.records}, where {MIN_RECORDS} are needed"
        for whose, sample in (("in the baseline", base), ("to compare with it", given))
        if sample.records < MIN_RECORDS
    ]
    if few:
        return TrainingComparison((), tuple(few), False, 0)
    patterns = PathPatterns(frozenset(ignored))
    findings = [*find_schemas(base, given), *find_features(base, given, lambda path: not patterns.matches(path))]
    notes: list[str] = []
    known = {field.path: field for field in base.profile.fields}
    compared = 0
    for field in given.profile.fields:
        before = known.get(field.path)
        if before is None or patterns.matches(field.path) or min(before.slots, field.slots) < MIN_RECORDS:
            continue
        compared += 1
        try:
            findings += _field(base, before, given, field, notes)
        except DecodeError as error:
            notes.append(f"{field.path}: {error.message}")
    findings.sort(key=lambda finding: (_ORDER[finding.severity], -(finding.effect or 0.0)))
    return TrainingComparison(tuple(findings), tuple(notes), True, compared)


def _field(
    base: Sample, before: FieldProfile, given: Sample, after: FieldProfile, notes: list[str]
) -> Iterator[TrainingFinding]:
    types = list(find_types(before, after))
    yield from types
    yield from find_lengths(before, after)
    yield from find_ratios(before, after, apart=base.tells_nulls_apart and given.tells_nulls_apart)
    yield from find_shift(before, after)
    yield from find_range(before, after)
    if types:
        return  # the values of another type are no categories of this one
    if comparable(before, after, same_key=base.hash_key_id == given.hash_key_id):
        yield from find_categories(before, after)
    else:
        notes.append(f"{after.path}: categories are written otherwise (hash_key or reveal_fields differ)")

"""What a comparison with a training baseline finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_lineage.model.finding import Severity


class TrainingKind(StrEnum):
    """What is otherwise than in training."""

    MISSING_FEATURE = "missing-feature"
    EXTRA_FEATURE = "extra-feature"
    FEATURE_COUNT = "feature-count"
    FEATURE_ORDER = "feature-order"
    TYPE_CHANGED = "type-changed"
    LENGTH_CHANGED = "length-changed"
    NULL_RATIO = "null-ratio"
    MISSING_RATIO = "missing-ratio"
    NOT_FINITE_RATIO = "not-finite-ratio"
    SHIFTED = "shifted-distribution"
    OUT_OF_RANGE = "out-of-range"
    NEW_CATEGORY = "new-category"
    SCHEMA = "schema-changed"


@dataclass(frozen=True, slots=True)
class TrainingFinding:
    """``expected`` is how it was in training and ``given`` how it is, as short text. ``effect`` says how large the
    difference is, from 0 to 1 (a share of the records, a distance of distributions), null where there is no degree."""

    kind: TrainingKind
    severity: Severity
    field_path: str | None
    expected: str
    given: str
    effect: float | None = None

    @property
    def is_drift(self) -> bool:
        """Whether it bears on what was trained: what is merely new does not."""
        return self.severity is not Severity.INFO


@dataclass(frozen=True, slots=True)
class TrainingComparison:
    """``findings`` with the gravest first. ``notes`` say what could not be compared and why; ``is_judged`` is false
    where that is all of it. ``fields`` is how many fields were compared."""

    findings: tuple[TrainingFinding, ...]
    notes: tuple[str, ...]
    is_judged: bool
    fields: int

    @property
    def has_drifted(self) -> bool:
        return any(finding.is_drift for finding in self.findings)


def shown_share(share: float) -> str:
    """``2.5%``."""
    return f"{100 * share:.3g}%"

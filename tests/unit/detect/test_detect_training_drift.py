"""If this failed, drift from training would be told late, over and over, or never be over."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from stream_lineage.detect.detector import State
from stream_lineage.detect.training_drift import MAX_DIFFERENCES, Compared, TrainingDrift
from stream_lineage.detect.training_finding import TrainingComparison, TrainingFinding, TrainingKind
from stream_lineage.model.baseline import Baseline, Sample, TopicSource
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.profile import Decoder, Profile

PROFILE = Profile(Decoder.JSON, Decoder.OPAQUE, 1_000, 0, None, (), ())
BASELINE = Baseline(
    "churn", "clicks", datetime(2026, 3, 1, tzinfo=UTC), Sample(TopicSource("clicks", None, ()), PROFILE, "k")
)
ABOUT = Compared("test", "clicks", {0: 100, 1: 7}, {0: 199, 1: 90}, 1_234)
SHIFT = TrainingFinding(TrainingKind.SHIFTED, Severity.WARNING, "amount", "p50 1", "p50 2", 0.2)
NULLS = TrainingFinding(TrainingKind.NULL_RATIO, Severity.WARNING, "age", "1%", "9%", 0.08)
EXTRA = TrainingFinding(TrainingKind.EXTRA_FEATURE, Severity.INFO, "new", "in none", "in 100% of the records", 1.0)
GONE = TrainingFinding(TrainingKind.MISSING_FEATURE, Severity.CRITICAL, "user", "in all", "in none", 1.0)


def told(*rounds: tuple[TrainingFinding, ...] | None, baseline: Baseline = BASELINE) -> list[tuple[Finding, ...]]:
    """What each comparison leads to; null for one that is not judged."""
    detector, out = TrainingDrift(), []
    state = detector.initial()
    for differences in rounds:
        comparison = TrainingComparison(differences or (), (), differences is not None, 3)
        after, findings = detector.judge(state, baseline, comparison, ABOUT)
        assert json.loads(json.dumps(after)) == after
        if state == after:
            assert after is state
        state = after
        out.append(findings)
    return out


def phases(*rounds: tuple[TrainingFinding, ...] | None) -> list[str | None]:
    found = told(*rounds)
    assert all(len(findings) <= 1 for findings in found)
    return [findings[0].phase if findings else None for findings in found]


def test_when_it_is_told() -> None:
    assert phases((GONE,), (GONE,), (GONE,)) == ["open", None, None]
    assert phases((SHIFT,), (SHIFT,), (SHIFT,)) == [None, "open", None]
    assert phases((SHIFT,), (), (SHIFT,), ()) == [None] * 4
    assert phases((EXTRA,), (EXTRA,)) == [None, "open"]
    assert phases((GONE,), (GONE, SHIFT), (GONE, SHIFT)) == ["open", None, "update"]
    assert phases((SHIFT,), (SHIFT,), (SHIFT, GONE)) == [None, "open", "update"]
    assert phases((GONE,), (), (), (), (GONE,)) == ["open", None, "close", None, "open"]
    assert phases((GONE,), (), (GONE,), (), ()) == ["open", None, None, None, "close"]
    assert phases((GONE,), None, (), None, ()) == ["open", None, None, None, "close"]
    worse = replace(SHIFT, severity=Severity.CRITICAL)
    assert phases((SHIFT,), (SHIFT,), (worse,), (worse,)) == [None, "open", "update", None]


def test_what_is_told() -> None:
    first, second = told((GONE, SHIFT), (GONE, SHIFT, NULLS))
    [opened], [updated] = first, second
    assert (opened.kind, opened.severity, opened.field_path) == ("training-drift", Severity.CRITICAL, "user")
    assert (opened.first_offsets, opened.last_offsets) == ({0: 100, 1: 7}, {0: 199, 1: 90})
    assert "churn" in opened.summary
    assert "missing-feature of user: in none, in all in training" in opened.summary
    assert [(change.kind, change.path) for change in updated.changes] == [
        ("missing-feature", "user"), ("shifted-distribution", "amount"),
    ]  # fmt: skip
    assert updated.fingerprint == opened.fingerprint
    assert updated.field_path is None
    [other] = told((GONE,), baseline=replace(BASELINE, name="other"))[0]
    assert other.fingerprint != opened.fingerprint
    closed = told((GONE,), (), ())[-1][0]
    assert (closed.phase, closed.severity, closed.fingerprint) == ("close", Severity.INFO, opened.fingerprint)


def test_a_new_baseline_under_the_name_starts_over() -> None:
    detector = TrainingDrift()
    comparison = TrainingComparison((GONE,), (), True, 3)
    state, [first] = detector.judge(detector.initial(), BASELINE, comparison, ABOUT)
    later = replace(BASELINE, created_at=BASELINE.created_at + timedelta(days=1))
    after, [second] = detector.judge(state, later, comparison, ABOUT)
    assert (first.phase, second.phase) == ("open", "open")
    assert after["rounds"] > state["rounds"]  # so that the second one has an id of its own


def test_the_state_is_bounded() -> None:
    detector = TrainingDrift()
    state: State = detector.initial()
    for turn in range(5):
        many = tuple(replace(GONE, field_path=f"f{turn}.{n}") for n in range(3 * MAX_DIFFERENCES))
        state, _ = detector.judge(state, BASELINE, TrainingComparison(many, (), True, 3), ABOUT)
    assert max(len(state["held"]), len(state["told"])) <= MAX_DIFFERENCES

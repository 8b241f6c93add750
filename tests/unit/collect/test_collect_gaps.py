"""If this failed, missing offsets would be explained wrongly: data loss called a transaction, or vice versa."""

from __future__ import annotations

import pytest

from stream_lineage.collect.gaps import GapClassifier
from stream_lineage.model.span import MissingReason

R, T, C, U = MissingReason.RETENTION, MissingReason.TRANSACTION, MissingReason.COMPACTED, MissingReason.UNKNOWN

TABLE = [
    # policy, seen by read_uncommitted, gaps, lost, expected, why
    ("delete", set(), [(5, 5)], None, [(5, 5, T)], "a control record"),
    ("delete", set(), [(5, 9)], None, [(5, 9, T)], "an aborted transaction with its control record"),
    ("delete", set(), [(5, 9)], (5, 10), [(5, 9, R)], "below the log's start"),
    ("delete", set(), [(5, 9)], (5, 8), [(5, 7, R), (8, 9, T)], "partly below it"),
    ("delete", set(), [(5, 9)], (7, 9), [(5, 6, T), (7, 8, R), (9, 9, T)], "read past the first two, and found none"),
    ("delete", set(), [(5, 9)], (0, 5), [(5, 9, T)], "just above it"),
    (None, set(), [(5, 9)], None, [(5, 9, U)], "the policy is not to be learnt"),
    ("compact", set(), [(5, 9)], None, [(5, 9, C)], "nobody sees them any more"),
    ("compact", set(), [(5, 5)], None, [(5, 5, C)], "one record, and no sign of transactions"),
    ("compact", {5, 6, 7}, [(5, 8)], None, [(5, 8, T)], "aborted, and the control record after them"),
    ("compact", {5, 6}, [(5, 9)], None, [(5, 7, T), (8, 9, C)], "aborted, control record, then compacted"),
    ("compact", {5}, [(5, 6), (8, 8)], None, [(5, 6, T), (8, 8, U)], "a single one where transactions occur"),
    ("compact,delete", set(), [(0, 3), (6, 7)], (0, 2), [(0, 1, R), (2, 3, C), (6, 7, C)], "both policies"),
    ("compact", None, [(5, 9)], None, [(5, 9, U)], "the probe ran out of time"),
]


@pytest.mark.parametrize(("policy", "visible", "gaps", "lost", "expected", "why"), TABLE)
def test_truth_table(policy, visible, gaps, lost, expected, why) -> None:  # type: ignore[no-untyped-def]
    asked = []

    def probe(topic: str, partition: int, first: int, last: int) -> set[int] | None:
        asked.append((first, last))
        return visible

    classifier = GapClassifier(lambda _topic: policy, probe)
    found = classifier.classify("t", 0, gaps, lost)
    assert [(gap.first_offset, gap.last_offset, gap.reason) for gap in found] == expected, why
    if policy is None or "compact" not in policy:
        assert not asked, "no reader is needed where nothing is compacted"


def test_the_policy_is_asked_for_once() -> None:
    asked = []

    def policy(topic: str) -> str:
        asked.append(topic)
        return "delete"

    classifier = GapClassifier(policy, lambda *_: set())
    for start in range(0, 100, 10):
        classifier.classify("t", 0, [(start, start)], None)
    assert asked == ["t"]

"""If this failed, the demo would claim to have found its fault when it was not, or deny it when it was."""

from __future__ import annotations

from typing import Any

import pytest

from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.planted import judge
from stream_lineage.sandbox.demo.report import Acknowledged

BAD = {0: 205, 1: 240, 2: 254}


def alert(**changed: Any) -> Alert:
    members: dict[str, Any] = {
        "id": "1",
        "fingerprint": "f",
        "kind": "schema-drift",
        "severity": "critical",
        "topic": "customers",
        "summary": "customers: something changed",
        "verdict": "none",
        "changes": (("type-changed", "age", "int", "string"),),
        "first_offsets": dict(BAD),
        "arrived": 0.0,
    }
    return Alert(**{**members, **changed})


def test_exactly_what_was_acknowledged() -> None:
    verdict = judge(BAD, [alert()])
    assert verdict.exact
    assert verdict.matches == (0, 1, 2)
    assert verdict.differences == ()


def test_an_update_holds_all_that_is_known() -> None:
    first = alert(first_offsets={1: 240})
    assert not judge(BAD, [first]).exact
    assert judge(BAD, [first, alert(id="2")]).exact
    assert judge(BAD, [first, alert(id="2")]).alert == alert(id="2")


# number, what was acknowledged, the alerts, what must be said
TABLE: list[tuple[int, dict[int, int], list[Alert], str]] = [
    (1, BAD, [], "no alert says that customers.age changed"),
    (2, BAD, [alert(first_offsets={0: 205, 1: 240})], "partition 2: the first bad record is at 254"),
    (3, BAD, [alert(first_offsets={**BAD, 1: 241})], "partition 1: the alert says 241, the first bad record is at 240"),
    (4, BAD, [alert(first_offsets={**BAD, 1: 239})], "partition 1: the alert says 239, the first bad record is at 240"),
    (5, {0: 205, 1: 240}, [alert()], "no bad record was acknowledged in partition 2"),
    (6, BAD, [alert(topic="clicks")], "no alert says that customers.age changed"),
    (7, BAD, [alert(kind="mixed-versions")], "no alert says that customers.age changed"),
    (8, BAD, [alert(changes=(("type-changed", "age", "int", "long"),))], "no alert says that customers.age changed"),
    (9, BAD, [alert(), alert(fingerprint="g", topic="clicks")], "an alert that nothing explains"),
    (10, BAD, [alert(), alert(fingerprint="g")], "under another fingerprint"),
    (11, {}, [alert()], "partition 0: the alert says 205, but no bad record was acknowledged"),
]


@pytest.mark.parametrize(("number", "acknowledged", "alerts", "said"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_what_differs_is_said(number: int, acknowledged: dict[int, int], alerts: list[Alert], said: str) -> None:
    verdict = judge(acknowledged, alerts)
    assert not verdict.exact
    assert any(said in difference for difference in verdict.differences), verdict.differences


def test_a_wrong_offset_is_no_match() -> None:
    assert judge(BAD, [alert(first_offsets={**BAD, 1: 239})]).matches == (0, 2)


def test_jobs_reports_are_told_from_their_other_output() -> None:
    reported = Acknowledged("customers", 7, 2, 4711)
    assert Acknowledged.from_line(reported.line()) == reported
    assert Acknowledged.from_line("%4|1795377174.144|GETPID|crm-sync#producer-1| ...") is None
    assert Acknowledged.from_line('{"event": "something"}') is None

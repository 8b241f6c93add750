"""If this failed, records that retention deleted unread would be lost in silence, or reported twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_lineage.detect.data_loss import MAX_RANGES, DataLoss
from stream_lineage.model.finding import Severity
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, SchemaReference
from stream_lineage.testing.observations import NOON, avro_reference, observation, span

V1 = avro_reference(1)
V2 = avro_reference(2)


class NoTexts:
    def text(self, reference: SchemaReference) -> None:
        return None


def told(observations: list[Observation]) -> list[list[tuple[dict[int, int], dict[int, int]]]]:
    detector = DataLoss()
    state = detector.initial()
    found = []
    for item in observations:
        state, findings = detector.observe(state, item, NOON, NoTexts())
        state = json.loads(json.dumps(state))
        assert all(finding.kind == "data-loss" and finding.severity is Severity.CRITICAL for finding in findings)
        found.append([(dict(finding.first_offsets), dict(finding.last_offsets)) for finding in findings])
    return found


def lost(partition: int, first: int, last: int) -> tuple[dict[int, int], dict[int, int]]:
    return {partition: first}, {partition: last}


TABLE: list[tuple[int, str, list[Observation], list[Any]]] = [
    (1, "nothing missing", [observation(V1, span(0, 0, 9))], [[]]),
    (2, "compaction is no loss", [observation(V1, span(0, 0, 9, [(3, 5)], "compacted"))], [[]]),
    (3, "transactions are no loss", [observation(V1, span(0, 0, 9, [(3, 5)], "transaction"))], [[]]),
    (4, "unknown is not said to be loss", [observation(V1, span(0, 0, 9, [(3, 5)], "unknown"))], [[]]),
    (5, "one range", [observation(V1, span(0, 0, 99, [(10, 49)]))], [[lost(0, 10, 49)]]),
    (
        6,
        "one range over the border of two spans",
        [observation(V1, span(0, 0, 99, [(90, 99)]), span(0, 100, 199, [(100, 120)]))],
        [[lost(0, 90, 120)]],
    ),
    (
        7,
        "several partitions and ranges",
        [observation(V1, span(0, 0, 99, [(0, 4), (50, 59)]), span(3, 7, 9, [(7, 7)]))],
        [[lost(0, 0, 4), lost(0, 50, 59), lost(3, 7, 7)]],
    ),
    (
        8,
        "it goes on in the next observation: the same range, longer",
        [observation(V1, span(0, 0, 99, [(90, 99)])), observation(V2, span(0, 100, 199, [(100, 120)]))],
        [[lost(0, 90, 99)], [lost(0, 90, 120)]],
    ),
    (
        9,
        "observations of one flush in either order",
        [observation(V2, span(0, 500, 599, [(500, 549)])), observation(V1, span(0, 100, 199, [(100, 149)]))],
        [[lost(0, 500, 549)], [lost(0, 100, 149)]],
    ),
    (
        10,
        "a topic made anew starts over, and its past stays past",
        [
            observation(V1, span(0, 0, 99, [(0, 9)])),
            observation(V1, span(0, 0, 99, [(0, 9)]), topic_id="epoch-2"),
            observation(V1, span(0, 0, 99, [(0, 9)])),
        ],
        [[lost(0, 0, 9)], [lost(0, 0, 9)], []],
    ),
    (
        11,
        "a resolution observes nothing anew",
        [observation(V1, span(0, 0, 9, [(3, 5)]), kind=ObservationKind.RESOLUTION)],
        [[]],
    ),
    (12, "loss is loss under any schema", [observation(OPAQUE, span(0, 0, 9, [(3, 5)]))], [[lost(0, 3, 5)]]),
]


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]}" for row in TABLE])
def test_truth_table(row: tuple[int, str, list[Observation], list[Any]]) -> None:
    number, why, observations, expected = row

    assert told(observations) == expected, (number, why)


def test_fingerprints_follow_the_range() -> None:
    detector = DataLoss()
    state, [first] = detector.observe(detector.initial(), observation(V1, span(0, 0, 99, [(90, 99)])), NOON, NoTexts())
    state, [longer] = detector.observe(state, observation(V1, span(0, 100, 199, [(100, 120)])), NOON, NoTexts())
    _, [other] = detector.observe(state, observation(V1, span(0, 200, 299, [(250, 260)])), NOON, NoTexts())

    assert first.fingerprint == longer.fingerprint != other.fingerprint
    assert first.summary == ("clicks: retention deleted 10 offsets of partition 0 (90 to 99) before they were observed")


def test_the_state_is_bounded() -> None:
    detector = DataLoss()
    state = detector.initial()
    for n in range(500):
        item = observation(V1, span(0, n * 100, n * 100 + 99, [(n * 100 + 50, n * 100 + 59)]))
        state, findings = detector.observe(state, item, NOON, NoTexts())
        assert len(findings) == 1
    assert len(state["lost"]["0"]) == MAX_RANGES

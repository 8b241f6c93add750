"""If this failed, the share of causes that were right would be wrong, or a label of people lost or told twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage.agents.incident_labels import LabelRead, Labels, label_points, label_read, merge_read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"incident-label/" + b"a" * 32


def body(**changed: Any) -> bytes:
    said = {"verdict": True, "cause": "raw", "confirms": True, "at": "2026-03-01T12:00:00+00:00"}
    return json.dumps({**said, **changed}).encode()


def test_a_label_is_a_point_at_its_time() -> None:
    read = label_read(KEY, body(cause="clean", confirms=False, at="2026-03-01T13:00:00+01:00"))
    assert read is not None
    [point] = label_points([(read, True)], "lab", NOW - timedelta(days=1))
    assert (point.measurement, point.time) == ("lineage_incident_label", NOW)
    assert point.tags == {"cluster": "lab", "incident": "a" * 32, "verdict": "true"}
    assert point.fields == {"labels": 1, "cause": "clean", "confirmed": 0}


def test_what_was_not_said_is_not_counted() -> None:
    read = label_read(KEY, body(verdict=False, cause=None, confirms=None))
    assert read is not None
    [point] = label_points([(read, True)], "lab", NOW)
    assert (point.tags["verdict"], point.fields) == ("false", {"labels": 1})


def test_a_label_older_than_the_store_keeps_is_left_out() -> None:
    read = label_read(KEY, body())
    assert read is not None
    assert label_points([(read, True)], "lab", NOW + timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"mute/x", body()), (None, body()), (KEY, None), (KEY, b"["), (KEY, b"[]"), (KEY, body(at="today")),
     (KEY, body(at=3)), (b"incident-label/\xff", body())],
)  # fmt: skip
def test_other_records_are_none(key: bytes | None, value: bytes | None) -> None:
    assert label_read(key, value) is None


def said(incident: str, minutes: int, *, confirms: bool = True) -> LabelRead:
    return LabelRead(incident, True, "raw", confirms, NOW + timedelta(minutes=minutes))


def counted(*portions: tuple[list[LabelRead], list[tuple[str, str]]]) -> dict[str, int]:
    """``confirmed`` by incident, as it stands in a store in which the same point is written over."""
    labels, stored = Labels(), {}
    for read, merges in portions:
        for point in label_points(labels.take(read, merges), "lab", NOW):
            stored[point.tags["incident"], point.time] = point.fields["confirmed"]
    newest = {incident: stored[incident, at] for incident, at in sorted(stored)}
    return {incident: int(confirmed) for incident, confirmed in newest.items() if int(confirmed) >= 0}


@pytest.mark.parametrize(
    ("portions", "left"),
    [
        ([([said("a", 1), said("b", 2, confirms=False)], [])], {"a": 1, "b": 0}),
        ([([said("a", 1), said("b", 2, confirms=False)], [("b", "a")])], {"b": 0}),
        ([([said("a", 3), said("b", 2, confirms=False)], [("b", "a")])], {"a": 1}),
        ([([said("b", 2)], []), ([], [("b", "a")])], {"b": 1}),  # the only one is that of what remains
        ([([said("a", 1), said("b", 2)], []), ([], [("b", "a")])], {"b": 1}),
        ([([], [("b", "a")]), ([said("b", 2)], []), ([said("a", 3, confirms=False)], [])], {"a": 0}),
        ([([said("a", 1), said("b", 2), said("c", 3)], [("c", "b"), ("b", "a")])], {"c": 1}),
        ([([said("c", 3), said("d", 1)], [("c", "b")]), ([said("a", 1)], [("b", "a")])], {"c": 1, "d": 1}),
        ([([said("a", 1), said("a", 2, confirms=False)], []), ([said("a", 3)], [])], {"a": 1}),  # said otherwise
        ([([said("a", 1), said("a", 2), said("b", 3, confirms=False)], []), ([], [("b", "a")])], {"b": 0}),
    ],
)  # fmt: skip
def test_incidents_that_are_one_count_once_by_the_newest_label(
    portions: list[tuple[list[LabelRead], list[tuple[str, str]]]], left: dict[str, int]
) -> None:
    assert counted(*portions) == left


def test_a_message_says_what_an_incident_has_become_part_of() -> None:
    assert merge_read(b'{"id":"b","merged_into":"a","summary":"x"}') == ("b", "a")
    for other in (None, b"", b'{"id":"b","merged_into":null}', b'{"summary":"\\"merged_into\\":\\"a"}',
                  b'{"merged_into":"a"}', b'["merged_into":"a"', b'[{"merged_into":"a"}]'):  # fmt: skip
        assert merge_read(other) is None

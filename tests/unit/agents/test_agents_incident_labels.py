"""If this failed, the share of causes that were right would be wrong, or a label of people lost or told twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage.agents.incident_labels import label_points, label_read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"incident-label/" + b"a" * 32


def body(**changed: Any) -> bytes:
    said = {"verdict": True, "cause": "raw", "confirms": True, "at": "2026-03-01T12:00:00+00:00"}
    return json.dumps({**said, **changed}).encode()


def test_a_label_is_a_point_at_its_time() -> None:
    read = label_read(KEY, body(cause="clean", confirms=False, at="2026-03-01T13:00:00+01:00"))
    assert read is not None
    [point] = label_points([read], "lab", NOW - timedelta(days=1))
    assert (point.measurement, point.time) == ("lineage_incident_label", NOW)
    assert point.tags == {"cluster": "lab", "incident": "a" * 32, "verdict": "true"}
    assert point.fields == {"labels": 1, "cause": "clean", "confirmed": 0}


def test_what_was_not_said_is_not_counted() -> None:
    read = label_read(KEY, body(verdict=False, cause=None, confirms=None))
    assert read is not None
    [point] = label_points([read], "lab", NOW)
    assert (point.tags["verdict"], point.fields) == ("false", {"labels": 1})


def test_a_label_older_than_the_store_keeps_is_left_out() -> None:
    read = label_read(KEY, body())
    assert read is not None
    assert label_points([read], "lab", NOW + timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"mute/x", body()), (None, body()), (KEY, None), (KEY, b"["), (KEY, b"[]"), (KEY, body(at="today")),
     (KEY, body(at=3)), (b"incident-label/\xff", body())],
)  # fmt: skip
def test_other_records_are_none(key: bytes | None, value: bytes | None) -> None:
    assert label_read(key, value) is None

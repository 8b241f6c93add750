"""If this failed, incidents would be read back as others, or one strange message would end those who read them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from stream_lineage.errors import DecodeError
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.provenance.incident_codec import incident_document, incident_of, remains, summary

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN = Member(
    "f1",
    "e1",
    "metric-anomaly",
    Severity.WARNING,
    "clicks",
    "price",
    None,
    "n1",
    "price is odd",
    NOON,
    NOON,
    once=False,
)
OVER = Member(
    "f2", "e2", "schema-drift", Severity.CRITICAL, "clicks", None, "job", "n2", "v2 came", NOON,
    NOON + timedelta(minutes=1), once=True, over_at=NOON + timedelta(minutes=2),
)  # fmt: skip
YOUNG = Incident(
    "i1", IncidentState.OPEN, 1, Severity.WARNING, NOON, NOON, IncidentBreach("n1", None, None, NOON), (OPEN,)
)
OLD = Incident(
    "i2", IncidentState.RESOLVED, 7, Severity.CRITICAL, NOON, NOON, IncidentBreach("n1", "mean", "price", NOON),
    (OPEN, OVER), {"sentence": "It broke at orders."}, 2.5, ("n3", "n4"), NOON + timedelta(hours=1), 2,
)  # fmt: skip


MERGED = replace(YOUNG, state=IncidentState.RESOLVED, resolved_at=NOON, merged_into="i2")


@pytest.mark.parametrize("incident", [YOUNG, OLD, MERGED], ids=["young", "old", "merged"])
def test_what_is_written_is_read_back(incident: Incident) -> None:
    document = incident_document(incident, "https://lineage.example")
    assert incident_of(document) == incident
    assert incident_of(orjson.dumps(document)) == incident
    assert document["url"] == f"https://lineage.example/incidents/{incident.id}"


def test_when_it_was_last_told_of() -> None:
    assert (YOUNG.over, YOUNG.last_at) == (False, NOON)
    assert (OLD.over, OLD.last_at) == (True, NOON + timedelta(minutes=1))


def test_its_sentence_says_what_broke_first_where_that_is_known() -> None:
    assert summary(YOUNG) == "price is odd"
    assert summary(MERGED) == "It turned out to be part of incident i2. price is odd"
    assert summary(OLD) == "It broke at orders. Noticed: price is odd (and 1 more)"


@pytest.mark.parametrize(
    ("merged", "whole"),
    [({}, "c"), ({"b": "a"}, "c"), ({"c": "b"}, "b"), ({"c": "b", "b": "a"}, "a"), ({"c": "b", "b": "c"}, "b")],
)
def test_what_remains_of_one_that_is_part_of_others(merged: dict[str, str], whole: str) -> None:
    assert remains("c", merged) == whole


@pytest.mark.parametrize(
    "change",
    [
        {"alerts": []},
        {"alerts": ["odd"]},
        {"alerts": None},
        {"state": "unheard of"},
        {"breach": None},
        {"opened_at": 3},
        {"opened_at": "noon"},
        {"opened_at": "0001-01-01T00:00:00+10:00"},  # before there was time
        {"revision": "x"},
    ],
)
def test_what_is_none_is_an_error_of_ours(change: dict[str, Any]) -> None:
    document = incident_document(OLD, "") | change
    with pytest.raises(DecodeError, match="no incident"):
        incident_of(orjson.dumps(document))


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b"null", b"3"])
def test_other_bytes_are_an_error_of_ours(value: bytes) -> None:
    with pytest.raises(DecodeError, match="no incident"):
        incident_of(value)

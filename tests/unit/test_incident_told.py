"""If this failed, what people said of an incident would be lost when it becomes one with another, or count twice."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage import incidents
from stream_lineage.errors import NotFound
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.provenance.incident_codec import incident_document
from stream_lineage.settings import Settings, load_settings
from stream_lineage.wire import acknowledged

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MEMBER = Member("f" * 32, "e" * 32, "mean", Severity.WARNING, "t", None, None, "n", "off", NOW, NOW, once=False)
OPEN = Incident(
    "a1", IncidentState.OPEN, 1, Severity.WARNING, NOW, NOW, IncidentBreach("n", "mean", None, NOW), (MEMBER,)
)


class Record:
    def __init__(self, key: str, body: dict[str, Any]) -> None:
        self._key, self._body = key, body

    def key(self) -> bytes:
        return self._key.encode()

    def value(self) -> bytes:
        return json.dumps(self._body).encode()


class Nobody:
    def close(self) -> None:
        pass


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """a1 remains, of which b1 is a part, and c1 of that; d1 is one by itself."""
    ones = [replace(OPEN, id=name, opened_at=NOW + timedelta(minutes=n)) for n, name in enumerate(("a1", "b1", "c1"))]
    told = [ones[0], replace(ones[1], merged_into="a1"), replace(ones[2], merged_into="b1"), replace(OPEN, id="d1")]
    labels = {"a1": (True, "raw", 1), "c1": (True, "clean", 2), "d1": (False, None, 3)}
    topics = {
        "lineage.incidents": [Record(each.id, incident_document(each, "")) for each in told],
        "lineage.state": [
            Record(f"incident-label/{name}", {"verdict": verdict, "cause": cause, "at": at(minute)})
            for name, (verdict, cause, minute) in labels.items()
        ],
    }
    monkeypatch.setattr(incidents, "log_reader", lambda _: Nobody())
    monkeypatch.setattr(incidents, "read_messages", lambda _, topic, progress=None: topics[topic])
    return load_settings({"bootstrap_servers": "127.0.0.1:1"}, environ={})


def at(minute: int) -> str:
    return (NOW + timedelta(minutes=minute)).isoformat()


def test_the_newest_label_of_those_that_are_one_is_that_of_each(settings: Settings) -> None:
    said = {each.incident.id: each.label for each in incidents.incidents(settings)}
    assert {name: label and label.cause for name, label in said.items()} == {
        "a1": "clean", "b1": "clean", "c1": "clean", "d1": None,
    }  # fmt: skip
    assert said["d1"] is not None
    of_one = incidents.label_of(settings, {"a1", "b1", "c1"})
    assert of_one is not None
    assert of_one.cause == "clean"
    assert incidents.label_of(settings, {"b1"}) is None


def test_what_is_said_of_a_part_is_said_of_what_remains(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(acknowledged, "write", lambda _kafka, _topic, messages: written.extend(messages))
    assert incidents.incident(settings, "c").incident.id == "c1"
    whole = incidents.incident(settings, "c", whole=True)
    incidents.put_label(settings, whole, incidents.Label(True, "raw", NOW))
    assert [key for key, _ in written] == [b"incident-label/a1"]
    assert incidents.incident(settings, "d", whole=True).incident.id == "d1"
    with pytest.raises(NotFound):
        incidents.incident(settings, "e", whole=True)

"""If this failed, subscribers would get alerts that are no CloudEvents, or not as the schema describes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from stream_lineage.agents.alerts import alert, reaching
from stream_lineage.collect.dead_letters import DeadLetter, message
from stream_lineage.model.finding import Compatibility, Finding, SchemaChange, Severity
from stream_lineage.model.observation import Link
from stream_lineage.model.schema import OPAQUE
from stream_lineage.model.schema_files import schema_text
from stream_lineage.testing.observations import avro_reference, observation, span

V1, V2 = avro_reference(1), avro_reference(2)
SEEN = observation(V2, span(0, 10, 19), observation_id="one")


def finding(**other: Any) -> Finding:
    values: dict[str, Any] = {
        "kind": "schema-drift",
        "severity": Severity.CRITICAL,
        "topic": "clicks",
        "field_path": "age",
        "summary": "clicks: something",
        "fingerprint": "0" * 32,
        "first_offsets": {10: 7, 2: 5},
        "before": V1,
        "after": V2,
        "compatibility": Compatibility(backward=True, forward=False),
        "changes": (SchemaChange("type-changed", "age", "int", "string", ("backward", "forward")),),
    }
    return Finding(**{**values, **other})


def validator(file: str) -> Any:
    schema = json.loads(schema_text(file))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(
    "one",
    [
        finding(),
        finding(kind="data-loss", before=None, after=None, compatibility=None, changes=(), last_offsets={2: 9}),
        finding(kind="key-subject-added", severity=Severity.INFO, before=None, compatibility=None, field_path=None),
        finding(before=OPAQUE),
    ],
)
def test_alerts_are_as_the_schema_says(one: Finding) -> None:
    validator("alert.schema.json").validate(json.loads(alert(one, "drift", SEEN, "http://ui").value))


def test_the_body() -> None:
    body = json.loads(alert(finding(), "drift", SEEN, "http://ui").value)

    assert list(body["first_offsets"].items()) == [("2", 5), ("10", 7)]
    assert body["dataset"] == {"namespace": "kafka://test", "name": "clicks"}
    assert body["compatibility"] == {"verdict": "backward", "backward": True, "forward": False}
    assert body["before"]["version"] == 1
    assert body["url"] == f"http://ui/alerts/{'0' * 32}"
    assert body["observed_at"] == "2026-03-01T12:00:00.000Z"


def test_an_alert_says_what_it_reaches_and_nothing_else_of_it_changes() -> None:
    made = alert(finding(), "drift", SEEN, "http://ui")
    body = json.loads(reaching(made, ["enrich", "orders-enriched"]))
    validator("alert.schema.json").validate(body)
    assert body == {**json.loads(made.value), "downstream": ["enrich", "orders-enriched"]}
    assert reaching(made, []) == made.value


def test_the_headers_are_those_of_cloudevents() -> None:
    made = alert(finding(), "anomaly", SEEN, "http://ui")
    headers = {name: value.decode() for name, value in made.headers}

    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": made.event_id,
        "ce_source": "kafka://test/clicks",
        "ce_type": "io.stream-lineage.anomaly.v1",
        "ce_time": "2026-03-01T12:00:00.000Z",
        "ce_subject": "clicks",
        "content-type": "application/json",
    }
    assert made.key == b"clicks"


def test_ids_follow_from_what_is_told_and_from_where() -> None:
    links = (Link(1, bytes(32), b"\x01" * 32), Link(0, bytes(32), b"\x02" * 32))
    linked = observation(V2, span(0, 10, 19), links=links, observation_id="one")
    turned = observation(V2, span(0, 10, 19), links=links[::-1], observation_id="two")
    ids = [
        alert(one, "drift", seen, "http://ui").event_id
        for one, seen in (
            (finding(), SEEN),
            (finding(first_offsets={2: 5}), SEEN),
            (finding(last_offsets={2: 5}), SEEN),
            (finding(fingerprint="1" * 32), SEEN),
            (finding(), observation(V2, span(0, 10, 19), observation_id="two")),
            (finding(), linked),
        )
    ]

    assert len(set(ids)) == len(ids)
    assert alert(finding(first_offsets={2: 5, 10: 7}), "drift", SEEN, "http://elsewhere").event_id == ids[0]
    assert alert(finding(), "drift", turned, "http://ui").event_id == ids[-1]


def test_dead_letters_are_as_their_schema_says() -> None:
    letter = DeadLetter("clicks", "epoch", 0, 7, 7, 1, "value", "truncated", "ended early", 12, V1)
    made = message(letter, to="lineage.dead-letters", cluster="test", now=datetime(2026, 3, 1, 12, tzinfo=UTC))

    validator("dead-letter.schema.json").validate(json.loads(made.value))


@pytest.mark.parametrize("bad", [{"severity": "bad"}, {"first_offsets": {}}, {"fingerprint": "x"}, {"extra": 1}])
def test_the_schema_refuses_what_is_none(bad: dict[str, Any]) -> None:
    body = json.loads(alert(finding(), "drift", SEEN, "http://ui").value)
    with pytest.raises(jsonschema.ValidationError):
        validator("alert.schema.json").validate({**body, **bad})

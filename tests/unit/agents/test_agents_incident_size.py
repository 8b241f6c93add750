"""If this failed, an incident with much to say would stop the agents, since brokers do not take its message."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import orjson
import pytest

from stream_lineage.agents.incident_size import MOST_BYTES, fitted
from stream_lineage.agents.incident_watch import incident_message
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.model.schema_files import schema_text
from stream_lineage.provenance.incident_codec import incident_document

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text("incident.schema.json")))
LONG = "n" * 990


def member(number: int, summary: str = "off", name: str = "orders") -> Member:
    return Member(
        f"{number:032}", f"e{number}", "mean", Severity.WARNING, name, name, None, f"dataset:kafka://lab/{name}",
        summary, NOW, NOW, once=False,
    )  # fmt: skip


def cause(hops: int = 1, partitions: int = 0, name: str = "orders", evidence: str = "it is at 3") -> dict[str, Any]:
    path = [f"{name}{number}" for number in range(hops)]
    edges = [{"from": name, "to": name, "evidence": [evidence], "sureness": 1.0} for _ in path[1:]]
    ranked = {
        "node": path[0], "kind": "dataset", "metric": "mean", "field": "a", "onset": 1.0, "onset_interval": [0.0, 1.0],
        "score": 1.0, "confidence": 0.9, "named": True, "path": path, "hops": edges, "evidence": [evidence] * 3,
    }  # fmt: skip
    bad = {
        "cause": name, "topic": name, "topic_id": None, "partition": 0, "offset": 3, "exact": True, "first": 3,
        "last": 3, "by": "values", "timestamp": None, "why": evidence,
    }  # fmt: skip
    group = {"group": name, "partitions": [{"topic": name, "partition": each} for each in range(partitions)]}
    plan = {"reason": name, "at": "2026-03-01T12:00:00Z", "starts": [], "groups": [group], "left_out": [], "notes": []}
    return {
        "verdict": "root-cause", "sentence": evidence, "ranking": [ranked], "rejected": [], "affected": [],
        "affected_count": 7, "settle": [], "notes": ["noted before"], "causes": [],
        "first_bad": [{**bad, "partition": each} for each in range(partitions)], "first_bad_notes": [],
        "columns": [f"{name}.a"] * partitions, "consumer_groups": [name], "replay": [plan], "located": evidence,
    }  # fmt: skip


def incident(
    members: int = 1, cause: dict[str, Any] | None = None, related: int = 1, name: str = "orders", summary: str = "off"
) -> Incident:
    told = tuple(member(each, summary, name) for each in range(members))
    breach = IncidentBreach(told[0].node, "mean", "a", NOW)
    return Incident(
        "a" * 32, IncidentState.ROOT_CAUSE, 3, Severity.WARNING, NOW, NOW, breach, told, cause, 4.0,
        tuple(f"{name}{each}" for each in range(related)),
    )  # fmt: skip


def size(each: Incident) -> int:
    return len(orjson.dumps(incident_document(each, "")))


def test_what_fits_is_as_it_is() -> None:
    for each in (incident(), incident(3, cause(4, 5), 4)):
        assert fitted(each) == each
        assert fitted(each, size(each)) == each


LARGE = [
    incident(200, cause(200, 1_000, LONG, LONG), 200, LONG, LONG),  # all that is allowed, in the longest names
    incident(1, cause(1, 20_000)),  # many partitions
    incident(1, cause(9_000), 9_000),  # a way without end
    incident(1, cause(3, 3, evidence="e" * 900_000)),
    incident(200, None, name=LONG, summary=LONG),
    incident(1, cause(1, 1), 100_000),
]


@pytest.mark.parametrize("large", LARGE, ids=["all", "partitions", "way", "texts", "problems", "related"])
def test_what_is_too_large_is_cut_until_a_message_holds_it(large: Incident) -> None:
    assert size(large) > MOST_BYTES or large is LARGE[4]
    most = min(MOST_BYTES, size(large) - 1)
    made = fitted(large, most)
    message = incident_message(made, "lab", "http://ui")
    assert size(made) <= most
    VALIDATOR.validate(json.loads(message.value))
    assert (made.id, made.state, made.revision, made.breach) == (large.id, large.state, large.revision, large.breach)
    assert made.members
    assert [each.fingerprint for each in made.members] == [
        each.fingerprint for each in large.members[: len(made.members)]
    ]
    assert made.related == large.related[: len(made.related)] != ()
    assert fitted(made, most) == made


def test_what_is_left_out_is_counted_and_names_are_not_cut() -> None:
    most = 60_000
    made = fitted(incident(2, cause(40, 5_000, evidence="e" * 500)), most)
    said = made.cause
    assert said is not None
    kept = len(said["first_bad"])
    assert 0 < kept < 5_000
    assert said["notes"][0] == "noted before"
    assert f"{5_000 - kept:,} of first_bad" in said["notes"][1]
    assert f"{5_000 - kept:,} of columns" in said["notes"][1]
    path = said["ranking"][0]["path"]
    assert (path[0], path[-1], said["ranking"][0]["node"]) == ("orders0", "orders39", "orders0")
    assert f"{40 - len(path):,} of path" in said["notes"][1]
    assert len(said["sentence"]) < 500
    assert said["sentence"].endswith("e…")
    assert (said["verdict"], said["affected_count"]) == ("root-cause", 7)


def test_where_names_alone_are_too_much_the_cause_is_left_to_explain() -> None:
    made = fitted(incident(50, cause(8, 1, LONG), 8, LONG), 30_000)
    assert made.cause is not None
    assert "too large" in made.cause["sentence"]
    assert made.related == (f"{LONG}0",)
    assert 0 < len(made.members) < 50

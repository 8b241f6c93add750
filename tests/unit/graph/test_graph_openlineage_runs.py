"""If this failed, others would get events of ours that they refuse, or other runs each time, or what is not so."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from referencing import Registry, Resource

from stream_lineage.emitting import events_of
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.graph.openlineage_runs import Assertion, ColumnFacts, DatasetFacts, run_events
from stream_lineage.graph.picture import whole
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = Naming("prod")
ORDERS, SCORES, JOB, GONE = NAMES.topic("orders"), NAMES.topic("scores"), NAMES.job("score"), NAMES.job("gone")
FACTS = {
    ORDERS: DatasetFacts(
        "ab" * 32, 100, 4500,
        {"amount": ColumnFacts(100, 3, 0.5, 9.5, {"p50": 4.0}), "user.id": ColumnFacts(100)},
        [Assertion("null-ratio", "amount", False, True), Assertion("freshness", None, True, False)],
        ["orders: 40% of amount are null"],
    ),
    SCORES: DatasetFacts(rows=50, columns={"seen": ColumnFacts(5)},
        types={"score": "double", "at": "timestamp-millis"}),
}  # fmt: skip


def graph(*edges: tuple[Node, Node, float, timedelta | None]) -> Graph:
    """Source, target, confidence, and how long ago it was withdrawn."""
    found = Graph()
    begun = NOW - timedelta(days=7)
    for source, target, sure, ago in edges:
        over = None if ago is None else NOW - ago
        evidence = Evidence(EvidenceClass.DECLARED, "file", begun, over or NOW, sure, (), over)
        found.take(GraphEvent(GraphEdge(source, target), evidence))
    return found


STREAMING = graph(
    (ORDERS, JOB, 1.0, None), (JOB, SCORES, 1.0, None),
    (NAMES.column("orders", "amount"), NAMES.column("scores", "score"), 1.0, None),
    (JOB, NAMES.topic("guessed"), 0.3, None),
)  # fmt: skip


def test_a_job_that_streams_is_one_run_however_often_it_is_sent() -> None:
    start, running = run_events(STREAMING, FACTS, NOW)
    again = run_events(STREAMING, {}, NOW + timedelta(hours=1))
    assert [event["eventType"] for event in (start, running)] == ["START", "RUNNING"]
    assert (start["eventTime"], running["eventTime"]) == ("2026-02-22T12:00:00.000Z", "2026-03-01T12:00:00.000Z")
    assert len({event["run"]["runId"] for event in (start, running, *again)}) == 1
    assert again[0] == start
    for event in (start, running):
        assert [(each["namespace"], each["name"]) for each in event["inputs"]] == [("kafka://prod", "orders")]
        assert [each["name"] for each in event["outputs"]] == ["scores"]  # and not what is guessed


def test_facets_say_what_is_known() -> None:
    running = run_events(STREAMING, FACTS, NOW)[1]
    [read], [written] = running["inputs"], running["outputs"]
    assert read["facets"]["version"]["datasetVersion"] == "ab" * 32
    assert read["facets"]["schema"]["fields"] == [
        {"name": "amount", "type": "number"}, {"name": "user.id", "type": "unknown"},
    ]  # fmt: skip
    assert [(each["name"], each["type"]) for each in written["facets"]["schema"]["fields"]] == [
        ("score", "double"), ("at", "timestamp-millis"), ("seen", "unknown"),
    ]  # fmt: skip
    metrics = read["inputFacets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["bytes"]) == (100, 4500)
    assert metrics["columnMetrics"]["amount"] == {
        "count": 100, "nullCount": 3, "min": 0.5, "max": 9.5, "quantiles": {"0.5": 4.0},
    }  # fmt: skip
    assert read["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {"assertion": "null-ratio", "success": False, "severity": "error", "column": "amount"},
        {"assertion": "freshness", "success": True, "severity": "warn"},
    ]
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 50
    [source] = written["facets"]["columnLineage"]["fields"]["score"]["inputFields"]
    assert source == {"namespace": "kafka://prod", "name": "orders", "field": "amount"}
    assert running["run"]["facets"]["errorMessage"]["message"] == "orders: 40% of amount are null"
    assert running["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
    assert running["run"]["facets"]["processing_engine"]["name"] == "kafka"
    assert "parent" not in running["run"]["facets"]


@pytest.mark.parametrize(("ago", "kinds"), [(timedelta(hours=1), ["START", "COMPLETE"]), (timedelta(days=2), [])])
def test_what_has_ended_is_complete_and_then_no_more_said(ago: timedelta, kinds: list[str]) -> None:
    found = run_events(graph((ORDERS, GONE, 1.0, ago)), FACTS, NOW)
    assert [event["eventType"] for event in found] == kinds
    assert all(event["inputs"] == [] for event in found)


def test_what_is_only_guessed_is_not_said() -> None:
    assert run_events(graph((ORDERS, JOB, 0.3, None)), FACTS, NOW) == []


def said(subject: Node | GraphEdge, by: EvidenceClass, **detail: str) -> GraphEvent:
    begun = NOW - timedelta(days=7)
    return GraphEvent(subject, Evidence(by, "somebody", begun, NOW, 1.0, tuple(sorted(detail.items()))))


UUID_1, UUID_2 = "0190a1b2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000002"


def test_a_job_that_was_started_by_another_run_says_so() -> None:
    found = graph((ORDERS, JOB, 1.0, None), (JOB, SCORES, 1.0, None))
    found.take(
        said(
            JOB,
            EvidenceClass.DECLARED,
            parent=f"airflow://prod/nightly.score/{UUID_1}",
            root=f"airflow://prod/nightly/{UUID_2}",
        )
    )
    for event in run_events(found, {}, NOW):
        facet = event["run"]["facets"]["parent"]
        assert (facet["run"], facet["job"]) == (
            {"runId": UUID_1}, {"namespace": "airflow://prod", "name": "nightly.score"},
        )  # fmt: skip
        assert facet["root"] == {"run": {"runId": UUID_2}, "job": {"namespace": "airflow://prod", "name": "nightly"}}


@pytest.mark.parametrize("parent", ["", "no run", "a/b/c", f"/b/{UUID_1}", f"a//{UUID_1}", f"a/b{chr(10)}/{UUID_1}"])
def test_a_parent_that_is_none_is_not_told(parent: str) -> None:
    found = graph((ORDERS, JOB, 1.0, None))
    found.take(said(JOB, EvidenceClass.DECLARED, parent=parent))
    assert [set(event["run"]["facets"]) for event in run_events(found, {}, NOW)] == [{"processing_engine"}] * 2


def test_a_parent_that_others_tell_of_counts_if_it_was_told_last() -> None:
    found = graph((ORDERS, JOB, 1.0, None))
    ours, theirs = (f"airflow/{name}/0193f9b8-0000-7000-8000-000000000001" for name in ("ours", "a%2Fb"))
    found.take(said(JOB, EvidenceClass.DECLARED, parent=ours))
    later = said(JOB, EvidenceClass.OPENLINEAGE, parent=theirs, run="r")
    found.take(GraphEvent(JOB, replace(later.evidence, last_seen=NOW + timedelta(seconds=1))))
    parents = [event["run"]["facets"]["parent"]["job"]["name"] for event in run_events(found, {}, NOW)]
    assert parents == ["a/b", "a/b"]


def test_jobs_that_only_others_tell_of_are_theirs_to_tell() -> None:
    found, theirs = graph((ORDERS, JOB, 1.0, None)), Node(NodeKind.JOB, "airflow", "nightly")
    found.take(said(GraphEdge(SCORES, theirs), EvidenceClass.OPENLINEAGE))
    events = events_of(found, whole(found), {}, NOW)
    assert {event["job"]["name"] for event in events if "job" in event} == {"score"}
    found.take(said(GraphEdge(ORDERS, JOB), EvidenceClass.OPENLINEAGE))  # both of us tell of this one
    assert len(run_events(found, {}, NOW)) == 2


def test_models_and_dashboards_are_jobs_without_runs_and_datasets_have_what_is_known() -> None:
    model = Node(NodeKind.MODEL, NAMES.namespace, "fraud")
    found = graph((ORDERS, JOB, 1.0, None), (ORDERS, model, 1.0, None))
    events = events_of(found, whole(found), FACTS, NOW)
    assert [event["job"]["name"] for event in events if "run" not in event and "job" in event] == ["fraud"]
    [orders] = [event["dataset"] for event in events if "dataset" in event]
    assert set(orders["facets"]) == {"schema", "version"}


SPEC = os.environ.get("OPENLINEAGE_SPEC_DIR")


@pytest.mark.skipif(not SPEC, reason="OPENLINEAGE_SPEC_DIR says where the specification lies")
def test_runs_are_as_the_specification_says() -> None:
    files = [json.loads(path.read_text()) for path in Path(SPEC or "").rglob("*.json")]
    registry = Registry().with_resources((file["$id"], Resource.from_contents(file)) for file in files)
    checked: set[str] = set()

    def valid(what: Any, url: str) -> None:
        checks = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator({"$ref": url}, registry=registry, format_checker=checks).validate(what)

    everything = graph(
        (ORDERS, JOB, 1.0, None), (JOB, SCORES, 1.0, None), (ORDERS, GONE, 1.0, timedelta(hours=1)),
        (ORDERS, Node(NodeKind.MODEL, NAMES.namespace, "fraud"), 1.0, None), (ORDERS, NAMES.topic("copied"), 1.0, None),
        (NAMES.column("orders", "amount"), NAMES.column("scores", "score"), 1.0, None),
    )  # fmt: skip
    everything.take(said(ORDERS, EvidenceClass.DECLARED, owner="shop"))
    everything.take(said(JOB, EvidenceClass.DECLARED, parent=f"airflow/nightly/{UUID_1}", root=f"airflow/all/{UUID_2}"))
    events = events_of(everything, whole(everything), FACTS, NOW)
    kinds = {(event["schemaURL"].rpartition("/")[2], event.get("eventType")) for event in events}
    assert kinds == {
        ("RunEvent", "START"), ("RunEvent", "RUNNING"), ("RunEvent", "COMPLETE"), ("JobEvent", None),
        ("DatasetEvent", None),
    }  # fmt: skip
    for event in events:
        valid(event, event["schemaURL"])
        datasets = [
            *event.get("inputs", ()),
            *event.get("outputs", ()),
            *([event["dataset"]] if "dataset" in event else ()),
        ]
        groups = [event[name]["facets"] for name in ("run", "job") if name in event]
        groups += [each.get(name, {}) for each in datasets for name in ("facets", "inputFacets", "outputFacets")]
        for facets in groups:
            for name, facet in facets.items():
                valid({name: facet}, facet["_schemaURL"].partition("#")[0])  # under the name that it goes by
                valid(facet, facet["_schemaURL"])
                checked.add(name)
    assert checked == {
        "jobType", "processing_engine", "parent", "errorMessage", "schema", "version", "dataQualityMetrics",
        "dataQualityAssertions", "outputStatistics", "columnLineage", "lineage", "ownership",
    }  # fmt: skip

"""If this failed, an incident would be explained from another node or metric than the one that it was noticed in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.incident_cause import IncidentCause
from stream_lineage.agents.incident_life import AlertRead
from stream_lineage.graph.naming import naming
from stream_lineage.model.finding import Severity
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.store.ports import Point
from stream_lineage.testing.stores import MemoryStore

NAMES = naming("lab", [])
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAW, CLEAN, JOB = NAMES.topic("raw"), NAMES.topic("clean"), NAMES.group("cleaner")
MODEL = Node(NodeKind.MODEL, "ml", "churn")


class Nothing:
    """A topic that holds nothing."""

    def end(self) -> int:
        return 0

    def read(self, start: int) -> tuple[list[Any], int]:
        return [], start


def cause(*, broken: bool = True, fewer: bool = False) -> IncidentCause:
    store = MemoryStore()
    random = np.random.default_rng(5)
    for node, since in ((RAW, 280), (CLEAN, 281)):
        for window in range(290):
            at = AT - timedelta(seconds=10 * (290 - window))
            tags = {"cluster": "lab", "topic": node.name}
            whole = {**tags, "partition": "0", "schema_version": "1"}
            usual = 5 if fewer and window >= since else 100
            store.write([Point("lineage_topic", whole, {"records": int(usual + random.integers(0, 9))}, at)])
            distinct = 50 + random.normal() - ((7 if fewer else 40) if broken and window >= since else 0)
            store.write([Point("lineage_field", {**tags, "field": "age"}, {"distinct": distinct}, at)])
    fold = GraphFold(Nothing(), NAMES)
    for source, target in ((RAW, JOB), (JOB, CLEAN), (CLEAN, MODEL)):
        known = Evidence(EvidenceClass.DECLARED, "test", AT - timedelta(days=1), AT, 1.0)
        fold.graph.take(GraphEvent(GraphEdge(source, target), known))
    return IncidentCause(fold, NAMES, store, wall=lambda: AT)


def incident(node: Node, metric: str | None, field: str | None) -> Incident:
    member = Member("f" * 32, "e" * 32, "any", Severity.CRITICAL, node.name, field, None, node.id, "clean: it is off",
                    AT, AT, once=True)  # fmt: skip
    breach = IncidentBreach(node.id, metric, field, AT)
    return Incident("a" * 32, IncidentState.OPEN, 1, Severity.CRITICAL, AT, AT, breach, (member,))


def alert(kind: str, topic: str, job: str | None = None) -> AlertRead:
    return AlertRead("e" * 32, "f" * 32, kind, Severity.WARNING, topic, None, job, "off", "open", AT, "lag")


def test_the_metric_of_the_alert_is_explained_or_one_that_deviates_with_it() -> None:
    for metric in ("distinct", None):
        found = cause().of(incident(CLEAN, metric, "age"))
        document, related = found.document, found.related
        assert document["verdict"] == "root-cause"
        assert document["ranking"][0]["path"] == ["raw", "cleaner", "clean"]
        assert related == (RAW.id, JOB.id, CLEAN.id)
        [spot] = found.spots
        assert (spot.cause, spot.topic, spot.metric) == ("raw", "raw", document["ranking"][0]["metric"])
        assert spot.since < spot.until
        assert document["causes"][0]["node"] == "raw"
    found = cause(broken=False).of(incident(CLEAN, None, "age"))
    document, related = found.document, found.related
    assert (document["verdict"], related) == ("inconclusive", ())
    assert "clean: it is off" in document["sentence"]


def test_what_the_field_itself_shows_comes_before_what_its_topic_shows() -> None:
    document = cause(fewer=True).of(incident(RAW, None, "age")).document
    assert document["ranking"][0]["field"] == "age"
    document = cause(broken=False, fewer=True).of(incident(RAW, None, "age")).document
    assert (document["ranking"][0]["metric"], document["ranking"][0]["field"]) == ("records", None)


def test_what_is_not_measured_or_not_in_the_graph_is_said() -> None:
    found = cause().of(incident(MODEL, "accuracy", None))
    document, related = found.document, found.related
    assert (document["verdict"], related) == ("inconclusive", ())
    assert "no series of accuracy of churn" in document["sentence"]
    document = cause().of(incident(NAMES.topic("of/nobody"), "records", None)).document
    assert "no series of records of of/nobody" in document["sentence"]


def test_an_alert_stands_at_its_topic_its_job_or_the_node_that_was_pushed_for() -> None:
    asked = cause()
    found = asked.standing(alert("mean", "clean"))
    assert (found.node, found.on_path) == (CLEAN.id, {RAW.id, JOB.id, MODEL.id})
    assert asked.standing(alert("group-stalled", "raw", "cleaner")).node == JOB.id
    assert asked.standing(alert("pushed-metric", "churn")).node == MODEL.id
    assert asked.standing(alert("pushed-metric", "nobody")).node == NAMES.topic("nobody").id

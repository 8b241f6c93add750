"""If this failed, `stream-lineage graph` would show another graph than there is, or break whoever reads its output."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stream_lineage import graphing
from stream_lineage.cli.main import run
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

NAMES = naming("test", [])
NOW = datetime.now(UTC).replace(microsecond=0)
ORDERS, COPY, JOB = NAMES.topic("orders"), NAMES.topic("orders-copy"), NAMES.job("copier")
BOARD = Node(NodeKind.DASHBOARD, "kafka://test", 'a "board"')


def edge(source: Node, target: Node, hours_ago: float, by: EvidenceClass = EvidenceClass.DECLARED) -> GraphEvent:
    seen = NOW - timedelta(hours=hours_ago)
    return GraphEvent(
        GraphEdge(source, target), Evidence(by, "s", seen, NOW, 0.3 if by is EvidenceClass.VALUES else 1.0)
    )


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> list[GraphEvent]:
    events = [
        edge(ORDERS, JOB, 50), edge(JOB, COPY, 50), edge(COPY, BOARD, 10),
        edge(COPY, NAMES.topic("guess"), 5, EvidenceClass.VALUES),
    ]  # fmt: skip
    monkeypatch.setattr(graphing, "lineage_graph", lambda *_: Graph(events))
    return events


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["graph", *arguments, "--output", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def names(document: Any) -> list[str]:
    return [node["name"] for node in sorted(document["nodes"], key=lambda node: node.get("depth", 0))]


def test_who_is_hit_and_what_it_is_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert names(shown(capsys, "impact", "orders")) == ["orders", "copier", "orders-copy", 'a "board"']
    assert names(shown(capsys, "impact", "orders", "--depth", "1")) == ["orders", "copier"]
    assert names(shown(capsys, "ancestors", 'a "board"')) == ['a "board"', "orders-copy", "copier", "orders"]
    assert "guess" in names(shown(capsys, "impact", "orders", "--candidates"))
    assert set(names(shown(capsys, "show", "orders-copy"))) == {"copier", "orders-copy", 'a "board"'}
    assert len(shown(capsys, "show")["edges"]) == 3


def test_as_of_another_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert names(shown(capsys, "impact", "orders", "--at", "1d")) == ["orders", "copier", "orders-copy"]
    assert run(["graph", "show", "--at", "100h"]) == 1
    assert "it begins at" in capsys.readouterr().err
    found = shown(capsys, "diff", "--since", "20h")
    assert [each["to"] for each in found["edges_added"]] == [BOARD.id]
    assert found["nodes_removed"] == []
    assert len(shown(capsys, "diff", "--since", "1000h")["edges_added"]) == 3
    assert shown(capsys, "diff", "--since", "2h") == {key: [] for key in found}


@pytest.mark.parametrize(
    ("output", "begins"),
    [("table", "dataset:kafka://test/orders"), ("mermaid", "flowchart LR"), ("dot", "digraph"), ("cypher", "MERGE"),
     ("openlineage", "[")],
)  # fmt: skip
def test_all_forms(output: str, begins: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "impact", "orders", "--output", output]) == 0
    text = capsys.readouterr().out
    assert text.strip().startswith(begins)
    assert "board" in text
    assert "guess" not in text


def test_what_is_not_there(capsys: pytest.CaptureFixture[str], known: list[GraphEvent]) -> None:
    assert run(["graph", "impact", "order"]) == 1
    assert "Did you mean orders" in capsys.readouterr().err
    assert run(["graph", "show", "--depth", "2"]) == 2
    assert run(["graph", "diff", "--since", "2030-01-01T00:00Z"]) == 2
    assert run(["graph", "impact", 'a "board"']) == 0
    assert capsys.readouterr().out == 'a "board": nothing is known to be made of it\n'
    assert run(["graph", "ancestors", "orders"]) == 0
    assert capsys.readouterr().out == "orders: nothing is known to lead there\n"
    known.clear()
    assert run(["graph", "show"]) == 1
    assert "empty" in capsys.readouterr().err


def test_what_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "stale")
    assert {(each["kind"], each["edge"]["to"]) for each in found} == {("unobserved", JOB.id), ("unobserved", COPY.id)}
    assert run(["graph", "stale"]) == 0
    assert "never" in capsys.readouterr().out


def test_coverage_of_what_was_observed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.sqlite")
    for topic, version, records in (("orders", "3", 10.0), ("quiet", "json", 5.0), ("loud", "opaque", 70.0)):
        tags = {"cluster": "test", "topic": topic, "partition": "0", "schema_version": version}
        old = Point("lineage_topic", tags, {"records": 1000.0}, NOW - timedelta(days=3))
        store.write([Point("lineage_topic", tags, {"records": records}, NOW - timedelta(hours=1)), old])
    store.close()
    rules = tmp_path / "rules.yaml"
    rules.write_text("expectations: {orders: {rows_deviation: 0.5}}")
    given = ["--sqlite-path", str(tmp_path / "metrics.sqlite"), "--cluster", "test", "--alert-rules", str(rules)]
    found = shown(capsys, "coverage", *given)
    assert [(each["topic"], each["records"], each["score"]) for each in found["topics"]] == [
        ("loud", 70.0, 0.0), ("orders", 10.0, 0.75), ("quiet", 5.0, 0.0),
    ]  # fmt: skip
    assert found["shares"]["schema"] == pytest.approx(1 / 3, abs=1e-3)
    assert run(["graph", "coverage", *given]) == 0
    assert "3 topics: schema 33%, owner 0%, traced 33%, expectations 33%" in capsys.readouterr().out

"""If this failed, a page of a large graph would cost all of it, or the next page could not be asked for."""

from __future__ import annotations

import difflib
import sqlite3
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asking import NAMES, NOW, MadeLineage, Told
from starlette.testclient import TestClient

from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance

NODES = 400
SURE = Evidence(EvidenceClass.DECLARED, "lineage file", NOW, NOW, 1.0)
LATER = Evidence(EvidenceClass.DECLARED, "lineage file", NOW + timedelta(hours=2), NOW + timedelta(hours=2), 1.0)
ODD = ["a", "a-b", "a.b", "a b", "a/b", "a0", "a>b", "a~", "aé"]


def _edges() -> list[GraphEdge]:
    found = [GraphEdge(NAMES.topic(f"t{n}"), NAMES.topic(f"t{n + 1}")) for n in range(NODES)]
    odd = [Node(NAMES.topic("x").kind, "files", name) for name in ODD]
    found += [GraphEdge(one, other) for one in odd for other in odd if one != other]
    long = [Node(NAMES.topic("x").kind, "files", "é" * 990 + str(n)) for n in range(5)]
    found += [GraphEdge(one, other) for one, other in pairwise(long)]
    wide = NAMES.column("wide", "all")
    found += [GraphEdge(NAMES.column("t1", f"c{n}"), wide) for n in range(1005)]
    deep = [NAMES.column("deep", "é" * 990 + str(n)) for n in range(5)]
    return found + [GraphEdge(each, NAMES.column("t2", "c")) for each in deep]


EDGES = _edges()


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> MadeLineage:
    made = MadeLineage(tmp_path_factory.mktemp("pages"))
    made.graph = Graph(GraphEvent(each, SURE) for each in EDGES)
    return made


@pytest.fixture(scope="module")
def client(lineage: MadeLineage) -> TestClient:
    return TestClient(make_app(lineage, Told(), Entrance(None)))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often nodes and edges are looked at closely."""
    counted: Counter[str] = Counter()
    for name in ("view", "view_at", "known", "evidence_of"):
        whole = getattr(Graph, name)

        def counting(graph: Graph, *what: Any, whole: Any = whole, name: str = name) -> Any:
            counted[name] += 1
            return whole(graph, *what)

        monkeypatch.setattr(Graph, name, counting)
    return counted


def walked(client: TestClient, path: str, limit: int, **parameters: Any) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        answer = client.get(
            f"/api/v1{path}", params={**parameters, "limit": limit, **({"cursor": cursor} if cursor else {})}
        )
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return items


def test_pages_are_in_the_order_of_ids_and_whole(client: TestClient) -> None:
    edges = [each["id"] for each in walked(client, "/graph/edges", 97)]
    assert edges == sorted(each.id for each in EDGES)
    nodes = [each["id"] for each in walked(client, "/graph/nodes", 97)]
    assert nodes == sorted({end.id for each in EDGES for end in (each.source, each.target)})


def test_long_names_have_cursors_that_are_taken(client: TestClient) -> None:
    assert len(walked(client, "/graph/nodes", 1, q="é" * 300)) == 10
    assert len(walked(client, "/columns", 1, dataset="deep")) == 5
    assert len(walked(client, "/datasets", 1, q="é" * 300)) == 5


def test_what_is_not_shown_is_not_looked_at(client: TestClient, lineage: MadeLineage, seen: Counter[str]) -> None:
    asked: list[tuple[str, dict[str, int | str]]] = [
        ("/graph/edges", {"limit": 2}),
        ("/graph/nodes", {"limit": 2}),
        ("/graph", {"nodes": 2}),
        ("/graph", {"focus": "t0", "direction": "downstream", "nodes": 2}),
        ("/impact", {"node": "t0", "nodes": 2}),
        ("/columns", {"dataset": "t1", "limit": 2}),
    ]
    for path, parameters in asked:
        seen.clear()
        assert client.get(f"/api/v1{path}", params=parameters).status_code == 200
        assert sum(seen.values()) <= 4, path
    assert client.get("/api/v1/impact", params={"node": "t0", "nodes": 2}).json()["counts"]["dataset"] == NODES


def test_changes_look_at_what_changed(client: TestClient, lineage: MadeLineage, seen: Counter[str]) -> None:
    since = (NOW + timedelta(hours=1)).isoformat()
    was, lineage.graph = lineage.graph, Graph(GraphEvent(each, SURE) for each in EDGES[:NODES])
    try:
        lineage.graph.take(GraphEvent(GraphEdge(NAMES.topic("t9"), NAMES.topic("new")), LATER))
        found = client.get("/api/v1/graph/changes", params={"since": since}).json()
    finally:
        lineage.graph = was
    assert found["nodes_added"] == [NAMES.topic("new").id]
    assert [each["to"] for each in found["edges_added"]] == [NAMES.topic("new").id]
    assert 0 < seen["view_at"] <= 2
    assert seen["view"] == 0


def test_a_column_of_many_edges_is_cut(client: TestClient) -> None:
    [column] = walked(client, "/columns", 10, dataset="wide")
    assert (len(column["sources"]), column["targets"], column["cut"]) == (1000, [], True)
    assert not any(each["cut"] for each in walked(client, "/columns", 1000, dataset="t1"))


def test_few_names_are_compared_with_one_that_is_not_there(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    closely = difflib.get_close_matches

    def counting(word: str, names: Any, **more: Any) -> list[str]:
        compared.append(len(names))
        return closely(word, names, **more)

    monkeypatch.setattr(difflib, "get_close_matches", counting)
    answer = client.get("/api/v1/graph", params={"focus": "widee:all"})
    assert answer.status_code == 404
    assert answer.json()["hint"].startswith("Did you mean wide:all")
    assert len(compared) == 1
    assert compared[0] <= 200


def test_what_is_not_there_is_said_to_be_so(client: TestClient) -> None:
    for path in ("/spans/clicks", "/topics/clicks/schemas"):
        assert client.get(f"/api/v1{path}", params={"topic_id": "id"}).json()["items"]
        assert client.get(f"/api/v1{path}", params={"topic_id": "other"}).status_code == 404
    assert walked(client, "/columns", 10, dataset="clicks") == []  # observed, and no node of the graph
    assert client.get("/api/v1/columns", params={"dataset": "nothing"}).status_code == 404


def test_schemas_that_go_between_pages_move_nothing(tmp_path: Path) -> None:
    lineage = MadeLineage(tmp_path)
    client = TestClient(make_app(lineage, Told(), Entrance(None)))
    path = "/api/v1/topics/clicks/schemas"
    whole = client.get(path).json()["items"]
    assert [(each["role"], each["schema"]["version"]) for each in whole] == [("value", 1), ("value", 2), ("key", None)]
    first = client.get(path, params={"limit": 1}).json()
    connection = sqlite3.connect(lineage.path)
    connection.execute("DELETE FROM span WHERE first_offset % 20 = 0")  # all that was written with the first one
    connection.commit()
    connection.close()
    rest = client.get(path, params={"limit": 5, "cursor": first["next"]}).json()
    assert rest["next"] is None
    assert [each["schema"] for each in rest["items"]] == [each["schema"] for each in whole[1:]]


def test_subjects_may_have_slashes(client: TestClient, lineage: MadeLineage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int | None]] = []

    def schema(subject: str, version: int | None) -> Any:
        asked.append((subject, version))
        return MadeLineage.schema(lineage, "clicks-value", version)

    monkeypatch.setattr(lineage, "schema", schema)
    for subject in ("team/orders-value", "team%2Forders-value"):
        assert client.get(f"/api/v1/schemas/{subject}/versions/1").status_code == 200
    assert asked == [("team/orders-value", 1)] * 2

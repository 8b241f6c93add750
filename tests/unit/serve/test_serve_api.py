"""If this failed, the API would let strangers in, answer otherwise than the commands do, or answer without bounds."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asking import NAMES, NOW, MadeLineage, Told
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from stream_lineage.graph.picture import around, document
from stream_lineage.index.documents import trace_document
from stream_lineage.index.kept import Kept
from stream_lineage.index.trace import trace
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEvent, Node, NodeKind, detail
from stream_lineage.provenance.documents import span_document
from stream_lineage.serve import documents
from stream_lineage.serve.answers import Page
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance, is_local
from stream_lineage.serve.routes import records
from stream_lineage.serve.tokens import Token, bearer, issued, token_from

API = "/api/v1"


class Tokens:
    def __init__(self, *known: Token) -> None:
        self.tokens = {each.id: each for each in known}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> MadeLineage:
    return MadeLineage(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def client(lineage: MadeLineage) -> TestClient:
    return TestClient(make_app(lineage, Told(), Entrance(None)))


def get(client: TestClient, path: str, **parameters: Any) -> Any:
    answer = client.get(f"{API}{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(client: TestClient, path: str, **parameters: Any) -> Iterator[Any]:
    cursor = None
    while True:
        found = get(client, path, **parameters, **({} if cursor is None else {"cursor": cursor}))
        yield found["items"]
        cursor = found["next"]
        if cursor is None:
            return


def test_every_route_but_health_wants_a_token(lineage: MadeLineage) -> None:
    reader, said = issued("r", "reader", NOW)
    app = make_app(lineage, Told(), Entrance(Tokens(reader)))
    asked = TestClient(app, raise_server_exceptions=False)
    paths = app.openapi()["paths"]
    places = {(path, method.upper()) for path, each in paths.items() for method in each}
    assert sorted(path.removeprefix(API) for path in paths) == sorted(route.path_format for route in _routes(app))
    assert ("/api/v1/lineage", "POST") in places
    assert ("/metrics", "GET") in places
    for path, method in sorted({*places, (f"{API}/openapi.json", "GET"), ("/nothing", "GET")}):
        url = re.sub(r"{[^}]+}", "1", path)
        status = asked.request(method, url).status_code
        if path in ("/healthz", "/readyz"):
            assert status in (200, 503)
            continue
        assert status == 401, f"{method} {path}"
        for wrong in ("", "Bearer", "Bearer x", f"Basic {said}", f"Bearer {said[:-1]}", f"Bearer {said}x"):
            assert asked.request(method, url, headers={"Authorization": wrong}).status_code == 401
        if method != "GET":
            answer = asked.request(method, url, headers={"Authorization": f"Bearer {said}"})
            assert answer.status_code == 403, f"{method} {path}"
            assert answer.headers["content-type"] == "application/problem+json"


def _routes(app: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            waiting += getattr(getattr(route, "original_router", None), "routes", ())
    return found


def test_a_token_opens_what_its_role_may(lineage: MadeLineage) -> None:
    reader, reads = issued("r", "reader", NOW)
    operator, operates = issued("o", "operator", NOW)
    late, expired = issued("l", "operator", NOW, NOW)
    tokens = Tokens(reader, operator, late)
    asked = TestClient(make_app(lineage, Told(), Entrance(tokens)))

    def status(said: str, method: str = "GET") -> int:
        event = {"job": {"namespace": "n", "name": "j"}} if method == "POST" else None
        path = f"{API}/lineage" if method == "POST" else f"{API}/graph"
        return asked.request(method, path, json=event, headers={"Authorization": f"Bearer {said}"}).status_code

    assert (status(reads), status(operates), status(expired)) == (200, 200, 401)
    assert (status(reads, "POST"), status(operates, "POST")) == (403, 201)
    del tokens.tokens[operator.id]
    assert status(operates) == 401


def test_what_is_kept_of_a_token_is_not_the_token() -> None:
    token, said = issued("ui", "reader", NOW, NOW + timedelta(days=1))
    kept = token.key + token.to_bytes()
    assert said.encode() not in kept
    assert said.rpartition("_")[2].encode() not in kept
    assert token_from(token.key, token.to_bytes()) == (token.id, token)
    assert token_from(token.key, None) == (token.id, None)
    assert token_from(token.key, b"{}") == (token.id, None)
    assert token_from(b"mute/x", token.to_bytes()) is None
    assert bearer({token.id: token}, said, NOW) == token
    assert bearer({token.id: token}, said, NOW + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("LOCALHOST:8080", True), ("127.0.0.1:80", True), ("127.9.9.9", True), ("[::1]:8080", True),
     ("::1", True), ("192.0.2.1", False), ("example.org:8080", False), ("localhost.example.org", False), ("", False),
     ("127.0.0.1.nip.io", False)],
)  # fmt: skip
def test_a_name_is_local_or_not(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_without_a_token_only_local_names_are_answered(lineage: MadeLineage) -> None:
    asked = TestClient(make_app(lineage, Told(), Entrance(None, local_names_only=True)))
    assert asked.get(f"{API}/graph", headers={"Host": "127.0.0.1:8080"}).status_code == 200
    assert asked.get(f"{API}/graph", headers={"Host": "rebound.example.org"}).status_code == 403


def test_spans_in_pages_are_the_spans_of_the_command(client: TestClient, lineage: MadeLineage) -> None:
    with lineage.index() as index:
        [epoch] = index.epochs("clicks")
        expected = json.loads(json.dumps([span_document(each, epoch.topic_id) for each in index.spans(epoch)]))
    assert len(expected) == 40
    for limit in (1, 7, 20, 40, 1000):
        parts = list(pages(client, "/spans/clicks", limit=limit))
        assert [each for part in parts for each in part] == expected
        assert all(len(part) == limit for part in parts[:-1])
        assert 0 < len(parts[-1]) <= limit
    Page[documents.Span].model_validate({"items": expected, "next": None})
    of_one = [each for part in pages(client, "/spans/clicks", limit=3, partition=1, offset=47) for each in part]
    assert of_one == [each for each in expected if each["partition"] == 1 and each["last_offset"] >= 47]


def test_a_record_and_its_path_are_those_of_the_command(
    client: TestClient, lineage: MadeLineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "monotonic", lambda: 8.0)
    record = get(client, "/records/clicks/0/17")
    documents.Record.model_validate(record)
    assert (record["schema"]["version"], record["topic_id"], record["offset"]) == (2, "id", 17)
    for way, offset, topic in (("upstream", 7, "scored"), ("downstream", 14, "clicks")):
        found = get(client, f"/records/{topic}/0/{offset}/{way}")
        with lineage.index() as index:
            expected = trace_document(index, trace(index, topic, 0, offset, way), Kept())  # type: ignore[arg-type]
        assert found == json.loads(json.dumps(expected))
        assert found["ends"]
        documents.RecordPath.model_validate(found)
        assert found["exact"]
    lineage.doubted = ["the index is behind"]
    doubted = get(client, "/records/scored/0/7/upstream")
    assert (doubted["exact"], doubted["notes"]) == (False, lineage.doubted)
    doubted = get(client, "/records/clicks/0/14/downstream")
    assert (doubted["exact"], lineage.waited[-1]) == (False, 1.0)
    asked = len(lineage.waited)
    assert not get(client, "/records/clicks/0/14/downstream", wait=0)["exact"]
    assert len(lineage.waited) == asked
    lineage.ends = {}  # Kafka was asked, and the index has what there is
    assert get(client, "/records/clicks/0/14/downstream", wait=250)["exact"]
    assert lineage.waited[-1] == 0.25
    read = get(client, "/records/scored/0/7/upstream", read=True)
    assert "no Kafka here" in str(read["notes"])
    for missing in (
        "/records/clicks/0/5",
        "/records/clicks/0/999",
        "/records/nothing/0/1",
        "/records/clicks/7/1/upstream",
    ):
        answer = client.get(f"{API}/records/{missing}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), missing


def test_the_graph_is_that_of_the_command(client: TestClient, lineage: MadeLineage) -> None:
    found = get(client, "/graph", focus="clicks", depth=2)
    picture = around(lineage.graph, "clicks", ("upstream", "downstream"), depth=2)
    assert found == {**json.loads(json.dumps(document(picture))), "cut": False}
    documents.GraphDocument.model_validate(found)
    everything = get(client, "/graph")
    assert len(everything["nodes"]) == 7
    assert len(get(client, "/graph", candidates=True)["edges"]) == len(everything["edges"]) + 1
    less = get(client, "/graph", focus="clicks", direction="downstream", nodes=2)
    assert less["cut"]
    assert [node["name"] for node in less["nodes"]] == ["clicks", "score"]
    assert client.get(f"{API}/graph", params={"at": (NOW - timedelta(days=1)).isoformat()}).status_code == 404
    assert client.get(f"{API}/graph", params={"focus": "click"}).json()["hint"].startswith("Did you mean clicks")


def test_impact_counts_what_is_hit(client: TestClient) -> None:
    found = get(client, "/impact", node="clicks", nodes=1)
    documents.Impact.model_validate(found)
    assert found["counts"] == {"dataset": 1, "job": 1, "column": 0, "model": 1, "dashboard": 0}
    assert found["cut"]


def test_lists_come_in_pages(client: TestClient) -> None:
    for path, model, count in (
        ("/graph/nodes", documents.NodeDocument, 7),
        ("/graph/edges", documents.EdgeDocument, 4),
        ("/datasets", documents.Dataset, 3),
    ):
        parts = list(pages(client, path, limit=2))
        items = [each for part in parts for each in part]
        assert len(items) == count
        assert [each["id"] for each in items] == sorted({each["id"] for each in items})
        for each in items:
            model.model_validate(each)
    [clicks] = get(client, "/datasets", q="LICK")["items"]
    assert (clicks["owner"], clicks["observed"][0]["topic_id"]) == ("team", "id")
    [column] = get(client, "/columns", dataset="scored")["items"]
    documents.ColumnDocument.model_validate(column)
    assert [each["from"] for each in column["sources"]] == [NAMES.column("clicks", "a").id]


def test_a_job_says_which_run_has_started_it(tmp_path: Path) -> None:
    lineage = MadeLineage(tmp_path)
    job, run = NAMES.job("score"), "0193f9b8-0000-7000-8000-000000000001"
    said = detail(parent=f"kafka://prod/dag%2Ftask/{run}", root=f"airflow/dag/{run}", run="r1")
    lineage.graph.take(GraphEvent(job, Evidence(EvidenceClass.OPENLINEAGE, "airflow", NOW, NOW, 1.0, said)))
    client = TestClient(make_app(lineage, Told(), Entrance(None)))
    [found] = get(client, "/graph/nodes", q="score", kind="job")["items"]
    documents.NodeDocument.model_validate(found)
    assert found["parent"] == {
        "node": Node(NodeKind.JOB, "kafka://prod", "dag/task").id, "namespace": "kafka://prod", "name": "dag/task",
        "run": run,
    }  # fmt: skip
    assert (found["root"]["name"], found["root"]["run"]) == ("dag", run)
    others = [each for each in get(client, "/graph/nodes")["items"] if each["id"] != found["id"]]
    assert others
    assert all("parent" not in each and "root" not in each for each in others)


def test_topics_and_their_schemas(client: TestClient) -> None:
    topic = get(client, "/topics/clicks")
    documents.TopicDocument.model_validate(topic)
    assert topic["partitions"] == [{"partition": n, "first_offset": 0, "last_offset": 199} for n in (0, 1)]
    items = [each for part in pages(client, "/topics/clicks/schemas", limit=1) for each in part]
    for each in items:
        documents.SchemaInUse.model_validate(each)
    versions = {each["schema"]["version"]: each["first_offsets"] for each in items if each["role"] == "value"}
    assert versions == {1: {"0": 0, "1": 0}, 2: {"0": 10, "1": 10}}


def test_schemas_are_shown_and_compared(client: TestClient) -> None:
    documents.SchemaText.model_validate(get(client, "/schemas/clicks-value/versions/latest"))
    found = get(client, "/schemas/diff", old="clicks-value:1", new="clicks-value:2")
    documents.SchemaDiffDocument.model_validate(found)
    assert found["compatibility"] == {"backward": False, "forward": False, "full": False}
    assert client.get(f"{API}/schemas/other/versions/1").status_code == 404


def test_alerts_the_newest_first(client: TestClient) -> None:
    items = [each for part in pages(client, "/alerts", limit=2) for each in part]
    assert [each["event_id"] for each in items] == ["e4", "e3", "e2", "e1", "e0"]
    assert items[0] == get(client, "/alerts/e4")
    documents.AlertDocument.model_validate(items[0])
    assert items[0]["first_offsets"] == {"0": 4}
    assert [each["event_id"] for each in get(client, "/alerts", fingerprint="1" * 32)["items"]] == ["e3", "e1"]
    assert get(client, "/alerts", severity="critical")["items"] == []


def test_trends(client: TestClient) -> None:
    end = NOW + timedelta(hours=9)
    found = get(client, "/trends", target="clicks", metric="records", since=NOW.isoformat(), until=end.isoformat())
    documents.TrendDocument.model_validate(found)
    assert sum(window["value"] or 0 for window in found["windows"]) == 9 * 12 * 5
    assert client.get(f"{API}/trends", params={"target": "x", "metric": "records"}).status_code == 404


def test_nonsense_is_a_problem(client: TestClient) -> None:
    for path, status in (
        ("/spans/clicks?cursor=nonsense", 400), ("/spans/clicks?cursor=WyJhIl0", 400), ("/spans/clicks?limit=0", 422),
        ("/spans/clicks?limit=100000", 422), ("/records/clicks/-1/0", 422), ("/records/a%2Fb/0/0", 404),
        ("/graph?at=yesterday", 422), ("/graph?at=0001-01-01T00:00:00%2B14:00", 422), ("/nothing", 404),
    ):  # fmt: skip
        answer = client.get(f"{API}{path}")
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert client.post(f"{API}/graph").status_code == 405


def test_events_are_taken_as_they_are(client: TestClient, lineage: MadeLineage) -> None:
    lineage.taken.clear()
    raw = b'{"job": {"namespace": "airflow", "name": "dag.task", "facets": {"mine": {"x": 1.50}}}, "eventType":"START"}'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert client.post(f"{API}/lineage", content=raw, headers=headers).json() == {"accepted": 1}
    assert lineage.taken == [(b"airflow/dag.task", raw)]
    both = [{"job": {"namespace": "n", "name": "j"}}, {"dataset": {"namespace": "n", "name": "d"}}]
    packed = gzip.compress(json.dumps(both).encode())
    answer = client.post(f"{API}/lineage", content=packed, headers={**headers, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()) == (201, {"accepted": 2})
    assert [key for key, _ in lineage.taken[1:]] == [b"n/j", b"n/d"]
    before = list(lineage.taken)
    for body, status in (
        (b"", 400), (b"[1]", 400), (b'[{"job": {"namespace": "n", "name": "j"}}, {}]', 400), (b'"x"', 400),
        (json.dumps([both[0]] * 1001).encode(), 413), (json.dumps({**both[0], "x": "y" * 1_000_000}).encode(), 413),
        (b" " * 10_000_001, 413),
    ):  # fmt: skip
        assert client.post(f"{API}/lineage", content=body, headers=headers).status_code == status
    bomb = gzip.compress(b" " * 50_000_000)
    assert (
        client.post(f"{API}/lineage", content=bomb, headers={**headers, "Content-Encoding": "gzip"}).status_code == 413
    )
    assert client.post(f"{API}/lineage", content=raw, headers={"Content-Type": "text/plain"}).status_code == 415
    assert lineage.taken == before


def test_the_documentation_names_every_path(client: TestClient) -> None:
    described = get(client, "/openapi.json")
    assert described["openapi"].startswith("3.1")
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    for path in described["paths"]:
        assert f"`{path.removeprefix(API)}" in text, path
    operations = {path: next(iter(each.values())) for path, each in described["paths"].items()}
    assert {path for path, each in operations.items() if each["security"] == []} == {"/healthz", "/readyz"}


def test_health_says_how_it_is(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    documents.Health.model_validate(answer.json())
    assert "things_total 1" in client.get("/metrics").text

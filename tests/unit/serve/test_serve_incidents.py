"""If this failed, the API would lose incidents between pages, or let readers say what they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from asking import NOW, MadeLineage, Told, incident
from starlette.testclient import TestClient

from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.schema_files import schema_text
from stream_lineage.serve.app import make_app
from stream_lineage.serve.documents import IncidentDocument, LabelledIncident
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.tokens import Token, issued

API = "/api/v1/incidents"
ALL = [incident(number, over=number % 3 == 0) for number in range(20)]


class Tokens:
    def __init__(self, *known: Token) -> None:
        self.tokens = {each.id: each for each in known}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> MadeLineage:
    return MadeLineage(tmp_path_factory.mktemp("incidents"))


@pytest.fixture(scope="module")
def client(lineage: MadeLineage) -> TestClient:
    return TestClient(make_app(lineage, Told(), Entrance(None)))


def pages(client: TestClient, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(API, params={**parameters, **cursor})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        yield found["items"]
        if found["next"] is None:
            return
        cursor = {"cursor": found["next"]}


@pytest.mark.parametrize("limit", [1, 3, 20, 100])
def test_each_incident_is_on_one_page_the_newest_first(client: TestClient, limit: int) -> None:
    found = [each for part in pages(client, limit=limit) for each in part]
    wanted = sorted(ALL, key=lambda each: each["id"])
    assert found == sorted(wanted, key=lambda each: each["opened_at"], reverse=True)
    for each in found:
        jsonschema.validate(each, json.loads(schema_text("incident.schema.json")))
        IncidentDocument.model_validate(each)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"state": "resolved"}, lambda each: each["state"] == "resolved"),
        ({"resolved": "false"}, lambda each: each["state"] != "resolved"),
        ({"resolved": "true", "topic": "clicks"},
         lambda each: each["state"] == "resolved" and each["alerts"][0]["topic"] == "clicks"),
        ({"topic": "nothing"}, lambda _: False),
        ({"severity": "critical"}, lambda _: False),
        ({"since": (NOW + timedelta(minutes=3)).isoformat(), "until": (NOW + timedelta(minutes=5)).isoformat()},
         lambda each: 6 <= int(each["id"], 16) < 10),
    ],
)  # fmt: skip
def test_filters(client: TestClient, asked: dict[str, str], wanted: Any) -> None:
    found = {each["id"] for part in pages(client, limit=3, **asked) for each in part}
    assert found == {each["id"] for each in ALL if wanted(each)}


def test_one_with_its_label_its_bundle_and_its_way_back(client: TestClient, lineage: MadeLineage) -> None:
    place = f"{API}/{ALL[4]['id']}"
    found = client.get(place).json()
    LabelledIncident.model_validate(found)
    assert found == {**ALL[4], "label": None}
    assert client.get(f"{place}/bundle").json()["breach"] == ALL[4]["breach"]
    unknown = client.get(f"{place}/replay")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    said = client.put(f"{place}/label", json={"verdict": True, "cause": "raw"})
    assert (said.status_code, said.json()["cause"]) == (200, "raw")
    assert client.get(place).json()["label"] == lineage.labels[ALL[4]["id"]]
    for wrong in ({"verdict": "yes"}, {}, {"verdict": True, "cause": ""}, {"verdict": True, "more": 1}, []):
        assert client.put(f"{place}/label", json=wrong).status_code == 422
    assert client.put(f"{place}/label", json={"verdict": False, "cause": "raw"}).status_code == 400
    assert client.put(f"{API}/{'f' * 32}/label", json={"verdict": True}).status_code == 404
    for path in ("/1", f"/{'f' * 32}", f"/{'f' * 32}/bundle", "?state=none", "?cursor=x", "?since=x"):
        answer = client.get(f"{API}{path}")
        assert answer.status_code in (400, 404, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_label_of_either_of_two_that_are_one_is_that_of_what_remains(tmp_path: Path) -> None:
    lineage = MadeLineage(tmp_path)
    older, younger = incident(40), incident(42, over=True, merged_into=f"{40:032x}")
    older["updated_at"] = younger["updated_at"]
    writer = IndexWriter(lineage.path)
    writer.write([Entry("incidents", json.dumps(each).encode()) for each in (older, younger)], {})
    writer.close()
    client = TestClient(make_app(lineage, Told(), Entrance(None)))
    lineage.labels[younger["id"]] = {"verdict": True, "cause": "raw", "at": NOW.isoformat()}  # before they were one
    said = [client.get(f"{API}/{each['id']}").json()["label"]["cause"] for each in (older, younger)]
    assert said == ["raw", "raw"]
    lineage.labels.clear()
    assert client.put(f"{API}/{younger['id']}/label", json={"verdict": True, "cause": "clean"}).status_code == 200
    assert list(lineage.labels) == [older["id"]]


def test_only_operators_label(lineage: MadeLineage) -> None:
    reader, reads = issued("r", "reader", NOW)
    operator, operates = issued("o", "operator", NOW)
    asked = TestClient(make_app(lineage, Told(), Entrance(Tokens(reader, operator))))
    place = f"{API}/{ALL[7]['id']}"

    def status(said: str, method: str, path: str) -> int:
        body = {"verdict": True} if method == "PUT" else None
        return asked.request(method, path, json=body, headers={"Authorization": f"Bearer {said}"}).status_code

    assert (status(reads, "GET", place), status(reads, "PUT", f"{place}/label")) == (200, 403)
    assert status(operates, "PUT", f"{place}/label") == 200


def test_the_reference_of_the_way_back_is_a_path(tmp_path: Path) -> None:
    """What is in OpenAPI is what is routed."""
    document = make_app(MadeLineage(tmp_path), Told(), Entrance(None)).openapi()
    found = {path for path in document["paths"] if path.startswith(API)}
    one = f"{API}/{{incident_id}}"
    assert found == {API, one, f"{one}/bundle", f"{one}/replay", f"{one}/label"}
    assert document["paths"][f"{one}/label"]["put"]["security"]

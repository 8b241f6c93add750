"""If this failed, an answer would depend on the way that its request took, or what takes long would keep all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asking import NOW, MadeLineage, Told
from starlette.requests import Request
from starlette.testclient import TestClient

from stream_lineage.graph.graph import Graph
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.ports import TakesLonger
from stream_lineage.serve.shortcut import Plain, Shortcut, plain

T = TypeVar("T")
AT = NOW.isoformat().replace("+", "%2B")
SHORT = [
    "/records/clicks/0/17", "/records/clicks/0/17?topic_id=id", "/records/clicks/0/5", "/records/none/0/5",
    "/records/clicks/0/17?topic_id=id&topic_id=other", "/records/clicks/0/17?nobody=asks&offset=1&partition=x",
    "/records/clicks/0/017", "/records/scored/0/7/upstream", "/records/scored/0/7/upstream?depth=1&edges=1",
    "/records/scored/0/7/upstream?read=yes", "/records/clicks/0/14/downstream?wait=0", "/spans/clicks",
    "/spans/clicks?limit=3&partition=1&offset=47", "/spans/none", "/spans/clicks?cursor=nonsense", "/topics/clicks",
    "/topics/clicks/schemas?limit=1", "/graph", "/graph?focus=clicks", "/graph?focus=topic%3Aclicks",
    "/graph?focus=a+b", "/graph?focus=clicks&direction=downstream&nodes=2&candidates=1",
    f"/graph?focus=clicks&at={AT}", "/graph?focus=clickz", "/graph/nodes?kind=job", "/graph/edges?limit=1",
    "/impact?node=clicks", "/columns?dataset=scored", "/datasets?q=LICK", "/alerts?severity=warning", "/alerts/e4",
    "/incidents?resolved=false", "/schemas/clicks-value/versions/latest",
    "/schemas/diff?old=clicks-value:1&new=clicks-value:2",
]  # fmt: skip
LONG = [
    "/records/clicks/-1/0", "/records/clicks/0/x", "/records/a%2Fb/0/0", "/records/clicks/0/17?topic_id=",
    "/spans/clicks?limit=0", "/spans/clicks?limit=", "/graph?at=yesterday", "/graph?direction=up", "/graph?nodes=1.5",
    "/graph/nodes?kind=cat", "/impact", "/columns", "/alerts?severity=loud", "/nothing", "/graph/", "//graph",
    "/graph?at=", "/alerts?kind=" + "k" * 9000, "/incidents?resolved=perhaps",
]  # fmt: skip


class Counting:
    """Instead of ``Shortcut``: what it takes, or nothing at all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        self.shut = False
        found = Shortcut._found

        def counted(shortcut: Shortcut, scope: Any) -> Any:
            way = None if self.shut else found(shortcut, scope)
            self.taken += way is not None
            return way

        monkeypatch.setattr(Shortcut, "_found", counted)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> MadeLineage:
    return MadeLineage(tmp_path_factory.mktemp("shortcut"))


def test_both_ways_lead_to_one_answer(lineage: MadeLineage, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    client = TestClient(make_app(lineage, Told(), Entrance(None)))
    for path in SHORT + LONG:
        counting.taken, counting.shut = 0, False
        short = client.get(f"/api/v1{path}")
        assert counting.taken == (path in SHORT), path
        counting.shut = True
        usual = client.get(f"/api/v1{path}")
        assert (short.status_code, short.json()) == (usual.status_code, usual.json()), path
        assert short.headers["content-type"] == usual.headers["content-type"]
    assert client.post("/api/v1/graph").status_code == 405
    assert client.head("/api/v1/graph").status_code == 405


def test_only_what_wants_single_values_is_plain() -> None:
    async def good(one: int, other: str | None = None) -> Any: ...

    async def whole(request: Request) -> Any: ...

    async def many(one: list[str]) -> Any: ...

    def at_once(one: int) -> Any: ...

    found = plain(good)
    assert isinstance(found, Plain)
    assert found.values({"one": "1"}, b"other=a&other=b%20c&third=3") == {"one": 1, "other": "b c"}
    assert found.values({}, b"other=a") is None
    assert found.values({"one": "x"}, b"") is None
    assert [plain(each) for each in (whole, many, at_once)] == [None] * 3


class Hasty:
    """``Sources`` with little room."""

    def __init__(self, lineage: MadeLineage, room: int) -> None:
        self.naming, self.doubts, self.room = lineage.naming, lineage.doubts, room
        self._lineage = lineage
        self.said: list[str] = []

    @contextmanager
    def index(self) -> Iterator[ProvenanceIndex]:
        with self._lineage.index() as index:
            yield index
            self.said.append("index")

    def ask(self, question: Callable[[Graph], T], at: datetime | None = None) -> T:
        if at is not None:
            raise TakesLonger
        answer = question(self._lineage.graph)
        self.said.append("graph")
        return answer


@pytest.mark.parametrize(
    ("path", "room", "at_once"),
    [
        ("/records/clicks/0/17", 1, ["index"]),
        ("/records/scored/0/7/upstream", 1, ["index"]),
        ("/records/clicks/0/14/downstream?wait=0", 1, ["index"]),
        ("/records/scored/0/7/upstream?depth=1", 0, []),
        ("/records/scored/0/7/upstream?read=true", 1, []),
        ("/spans/clicks?limit=200", 1, ["index"]),
        ("/spans/clicks?limit=201", 1, []),
        ("/graph?focus=clicks", 1, ["graph"]),
        ("/graph?focus=scored", 1, []),
        ("/graph?focus=scored", 2, ["graph"]),
        ("/graph?focus=scored&direction=upstream", 9, []),
        ("/graph?focus=scored&direction=upstream&depth=1", 9, ["graph"]),
        ("/graph?focus=nothing", 9, []),
        (f"/graph?focus=clicks&at={AT}", 9, []),
        ("/graph", 9, []),
    ],
)
def test_what_is_small_is_answered_at_once_and_all_else_is_the_same(
    tmp_path: Path, path: str, room: int, at_once: list[str]
) -> None:
    lineage = MadeLineage(tmp_path)
    usual = TestClient(make_app(lineage, Told(), Entrance(None))).get(f"/api/v1{path}")
    hasty = Hasty(lineage, room)
    lineage.at_once = hasty
    answer = TestClient(make_app(lineage, Told(), Entrance(None))).get(f"/api/v1{path}")
    assert (answer.status_code, answer.json()) == (usual.status_code, usual.json())
    assert hasty.said == at_once

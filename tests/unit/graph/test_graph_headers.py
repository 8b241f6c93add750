"""If this failed, what records say of their parents would not become edges, or edges would vanish while they live."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import jsonschema  # type: ignore[import-untyped]
import pytest

from stream_lineage.agents.graph_alerts import GraphAlerts
from stream_lineage.agents.graph_fold import Written
from stream_lineage.errors import DecodeError
from stream_lineage.graph import from_headers
from stream_lineage.graph.from_headers import BatchHead, HeaderFlows, read_since
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent
from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, ParentRange, RecordEdge
from stream_lineage.model.schema_files import schema_text
from stream_lineage.provenance.edge_codec import decode_edges, decode_head, encode_edges

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAMES = naming("test", [("b1", 9092)])
TOPICS = ("a", "b", "out", "copy")


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def batch(
    hours: float, target: str, *sources: tuple[str | None, str], kind: EdgeSource = EdgeSource.LINEAGE, count: int = 1
) -> EdgeBatch:
    parents = tuple(ParentRange(topic, 0, 5, 9, cluster=cluster) for cluster, topic in sources)
    edges = tuple(RecordEdge(0, offset, parents, kind) for offset in range(count))
    return EdgeBatch("id", "test", target, None, "c", at(hours), edges)


def silent(*_: object) -> bool:
    return False


def busy(*_: object) -> bool:
    """The source got records all the time."""
    return True


def flows_of(graph: Graph, topics: Iterable[str] = TOPICS) -> HeaderFlows:
    flows = HeaderFlows(NAMES, HOUR)
    flows.know(graph, topics)
    return flows


def take(flows: HeaderFlows, found: EdgeBatch) -> bool:
    """As the agents do; whether the edges were looked at."""
    _, sources = decode_head(encode_edges(found))
    head = BatchHead(found.cluster, found.topic, found.observed_at, sources)
    wanted = flows.wants(head)
    flows.take(head, found.edges if wanted else None)
    return wanted


def edges(graph: Graph) -> dict[str, str]:
    return {
        f"{each.edge.source.label} {each.edge.target.label}": ",".join(e.source for e in each.evidence if e.holds)
        for each in graph.edges()
    }


def fold(graph: Graph, events: list[GraphEvent]) -> int:
    for event in events:
        graph.take(event)
    return len(events)


def test_a_head_is_what_the_whole_batch_says() -> None:
    made = batch(1, "out", (None, "a"), ("other", "b"), count=50)
    value = encode_edges(made, schema_id=7)
    head, sources = decode_head(value)
    whole = decode_edges(value)
    assert (head.topic, head.cluster, head.observed_at, head.edges) == (whole.topic, whole.cluster, at(1), ())
    assert sources == {(each.cluster, each.topic) for edge in whole.edges for each in edge.parents}
    for bad in (b"", b"{}", value[:20], b"\xc3\x01" + bytes(8)):
        with pytest.raises(DecodeError):
            decode_head(bad)


def test_parents_become_edges_with_the_class_header() -> None:
    graph = Graph()
    flows = flows_of(graph)
    take(flows, batch(0, "out", (None, "a"), ("test", "b"), ("elsewhere", "c"), ("", "nobody's"), (None, "out")))
    take(flows, batch(0.1, "copy", (None, "out"), kind=EdgeSource.LENSES_K2K))
    fold(graph, flows.events(graph, at(0.2), whole=True, records=busy))
    assert edges(graph) == {"a out": "lineage", "b out": "lineage", "c out": "lineage", "out copy": "lenses-k2k"}
    assert {each.edge.source.namespace for each in graph.edges() if each.edge.source.label == "c"} == {
        "kafka://elsewhere"
    }
    assert {each.confidence for each in graph.edges()} == {1.0, 0.9}


def test_edges_are_looked_into_once_an_hour_and_told_once_an_hour() -> None:
    graph = Graph()
    flows = flows_of(graph)
    looked = told = 0
    for minute in range(24 * 60):
        looked += take(flows, batch(minute / 60, "out", (None, "a")))
        told += fold(graph, flows.events(graph, at(minute / 60), whole=True, records=busy))
    assert looked == told == 24
    assert fold(graph, flows.events(graph, at(24), whole=True, records=busy)) == 0


def test_another_header_on_a_known_edge_is_found() -> None:
    graph = Graph()
    flows = flows_of(graph)
    take(flows, batch(0, "out", (None, "a")))
    take(flows, batch(2, "out", (None, "a"), kind=EdgeSource.STREAMS_BOOTSTRAP))
    fold(graph, flows.events(graph, at(2), whole=True, records=busy))
    assert edges(graph) == {"a out": "lineage,streams-bootstrap"}


VANISHING = [
    # hours between batches, hours of it, hours without it, gone, why
    (0.01, 30, 0.9, False, "an hour is waited for at least"),
    (0.01, 30, 1.2, True, "it has never paused, and does now"),
    (0.01, 5, 100, False, "a day has to be seen before a rhythm is known"),
    (0.01, 5, 24 * 7 + 1, True, "nobody waits for longer than a week"),
    (24, 24 * 10, 24 * 4, False, "a daily job may miss some days"),
    (24, 24 * 10, 24 * 6, True, "and is gone after five"),
]


def flowing(flows: HeaderFlows, graph: Graph, every: float, long: float) -> float:
    """``out`` is made of ``a`` and ``b``; when it was so last."""
    last = 0.0
    for number in range(int(long / every)):
        last = number * every
        take(flows, batch(last, "out", (None, "a"), (None, "b")))
    fold(graph, flows.events(graph, at(last), whole=True, records=busy))
    assert set(edges(graph)) == {"a out", "b out"}
    return last


@pytest.mark.parametrize(("every", "long", "silence", "gone", "why"), VANISHING)
def test_how_long_an_edge_is_waited_for(every: float, long: float, silence: float, gone: bool, why: str) -> None:
    graph = Graph()
    flows = flows_of(graph)
    last = flowing(flows, graph, every, long)
    for number in range(1, int(silence / max(every, 0.05)) + 1):
        take(flows, batch(last + number * max(every, 0.05), "out", (None, "b")))
    now = at(last + silence)
    fold(graph, flows.events(graph, now, whole=False, records=busy))
    assert len(graph.edges()) == 2, "not all has been read"
    fold(graph, flows.events(graph, now, whole=True, records=busy))
    assert set(edges(graph)) == ({"b out"} if gone else {"a out", "b out"}), why


def test_an_outage_is_not_the_end_of_any_edge() -> None:
    graph = Graph()
    flows = flows_of(graph)
    last = flowing(flows, graph, 0.01, 30)
    take(flows, batch(last, "copy", (None, "out")))
    for hours in (1.1, 30, 24 * 30):  # nobody observes
        assert fold(graph, flows.events(graph, at(last + hours), whole=True, records=busy)) <= 1
        assert set(edges(graph)) == {"a out", "b out", "out copy"}
    after = last + 24 * 30
    take(flows, batch(after, "out", (None, "b")))  # the first that comes is not made of everything
    fold(graph, flows.events(graph, at(after), whole=True, records=busy))
    assert set(edges(graph)) == {"a out", "b out", "out copy"}


def test_a_source_that_is_silent_takes_no_edge_with_it() -> None:
    graph = Graph()
    flows = flows_of(graph)
    last = flowing(flows, graph, 0.01, 30)
    asked: list[tuple[str, datetime, datetime]] = []

    def records(topic: str, start: datetime, end: datetime) -> bool:
        asked.append((topic, start, end))
        return False

    for minute in range(1, 180):
        now = last + minute / 60
        take(flows, batch(now, "out", (None, "b")))
        fold(graph, flows.events(graph, at(now), whole=True, records=records))
    assert set(edges(graph)) == {"a out", "b out"}
    assert {topic for topic, _, _ in asked} == {"a"}
    assert 1 <= len(asked) <= 3
    assert all(at(last) < start < end for _, start, end in asked)


def test_edges_of_topics_that_were_deleted_are_gone_when_others_go_on() -> None:
    graph = Graph()
    flows = flows_of(graph)
    last = flowing(flows, graph, 0.01, 30)
    take(flows, batch(last, "copy", ("elsewhere", "x")))
    flows.know(graph, ["a", "b", "copy"])
    fold(graph, flows.events(graph, at(last + 90), whole=True, records=silent))
    assert set(edges(graph)) == {"a out", "b out", "x copy"}
    take(flows, batch(last + 1.1, "copy", ("elsewhere", "x")))
    fold(graph, flows.events(graph, at(last + 90), whole=True, records=silent))
    assert set(edges(graph)) == {"x copy"}


def test_after_a_restart_what_the_graph_shows_of_an_output_counts_and_not_alone() -> None:
    graph = Graph([said("a", "out", -24 * 20, last=-24 * 9), said("b", "out", -24 * 20, last=0)])
    flows = flows_of(graph)
    fold(graph, flows.events(graph, at(1), whole=True, records=busy))
    assert len(graph.edges()) == 2
    for hours in range(1, 24 * 2):
        take(flows, batch(hours, "out", (None, "b")))
    fold(graph, flows.events(graph, at(48), whole=True, records=busy))
    assert [each.edge.source.label for each in graph.edges()] == ["b"]


def test_topics_that_do_not_exist_are_no_parents() -> None:
    graph = Graph([said("old", "out", -1, source="lineage")])
    flows = flows_of(graph)
    made = [(None, f"made-up-{number}") for number in range(1_000)]
    assert not take(flows, batch(0, "out", *made)), "what is refused must not be costly"
    assert take(flows, batch(0.1, "out", (None, "a"), (None, "old"), *made))
    fold(graph, flows.events(graph, at(0.2), whole=True, records=busy))
    assert {name for name in edges(graph) if name.endswith(" out")} == {"a out", "old out"}
    assert flows.left_out == {"out": 2_000}
    flows.know(graph, [*TOPICS, "made-up-7"])
    assert take(flows, batch(0.3, "out", *made))
    fold(graph, flows.events(graph, at(0.3), whole=True, records=busy))
    assert set(edges(graph)) == {"a out", "old out", "made-up-7 out"}


def test_agents_that_see_no_topics_still_find_edges_and_none_is_gone_for_that() -> None:
    graph = Graph()
    flows = flows_of(graph, [])
    last = flowing(flows, graph, 0.01, 30)
    for minute in range(1, 100):
        take(flows, batch(last + minute / 60, "out", (None, "b")))
        take(flows, batch(last + minute / 60, "copy", (None, "b")))
    fold(graph, flows.events(graph, at(last + 2), whole=True, records=silent))
    assert set(edges(graph)) == {"a out", "b out", "b copy"}


def test_names_that_cannot_be_checked_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_headers, "MOST_NEW", 3)
    monkeypatch.setattr(from_headers, "MOST_PARENTS", 10)
    graph = Graph()
    flows = flows_of(graph)
    for number in range(8):
        take(flows, batch(number / 100, "out", *[("elsewhere", f"x{number}-{each}") for each in range(5)]))
    told = [fold(graph, flows.events(graph, at(0.1), whole=True, records=busy)) for _ in range(5)]
    assert told == [3, 3, 3, 1, 0]
    assert flows.left_out == {"out": 30}
    assert not flows.wants(BatchHead("test", "out", at(0.2), frozenset({("elsewhere", "another")})))


def test_an_edge_that_comes_back_begins_anew() -> None:
    graph = Graph()
    flows = flows_of(graph)
    take(flows, batch(0, "out", (None, "a")))
    fold(graph, flows.events(graph, at(0), whole=True, records=busy))
    for hours in range(1, 200):
        take(flows, batch(hours, "out", (None, "b")))
    fold(graph, flows.events(graph, at(200), whole=True, records=busy))
    assert edges(graph) == {"b out": "lineage"}
    take(flows, batch(300, "out", (None, "a")))
    fold(graph, flows.events(graph, at(300), whole=True, records=busy))
    assert edges(graph) == {"a out": "lineage", "b out": "lineage"}
    assert "a out" not in edges(graph.as_of(at(250)))
    assert "a out" in edges(graph.as_of(at(0.5)))


def test_a_restart_finds_what_was_not_told_and_tells_nothing_twice() -> None:
    graph = Graph()
    flows = flows_of(graph)
    said = [batch(hour / 10, "out", (None, "a"), *([(None, "b")] if hour > 95 else [])) for hour in range(100)]
    for each in said[:95]:
        take(flows, each)
        fold(graph, flows.events(graph, each.observed_at, whole=True, records=busy))
    again = flows_of(graph)
    since = read_since(graph, HOUR)
    assert since is not None
    assert at(6.9) < since < at(9)
    for each in said:
        if each.observed_at >= since:
            take(again, each)
    news = again.events(graph, at(10), whole=True, records=busy)
    assert [(event.subject.source.label, event.evidence.first_seen) for event in news  # type: ignore[union-attr]
            if event.subject not in [view.edge for view in graph.edges()]] == [("b", at(9.6))]  # fmt: skip
    fold(graph, news)
    assert fold(graph, again.events(graph, at(10), whole=True, records=busy)) == 0


ALERT = jsonschema.Draft202012Validator(json.loads(schema_text("alert.schema.json")))


class Leader:
    """Takes events in, with its table."""

    def __init__(self) -> None:
        self.graph, self.rows, self.offset = Graph(), dict[bytes, bytes](), 0
        self.events: list[Written] = []
        self.restart()

    def restart(self) -> None:
        self.alerts = GraphAlerts(NAMES, "http://ui", clock=lambda: at(0).timestamp())
        self.graph = Graph()
        for offset, written in enumerate(self.events):
            self._take(offset, written)

    def _take(self, offset: int, written: Written) -> None:
        before = self.graph.known(written.event.subject)
        self.graph.take(written.event)
        self.alerts.event(offset, written, before, self.graph)

    def hear(self, *events: GraphEvent, written: float | None = None) -> Iterator[tuple[str, str, str, str]]:
        """Of which each is written at once, or all of them then."""
        for event in events:
            each = Written(event, event.at if written is None else at(written))
            self._take(len(self.events), each)
            self.events.append(each)
        return self.tell()

    def tell(self) -> Iterator[tuple[str, str, str, str]]:
        for _, outcome in self.alerts.judge(len(self.events), self.rows):
            for row in outcome.changed:
                self.rows[row.key] = row.value or b""
            for told in outcome.alerts:
                body = json.loads(told.value)
                ALERT.validate(body)
                yield body["kind"], body["topic"], body["severity"], told.event_id


def said(
    start: str,
    target: str,
    hours: float,
    by: EvidenceClass = EvidenceClass.HEADER,
    gone: float | None = None,
    last: float | None = None,
    source: str = "lineage",
) -> GraphEvent:
    link = GraphEdge(NAMES.topic(start), NAMES.topic(target))
    end = at(next(each for each in (gone, last, hours) if each is not None))
    return GraphEvent(link, Evidence(by, source, at(hours), end, 1.0, (), None if gone is None else end))


def test_what_turns_is_told_once_with_the_same_id_after_a_crash() -> None:
    leader = Leader()
    assert list(leader.hear(said("a", "b", -9), said("b", "c", -8.5))) == []  # in the first hour all is new
    [(kind, topic, severity, appeared)] = leader.hear(said("a", "c", -2))
    assert (kind, topic, severity) == ("graph-edge-appeared", "c", "info")
    kept = dict(leader.rows)
    told = list(leader.hear(said("a", "b", -9, gone=-1)))
    assert [each[:3] for each in told] == [
        ("graph-edge-vanished", "b", "warning"), ("graph-dataset-orphaned", "b", "warning"),
    ]  # fmt: skip
    leader.restart()
    assert list(leader.tell()) == []
    leader.rows = kept  # it crashed before it kept its place
    leader.restart()
    assert list(leader.tell()) == told
    leader.rows = {}
    leader.restart()
    assert [each[3] for each in leader.tell()] == [appeared, *(each[3] for each in told)]


def test_what_was_there_before_anybody_looked_does_not_appear() -> None:
    leader = Leader()
    group = [said(f"t{number}", "job", -900, EvidenceClass.GROUP) for number in range(3)]
    assert list(leader.hear(*group)) == []
    week = [said(name, f"out-{name}", -24 * 7 + 30 * number, last=-3) for number, name in enumerate("abcd")]
    both = [said("a", "out-b", -24, last=-3), said("b", "out-a", -24, last=-3)]
    assert list(leader.hear(*week, *both, written=-2.9)) == [], "days of edges are read in the first look"
    assert list(leader.hear(said("c", "out-a", -2.5))) == []
    assert [each[:2] for each in leader.hear(said("d", "out-a", -1))] == [("graph-edge-appeared", "out-a")]
    rollout = [said("a", "fresh", -1), said("b", "fresh", -0.5)]
    assert list(leader.hear(*rollout)) == [], "producers of a topic begin to write headers"


def test_what_only_comes_and_goes_is_not_told() -> None:
    leader = Leader()
    list(leader.hear(said("a", "b", -9)))
    quiet = [
        said("x", "y", -2, EvidenceClass.GROUP), said("x", "y", -2, EvidenceClass.GROUP, gone=-1),
        said("a", "z", -4),
        said("x", "z", -2, EvidenceClass.DECLARED),  # whoever declares it knows
        said("x", "z", -2),  # declared before
        said("x", "z", -2, EvidenceClass.DECLARED, gone=-1),  # still seen
        said("a", "b", -9),
    ]  # fmt: skip
    assert list(leader.hear(*quiet)) == []
    assert list(leader.hear(said("a", "q", -100))) == []  # long ago
    assert [each[:3] for each in leader.hear(said("x", "z", -2, gone=-0.5))] == [
        ("graph-edge-vanished", "z", "warning")
    ]

"""If this failed, what records say of their parents would not become edges, or edges would vanish while they live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import jsonschema  # type: ignore[import-untyped]
import pytest

from stream_lineage.agents.graph_alerts import GraphAlerts
from stream_lineage.errors import DecodeError
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


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def batch(
    hours: float, target: str, *sources: tuple[str | None, str], kind: EdgeSource = EdgeSource.LINEAGE, count: int = 1
) -> EdgeBatch:
    parents = tuple(ParentRange(topic, 0, 5, 9, cluster=cluster) for cluster, topic in sources)
    edges = tuple(RecordEdge(0, offset, parents, kind) for offset in range(count))
    return EdgeBatch("id", "test", target, None, "c", at(hours), edges)


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
    flows, graph = HeaderFlows(NAMES, HOUR), Graph()
    take(flows, batch(0, "out", (None, "a"), ("test", "b"), ("elsewhere", "c"), ("", "nobody's"), (None, "out")))
    take(flows, batch(0.1, "copy", (None, "out"), kind=EdgeSource.LENSES_K2K))
    fold(graph, flows.events(graph, at(0.2), whole=True))
    assert edges(graph) == {"a out": "lineage", "b out": "lineage", "c out": "lineage", "out copy": "lenses-k2k"}
    assert {each.edge.source.namespace for each in graph.edges() if each.edge.source.label == "c"} == {
        "kafka://elsewhere"
    }
    assert {each.confidence for each in graph.edges()} == {1.0, 0.9}


def test_edges_are_looked_into_once_an_hour_and_told_once_an_hour() -> None:
    flows, graph = HeaderFlows(NAMES, HOUR), Graph()
    looked = told = 0
    for minute in range(24 * 60):
        looked += take(flows, batch(minute / 60, "out", (None, "a")))
        told += fold(graph, flows.events(graph, at(minute / 60), whole=True))
    assert looked == told == 24
    assert fold(graph, flows.events(graph, at(24), whole=True)) == 0


def test_another_header_on_a_known_edge_is_found() -> None:
    flows, graph = HeaderFlows(NAMES, HOUR), Graph()
    take(flows, batch(0, "out", (None, "a")))
    take(flows, batch(2, "out", (None, "a"), kind=EdgeSource.STREAMS_BOOTSTRAP))
    fold(graph, flows.events(graph, at(2), whole=True))
    assert edges(graph) == {"a out": "lineage,streams-bootstrap"}


VANISHING = [
    # hours between batches, hours of it, hours of silence, gone, why
    (0.01, 30, 0.9, False, "an hour is waited for at least"),
    (0.01, 30, 1.1, True, "it has never paused, and does now"),
    (0.01, 5, 100, False, "a day has to be seen before a rhythm is known"),
    (0.01, 5, 24 * 7 + 1, True, "nobody waits for longer than a week"),
    (24, 24 * 10, 24 * 4, False, "a daily job may miss some days"),
    (24, 24 * 10, 24 * 5 + 1, True, "and is gone after five"),
]


@pytest.mark.parametrize(("every", "long", "silence", "gone", "why"), VANISHING)
def test_how_long_an_edge_is_waited_for(every: float, long: float, silence: float, gone: bool, why: str) -> None:
    flows, graph = HeaderFlows(NAMES, HOUR), Graph()
    last = 0.0
    for number in range(int(long / every)):
        last = number * every
        take(flows, batch(last, "out", (None, "a")))
    fold(graph, flows.events(graph, at(last), whole=True))
    fold(graph, flows.events(graph, at(last + silence), whole=False))
    assert len(graph.edges()) == 1, "not all has been read"
    fold(graph, flows.events(graph, at(last + silence), whole=True))
    assert (not graph.edges()) is gone, why


def test_an_edge_that_comes_back_begins_anew() -> None:
    flows, graph = HeaderFlows(NAMES, HOUR), Graph()
    take(flows, batch(0, "out", (None, "a")))
    fold(graph, flows.events(graph, at(0), whole=True))
    fold(graph, flows.events(graph, at(200), whole=True))
    assert edges(graph) == {}
    take(flows, batch(300, "out", (None, "a")))
    fold(graph, flows.events(graph, at(300), whole=True))
    assert edges(graph) == {"a out": "lineage"}
    assert edges(graph.as_of(at(250))) == {}
    assert edges(graph.as_of(at(100))) == {"a out": "lineage"}


def test_a_restart_finds_what_was_not_told_and_tells_nothing_twice() -> None:
    graph, flows = Graph(), HeaderFlows(NAMES, HOUR)
    said = [batch(hour / 10, "out", (None, "a"), *([(None, "b")] if hour > 95 else [])) for hour in range(100)]
    for each in said[:95]:
        take(flows, each)
        fold(graph, flows.events(graph, each.observed_at, whole=True))
    again = HeaderFlows(NAMES, HOUR)
    since = read_since(graph, HOUR)
    assert since is not None
    assert at(6.9) < since < at(9)
    for each in said:
        if each.observed_at >= since:
            take(again, each)
    news = again.events(graph, at(10), whole=True)
    assert [(event.subject.source.label, event.evidence.first_seen) for event in news  # type: ignore[union-attr]
            if event.subject not in [view.edge for view in graph.edges()]] == [("b", at(9.6))]  # fmt: skip
    fold(graph, news)
    assert fold(graph, again.events(graph, at(10), whole=True)) == 0


ALERT = jsonschema.Draft202012Validator(json.loads(schema_text("alert.schema.json")))


class Leader:
    """Takes events in, with its table."""

    def __init__(self) -> None:
        self.graph, self.rows, self.offset = Graph(), dict[bytes, bytes](), 0
        self.events: list[GraphEvent] = []
        self.restart()

    def restart(self) -> None:
        self.alerts = GraphAlerts(NAMES, "http://ui", clock=lambda: at(0).timestamp())
        self.graph = Graph()
        for offset, event in enumerate(self.events):
            self._take(offset, event)

    def _take(self, offset: int, event: GraphEvent) -> None:
        before = self.graph.known(event.subject)
        self.graph.take(event)
        self.alerts.event(offset, event, before, self.graph)

    def hear(self, *events: GraphEvent) -> Iterator[tuple[str, str, str, str]]:
        for event in events:
            self._take(len(self.events), event)
            self.events.append(event)
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
    source: str, target: str, hours: float, by: EvidenceClass = EvidenceClass.HEADER, gone: float | None = None
) -> GraphEvent:
    link = GraphEdge(NAMES.topic(source), NAMES.topic(target))
    last = at(hours if gone is None else gone)
    return GraphEvent(link, Evidence(by, "s", at(hours), last, 1.0, (), None if gone is None else last))


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


def test_what_only_comes_and_goes_is_not_told() -> None:
    leader = Leader()
    list(leader.hear(said("a", "b", -9)))
    quiet = [
        said("x", "y", -2, EvidenceClass.GROUP), said("x", "y", -2, EvidenceClass.GROUP, gone=-1),
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

"""If this failed, the graph would depend on the order in which events come, or what leads where would be wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import networkx  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.graph.claim import Claim, news
from stream_lineage.graph.codec import decode_event, encode_event, message_key
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW, confidence
from stream_lineage.graph.picture import document, whole
from stream_lineage.graph.walk import reach
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.schema_files import schema_text

T0 = datetime(2026, 3, 1, tzinfo=UTC)
SCHEMA = json.loads(schema_text("graph.schema.json"))
VALID = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def at(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes)


def topic(name: str) -> Node:
    return Node(NodeKind.DATASET, "kafka://test", name)


def job(name: str) -> Node:
    return Node(NodeKind.JOB, "kafka://test", name)


NAMES = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=8).filter(
    str.isprintable
)
NODES = st.one_of(
    st.builds(Node, st.sampled_from([NodeKind.DATASET, NodeKind.JOB, NodeKind.MODEL]), NAMES, NAMES),
    st.builds(Node, st.just(NodeKind.COLUMN), NAMES, NAMES, NAMES),
)
FEW = st.sampled_from([topic("a"), job("j")])
SUBJECTS = st.one_of(FEW, st.tuples(FEW, FEW).filter(lambda ends: ends[0] != ends[1]).map(lambda e: GraphEdge(*e)))


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    first, lasts, until = draw(st.integers(0, 2)), draw(st.integers(0, 9)), draw(st.none() | st.integers(0, 12))
    return Evidence(
        draw(st.sampled_from([EvidenceClass.HEADER, EvidenceClass.VALUES])),
        "source",
        at(first),
        at(first + lasts),
        draw(st.sampled_from([0.3, 0.8, 1.0])),
        draw(st.sampled_from([(), (("owner", "x"),), (("owner", "y"),)])),
        None if until is None else at(until),
    )


EVENTS = st.lists(st.builds(GraphEvent, SUBJECTS, evidence()), max_size=25)


def known(graph: Graph) -> Any:
    return document(whole(graph, at_least=0.0))


@given(EVENTS, st.randoms(use_true_random=False), st.integers(0, 30))
@settings(deadline=None, max_examples=40)
def test_events_lead_to_the_same_graph_in_any_order_and_however_often(events: Any, chance: Any, minute: int) -> None:
    shuffled = events + events[: len(events) // 2]
    chance.shuffle(shuffled)
    one, other = Graph(events), Graph(shuffled)
    assert known(one) == known(other)
    assert known(one.as_of(at(minute))) == known(other.as_of(at(minute)))


@given(EVENTS, st.integers(0, 30))
@settings(deadline=None, max_examples=40)
def test_the_graph_of_a_time_is_not_changed_by_what_came_after_it(events: list[GraphEvent], minute: int) -> None:
    until = [event for event in events if event.at <= at(minute)]
    later = [event for event in events if event.evidence.first_seen > at(minute)]
    assert known(Graph(until + later).as_of(at(minute))) == known(Graph(until))


@given(EVENTS, EVENTS, st.integers(0, 30), st.integers(0, 30))
@settings(deadline=None, max_examples=40)
def test_the_graph_of_a_time_is_its_own(
    events: list[GraphEvent], more: list[GraphEvent], minute: int, other: int
) -> None:
    graph = Graph(events)
    past = graph.as_of(at(minute))
    before = known(past)
    again = Graph(GraphEvent(each.subject, each.evidence) for each in past.events())  # from its own events, one by one
    assert known(again) == before
    assert (again.first, again.size) == (past.first, past.size)
    assert [edge.confidence for edge in past.edges()] == [confidence(edge.evidence) for edge in past.edges()]
    for event in more:
        graph.take(event)
    assert known(past) == before
    assert known(graph) == known(Graph(events + more))
    assert known(graph.as_of(at(minute))) == known(Graph(events + more).as_of(at(minute)))
    assert known(past.as_of(at(other))) == known(Graph(events).as_of(at(min(minute, other))))
    for event in more[:1]:
        with pytest.raises(ValueError, match="of another time"):
            past.take(event)


@given(EVENTS)
@settings(deadline=None, max_examples=40)
def test_edges_hold_as_a_reader_of_the_schema_would_work_it_out(events: list[GraphEvent]) -> None:
    """The oracle: of each piece, the widest stretch; withdrawn where nothing was seen after that."""
    pieces: dict[Any, dict[str, Any]] = {}
    for event in events:
        value = json.loads(encode_event(event))
        VALID.validate(value)
        said = value["evidence"]
        key = value["id"], said["class"], said["source"], said["first_seen"]
        piece = pieces.setdefault(key, {"last": said["last_seen"], "withdrawn": ""})
        piece["last"] = max(piece["last"], said["last_seen"])
        piece["withdrawn"] = max(piece["withdrawn"], said["withdrawn_at"] or "")
    holding = {key[0] for key, piece in pieces.items() if piece["last"] > piece["withdrawn"]}
    assert {each.edge.id for each in Graph(events).edges()} == {key for key in holding if ">" in key}


@given(st.builds(GraphEvent, st.one_of(NODES, st.tuples(NODES, NODES).filter(lambda e: e[0] != e[1]).map(
    lambda ends: GraphEdge(*ends))), evidence()))  # fmt: skip
def test_events_are_messages_as_their_schema_says_and_are_read_back(event: GraphEvent) -> None:
    value = encode_event(event)
    VALID.validate(json.loads(value))
    assert decode_event(value) == event
    assert message_key(event) == event.subject.id.encode()


@given(NODES, NODES)
def test_ids_are_the_same_for_the_same_node_only(one: Node, other: Node) -> None:
    assert (one.id == other.id) == (one == other)
    assert ">" not in one.id
    assert '"' not in one.id
    assert one.id.isascii()


def test_the_schema_names_what_the_types_do() -> None:
    evidence_ = SCHEMA["properties"]["evidence"]["properties"]
    assert evidence_["class"]["enum"] == [each.value for each in EvidenceClass]
    assert SCHEMA["$defs"]["node"]["properties"]["kind"]["enum"] == [each.value for each in NodeKind]
    said = {"class" if name == "by" else name for name in Evidence.__slots__}
    assert set(evidence_) == said
    assert set(SCHEMA["$defs"]["node"]["properties"]) == set(Node.__slots__)


BAD: list[dict[str, Any]] = [
    {"version": 2},
    {"node": None},
    {"node": {"kind": "job", "namespace": "kafka://x", "name": "a\nb", "field": None}},
    {"node": {"kind": "job", "namespace": "kafka://x", "name": "", "field": None}},
    {"node": {"kind": "column", "namespace": "kafka://x", "name": "a", "field": None}},
    {"node": {"kind": "job", "namespace": 7, "name": "a", "field": None}},
    {"edge": {"from": 1, "to": 2}},
    {"evidence": None},
]


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_event_is_refused(bad: dict[str, Any]) -> None:
    good = json.loads(encode_event(GraphEvent(topic("a"), seen(EvidenceClass.DECLARED))))
    with pytest.raises(DecodeError):
        decode_event(json.dumps({**good, **bad}).encode())


@pytest.mark.parametrize("bad", [{"confidence": 0}, {"confidence": 1.5}, {"last_seen": "2020-01-01T00:00:00Z"},
                                 {"first_seen": "yesterday"}, {"detail": {"a": 1}}, {"class": "x"}, {"source": ""},
                                 {"first_seen": "2026-03-01T00:00:00"}, {"detail": {"a": "x" * 2000}}])  # fmt: skip
def test_evidence_that_is_none_is_refused(bad: dict[str, Any]) -> None:
    good = json.loads(encode_event(GraphEvent(topic("a"), seen(EvidenceClass.DECLARED))))
    with pytest.raises(DecodeError):
        decode_event(json.dumps({**good, "evidence": {**good["evidence"], **bad}}).encode())


def seen(by: EvidenceClass, sure: float = 1.0, source: str = "test", first: int = 0, last: int | None = None,
         withdrawn: int | None = None, **detail: str) -> Evidence:  # fmt: skip
    end = at(first if last is None else last)
    gone = None if withdrawn is None else at(withdrawn)
    return Evidence(by, source, at(first), end, sure, tuple(sorted(detail.items())), gone)


CONFIDENCES = [
    # evidence, confidence, why
    ([], 0.0, "nothing is known"),
    ([seen(EvidenceClass.HEADER)], 1.0, "it is in the records"),
    ([seen(EvidenceClass.VALUES, 0.99)], 0.4, "values may match by chance"),
    ([seen(EvidenceClass.VALUES, 0.4, str(n)) for n in range(9)], 0.4, "nine chances are no proof"),
    ([seen(EvidenceClass.GROUP, 0.9), seen(EvidenceClass.VALUES, 0.4)], 0.94, "two that know nothing of each other"),
    ([seen(EvidenceClass.GROUP, 1.0)], 0.95, "a group may have been reset by hand"),
    ([seen(EvidenceClass.HEADER, withdrawn=1)], 0.0, "it is so no longer"),
    ([seen(EvidenceClass.HEADER, last=9, withdrawn=1)], 1.0, "it was seen since"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "expected", "why"), CONFIDENCES)
def test_how_sure_it_is(pieces: list[Evidence], expected: float, why: str) -> None:
    assert confidence(pieces) == pytest.approx(expected), why


@st.composite
def wired(draw: st.DrawFn) -> list[tuple[int, int, float]]:
    pairs = draw(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda e: e[0] != e[1]), max_size=30))
    return [(a, b, draw(st.sampled_from([0.2, 0.6, 1.0]))) for a, b in sorted(pairs)]


@given(wired(), st.integers(0, 9), st.sampled_from([None, 1, 2, 3]), st.sampled_from([0.1, LOW, 0.6, 0.9]))
@settings(deadline=None, max_examples=40)
def test_a_walk_reaches_what_networkx_does(
    edges: list[tuple[int, int, float]], start: int, depth: int | None, least: float
) -> None:
    graph = Graph(
        GraphEvent(GraphEdge(topic(str(a)), topic(str(b))), seen(EvidenceClass.HEADER, sure)) for a, b, sure in edges
    )
    oracle = networkx.DiGraph()
    oracle.add_nodes_from(range(10))
    oracle.add_edges_from((a, b) for a, b, sure in edges if sure >= least)
    for way, other in (("downstream", oracle), ("upstream", oracle.reverse())):
        found = reach(graph, topic(str(start)), way, depth=depth, at_least=least)  # type: ignore[arg-type]
        expected = networkx.single_source_shortest_path_length(other, start, cutoff=depth)
        assert {int(graph.nodes[n].name): step for n, step in found.nodes.items()} == {
            node: step for node, step in dict(expected).items() if node != start
        }


def test_a_claim_is_told_once_then_now_and_then_and_withdrawn_when_nobody_claims_it() -> None:
    claim = Claim(GraphEdge(topic("a"), job("j")), EvidenceClass.GROUP, "group/j", 0.95)
    graph, hour = Graph(), timedelta(hours=1)
    told = []
    for minute in range(0, 200, 10):
        claims = [claim] if minute < 130 else []
        events = news(graph, claims, lambda _, source: source.startswith("group/"), at(minute), hour)
        for event in events:
            graph.take(event)
        told += [(minute, event.evidence.holds) for event in events]
    assert told == [(0, True), (60, True), (120, True), (130, False)]
    assert graph.edges() == []
    assert [each.edge for each in graph.as_of(at(125)).edges()] == [claim.subject]
    [again] = news(graph, [claim], lambda *_: True, at(300), hour)
    assert again.evidence.first_seen == at(300)
    graph.take(again)
    assert graph.as_of(at(200)).edges() == []
    assert len(graph.edges()) == 1


def test_what_others_claim_is_not_withdrawn() -> None:
    graph = Graph([GraphEvent(topic("a"), seen(EvidenceClass.DECLARED, source="other"))])
    assert news(graph, [], lambda _, source: source == "mine", at(900), timedelta(hours=1)) == []


def test_an_owner_that_is_declared_anew_is_told_at_once() -> None:
    claims = [Claim(topic("a"), EvidenceClass.DECLARED, "file", 1.0, (("owner", name),)) for name in ("x", "y")]
    graph = Graph(news(Graph(), claims[:1], lambda *_: True, at(0), timedelta(hours=1)))
    for event in news(graph, claims[1:], lambda *_: True, at(1), timedelta(hours=1)):
        graph.take(event)
    assert graph.attribute(topic("a"), "owner") == "y"
    assert graph.as_of(T0 + timedelta(seconds=30)).attribute(topic("a"), "owner") == "x"

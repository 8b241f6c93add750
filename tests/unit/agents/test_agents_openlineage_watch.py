"""If this failed, what other systems send as OpenLineage would not be in the lineage graph, or more than they said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage.agents.openlineage_watch import OpenLineageWatch, Sent, sent
from stream_lineage.errors import DecodeError
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.graph.openlineage_events import PRODUCER
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = naming("b1:9092", [("b1", 9092), ("b2", 9092)], others=["kafka-internal:9093", "prod-eu"])
HOUR = timedelta(hours=1)


class Topic:
    """A partition in memory."""

    def __init__(self, events: Iterable[Sent] = ()) -> None:
        self.events = list(events)

    def end(self) -> int:
        return len(self.events)

    def read(self, start: int) -> tuple[list[tuple[int, Sent]], int]:
        stop = min(start + 2, len(self.events))
        return [(n, self.events[n]) for n in range(start, stop)], stop


def dataset(name: str, namespace: str = "kafka://b1:9092", **facets: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "facets": facets}


def run_event(
    kind: str | None, run: str = "r1", inputs: Iterable[Any] = (), outputs: Iterable[Any] = (), job: str = "etl"
) -> dict[str, Any]:
    event = {
        "producer": "https://airflow", "run": {"runId": run}, "job": {"namespace": "airflow", "name": job},
        "inputs": list(inputs), "outputs": list(outputs),
    }  # fmt: skip
    return event if kind is None else {**event, "eventType": kind}


def watch(topic: Topic, asked: list[datetime] | None = None) -> OpenLineageWatch:
    def first_at(since: datetime) -> int:
        if asked is not None:
            asked.append(since)
        return next((n for n, each in enumerate(topic.events) if each.at >= since), len(topic.events))

    return OpenLineageWatch(topic, first_at, NAMES, HOUR)


def caught_up(looking: OpenLineageWatch, graph: Graph) -> list[GraphEvent]:
    found = looking.look(lambda question: question(graph))
    for event in found:
        graph.take(event)
    looking.written()
    return found


def edges(graph: Graph) -> set[tuple[str, str]]:
    return {(view.edge.source.name, view.edge.target.name) for view in graph.edges()}


def test_a_run_is_in_the_graph_and_said_again_only_after_a_while() -> None:
    topic, graph = Topic(), Graph()
    looking = watch(topic)
    start = run_event("START", inputs=[dataset("orders")], outputs=[dataset("scores")])
    topic.events += [Sent(start, NOW), Sent({**start, "eventType": "RUNNING"}, NOW + timedelta(minutes=1))]
    assert len(caught_up(looking, graph)) == 3  # the job and two edges
    assert edges(graph) == {("orders", "etl"), ("etl", "scores")}
    topic.events.append(Sent({**start, "eventType": "COMPLETE"}, NOW + timedelta(minutes=59)))
    assert caught_up(looking, graph) == []
    topic.events.append(Sent({**start, "eventType": None}, NOW + HOUR))
    assert {event.evidence.last_seen for event in caught_up(looking, graph)} == {NOW + HOUR}
    assert len(graph.known(next(iter(graph.edges())).edge)) == 1


@pytest.mark.parametrize("kind", ["START", "RUNNING", "OTHER", None])
def test_lineage_of_one_event_alone_counts(kind: str | None) -> None:
    graph = Graph()
    caught_up(watch(Topic([Sent(run_event(kind, inputs=[dataset("a")], outputs=[dataset("b")]), NOW)])), graph)
    assert edges(graph) == {("a", "etl"), ("etl", "b")}


def test_what_a_run_announced_and_failed_to_do_is_taken_back() -> None:
    event = run_event("START", inputs=[dataset("a")], outputs=[dataset("b")])
    fail = {**event, "eventType": "FAIL"}
    graph = Graph()
    topic = Topic([Sent(event, NOW), Sent(fail, NOW + timedelta(minutes=1))])
    looking = watch(topic)
    caught_up(looking, graph)
    assert edges(graph) == {("a", "etl")}
    # Another run shows it too: then the failure of one is no reason.
    topic.events += [
        Sent(event, NOW + timedelta(minutes=2)),
        Sent({**run_event("COMPLETE", "r2", [dataset("a")], [dataset("b")])}, NOW + timedelta(minutes=3)),
        Sent(fail, NOW + timedelta(minutes=4)),
    ]
    caught_up(looking, graph)
    assert edges(graph) == {("a", "etl"), ("etl", "b")}


@pytest.mark.parametrize(
    "namespace",
    ["kafka://b1:9092", "kafka://b2:9092", "SASL_SSL://b2:9092,b1:9092", "kafka://other:1,b1:9092", "kafka://B1",
     "kafka://kafka-internal:9093", "kafka://prod-eu"],
)  # fmt: skip
def test_every_name_of_the_cluster_is_one(namespace: str) -> None:
    graph = Graph()
    caught_up(watch(Topic([Sent(run_event("COMPLETE", inputs=[dataset("a", namespace)]), NOW)])), graph)
    [view] = graph.edges()
    assert view.edge.source == NAMES.topic("a")


def test_another_cluster_is_another() -> None:
    graph = Graph()
    caught_up(watch(Topic([Sent(run_event("COMPLETE", inputs=[dataset("a", "kafka://c:9092")]), NOW)])), graph)
    [view] = graph.edges()
    assert view.edge.source.namespace == "kafka://c:9092"


def test_it_begins_where_the_graph_ends() -> None:
    event = Sent(run_event("COMPLETE", inputs=[dataset("a")]), NOW)
    late = Sent(run_event("COMPLETE", inputs=[dataset("late")]), NOW + 3 * HOUR)
    graph = Graph()
    topic = Topic([event, late])
    caught_up(watch(topic), graph)
    asked: list[datetime] = []
    topic.events.append(Sent(run_event("COMPLETE", inputs=[dataset("new")]), NOW + 3 * HOUR))
    again = watch(topic, asked)
    found = caught_up(again, graph)
    assert asked == [NOW + HOUR]
    assert [event.subject.source.name for event in found if isinstance(event.subject, GraphEdge)] == ["new"]
    again.drop()
    assert caught_up(again, graph) == []


def test_what_was_not_written_is_given_again() -> None:
    topic, graph = Topic([Sent(run_event("COMPLETE", inputs=[dataset("a")]), NOW)]), Graph()
    looking = watch(topic)
    ask: Callable[[Callable[[Graph], Any]], Any] = lambda question: question(graph)  # noqa: E731
    first = looking.look(ask)
    looking.drop()  # it could not be written
    assert looking.look(ask) == first


def test_what_was_withdrawn_begins_anew() -> None:
    graph = Graph()
    topic = Topic([Sent(run_event("COMPLETE", inputs=[dataset("a")]), NOW)])
    caught_up(watch(topic), graph)
    [view] = graph.edges()
    [piece] = view.evidence
    gone = Evidence(piece.by, piece.source, NOW, NOW, 1.0, (), NOW + HOUR)
    graph.take(GraphEvent(view.edge, gone))
    topic.events.append(Sent(topic.events[0].event, NOW + 2 * HOUR))
    caught_up(watch(topic), graph)
    assert edges(graph) == {("a", "etl")}
    assert [each.first_seen for each in graph.known(view.edge)] == [NOW, NOW + 2 * HOUR]


def test_one_event_may_not_say_everything() -> None:
    columns = {
        f"c{n}": {"inputFields": [{"namespace": "n", "name": "t", "field": f"f{m}"} for m in range(100)]}
        for n in range(100)
    }
    event = {"dataset": dataset("wide", columnLineage={"fields": columns})}
    found = caught_up(watch(Topic([Sent(event, NOW)])), Graph())
    assert 4_000 < len(found) <= 5_000


class Message:
    def __init__(self, value: bytes | None, at: datetime = NOW) -> None:
        self._value, self._at = value, at

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, int(self._at.timestamp() * 1000)


@pytest.mark.parametrize(
    ("said", "at"),
    [("2026-03-01T11:00:00Z", NOW - HOUR), ("2026-03-01T11:00:00", NOW - HOUR), ("2026-03-01T12:30:00+02:00",
     NOW - timedelta(minutes=90)), ("2027-01-01T00:00:00Z", NOW), ("soon", NOW), (None, NOW), (7, NOW)],
)  # fmt: skip
def test_an_event_is_of_its_time_unless_that_is_to_come(said: Any, at: datetime) -> None:
    event = {**run_event("START"), "eventTime": said}
    assert sent(Message(json.dumps(event).encode())).at == at


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"1", b"{}", b'{"job": {"name": "x"}}'])
def test_what_is_none_is_said_to_be_none(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        sent(Message(value))


def test_the_class_is_openlineage() -> None:
    event = Sent(run_event("COMPLETE", outputs=[dataset("b")]), NOW)
    found = caught_up(watch(Topic([event])), Graph())
    assert {each.evidence.by for each in found} == {EvidenceClass.OPENLINEAGE}
    assert {each.evidence.source for each in found} == {"https://airflow"}


def test_our_own_events_that_come_back_are_no_evidence() -> None:
    event = {**run_event("COMPLETE", inputs=[dataset("a")]), "producer": PRODUCER}
    assert caught_up(watch(Topic([Sent(event, NOW)])), Graph()) == []


ONE, TWO, THREE = (f"0193f9b8-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))


def named_run(run: str, name: str = "nightly", namespace: str = "airflow") -> dict[str, Any]:
    return {"run": {"runId": run}, "job": {"namespace": namespace, "name": name}}


def started(kind: str, run: str, parent: Any = None, facet: str = "parent", **job: Any) -> dict[str, Any]:
    event = run_event(kind, run)
    if parent is not None:
        event["run"]["facets"] = {facet: parent}
    event["job"]["facets"] = job
    return event


def known_of_job(graph: Graph) -> dict[str, str]:
    """What the only piece of evidence of the only job says."""
    (node,) = graph.nodes
    (piece,) = graph.known(node)
    return dict(piece.detail)


@pytest.mark.parametrize("facet", ["parent", "parentRun"])
def test_the_run_that_has_started_a_run_and_the_first_of_all_are_kept(facet: str) -> None:
    graph, topic = Graph(), Topic()
    looking = watch(topic)
    parent = {**named_run(TWO, "dag/task", "kafka://b2:9092"), "root": named_run(THREE, "dag")}
    owner = {"owners": [{"name": "team"}]}
    topic.events.append(Sent(started("START", ONE, parent, facet, ownership=owner), NOW))
    caught_up(looking, graph)
    said = {
        "parent": f"{NAMES.namespace}/dag%2Ftask/{TWO}", "root": f"airflow/dag/{THREE}", "run": ONE, "owner": "team",
    }  # fmt: skip
    assert known_of_job(graph) == said
    # What does not say it again of the same run, or of none, says nothing else.
    topic.events += [
        Sent(started("RUNNING", ONE), NOW + timedelta(minutes=5)),
        Sent({"producer": "https://airflow", "job": {"namespace": "airflow", "name": "etl"}}, NOW + HOUR),
    ]
    caught_up(looking, graph)
    assert known_of_job(graph) == said
    # A run that somebody has started by hand has no parent.
    topic.events.append(Sent(started("START", TWO), NOW + 2 * HOUR))
    caught_up(looking, graph)
    assert known_of_job(graph) == {"owner": "team"}


def test_runs_that_one_job_starts_are_told_once_an_hour_and_those_of_another_at_once() -> None:
    graph, topic = Graph(), Topic()
    looking = watch(topic)
    at = [NOW + timedelta(seconds=seconds) for seconds in (0, 20, 3599, 3600, 3601)]
    topic.events += [Sent(started("START", run, named_run(run)), at[n]) for n, run in enumerate((ONE, TWO, THREE))]
    assert len(caught_up(looking, graph)) == 1
    assert known_of_job(graph)["run"] == ONE
    topic.events.append(Sent(started("COMPLETE", THREE, named_run(THREE)), at[3]))
    caught_up(looking, graph)
    assert known_of_job(graph) == {"parent": f"airflow/nightly/{THREE}", "run": THREE}
    topic.events.append(Sent(started("START", ONE, named_run(TWO, "by hand")), at[4]))
    caught_up(looking, graph)
    assert known_of_job(graph) == {"parent": f"airflow/by hand/{TWO}", "run": ONE}


@pytest.mark.parametrize(
    "parent",
    [
        "nightly", {}, {"run": {"runId": TWO}}, named_run("no uuid"), named_run(TWO, ""), named_run(TWO, "a\nb"),
        named_run(TWO, "x" * 950), {"run": TWO, "job": []}, {**named_run(TWO), "run": {"runId": 7}},
    ],
)  # fmt: skip
def test_a_parent_that_cannot_be_read_is_left_out(parent: Any) -> None:
    graph = Graph()
    caught_up(watch(Topic([Sent(started("START", ONE, parent), NOW)])), graph)
    assert known_of_job(graph) == {}


def test_a_root_that_cannot_be_read_leaves_the_parent() -> None:
    graph = Graph()
    parent = {**named_run(TWO), "root": "the first"}
    caught_up(watch(Topic([Sent(started("START", ONE, parent), NOW)])), graph)
    assert known_of_job(graph) == {"parent": f"airflow/nightly/{TWO}", "run": ONE}

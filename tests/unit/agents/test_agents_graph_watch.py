"""If this failed, the lineage graph would hold what is not so any more, or be written again at every start."""

from __future__ import annotations

from stream_lineage.agents.graph_fold import GraphFold, Written
from stream_lineage.agents.graph_watch import GraphWatch
from stream_lineage.agents.group_offsets import Round
from stream_lineage.graph.declarations import Declarations
from stream_lineage.graph.from_declarations import claims_of_file, claims_of_rules
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.model.edge import Edge
from stream_lineage.model.graph import GraphEvent

NAMES = naming("test", [("b", 9092)])


class Topic:
    """What ``lineage.graph`` holds, in portions of two."""

    def __init__(self) -> None:
        self.events: list[GraphEvent] = []
        self.asked: list[int] = []

    def end(self) -> int:
        return len(self.events)

    def read(self, start: int) -> tuple[list[tuple[int, Written]], int]:
        self.asked.append(start)
        found = [(at, Written(event, event.at)) for at, event in enumerate(self.events)][start : start + 2]
        return found, start + len(found)


class Worker:
    """The worker that keeps the graph, with its topic; ``restart`` leaves the topic only."""

    def __init__(self, *jobs: Edge, file: str = "{}") -> None:
        self.topic = Topic()
        self.now = 1_800_000_000.0
        self.restart(*jobs, file=file)

    def restart(self, *jobs: Edge, file: str = "{}") -> None:
        claims = [*claims_of_file(Declarations.model_validate_json(file), NAMES), *claims_of_rules(jobs, NAMES)]
        self.fold = GraphFold(self.topic, NAMES)
        self.watch = GraphWatch(claims, NAMES, clock=lambda: self.now)

    def look(self, groups: dict[str, set[str]] | None = None, *, asked: set[str] | None = None) -> int:
        """A minute later; how many events that led to."""
        self.now += 60
        if groups is not None:
            reads = {name: frozenset(read) for name, read in groups.items() if asked is None or name in asked}
            self.watch.groups(Round((), frozenset(reads), frozenset(groups), reads))
        while not self.fold.catch_up():
            pass
        events = self.watch.events(self.fold.graph, [])
        self.topic.events += events
        return len(events)

    def edges(self) -> list[str]:
        while not self.fold.catch_up():
            pass
        return [f"{each.edge.source.label} {each.edge.target.label}" for each in self.fold.graph.edges()]


COPY = Edge("copy", "orders", "copies")


def test_what_is_known_is_not_told_again_at_a_restart() -> None:
    worker = Worker(COPY)
    groups = {"copy": {"orders"}, "billing": {"orders"}}
    assert worker.look(groups) == 4
    assert worker.look(groups) == 0
    worker.restart(COPY)
    assert worker.look(groups) == 0
    assert worker.edges() == ["orders billing", "orders copy", "copy copies"]


def test_who_begins_with_what_is_known_reads_on_from_there() -> None:
    worker = Worker(COPY)
    worker.look({"copy": {"orders"}})
    worker.edges()
    known, read = Graph(worker.topic.events), worker.fold.offset
    worker.look({"copy": {"orders"}, "billing": {"orders"}})
    wanted = worker.edges()
    begun = GraphFold(worker.topic, NAMES)
    begun.start_from(Graph(known.events()), read)
    worker.topic.asked.clear()
    while not begun.catch_up():
        pass
    assert min(worker.topic.asked) == read
    worker.fold = begun
    assert worker.edges() == wanted
    assert read > 0


def test_what_is_no_longer_declared_is_withdrawn() -> None:
    worker = Worker(COPY, file='{"datasets": [{"name": "orders", "owner": "shop"}]}')
    assert worker.look() == 3
    worker.restart(Edge("copy", "orders", "elsewhere"))
    assert worker.look() == 3
    assert worker.edges() == ["orders copy", "copy elsewhere"]
    assert worker.fold.graph.attribute(NAMES.topic("orders"), "owner") is None


def test_a_group_that_is_gone_is_missed_some_times_first() -> None:
    worker = Worker()
    both = {"billing": {"orders"}, "shipping": {"orders"}}
    for _ in range(5):
        worker.look(both)
    withdrawn = [worker.look({"shipping": {"orders"}}) for _ in range(5)]
    assert withdrawn == [0, 0, 1, 0, 0]
    assert worker.edges() == ["orders shipping"]


def test_a_topic_that_a_group_reads_no_more_is_missed_some_times_first() -> None:
    worker = Worker()
    for _ in range(5):
        worker.look({"billing": {"orders", "users"}})
    assert [worker.look({"billing": {"orders"}}) for _ in range(5)] == [0, 0, 1, 0, 0]
    assert [worker.look({"billing": {"orders", "users"}}) for _ in range(2)] == [1, 0]
    assert worker.edges() == ["orders billing", "users billing"]


def test_what_was_not_asked_is_not_taken_for_gone() -> None:
    worker = Worker()
    both = {"billing": {"orders"}, "shipping": {"orders"}}
    worker.look(both)
    worker.restart()
    assert [worker.look(both, asked={"billing"}) for _ in range(6)] == [0] * 6
    assert [worker.look(None) for _ in range(6)] == [0] * 6


def test_a_group_that_went_while_nobody_looked_is_withdrawn() -> None:
    worker = Worker()
    worker.look({"billing": {"orders"}})
    worker.restart()
    assert [worker.look({"other": {"users"}}) for _ in range(4)] == [1, 0, 1, 0]
    assert worker.edges() == ["users other"]


def test_a_day_of_looks_is_an_event_an_hour() -> None:
    worker = Worker(COPY)
    assert sum(worker.look({"copy": {"orders"}}) for _ in range(24 * 60)) == 3 * 24


def test_two_workers_that_write_the_same_change_nothing() -> None:
    worker = Worker(COPY)
    worker.look({"copy": {"orders"}})
    worker.topic.events *= 2
    assert worker.edges() == ["orders copy", "copy copies"]
    assert worker.look({"copy": {"orders"}}) == 0


def test_what_a_topic_reaches_is_known_to_alerts() -> None:
    worker = Worker(COPY, Edge("next", "copies", "ends"))
    worker.look({"billing": {"orders"}})
    worker.edges()
    assert worker.fold.reached("orders") == ["billing", "copy", "copies", "next", "ends"]
    assert worker.fold.reached("ends") == []
    assert worker.fold.reached("never heard of") == []


def test_a_topic_that_was_made_anew_begins_anew() -> None:
    worker = Worker(COPY)
    worker.look()
    worker.edges()
    worker.topic.events.clear()
    assert worker.edges() == []
    assert worker.look() == 2

"""If this failed, the graph would hold what no application declares, or lose what one does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from stream_lineage.agents.application_feed import ApplicationFeed
from stream_lineage.agents.graph_watch import GraphWatch
from stream_lineage.agents.group_offsets import Round
from stream_lineage.errors import DecodeError, KafkaUnavailable
from stream_lineage.graph.declarations import Declarations
from stream_lineage.graph.from_applications import MOST_JOBS, ApplicationJobs, Said, decode_job
from stream_lineage.graph.from_declarations import claims_of_file
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.wire.job_declarations import MAX_MESSAGE_BYTES, encode_job

NAMES = naming("test", [("b", 9092)])
NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOB = {
    "name": "enrich", "inputs": ["orders"], "outputs": ["enriched"], "groups": ["enrich-v2"],
    "columns": [{"from": "orders:id", "to": "enriched:id"}], "owner": "shop", "description": None,
}  # fmt: skip


def said(at: datetime = NOW, **changes: object) -> Said:
    job = JOB | changes
    return decode_job(str(job["name"]).encode(), encode_job(job), at)


NO_DECLARATIONS = [
    (b"enrich", b""),
    (b"enrich", b"{}"),
    (b"enrich", b"[]"),
    (b"\xff", encode_job(JOB)),
    (b"other", encode_job(JOB)),
    (None, encode_job(JOB)),
    (b"enrich", encode_job(JOB).replace(b'"version":1', b'"version":2')),
    (b"enrich", encode_job(JOB | {"inputs": [], "outputs": []})),
    (b"enrich", encode_job(JOB | {"more": 1})),
    (b"enrich", encode_job(JOB | {"inputs": ["a\u0000b"]})),
    (b"enrich", orjson.dumps({"version": 1, "job": None})),
    (b"enrich", b" " * (MAX_MESSAGE_BYTES + 1)),
    (b"enrich", b"[" * 100_000),
]


@pytest.mark.parametrize(("key", "value"), NO_DECLARATIONS)
def test_what_is_no_declaration_is_refused(key: bytes | None, value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_job(key, value, NOW)


def test_the_newest_of_each_job_counts_and_none_for_ever() -> None:
    jobs = ApplicationJobs(timedelta(days=40))
    for each in (said(), said(name="other"), said(outputs=["more"]), decode_job(b"other", None, NOW)):
        jobs.take(each)
    assert [(each.name, each.outputs) for each in jobs.jobs(NOW)] == [("enrich", ("more",))]
    assert len(jobs.jobs(NOW + timedelta(days=40))) == 1
    assert not jobs.jobs(NOW + timedelta(days=41))


def test_jobs_are_bounded() -> None:
    jobs = ApplicationJobs(timedelta(days=40))
    one = said()
    for number in range(MOST_JOBS + 1):
        jobs.take(Said(f"job-{number}", NOW, one.job))
    assert jobs.left_out
    assert len(jobs.jobs(NOW)) == MOST_JOBS


class Topic:
    """In portions of two; ``away`` while no broker answers."""

    def __init__(self, *held: Said) -> None:
        self.held = list(held)
        self.away = False

    def end(self) -> int:
        if self.away:
            raise KafkaUnavailable("away")
        return len(self.held)

    def read(self, start: int) -> tuple[list[tuple[int, Said]], int]:
        found = list(enumerate(self.held))[start : start + 2]
        return found, start + len(found)


def test_the_topic_is_read_to_its_end_and_again_where_it_was_made_anew() -> None:
    topic = Topic(said(name="a"), said(name="b"), said(name="c"))
    feed = ApplicationFeed(topic, timedelta(days=1), clock=lambda: NOW)
    assert [each.name for each in feed.look() or ()] == ["a", "b", "c"]
    topic.away = True
    assert feed.look() is None
    topic.away = False
    topic.held = [said(name="d")]
    assert [each.name for each in feed.look() or ()] == ["d"]


def edges(graph: Graph) -> dict[str, set[str]]:
    found = {}
    for view in graph.edges():
        held = {str(each.source) for each in view.evidence if each.holds}
        if held:
            found[f"{view.edge.source.label} {view.edge.target.label}"] = held
    return found


def test_the_graph_follows_what_applications_say() -> None:
    file = Declarations.model_validate({"jobs": [{"name": "enrich", "inputs": ["orders", "users"]}]})
    now = NOW
    watch = GraphWatch(list(claims_of_file(file, NAMES)), NAMES, clock=lambda: now.timestamp())  # noqa: PLW0108  (it moves)
    graph = Graph()

    def look() -> dict[str, set[str]]:
        nonlocal now
        now += timedelta(minutes=1)
        reads = {"enrich-v2": frozenset({"orders"})}
        watch.groups(Round((), frozenset(reads), frozenset(reads), reads))
        for event in watch.events(graph, []):
            graph.take(event)
        return edges(graph)

    by_file, by_group, by_itself = "lineage_declarations", "group/enrich-v2", "application/enrich"
    read = {"orders enrich": {by_file}, "users enrich": {by_file}}
    assert look() == read | {"orders enrich-v2": {by_group}}
    job = said().job
    assert job is not None
    watch.applications([job])
    for _ in range(3):  # a group is known by its job now: its own node is gone when it has not been seen so for a while
        found = look()
    declared = {"enrich enriched": {by_itself}, "orders:id enriched:id": {by_itself}}
    assert found == declared | read | {"orders enrich": {by_file, by_group, by_itself}}
    # Another worker has looked: what applications say is not known, and nothing is taken back for it.
    watch.drop()
    assert declared.items() <= look().items()
    other = said(outputs=["elsewhere"], columns=[], groups=[]).job
    assert other is not None
    watch.applications([other])
    for _ in range(3):
        found = look()
    assert found == {
        "orders enrich": {by_file, by_itself}, "users enrich": {by_file}, "enrich elsewhere": {by_itself},
        "orders enrich-v2": {by_group},
    }  # fmt: skip
    watch.applications([])
    assert look() == read | {"orders enrich-v2": {by_group}}

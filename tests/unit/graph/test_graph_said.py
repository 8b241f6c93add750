"""If this failed, what a source says in an unusual way would be lost, or become an edge that leads nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_lineage.errors import DecodeError, NotFound, SettingsError
from stream_lineage.graph.codec import MAX_MESSAGE_BYTES, decode_event, encode_event, message_key
from stream_lineage.graph.declarations import Declarations, DeclaredJob, read_declarations
from stream_lineage.graph.from_connect import Connector, claims_of_connectors
from stream_lineage.graph.from_declarations import claims_of_file, claims_of_job
from stream_lineage.graph.from_groups import GroupFacts, Member, claims_of_groups
from stream_lineage.graph.from_headers import BatchHead, HeaderFlows
from stream_lineage.graph.from_openlineage import claims_of_event, subject_of
from stream_lineage.graph.from_transactions import Producers, claims_of_transactions
from stream_lineage.graph.from_values import (
    HIGHEST,
    FieldValues,
    Match,
    claims_of_matches,
    claims_of_values,
    matched,
    overlap,
)
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import Known
from stream_lineage.graph.lookup import find
from stream_lineage.graph.naming import naming
from stream_lineage.graph.openlineage_runs import DatasetFacts, run_events
from stream_lineage.graph.value_pairs import read_and_unmade
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.record_edge import UNKNOWN_CLUSTER, EdgeSource, ParentRange, RecordEdge
from stream_lineage.profile.distinct import DistinctSketch

NAMES = naming("prod", [("b1", 9092)])
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B, JOB = NAMES.topic("a"), NAMES.topic("b"), NAMES.job("job")


def said(
    *ends: Node, by: EvidenceClass = EvidenceClass.DECLARED, sure: float = 1.0, over: int | None = None
) -> GraphEvent:
    subject = ends[0] if len(ends) == 1 else GraphEdge(*ends)
    return GraphEvent(subject, Evidence(by, "x", NOON, NOON, sure, (), None if over is None else NOON + over * HOUR))


def edges(claims: Any) -> set[tuple[str, str]]:
    return {
        (claim.subject.source.label, claim.subject.target.label)
        for claim in claims
        if isinstance(claim.subject, GraphEdge)
    }


def test_an_event_is_a_message_under_the_key_of_what_it_is_about() -> None:
    for event in (said(A), said(A, JOB, over=1)):
        assert decode_event(encode_event(event)) == event
        assert message_key(event) == event.subject.id.encode()
    assert message_key(said(A, JOB)) == b"dataset:kafka://prod/a>job:kafka://prod/job"
    with pytest.raises(DecodeError, match="beyond the bound"):
        decode_event(b" " * (MAX_MESSAGE_BYTES + 1))


def test_the_lineage_file_says_which_groups_are_which_jobs_and_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "lineage.yaml"
    path.write_text("jobs: [{name: enrich, inputs: [a], groups: [enrich-v2, enrich-v3]}, {name: other, inputs: [a]}]")
    assert read_declarations(path).aliases() == {"enrich-v2": "enrich", "enrich-v3": "enrich"}
    path.write_text("dashboards: [{name: board}]")
    with pytest.raises(SettingsError, match="inputs or models"):
        read_declarations(path)
    path.write_text("#" * 5_000_001)
    with pytest.raises(SettingsError, match="larger than 5 MB"):
        read_declarations(path)


def test_what_leads_to_itself_is_no_edge() -> None:
    """A column that is made of itself, a group that is called as its topic is, a table that is its own source."""
    column = DeclaredJob.model_validate(
        {"name": "j", "inputs": ["a"], "columns": [{"from": "a:x", "to": "a:x"}, {"from": "a:x", "to": "b:x"}]}
    )
    assert edges(claims_of_job(column, NAMES, "file")) == {("a", "j"), ("a:x", "b:x")}
    facets = {"lineage": {"inputs": [{"namespace": "kafka://b1:9092", "name": "a"}, {"name": "of nowhere"}]}}
    event = {"dataset": {"namespace": "kafka://b1:9092", "name": "a", "facets": facets}}
    assert edges(claims_of_event(event, NAMES)) == set()
    assert edges(claims_of_matches([Match(field("a", 1), field("a", 1), 1.0)], NAMES)) == set()


def test_what_has_a_name_that_nothing_can_have_is_left_out() -> None:
    bad = "a\x1b[31m"
    connectors = [
        Connector(bad, "sink", {"topics": "a"}, frozenset()),
        Connector("s3", "sink", {"topics": f"a,{bad}", "s3.bucket.name": "lake", "file": bad}, frozenset()),
    ]
    assert edges(claims_of_connectors(connectors, NAMES)) == {("a", "connect-s3"), ("connect-s3", "/")}
    producers = Producers({1: frozenset({bad}), 2: frozenset({"fine"})}, {1: frozenset({"a"}), 2: frozenset({"b"})})
    assert edges(claims_of_transactions(producers, NAMES)) == {("fine", "b")}


def test_an_application_of_which_no_topic_is_its_own_writes_none() -> None:
    streams = Member("shop-StreamThread-1-consumer", "/h")
    groups = [GroupFacts("shop", frozenset({"a"}), (streams,)), GroupFacts("x" * 1000, frozenset({"a"}))]
    topics = ["a", "shop-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog", "other-KTABLE-0000000003-repartition"]
    assert edges(claims_of_groups(groups, topics, NAMES)) == {("a", "shop"), ("shop", topics[1])}
    assert edges(claims_of_groups(groups, ["a"], NAMES)) == {("a", "shop")}


NAMED = {"namespace": "airflow", "name": "dag"}
SUBJECTS: list[tuple[dict[str, Any], tuple[str, str] | None]] = [
    ({"job": NAMED, "dataset": {"namespace": "s3://b", "name": "x"}}, ("airflow", "dag")),
    ({"dataset": {"namespace": "s3://b", "name": "x"}}, ("s3://b", "x")),
    ({"job": {"namespace": "airflow"}, "dataset": {"namespace": "s3://b", "name": "x"}}, ("s3://b", "x")),
    ({"job": {"namespace": "airflow", "name": "a\nb"}}, None),
    ({"job": 7}, None),
    ({}, None),
]


@pytest.mark.parametrize(("event", "subject"), SUBJECTS)
def test_what_an_event_is_about(event: dict[str, Any], subject: tuple[str, str] | None) -> None:
    assert subject_of(event) == subject


RUN = "00000000-0000-0000-0000-000000000001"
PARENT = {"job": {"namespace": "airflow", "name": "dag"}, "run": {"runId": RUN}}


def started(facets: Any, run: Any = RUN) -> dict[str, str]:
    event = {"job": {"namespace": "spark", "name": "step"}, "run": {"runId": run, "facets": facets}}
    [claim] = claims_of_event(event, NAMES)
    return dict(claim.detail)


def test_an_event_says_which_run_has_started_its_run() -> None:
    assert started({"parent": PARENT}) == {"parent": f"airflow/dag/{RUN}", "run": RUN}
    root = {"job": {"namespace": "airflow", "name": "all"}, "run": {"runId": RUN}}
    assert started({"parentRun": {**PARENT, "root": root}})["root"] == f"airflow/all/{RUN}"
    for nothing in (None, {}, {"parent": 7}, {"parent": {**PARENT, "run": {"runId": "no run"}}},
                    {"parent": {**PARENT, "run": {}}}, {"parent": {**PARENT, "job": {}}}):  # fmt: skip
        assert started(nothing) == {}
    assert started({"parent": PARENT}, run=None) == {}
    assert started({"parent": PARENT}, run="a\nb") == {}


def test_a_failed_run_and_odd_datasets_say_what_they_can() -> None:
    long = "kafka://" + "x" * 992
    column = {"columnLineage": {"fields": {"y": {"inputFields": [{"namespace": "s", "name": "t", "field": 7}]}}}}
    event = {
        "job": {**NAMED, "facets": {"ownership": {"owners": [{"name": "team"}]}}},
        "inputs": [{"namespace": "kafka://b1:9092", "name": "a"}, {"namespace": long, "name": "b"}, {"name": "c"}],
        "outputs": [{"namespace": "s3://b", "name": "out", "facets": column}],
    }
    claims = list(claims_of_event(event, NAMES))
    assert ("a", "dag") in edges(claims)
    assert ("dag", "out") in edges(claims)
    assert dict(claims[0].detail) == {"owner": "team"}
    bare = naming("c" * 1000, [("b1", 9092)])
    assert edges(claims_of_event({**event, "eventType": "FAIL"}, bare)) == {("b", "dag")}, (
        "what is too long is left out"
    )


def sketch(start: int, size: int = 500) -> DistinctSketch:
    made = DistinctSketch(11)
    made.add(np.random.default_rng(start).integers(0, 2**63, size).astype(np.uint64))
    return made


def field(topic: str, seed: int, since: float = 0.0, path: str = "id", size: int = 500) -> FieldValues:
    return FieldValues(topic, path, sketch(seed, size), since)


def test_values_that_do_not_match_are_no_edge_and_of_two_fields_the_better_one_is() -> None:
    assert edges(claims_of_values([field("a", 1), field("b", 2)], NAMES)) == set()
    assert edges(claims_of_values([field("a", 1), field("a", 1, path="other")], NAMES)) == set(), "of one topic"
    exact, near = Match(field("a", 1), field("b", 1), 0.9), Match(field("a", 1, path="x"), field("b", 1), 0.6)
    for order in ([exact, near], [near, exact]):
        [claim] = claims_of_matches(order, NAMES)
        assert dict(claim.detail) == {"fields": "id id", "overlap": "0.9"}
        assert claim.confidence == pytest.approx(HIGHEST * 0.9, abs=0.05)


def test_few_values_or_very_different_numbers_of_them_are_not_compared() -> None:
    few = field("a", 1, size=20)
    assert matched(few, few) == 0.0
    assert matched(field("a", 1, size=5_000), field("b", 1)) == 0.0
    assert matched(field("a", 1), field("b", 1)) == pytest.approx(1.0, abs=0.1)
    assert overlap(DistinctSketch(11), DistinctSketch(11)) == 0.0
    assert FieldValues("a", "id", sketch(1), 0.0, count=7.0).count == 7.0


def test_what_only_values_say_and_what_is_over_makes_nobody_a_reader() -> None:
    graph = Graph([
        said(A, JOB, by=EvidenceClass.VALUES, sure=0.9), said(B, JOB, over=1), said(NAMES.topic("c"), JOB),
        said(JOB, NAMES.topic("d")), said(Node(NodeKind.DATASET, "s3://b", "a"), JOB),
    ])  # fmt: skip
    assert read_and_unmade(graph, "abcd", NAMES.namespace) == ({"c"}, {"a", "b", "c"})
    both = Graph(
        [said(A, JOB, by=EvidenceClass.VALUES, sure=0.4), said(A, JOB, by=EvidenceClass.GROUP, sure=0.9, over=1)]
    )
    assert read_and_unmade(both, "a", NAMES.namespace)[0] == set()


def test_a_name_that_is_endless_is_not_compared_with_others() -> None:
    graph = Graph([said(NAMES.topic("x" * 190))])
    with pytest.raises(NotFound) as caught:
        find(graph, "x" * 195)
    assert "Did you mean" in (caught.value.hint or "")
    with pytest.raises(NotFound) as caught:
        find(graph, "x" * 201)
    assert "lists all nodes" in (caught.value.hint or "")


def test_of_several_pieces_one_that_holds_is_enough() -> None:
    known = Known()
    known.take(said(A, over=1).evidence)
    assert not known.holds()
    assert known.holds(NOON)
    known.take(Evidence(EvidenceClass.GROUP, "g", NOON + 2 * HOUR, NOON + 2 * HOUR, 0.9))
    assert known.holds()
    assert not known.holds(NOON + HOUR)
    assert not known.holds(NOON - HOUR)


def test_edges_by_id_are_the_same_until_there_are_more() -> None:
    graph = Graph([said(B, JOB), said(A, JOB)])
    assert [graph.edge_id(number) for number in graph.edges_by_id()] == [f"{A.id}>{JOB.id}", f"{B.id}>{JOB.id}"]
    assert list(graph.edges_by_id()) == [1, 0]


def test_a_run_has_the_columns_of_what_it_writes_and_no_others() -> None:
    other = (NAMES.column("a", "x"), NAMES.column("elsewhere", "x"))
    graph = Graph([said(A, JOB), said(JOB, B), said(NAMES.column("a", "x"), NAMES.column("b", "y")), said(*other)])
    facts = {B: DatasetFacts(rows=5, bytes=70)}
    running = run_events(graph, facts, NOON + HOUR)[-1]
    [output] = running["outputs"]
    assert list(output["facets"]["columnLineage"]["fields"]) == ["y"]
    statistics = output["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (5, 70)
    [output] = run_events(graph, {B: DatasetFacts(rows=5)}, NOON + HOUR)[-1]["outputs"]
    assert "size" not in output["outputFacets"]["outputStatistics"]


def flows(*topics: str, graph: Graph | None = None) -> HeaderFlows:
    found = HeaderFlows(NAMES, HOUR)
    found.know(graph or Graph(), topics)
    return found


def head(hours: float, target: str, *sources: tuple[str | None, str]) -> BatchHead:
    return BatchHead("prod", target, NOON + hours * HOUR, frozenset(sources))


def made_of(*sources: tuple[str | None, str]) -> list[RecordEdge]:
    parents = tuple(ParentRange(topic, 0, 5, 9, cluster=cluster) for cluster, topic in sources)
    return [RecordEdge(0, 0, parents, EdgeSource.LINEAGE)]


def test_records_of_nobody_or_of_a_name_that_nothing_can_have_have_no_parents() -> None:
    looked = flows("a", "out")
    for source in ((UNKNOWN_CLUSTER, "a"), (None, "a\nb"), (None, "out")):
        looked.take(head(0, "out", source), made_of(source))
        assert not looked.wants(head(1, "out", source))
    looked.take(head(0, "o\nut", (None, "a")), made_of((None, "a")))
    assert looked.events(Graph(), NOON, whole=False, records=lambda *_: True) == []


def test_batches_come_late_and_an_edge_is_known_from_the_first_to_the_last() -> None:
    looked, a = flows("a", "out"), (None, "a")
    looked.take(head(5, "out", a), made_of(a))
    looked.take(head(2, "out", a), made_of(a))
    [event] = looked.events(Graph(), NOON, whole=True, records=lambda *_: True)
    assert (event.evidence.first_seen, event.evidence.last_seen) == (NOON + 2 * HOUR, NOON + 5 * HOUR)


def test_a_batch_whose_edges_nobody_read_shows_nothing_new_and_what_was_read_can_be_dropped() -> None:
    looked, a = flows("a", "out"), (None, "a")
    looked.take(head(0, "out", a))
    assert looked.events(Graph(), NOON, whole=True, records=lambda *_: True) == []
    looked.take(head(1, "out", a), made_of(a))
    looked.take(head(1.5, "out", a, (None, "b")))
    assert len(looked.events(Graph(), NOON, whole=True, records=lambda *_: True)) == 1
    looked.drop()
    assert looked.events(Graph(), NOON, whole=True, records=lambda *_: True) == []


def gone_after(
    sources: list[tuple[str | None, str]], visible: list[str], later: list[str]
) -> tuple[set[str], list[str]]:
    """``out`` is made of these for ten days each day and of ``stays``, then of ``stays`` alone; which edges are gone
    then, and of which topics it was asked whether they are silent."""
    looked, graph = flows("out", "stays", *visible), Graph()
    for day in range(10):
        every = [*sources, (None, "stays")]
        looked.take(head(24 * day, "out", *every), made_of(*every))
    for event in looked.events(graph, NOON + 240 * HOUR, whole=True, records=lambda *_: True):
        graph.take(event)
    looked.know(graph, ["out", "stays", *later])
    for day in range(10, 30):
        looked.take(head(24 * day, "out", (None, "stays")), made_of((None, "stays")))
    asked: list[str] = []

    def records(name: str, *_: datetime) -> bool:
        asked.append(name)
        return True

    found = looked.events(graph, NOON + 720 * HOUR, whole=True, records=records)
    gone = {
        event.subject.source.name
        for event in found
        if event.evidence.withdrawn_at and isinstance(event.subject, GraphEdge)
    }
    return gone, asked


def test_of_a_topic_that_was_deleted_or_is_elsewhere_nobody_is_asked() -> None:
    assert gone_after([(None, "a")], ["a"], ["a"]) == ({"a"}, ["a"])
    assert gone_after([(None, "a")], ["a"], []) == ({"a"}, [])
    assert gone_after([("other", "a")], [], []) == ({"a"}, [])


def test_in_one_look_only_so_many_are_asked() -> None:
    sources: list[tuple[str | None, str]] = [(None, f"t{number:02}") for number in range(25)]
    names = [name for _, name in sources]
    gone, asked = gone_after(sources, names, names)
    assert len(asked) == 20
    assert gone == set(asked)


def test_whatever_a_job_declares_is_said_of_it() -> None:
    declared = Declarations.model_validate({"dashboards": [{"name": "board", "models": ["m"]}],
                                            "models": [{"name": "m", "inputs": ["a"], "owner": "ml"}]})  # fmt: skip
    claims = list(claims_of_file(declared, NAMES))
    assert edges(claims) == {("a", "m"), ("m", "board")}
    assert [dict(claim.detail) for claim in claims if claim.detail] == [{"owner": "ml"}]


def test_of_what_one_source_says_differently_each_time_the_newest_is_kept() -> None:
    known = Known()
    for hour in (*range(0, 300, 2), *range(1, 300, 2)):
        at = NOON + hour * HOUR
        known.take(Evidence(EvidenceClass.OPENLINEAGE, "x", NOON, at, 1.0, (("run", str(hour)),)))
    assert [dict(each.detail)["run"] for each in known.evidence()] == ["299"]
    then = [known.evidence(NOON + hour * HOUR)[0] for hour in range(200, 300)]
    assert [dict(each.detail)["run"] for each in then] == [str(hour) for hour in range(200, 300)]
    assert dict(known.evidence(NOON + 100 * HOUR)[0].detail)["run"] == "200", "the oldest that is kept"

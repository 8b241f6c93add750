"""If this failed, the root cause of something in the live graph would be sought in other data than what is stored of
it, or bundles would carry payload values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_lineage.errors import NotFound
from stream_lineage.explain.bundle import recording_of
from stream_lineage.explain.live import Question, live_bundle
from stream_lineage.explain.neighbourhood import neighbourhood
from stream_lineage.explain.root_cause import explain
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.store.ports import FieldValue, MetricStore, Point
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.stores import MemoryStore

CLUSTER, NAMESPACE = "lab", "kafka://lab"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOWS = 180
BREAK = 150
AT = START + timedelta(seconds=10 * (BREAK + 12))


def topic(name: str) -> Node:
    return Node(NodeKind.DATASET, NAMESPACE, name)


RAW, CLEAN, SCORES, ASIDE = (topic(name) for name in ("raw", "clean", "scores", "aside"))
JOB, MODEL = Node(NodeKind.JOB, NAMESPACE, "cleaner"), Node(NodeKind.MODEL, "ml", "churn")


def graph() -> Graph:
    found = Graph()
    for source, target in ((RAW, JOB), (JOB, CLEAN), (CLEAN, SCORES), (SCORES, MODEL), (RAW, ASIDE)):
        known = Evidence(EvidenceClass.HEADER, "test", START, START + timedelta(days=1), 0.95)
        found.take(GraphEvent(GraphEdge(source, target), known))
    return found


def fill(store: MetricStore) -> None:
    """Amounts of ``raw`` are 9876.5 and null from a window on, which the others show one and two windows later."""
    random = np.random.default_rng(4)
    points = []
    for node, since in ((RAW, BREAK), (CLEAN, BREAK + 1), (SCORES, BREAK + 2), (ASIDE, 10_000)):
        for window in range(WINDOWS):
            at = START + timedelta(seconds=10 * window)
            tags = {"cluster": CLUSTER, "topic": node.name}
            broken = window >= since
            for partition in ("0", "1"):
                version = "2" if node == RAW and broken else "1"
                points.append(
                    Point("lineage_topic", {**tags, "partition": partition, "schema_version": version},
                          {"records": int(50 + random.integers(0, 5))}, at)
                )  # fmt: skip
            ratio = float(0.4 if broken else 0.02 + 0.002 * random.normal())
            amount: dict[str, FieldValue] = {
                "null_ratio": ratio, "mean": 9876.5 + random.normal(), "min": 9871.25, "max": 9882.75,
                "decoder": "JSON", "types": 1,
            }  # fmt: skip
            points.append(Point("lineage_field", {**tags, "field": "amount"}, amount, at))
    summary: dict[str, FieldValue] = {
        "alerts": 1,
        "summary": "raw: category SECRET-CATEGORY is new",
        "url": "",
        "event_id": "e",
    }
    for kind, field in (("schema-drift", "amount"), ("new-category", "country")):
        tags = {"cluster": CLUSTER, "topic": "raw", "kind": kind, "severity": "critical", "phase": "once",
                "fingerprint": kind, "field": field}  # fmt: skip
        points.append(Point("lineage_alert", tags, summary, START + timedelta(seconds=10 * BREAK + 1)))
    store.write(points)


@pytest.fixture(params=["memory", "sqlite", pytest.param("influx", marks=pytest.mark.influx)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetricStore]:
    if request.param == "influx":
        from stream_lineage.store.influx import InfluxStore
        from stream_lineage.store.influx_api import InfluxApi

        server = request.getfixturevalue("influx")
        server.make_bucket("explain-live")
        api = InfluxApi(server.url, server.org, server.token, timeout_seconds=60.0)
        made: Any = InfluxStore(api, "explain-live")
    else:
        made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "metrics.sqlite")
    fill(made)
    yield made
    made.close()


def ask(store: MetricStore, **changed: Any) -> Any:
    question = {"metric": "null_ratio", "field": "amount", "at": AT, **changed}
    around = neighbourhood(graph(), question.pop("node", SCORES))
    return live_bundle(
        around, store, Question(**question), cluster=CLUSTER, namespace=NAMESPACE, now=AT + timedelta(minutes=2)
    )


def test_a_fault_is_followed_over_two_hops(store: MetricStore) -> None:
    bundle = ask(store)
    assert bundle.window_seconds == 10
    answer = explain(recording_of(json.loads(json.dumps(bundle.document))))
    assert answer.verdict == "root-cause"
    cause = answer.ranking[0]
    assert (cause.node, cause.metric, cause.field) == ("raw", "null_ratio", "amount")
    assert cause.path == ("raw", "cleaner", "clean", "scores")
    assert cause.onset == (START + timedelta(seconds=10 * BREAK)).timestamp()
    assert any("schema-drift" in each for each in cause.evidence)
    assert {each.node for each in answer.affected} == {"cleaner", "clean", "scores", "churn", "aside"}
    # The partitions of a topic are one series.
    [records] = [
        each for each in bundle.document["series"] if (each["node"], each["metric"]) == ("aside", "records")
    ]  # fmt: skip
    assert len(records["points"]) == BREAK + 12 + 12
    assert all(100 <= value <= 108 for _, value in records["points"])
    # No payload values, scaled or in words.
    text = json.dumps(bundle.document)
    assert "SECRET-CATEGORY" not in text
    assert not {"min", "max"} & {each["metric"] for each in bundle.document["series"]}
    assert not [value for each in bundle.document["series"] for _, value in each["points"] if 9870 < value < 9883]
    means = [value for each in bundle.document["series"] if each["metric"] == "mean" for _, value in each["points"]]
    assert 0.99 < min(means) <= max(means) == 1
    # What deviates is no event besides.
    assert {(each["node"], each["kind"]) for each in bundle.document["events"]} == {
        ("raw", "schema-drift"), ("raw", "schema-change"),
    }  # fmt: skip


def test_narrower_windows_are_read_as_they_are() -> None:
    store = MemoryStore()
    fill(store)
    points = [point for name in ("lineage_topic", "lineage_field", "lineage_alert")
              for point in store.range(name, START, START + timedelta(hours=1), {})]  # fmt: skip
    narrow = MemoryStore()
    narrow.write([replace(each, time=START + (each.time - START) / 5) for each in points])
    tags = {"cluster": CLUSTER, "partition": "all"}
    for name in ("raw", "clean", "scores"):
        times = (START + timedelta(seconds=2 * number) for number in range(WINDOWS))
        narrow.write([Point("lineage_topic", {**tags, "topic": name}, {"baselines": 1}, time) for time in times])
    bundle = ask(narrow, at=START + timedelta(seconds=2 * (BREAK + 12)))
    assert bundle.window_seconds == 2
    answer = explain(recording_of(bundle.document))
    assert (answer.verdict, answer.ranking[0].node) == ("root-cause", "raw")
    assert answer.ranking[0].onset == (START + timedelta(seconds=2 * BREAK)).timestamp()


def test_what_is_not_measured_is_said_with_what_is() -> None:
    store = MemoryStore()
    fill(store)
    with pytest.raises(NotFound) as found:
        ask(store, metric="nulls_ratio")
    assert "no series of nulls_ratio of amount of scores" in found.value.message
    assert "null_ratio (of amount)" in str(found.value.hint)
    with pytest.raises(NotFound) as found:
        ask(store, node=MODEL, metric="accuracy", field=None)
    assert "Nothing is measured at churn" in str(found.value.hint)
    with pytest.raises(NotFound):
        ask(store, at=START - timedelta(days=40))


def test_a_pushed_metric_that_comes_once_an_hour_is_followed_back_over_days() -> None:
    store = MemoryStore()
    random = np.random.default_rng(9)
    for hour in range(72):
        at = START + timedelta(hours=hour)
        tags = {"cluster": CLUSTER, "partition": "0", "schema_version": "1"}
        for node, since in ((RAW, 66), (CLEAN, 66), (SCORES, 66)):
            for minute in (0, 30):
                count = 100 + random.normal() - (60 if hour >= since else 0)
                when = at + timedelta(minutes=minute)
                store.write([Point("lineage_topic", {**tags, "topic": node.name}, {"records": count}, when)])
        rate = 0.31 + 0.002 * random.normal() - (0.1 if hour >= 67 else 0)
        store.write([Point("lineage_pushed", {"node": "churn", "metric": "ctr"}, {"value": rate}, at)])
    end = START + timedelta(hours=70)
    question = Question("ctr", None, end)
    bundle = live_bundle(neighbourhood(graph(), MODEL), store, question, cluster=CLUSTER, namespace=NAMESPACE, now=end)
    assert bundle.window_seconds == 600
    answer = explain(recording_of(bundle.document))
    assert answer.verdict == "root-cause"
    assert (answer.ranking[0].node, answer.ranking[0].path[-1]) == ("raw", "churn")


def test_the_nearest_nodes_are_kept_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    fill(store)
    monkeypatch.setattr("stream_lineage.explain.live.MOST_MEASURED", 3)
    bundle = ask(store)
    assert {each["node"] for each in bundle.document["series"]} == {"scores", "clean"}  # and a job without any
    assert any("nearest 3 of 5 nodes" in note for note in bundle.notes)


def test_nodes_whose_series_are_too_many_are_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    fill(store)
    each = sum(one["node"] == "scores" for one in ask(store).document["series"])
    monkeypatch.setattr("stream_lineage.explain.live.MOST_SERIES", 2 * each)
    bundle = ask(store)
    assert [one["node"] for one in bundle.document["series"]] == ["scores"] * each + ["clean"] * each
    assert bundle.notes == (f"Series of 2 nodes are left out: there are more than {2 * each}.",)


def test_nodes_that_the_graph_left_out_are_said() -> None:
    store = MemoryStore()
    fill(store)
    around = neighbourhood(graph(), SCORES, most=3)
    question = Question("null_ratio", "amount", AT)
    bundle = live_bundle(around, store, question, cluster=CLUSTER, namespace=NAMESPACE, now=AT)
    assert [each["id"] for each in bundle.document["graph"]["nodes"]] == ["clean", "scores", "cleaner"]
    assert bundle.notes == ("3 nodes further away are left out.",)


def test_how_far_it_is_can_be_followed() -> None:
    store = MemoryStore()
    fill(store)
    told: list[tuple[int, int]] = []
    live_bundle(
        neighbourhood(graph(), SCORES), store, Question("null_ratio", "amount", AT), cluster=CLUSTER,
        namespace=NAMESPACE, now=AT, progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]  # of a model nothing can be measured but what is pushed


def test_how_far_a_group_is_behind_is_that_of_all_its_topics_together() -> None:
    store = MemoryStore()
    for number in range(60):
        at = AT + timedelta(seconds=10 * (number - 50))
        for group, topic_name, partition, lag in (
            ("cleaner", "raw", "all", 100 + number), ("cleaner", "side", "all", 7), ("cleaner", "raw", "0", 5000),
            ("other", "raw", "all", 1),
        ):  # fmt: skip
            tags = {"cluster": CLUSTER, "group": group, "topic": topic_name, "partition": partition}
            store.write([Point("lineage_group", tags, {"lag": lag}, at)])
    bundle = ask(store, node=JOB, metric="lag", field=None)
    [series] = bundle.document["series"]
    assert (series["node"], series["metric"]) == ("cleaner", "lag")
    assert [value for _, value in series["points"]] == [107.0 + number for number in range(60)]
    with pytest.raises(NotFound) as found:
        ask(store, node=JOB, metric="records", field=None)
    assert found.value.hint == "Of cleaner there are lag."


def test_amounts_that_are_always_zero_stay_zero() -> None:
    store = MemoryStore()
    for number in range(60):
        tags = {"cluster": CLUSTER, "topic": "scores", "partition": "0", "field": "amount"}
        at = AT + timedelta(seconds=10 * (number - 50))
        store.write([Point("lineage_field", tags, {"mean": 0.0, "null_ratio": 0.5}, at)])
    bundle = ask(store)
    [means] = [each["points"] for each in bundle.document["series"] if each["metric"] == "mean"]
    assert {value for _, value in means} == {0.0}

"""If this failed, the first bad record would be looked for in another topic, at another time, or for another fault."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from stream_lineage.explain.answer import Answer, Ranked
from stream_lineage.explain.confidence import Features
from stream_lineage.explain.recording import Breach, Event, Recording, Series, SeriesName
from stream_lineage.explain.spots import MOST_SPOTS, Spot, causes_of, spots_of
from stream_lineage.explain.symptoms import Deviation
from stream_lineage.model.graph import Node, NodeKind

NAMESPACE = "kafka://lab"
NODES = {
    "orders": Node(NodeKind.DATASET, NAMESPACE, "shop.orders"),
    "clean": Node(NodeKind.DATASET, NAMESPACE, "shop.clean"),
    "cleaner": Node(NodeKind.JOB, NAMESPACE, "cleaner"),
    "table": Node(NodeKind.DATASET, "postgres://db", "public.orders"),
    "churn": Node(NodeKind.MODEL, "ml", "churn"),
}
FEATURES = Features(2.0, 2.0, 1, 1.0, 1.0, 1.0, False, 0, 1.0, 0.0, 2.0, 1.0)
NOTHING = np.empty(0)


def deviation(
    node: str, metric: str = "null_ratio", field: str | None = "amount", usual: float = 0.1, found: float | None = 0.4
) -> Deviation:
    """Between 1000 and 1010, in points that are 10 seconds apart."""
    series = Series(SeriesName(node, metric, field), NOTHING, NOTHING)
    return Deviation(series, 3.0, "shift", 1010.0, 1000.0, 1010.0, 1100.0, 10.0, usual, found)


def cause(
    *path: str, along: Sequence[Deviation] = (), metric: str = "null_ratio", field: str | None = "amount",
    named: bool = True,
) -> Ranked:  # fmt: skip
    return Ranked(
        path[0], "dataset", metric, field, 1004.0, (1003.0, 1006.0), 5.0, 0.87654, named, path, (), (), tuple(along),
        FEATURES,
    )  # fmt: skip


def answer(*ranking: Ranked) -> Answer:
    return Answer("root-cause", "", ranking, (), (), (), ())


def recording(*events: Event) -> Recording:
    return Recording({}, (), (), events, Breach("churn", "ctr", None, 1200.0))


def spots(*ranking: Ranked, events: Sequence[Event] = ()) -> tuple[Spot, ...]:
    return spots_of(recording(*events), answer(*ranking), NODES, NAMESPACE)


def test_a_topic_that_deviates_is_looked_into_from_the_last_good_point_to_the_end_of_the_first_bad_one() -> None:
    found = spots(cause("orders", "cleaner", "clean", along=[deviation("orders"), deviation("clean")]))
    assert found == (Spot("orders", "shop.orders", "null_ratio", "amount", 0.1, 0.4, 1000.0, 1020.0),)


@pytest.mark.parametrize("first", ["table", "cleaner", "gone", "clean"])
def test_what_is_no_topic_of_this_cluster_or_does_not_deviate_is_shown_by_the_next_topic_that_does(first: str) -> None:
    """A table of a database, a job, a node that the graph no longer has; a topic without metrics of its own."""
    along = [deviation("table"), deviation("cleaner"), deviation("orders")]
    [found] = spots(cause(first, "orders", "churn", along=along))
    assert (found.cause, found.topic) == (first, "shop.orders")


def test_a_cause_that_no_topic_shows_has_no_spot() -> None:
    assert spots(cause("table", "churn", along=[deviation("table"), deviation("churn")])) == ()
    assert spots(cause("orders", metric="deploy", field=None)) == ()


def test_a_topic_that_only_a_change_of_its_schema_tells_of_is_looked_into_since_then() -> None:
    [found] = spots(cause("orders", "churn", metric="schema-change", field=None))
    assert found == Spot("orders", "shop.orders", "schema-change", None, None, None, 1003.0, 1006.0, 1003.0)
    # What follows on the way has not changed its own schema for that.
    assert spots(cause("cleaner", "orders", metric="schema-change", field=None)) == ()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([("orders", "schema-change", 979.9)], None, id="more than two points before"),
        pytest.param([("orders", "schema-change", 980.0)], 980.0, id="two points before"),
        pytest.param([("orders", "schema-drift", 1040.0)], 1040.0, id="two points after, and an alert tells it"),
        pytest.param([("orders", "schema-change", 1040.1)], None, id="later"),
        pytest.param([("orders", "deploy", 1005.0)], None, id="no schema"),
        pytest.param([("clean", "schema-change", 1005.0)], None, id="another topic's"),
        pytest.param(
            [("orders", "key-schema-drift", 1009.0), ("orders", "schema-change", 1007.0)], 1007.0, id="the first of two"
        ),
    ],
)
def test_a_schema_that_changed_about_then_is_what_changed_it(
    events: list[tuple[str, str, float]], expected: float | None
) -> None:
    happened = [Event(node, kind, at) for node, kind, at in events]
    [found] = spots(cause("orders", along=[deviation("orders")]), events=happened)
    assert found.schema_at == expected


def test_only_causes_that_are_named_and_not_too_many_of_them() -> None:
    named = [cause("orders", along=[deviation("orders", field=str(number))]) for number in range(5)]
    found = spots(cause("clean", along=[deviation("clean")], named=False), *named)
    assert [each.field for each in found] == ["0", "1", "2"]
    assert len(found) == MOST_SPOTS


def test_what_broke_is_told_with_the_kind_of_its_own_fault() -> None:
    first = cause("orders", "clean", along=[deviation("clean", "mean"), deviation("orders")])
    of_event = cause("clean", metric="schema-change", field=None)
    stopped = cause("table", along=[deviation("table", "records", None, 100.0, None)], metric="records", field=None)
    told = causes_of(answer(first, of_event, stopped, cause("churn", named=False)))
    assert told[0] == {
        "node": "orders",
        "kind": "dataset",
        "metric": "null_ratio",
        "field": "amount",
        "fault": "more nulls",
        "onset": 1004.0,
        "onset_interval": [1003.0, 1006.0],
        "confidence": 0.877,
    }
    assert [(each["node"], each["fault"]) for each in told[1:]] == [("clean", "schema change"), ("table", "silence")]

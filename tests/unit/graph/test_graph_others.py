"""If this failed, what OpenLineage, Kafka Connect, transactions and values say would become edges that are false."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.from_connect import CONFIG, Connector, claims_of_connectors
from stream_lineage.graph.from_openlineage import claims_of_event
from stream_lineage.graph.from_transactions import Producers, claims_of_transactions
from stream_lineage.graph.from_values import FieldValues, claims_of_values, overlap
from stream_lineage.graph.known import LOW
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import EvidenceClass, GraphEdge
from stream_lineage.profile.distinct import DistinctSketch

NAMES = naming("prod", [("b1", 9092)])


def edges(claims: Any) -> set[tuple[str, str]]:
    return {
        (claim.subject.source.id, claim.subject.target.id) for claim in claims if isinstance(claim.subject, GraphEdge)
    }


def run(kind: str | None, **more: Any) -> dict[str, Any]:
    event = {
        "producer": "https://example.com",
        "job": {"namespace": "airflow", "name": "dag.task"},
        "inputs": [{"namespace": "kafka://b1:9092", "name": "orders"}],
        "outputs": [{"namespace": "postgres://db:5432", "name": "shop.public.orders"}],
        **more,
    }
    return event if kind is None else {**event, "eventType": kind}


READ = ("dataset:kafka://prod/orders", "job:airflow/dag.task")
WROTE = ("job:airflow/dag.task", "dataset:postgres://db:5432/shop.public.orders")
EVENTS = [
    (run("COMPLETE"), {READ, WROTE}, "a run"),
    (run("START"), {READ, WROTE}, "some say what they will do only when they start"),
    (run("RUNNING"), {READ, WROTE}, "streaming jobs never complete"),
    (run(None), {READ, WROTE}, "a JobEvent, or an old RunEvent"),
    (run("FAIL"), {READ}, "nobody knows whether it wrote anything"),
    (run("ABORT"), {READ}, "likewise"),
    (run("COMPLETE", inputs=None, outputs="x"), set(), "nonsense"),
    (run("COMPLETE", outputs=[{"name": "x"}, 7, {"namespace": "a", "name": "b\nc"}]), {READ}, "no datasets"),
    (run("COMPLETE", job={"namespace": "airflow"}), set(), "no job"),
    ({"dataset": {"namespace": "kafka://b1:9092", "name": "orders"}}, set(), "a DatasetEvent"),
    ({}, set(), "nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected", "why"), EVENTS)
def test_what_an_openlineage_event_says(event: dict[str, Any], expected: set[tuple[str, str]], why: str) -> None:
    claims = list(claims_of_event(event, NAMES))
    assert edges(claims) == expected, why
    assert {claim.by for claim in claims} <= {EvidenceClass.OPENLINEAGE}


def test_facets_say_columns_owners_and_sources() -> None:
    facets = {
        "columnLineage": {"fields": {
            "user_id": {"inputFields": [{"namespace": "kafka://b1:9092", "name": "orders", "field": "user.id"}]},
            "bad": {"inputFields": [{"namespace": "kafka://b1:9092", "name": "orders"}]},
            "worse": None,
        }},
        "lineage": {"inputs": [{"namespace": "s3://b", "name": "raw", "type": "DATASET"},
                               {"namespace": "airflow", "name": "loader", "type": "JOB"}]},
        "ownership": {"owners": [{"name": "team:b"}, {"name": "team:a"}, {}]},
    }  # fmt: skip
    claims = list(claims_of_event({"dataset": {"namespace": "x", "name": "y", "facets": facets}}, NAMES))
    assert edges(claims) == {
        ("column:kafka://prod/orders/user.id", "column:x/y/user_id"),
        ("dataset:s3://b/raw", "dataset:x/y"),
        ("job:airflow/loader", "dataset:x/y"),
    }
    assert ("owner", "team:a, team:b") in [pair for claim in claims for pair in claim.detail]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["job", "inputs", "outputs", "dataset", "facets", "namespace", "name", "fields", "lineage",
                         "columnLineage", "inputFields", "ownership", "owners", "eventType", "producer", "type"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["job", "dataset", "inputs", "outputs", "eventType", "producer"]), JSON))
def test_no_event_is_too_strange(event: dict[str, Any]) -> None:
    assert all(isinstance(claim, Claim) for claim in claims_of_event(event, NAMES))


SINK = {"topics": "orders, users", "connection.url": "jdbc:postgresql://db:5432/shop?user=u&password=secret"}
CONNECTORS = [
    (
        Connector("pg-sink", "sink", SINK, frozenset()),
        {("dataset:kafka://prod/orders", "job:kafka://prod/connect-pg-sink"),
         ("dataset:kafka://prod/users", "job:kafka://prod/connect-pg-sink")},
        "an idle sink reads what it is configured with; tables are not said",
    ),
    (
        Connector("files", "source", {"file": "/data/in.csv", "topics": "nothing"}, frozenset({"lines"})),
        {("dataset:file/%2Fdata%2Fin.csv", "job:kafka://prod/connect-files"),
         ("job:kafka://prod/connect-files", "dataset:kafka://prod/lines")},
        "a source writes what Connect saw it write",
    ),
    (Connector("idle", "source", {"topics": "nothing"}, frozenset()), set(), "an idle source says nothing"),
    (
        Connector("jdbc", "source", {"connection.url": "jdbc:mysql://db/shop", "table.whitelist": "users,orders"},
                  frozenset({"shop-users"})),
        {("dataset:mysql://db/shop.users", "job:kafka://prod/connect-jdbc"),
         ("dataset:mysql://db/shop.orders", "job:kafka://prod/connect-jdbc"),
         ("job:kafka://prod/connect-jdbc", "dataset:kafka://prod/shop-users")},
        "tables of a database",
    ),
    (
        Connector("cdc", "source", {"connector.class": "io.debezium.connector.postgresql.PostgresConnector",
                                    "database.hostname": "db", "database.port": "5432", "database.dbname": "shop",
                                    "table.include.list": "public.users,public.a.*"}, frozenset()),
        {("dataset:postgres://db:5432/shop.public.users", "job:kafka://prod/connect-cdc")},
        "a pattern is no table",
    ),
    (Connector("odd", "sink", {"topics": ",", "connection.url": "jdbc:x://[::1:99999/"}, frozenset()), set(), "odd"),
]  # fmt: skip


@pytest.mark.parametrize(("connector", "expected", "why"), CONNECTORS)
def test_what_a_connector_says(connector: Connector, expected: set[tuple[str, str]], why: str) -> None:
    claims = list(claims_of_connectors([connector], NAMES))
    assert edges(claims) == expected, why
    assert "secret" not in str(claims)
    assert not any("password" in name or "user" in name for name in CONFIG)


def test_a_transaction_says_what_a_group_writes_and_nothing_of_others() -> None:
    committed = {1: frozenset({"enrich"}), 2: frozenset({"two", "groups"}), 4: frozenset({"reader"})}
    written = {1: frozenset({"out", "out-too"}), 2: frozenset({"out"}), 3: frozenset({"out"})}
    claims = list(claims_of_transactions(Producers(committed, written), NAMES))
    assert edges(claims) == {
        ("job:kafka://prod/enrich", "dataset:kafka://prod/out"),
        ("job:kafka://prod/enrich", "dataset:kafka://prod/out-too"),
    }


def sketch(values: range) -> DistinctSketch:
    made = DistinctSketch(11)
    digests = b"".join(blake2b(str(value).encode(), digest_size=8).digest() for value in values)
    made.add(np.frombuffer(digests, np.uint64))
    return made


def values(topic: str, of: range, since: float) -> FieldValues:
    return FieldValues(topic, "id", sketch(of), since)


def test_the_same_values_are_a_candidate_and_never_more() -> None:
    fields = [
        values("users", range(0, 2000), 1), values("copy", range(0, 2000), 2), values("half", range(0, 800), 3),
        values("other", range(9000, 11000), 4), values("flags", range(3), 0), values("flags-too", range(3), 0),
    ]  # fmt: skip
    claims = list(claims_of_values(fields, NAMES))
    found = {(one.split("/")[-1], other.split("/")[-1]) for one, other in edges(claims)}
    assert found == {("users", "copy")}
    assert all(0 < claim.confidence < LOW for claim in claims)


SHARES = [
    (range(0, 5000), range(0, 5000), 1.0),
    (range(0, 5000), range(2500, 7500), 1 / 3),
    (range(0, 5000), range(5000, 10000), 0.0),
    (range(0, 60), range(0, 30), 0.5),
    (range(0), range(0), 0.0),
]


@pytest.mark.parametrize(("one", "other", "share"), SHARES)
def test_overlap_is_about_what_sets_share(one: range, other: range, share: float) -> None:
    assert overlap(sketch(one), sketch(other)) == pytest.approx(share, abs=0.08)
    assert overlap(sketch(other), sketch(one)) == pytest.approx(overlap(sketch(one), sketch(other)), abs=1e-9)

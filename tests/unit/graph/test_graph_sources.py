"""If this failed, evidence would be made of what proves nothing, or one dataset would be two nodes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.errors import NotFound, SettingsError
from stream_lineage.graph.declarations import Declarations, read_declarations
from stream_lineage.graph.from_declarations import claims_of_file, claims_of_rules
from stream_lineage.graph.from_groups import GroupFacts, Member, claims_of_groups, internal_topics
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.lookup import find
from stream_lineage.graph.naming import Naming, naming
from stream_lineage.model.edge import Edge
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent

CLUSTER = naming("b1:9092", [("b1", 9092), ("B2", 9093), ("::1", 9092)])
T0 = datetime(2026, 3, 1, tzinfo=UTC)

NAMESPACES = [
    ("kafka://b1:9092", "kafka://b1:9092"),
    ("kafka://b2:9093", "kafka://b1:9092"),
    ("kafka://b1:9092,b2:9093", "kafka://b1:9092"),
    ("SASL_SSL://B2:9093,b9:9093", "kafka://b1:9092"),
    ("kafka://PLAINTEXT://b1:9092", "kafka://b1:9092"),
    ("plaintext://b1", "kafka://b1:9092"),
    ("kafka://[::1]:9092/", "kafka://b1:9092"),
    ("kafka://other:9092", "kafka://other:9092"),
    ("kafka://ssl://other:9092,b:1", "kafka://other:9092"),
    ("kafka://payments-eu", "kafka://payments-eu"),
    ("postgres://b1:9092", "postgres://b1:9092"),
    ("s3://bucket", "s3://bucket"),
    ("b1:9092", "b1:9092"),
    ("kafka://", "kafka://"),
    ("", ""),
]


@pytest.mark.parametrize(("said", "meant"), NAMESPACES)
def test_one_cluster_is_one_namespace(said: str, meant: str) -> None:
    assert CLUSTER.namespaced(said) == meant


def test_an_alias_stands_for_all_addresses_of_a_cluster() -> None:
    named = naming("Payments-EU", [("b1", 9092)])
    said = ["kafka://b1:9092", "kafka://Payments-EU", "SSL://b1:9092,b7:9092"]
    assert {named.namespaced(each) for each in said} == {"kafka://Payments-EU"}


@given(st.text())
def test_no_namespace_is_too_strange(text: str) -> None:
    once = CLUSTER.namespaced(text)
    assert CLUSTER.namespaced(once) == once


FILE = """
datasets:
  - {name: orders, owner: shop, description: what people buy}
  - {name: public.users, namespace: "postgres://db:5432"}
jobs:
  - name: enrich
    inputs: [orders, {namespace: "postgres://db:5432", name: public.users}]
    outputs: [orders-enriched]
    groups: [enrich-v2]
    columns: [{from: "orders:user.id", to: "orders-enriched:user_id"}]
models:
  - {name: churn, inputs: [orders-enriched], outputs: [predictions], owner: ml}
dashboards:
  - {name: board, inputs: [predictions], models: [churn]}
"""


def declared(text: str, tmp_path: Path) -> Declarations:
    path = tmp_path / "lineage.yaml"
    path.write_text(text)
    return read_declarations(path)


def test_the_lineage_file_becomes_edges(tmp_path: Path) -> None:
    claims = list(claims_of_file(declared(FILE, tmp_path), CLUSTER))
    assert {(claim.by, claim.confidence) for claim in claims} == {(EvidenceClass.DECLARED, 1.0)}
    edges = {(c.subject.source.label, c.subject.target.label) for c in claims if isinstance(c.subject, GraphEdge)}
    assert edges == {
        ("orders", "enrich"), ("public.users", "enrich"), ("enrich", "orders-enriched"),
        ("orders:user.id", "orders-enriched:user_id"), ("orders-enriched", "churn"), ("churn", "predictions"),
        ("predictions", "board"), ("churn", "board"),
    }  # fmt: skip
    owners = {c.subject.id: dict(c.detail).get("owner") for c in claims if not isinstance(c.subject, GraphEdge)}
    assert owners == {
        "dataset:kafka://b1:9092/orders": "shop", "dataset:postgres://db:5432/public.users": None,
        "job:kafka://b1:9092/enrich": None,
        "model:kafka://b1:9092/churn": "ml", "dashboard:kafka://b1:9092/board": None,
    }  # fmt: skip


WRONG = [
    ("datasets: [{name: a, color: red}]", "color"),
    ("datasets: [{name: a}, {name: a}]", "declared twice"),
    ("jobs: [{name: a}]", "inputs or outputs"),
    ("jobs: [{name: a, inputs: [b], groups: [g]}, {name: c, inputs: [b], groups: [g]}]", "declared twice"),
    ("jobs: [{name: a, inputs: [b], columns: [{from: xyz, to: 'b:y'}]}]", "TOPIC:PATH"),
    ("models: [{name: a}]", "inputs"),
    ("dashboards: [{name: a, models: [nope]}]", "nope"),
    ('datasets: [{name: "a\\nb"}]', "printable"),
    ('jobs: [{name: a, inputs: ["\\e[31m"]}]', "printable"),
    ("datasets: {", "YAML"),
    ("- a", "the file"),
    ("jobs: [{name: 7, inputs: [a]}]", "name"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_in_the_file_is_said(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        declared(text, tmp_path)


def test_no_file_declares_nothing(tmp_path: Path) -> None:
    assert list(claims_of_file(read_declarations(None), CLUSTER)) == []
    assert list(claims_of_file(declared("", tmp_path), CLUSTER)) == []
    with pytest.raises(SettingsError, match="cannot be read"):
        read_declarations(tmp_path / "none.yaml")


def test_jobs_of_the_alert_rules_become_edges_and_meet_the_file_at_the_same_nodes() -> None:
    claims = list(claims_of_rules([Edge("enrich", "orders", "out", {"id": "user_id"})], CLUSTER))
    assert [claim.subject.id for claim in claims] == [
        "dataset:kafka://b1:9092/orders>job:kafka://b1:9092/enrich",
        "job:kafka://b1:9092/enrich>dataset:kafka://b1:9092/out",
        "column:kafka://b1:9092/orders/id>column:kafka://b1:9092/out/user_id",
    ]


def streams(application: str, *read: str) -> GroupFacts:
    uuid = "6f9a1b2c-1111-2222-3333-444455556666"
    member = Member(f"{application}-{uuid}-StreamThread-1-consumer", "/10.0.0.1")
    return GroupFacts(application, frozenset(read), (member,))


def edges_of(groups: list[GroupFacts], topics: list[str], names: Naming = CLUSTER) -> set[tuple[str, str]]:
    found = set()
    for claim in claims_of_groups(groups, topics, names):
        assert isinstance(claim.subject, GraphEdge)
        assert claim.by is EvidenceClass.GROUP
        found.add((claim.subject.source.label, claim.subject.target.label))
    return found


def test_a_group_reads_and_writes_nothing() -> None:
    groups = [GroupFacts("billing", frozenset({"orders", "users"})), GroupFacts("billing-eu", frozenset({"orders"}))]
    topics = ["orders", "users", "billing-out", "billing-eu-out", "billing-eu-changelog"]
    assert edges_of(groups, topics) == {("orders", "billing"), ("users", "billing"), ("orders", "billing-eu")}


def test_a_group_that_is_declared_to_be_a_job_is_that_job() -> None:
    names = naming("b1:9092", [("b1", 9092)], {"billing-v2": "billing"})
    assert edges_of([GroupFacts("billing-v2", frozenset({"orders"}))], [], names) == {("orders", "billing")}


def test_assigned_topics_are_read_even_if_nothing_is_committed_yet() -> None:
    group = GroupFacts("billing", frozenset(), (Member("c", "h", frozenset({"orders"})),))
    assert edges_of([group], ["orders"]) == {("orders", "billing")}


def test_internal_topics_are_of_an_application_only_beyond_doubt() -> None:
    topics = [
        "shop-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog",
        "shop-eu-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog",  # of an application that does not run
        "shop-eu-totals-changelog",  # of shop or of shop-eu
        "shop-totals-repartition",
        "shop-eu-totals-repartition",
        "other-totals-repartition",
        "shopping-KTABLE-X-0000000001-changelog",
    ]
    found = internal_topics(topics, {"shop": frozenset({"orders", "shop-totals-repartition"})})
    assert found == {"shop": {topics[0], "shop-totals-repartition"}}
    plain = GroupFacts("shop", frozenset({"orders"}), (Member("shop-client", "h"),))
    assert edges_of([plain], topics) == {("orders", "shop")}
    assert (("shop", topics[0])) in edges_of([streams("shop", "orders")], topics)


def test_what_is_said_of_a_group_does_not_change_when_it_is_started_again() -> None:
    def said(uuid: str, number: int) -> object:
        members = (Member(f"shop-{uuid}-StreamThread-{number}-consumer", "/10.0.0.1"),)
        return [c.detail for c in claims_of_groups([GroupFacts("shop", frozenset({"a"}), members)], [], CLUSTER)]

    one = said("6f9a1b2c-1111-2222-3333-444455556666", 1)
    assert one == said("00000000-aaaa-bbbb-cccc-444455556666", 2)
    assert "kafka-streams" in str(one)


def test_connectors_are_known_by_their_groups() -> None:
    member = Member("connector-consumer-orders-sink-0", "/h")
    [claim] = claims_of_groups([GroupFacts("connect-orders-sink", frozenset({"orders"}), (member,))], [], CLUSTER)
    assert dict(claim.detail)["connector"] == "orders-sink"
    [other] = claims_of_groups([GroupFacts("connect-the-dots", frozenset({"orders"}))], [], CLUSTER)
    assert "connector" not in dict(other.detail)


def test_a_group_whose_name_cannot_be_shown_is_left_out() -> None:
    assert (
        edges_of([GroupFacts("a\x1b[31m", frozenset({"orders"})), GroupFacts("", frozenset({"orders"}))], []) == set()
    )


def a_graph() -> Graph:
    sure = Evidence(EvidenceClass.DECLARED, "x", T0, T0, 1.0)
    nodes = [CLUSTER.topic("orders"), CLUSTER.job("orders"), CLUSTER.topic("orders-enriched"), CLUSTER.job("billing"),
             CLUSTER.column("orders", "user.id")]  # fmt: skip
    return Graph(GraphEvent(node, sure) for node in nodes)


MEANT = [
    ("orders", CLUSTER.topic("orders")),
    ("job:orders", CLUSTER.job("orders")),
    ("job:kafka://b1:9092/orders", CLUSTER.job("orders")),
    ("billing", CLUSTER.job("billing")),
    ("orders:user.id", CLUSTER.column("orders", "user.id")),
    ("column:orders:user.id", CLUSTER.column("orders", "user.id")),
]


@pytest.mark.parametrize(("text", "node"), MEANT)
def test_people_say_which_node_they_mean(text: str, node: object) -> None:
    assert find(a_graph(), text) == node


def test_a_node_that_is_not_there_has_near_ones() -> None:
    with pytest.raises(NotFound) as caught:
        find(a_graph(), "order")
    assert "orders" in (caught.value.hint or "")
    with pytest.raises(NotFound):
        find(Graph(), "anything")


def test_a_name_that_means_several_nodes_is_not_guessed() -> None:
    sure = Evidence(EvidenceClass.DECLARED, "x", T0, T0, 1.0)
    other = naming("other:1", [])
    graph = Graph(GraphEvent(names.topic("orders"), sure) for names in (CLUSTER, other))
    with pytest.raises(NotFound, match="several") as caught:
        find(graph, "orders")
    assert "dataset:kafka://other:1/orders" in (caught.value.hint or "")
    assert find(graph, "dataset:kafka://other:1/orders").namespace == "kafka://other:1"

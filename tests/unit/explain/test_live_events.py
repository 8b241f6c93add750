"""If this failed, events would be left out that explain an onset, or alerts about metrics would support themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.explain import live_events
from stream_lineage.explain.live_events import Happened, events, is_event, is_schema_kind, versions
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.store.ports import FieldValue, Point
from stream_lineage.testing.stores import MemoryStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = NOW.timestamp()
ORDERS = Node(NodeKind.DATASET, "kafka://lab", "shop.orders")
PAYMENTS = Node(NodeKind.DATASET, "kafka://lab", "shop.payments")
ELSEWHERE = Node(NodeKind.DATASET, "kafka://other", "shop.refunds")
BILLING = Node(NodeKind.JOB, "kafka://lab", "billing")
NODES = {each: each.label for each in (ORDERS, PAYMENTS, ELSEWHERE, BILLING)}


def point(measurement: str, at: int, fields: dict[str, FieldValue] | None = None, **tags: str) -> Point:
    time = NOW + timedelta(seconds=at)
    return Point(measurement, {"cluster": "lab", **tags}, {"alerts": 1} if fields is None else fields, time)


def happened(*points: Point) -> list[Happened]:
    store = MemoryStore()
    store.write(points)
    return events(store, "lab", "kafka://lab", NODES, NOW - timedelta(hours=1), NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("kind", "event", "schema"),
    [
        ("schema-drift", True, True),
        ("key-schema-drift", True, True),
        ("mixed-versions", True, True),
        ("subject-deleted", True, True),
        ("group-reset", True, False),
        ("graph-edge-gone", True, False),
        ("data-loss", True, False),
        ("group-lagging", False, False),  # the series of the lag says so
        ("null-ratio", False, False),
        ("new-category", False, False),
    ],
)
def test_which_alerts_are_events(kind: str, event: bool, schema: bool) -> None:
    assert (is_event(kind), is_schema_kind(kind)) == (event, schema)


def test_alerts_are_events_of_the_job_or_of_the_topic_that_they_are_about() -> None:
    assert happened(
        point("lineage_alert", 5, kind="schema-drift", topic="shop.orders", severity="critical", field="a.b"),
        point("lineage_alert", 3, kind="group-reset", topic="shop.orders", job="billing", severity="warning"),
        point("lineage_alert", 4, kind="group-reset", topic="shop.orders", job="unknown", phase="open"),
        point("lineage_alert", 6, kind="schema-drift", topic="shop.orders", phase="update"),
        point("lineage_alert", 7, kind="schema-drift", topic="shop.orders", phase="close"),
        point("lineage_alert", 8, kind="null-ratio", topic="shop.orders"),
        point("lineage_alert", 9, kind="schema-drift", topic="shop.refunds"),  # another cluster's topic
        point("lineage_alert", 9, kind="schema-drift"),
    ) == [
        Happened(BILLING, "group-reset", EPOCH + 3, "warning"),
        Happened(ORDERS, "group-reset", EPOCH + 4, ""),
        Happened(ORDERS, "schema-drift", EPOCH + 5, "critical, a.b"),
    ]


def test_a_deploy_is_an_event_of_every_topic_that_its_pattern_names() -> None:
    assert happened(
        point("lineage_deploy", 2, {"reason": "v42"}, topic="shop.*"),
        point("lineage_deploy", 1, {"seconds": 60}, topic="shop.orders"),
        point("lineage_deploy", 3, {"reason": "none of ours"}, topic="crm.*"),
    ) == [
        Happened(ORDERS, "deploy", EPOCH + 1, ""),
        Happened(ORDERS, "deploy", EPOCH + 2, "v42"),
        Happened(PAYMENTS, "deploy", EPOCH + 2, "v42"),
    ]


def test_what_is_told_twice_at_once_is_one_event_and_of_too_many_the_last_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twice = [
        point("lineage_alert", 1, kind="schema-drift", topic="shop.orders", severity=each) for each in ("high", "low")
    ]
    assert len(happened(*twice)) == 1
    monkeypatch.setattr(live_events, "MOST_EVENTS", 2)
    many = [point("lineage_deploy", at, {"reason": str(at)}, topic="shop.orders") for at in range(5)]
    assert [each.detail for each in happened(*many)] == ["3", "4"]


def test_a_schema_version_is_an_event_when_records_first_have_it_and_others_came_before() -> None:
    store = MemoryStore()
    for at, version, count in (
        (0, "1", 10), (10, "1", 10), (10, "2", 0), (20, "2", 3), (30, "2", 5), (30, "1", 2), (40, "3", 1),
        (0, "all", 99),
    ):  # fmt: skip
        store.write([point("lineage_topic", at, {"records": count}, topic="shop.orders", schema_version=version)])
    store.write([
        point("lineage_topic", 5, {"bytes": 7}, topic="shop.orders", schema_version="9"),  # no records are told of
        point("lineage_topic", 6, {"records": 7}, topic="shop.orders"),
        point("lineage_topic", 7, {"records": 7}, topic="shop.payments", schema_version="8"),
    ])  # fmt: skip
    span = (NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    assert versions(store, "lab", ORDERS, *span) == [
        Happened(ORDERS, "schema-change", EPOCH + 20, "version 2"),
        Happened(ORDERS, "schema-change", EPOCH + 40, "version 3"),
    ]
    assert versions(store, "lab", PAYMENTS, *span) == []  # it had that one from the first record on
    assert versions(store, "lab", ELSEWHERE, *span) == []

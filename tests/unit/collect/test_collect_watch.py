"""If this failed, topics would be watched that were not asked for, or the other way round."""

from __future__ import annotations

import pytest

from stream_lineage.collect.watch import Mirrored, TopicFilter

TABLE = [
    # include, exclude, topic, watched, why
    ((".*",), (), "orders", True, "everything"),
    (("orders",), (), "orders", True, "the whole name"),
    (("orders",), (), "orders-eu", False, "a pattern must match the whole name"),
    (("^orders",), (), "orders-eu", True, "anchored at the start as in client subscriptions"),
    (("^orders$",), (), "orders-eu", False, "anchored at both ends"),
    (("orders|clicks",), (), "clicks", True, "alternatives are one pattern"),
    (("orders|clicks",), (), "clicks2", False, "alternatives match the whole name each"),
    (("a", "b"), (), "b", True, "any of several"),
    ((".*",), ("orders.*",), "orders-eu", False, "exclude wins"),
    (("orders",), ("orders",), "orders", False, "exclude wins over the same pattern"),
    ((".*",), (), "__consumer_offsets", False, "Kafka's own"),
    ((".*",), (), "_schemas", False, "internal"),
    ((".*",), (), "app-table-changelog", False, "internal"),
    ((".*",), (), "app-x-repartition", False, "internal"),
    ((".*",), (), "lineage.observations", False, "ours"),
    ((".*",), (), "orders.traced", False, "what the tap writes"),
    (("lineage.observations",), (), "lineage.observations", False, "ours, even by name"),
    (("orders\n",), (), "orders", False, "no tolerance for line ends"),
    (("a.b",), (), "a_b", True, "a dot is any character"),
    (("a\\.b",), (), "a_b", False, "an escaped dot is a dot"),
]


@pytest.mark.parametrize(("include", "exclude", "topic", "watched", "why"), TABLE)
def test_truth_table(include: tuple[str, ...], exclude: tuple[str, ...], topic: str, watched: bool, why: str) -> None:
    assert TopicFilter(include, exclude, own_prefix="lineage.", traced_suffix=".traced").watches(topic) is watched, why


def test_internal_topics_only_when_asked_for() -> None:
    wide = TopicFilter([".*"], own_prefix="lineage.", traced_suffix=".traced", include_internal=True)
    assert wide.watched(["b-changelog", "_schemas", "lineage.graph", "a.traced", "a"]) == [
        "_schemas",
        "a",
        "a.traced",
        "b-changelog",
    ]


def test_where_copies_come_from() -> None:
    mirrored = Mirrored(("eu=orders-.*", "restored", "us=orders-x", "(?=cop)copy"))
    found = [
        mirrored.copied_from(topic) for topic in ("orders-a", "orders-x", "restored", "orders", "restored-2", "copy")
    ]
    assert found == ["eu", "eu", "", None, None, ""]

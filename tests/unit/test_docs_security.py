"""If this failed, administrators would grant other ACLs than those that the service needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream_lineage.doctor.acls import commands, grants, literal_name, needed
from stream_lineage.doctor.acls_page import page
from stream_lineage.provenance.topics import OWN_TOPICS
from stream_lineage.settings import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def test_the_page_holds_what_the_code_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python -m stream_lineage.doctor.acls_page docs/security.md"
    assert text.count("kafka-acls.sh --bootstrap-server") == len(
        grants(load_settings({"include": ("a",), "tap": ("a",)}, {}))
    )


@pytest.mark.parametrize(
    ("pattern", "name", "prefixed"),
    [
        ("orders", "orders", False),
        ("^orders$", "orders", False),
        ("^orders", "orders", True),  # as TopicFilter reads it: all that start so
        (r"shop\.orders", "shop.orders", False),
        ("shop.orders", "shop.orders", False),
        (r"shop\.[a-z]+", "shop.", True),
        ("orders-.*", "orders-", True),
        ("orders?", "order", True),  # order, orders
        ("colou*r", "colo", True),
        ("a{2}b", "*", False),
        ("(a|b)c", "*", False),
        ("orders|clicks", "*", False),
        (".*", "*", False),
        ("[a-c]x", "*", False),
    ],
)
def test_patterns_become_the_narrowest_that_kafka_can_say(pattern: str, name: str, prefixed: bool) -> None:
    found = grants(load_settings({"include": (pattern,)}, {}))
    [read] = [g for g in found if g.role == "collector" and g.watched and g.operations == ("Read",)]
    assert (read.name, read.prefixed) == (name, prefixed)
    assert literal_name(pattern) == (None if prefixed or name == "*" else name)
    for topic in ("orders", "orders-eu", "shop.orders", "shop.x", "order", "color", "aab", "ac", "clicks", "bx"):
        if re.compile(pattern if pattern.startswith("^") and pattern[-1] != "$" else f"(?:{pattern})\\Z").match(topic):
            assert read.covers("topic", topic), topic


def test_what_is_needed_of_one_topic() -> None:
    found = grants(load_settings({"topic_prefix": "own.", "group_id": "g", "agents_id": "a"}, {}))
    assert needed(found, "topic", "own.observations") == {"READ", "WRITE", "DESCRIBE"}
    assert needed(found, "topic", "own.incidents") == {"READ", "WRITE", "DESCRIBE"}
    assert needed(found, "topic", "own.undeclared") == {"DESCRIBE"}
    assert needed(found, "topic", "a-state-changelog") == {"READ", "WRITE"}
    assert needed(found, "group", "g") == {"READ", "DESCRIBE"}
    assert needed(found, "group", "g.reader") == {"DESCRIBE"}
    assert needed(found, "transactional-id", "g-collector-0") == {"WRITE"}
    written = {grant.name for grant in found if "Write" in grant.operations and grant.resource == "topic"}
    assert written <= {f"own.{topic.name}" for topic in OWN_TOPICS} | {"a-state-changelog"}


def test_commands_can_be_pasted_into_a_shell() -> None:
    found = grants(load_settings({"include": (".*",), "group_id": "team's group"}, {}))
    lines = commands(found, principal="User:CN=a b,O=c", bootstrap_servers="h:1")
    assert any("--topic '*'" in line for line in lines)
    assert all("--allow-principal 'User:CN=a b,O=c'" in line for line in lines)
    assert any("""--group 'team'"'"'s group'""" in line for line in lines)

"""If this failed, an event that anybody may send would end the agents, at each start again."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.agents import openlineage_watch
from stream_lineage.agents.message_time import message_time
from stream_lineage.agents.openlineage_watch import OpenLineageWatch, Sent, sent
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.serve.problems import BadBody
from stream_lineage.serve.routes.openlineage import _unpacked, accepted

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = naming("b1:9092", [("b1", 9092)])
LONG = "ssl://" + "a" * 994
TEXTS = st.sampled_from([LONG, "\u0130" * 1000, "kafka://b1:9092", "", "n", "\x00"])
JSON = st.recursive(st.none() | st.integers() | TEXTS, lambda each: st.lists(each, max_size=2), max_leaves=3)
THING = JSON | st.fixed_dictionaries({"namespace": TEXTS | JSON, "name": TEXTS | JSON})
EVENT = st.fixed_dictionaries(
    {"job": THING, "dataset": THING, "inputs": JSON | st.lists(THING, max_size=2), "outputs": st.lists(THING)}
)


class Topic:
    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def end(self) -> int:
        return len(self.events)

    def read(self, start: int) -> tuple[list[tuple[int, Any]], int]:
        return list(enumerate(self.events))[start:], len(self.events)


def watch(*events: Any) -> OpenLineageWatch:
    return OpenLineageWatch(Topic(list(events)), lambda _: 0, NAMES, timedelta(hours=1))


def told(name: str, namespace: str = "n") -> Sent:
    return Sent({"job": {"namespace": namespace, "name": name}}, NOW)


def look(watching: OpenLineageWatch) -> list[str]:
    graph = Graph()
    return [each.subject.name for each in watching.look(lambda question: question(graph))]  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None, database=None)
@given(EVENT)
def test_no_event_makes_it_raise(event: dict[str, Any]) -> None:
    watch().take(Sent(event, NOW), lambda _: [])


def test_a_name_that_grows_is_left_out() -> None:
    assert watch().take(told("j", LONG), lambda _: []) == []


def test_what_cannot_be_taken_is_skipped_and_counted() -> None:
    watching = watch(told("a"), Sent(None, NOW), told("b"))  # type: ignore[arg-type]
    assert look(watching) == ["a", "b"]
    assert watching.skipped == 1


def test_a_look_ends_where_it_has_enough_and_goes_on_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openlineage_watch, "MOST_FOUND", 2)
    watching = watch(*map(told, "abc"))
    assert look(watching) == ["a", "b"]
    watching.written()
    assert look(watching) == ["c"]


@pytest.mark.parametrize("stamp", [NOW.timestamp() * 1_000_000, 2**63 - 1, -(2**62)])
def test_a_time_that_is_none_is_replaced(stamp: float) -> None:
    message: Any = SimpleNamespace(timestamp=lambda: (1, int(stamp)))
    assert message_time(message, NOW) == NOW


def test_a_time_before_1970_is_not_believed() -> None:
    event = {"eventTime": "0001-01-01T00:00:00Z", "job": {"namespace": "n", "name": "j"}}
    message: Any = SimpleNamespace(value=lambda: json.dumps(event).encode(), timestamp=lambda: (1, 1_000))
    assert sent(message).at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("form", ["%s", "[%s]"])
def test_what_is_nested_too_deeply_is_refused(form: str) -> None:
    event = '{"job": {"namespace": "n", "name": "j"}, "x": ' + "[" * 300 + "]" * 300 + "}"
    with pytest.raises(BadBody):
        accepted((form % event).encode())


def test_a_second_part_of_a_packed_body_is_not_dropped_silently() -> None:
    with pytest.raises(BadBody):
        _unpacked(gzip.compress(b"{}") + gzip.compress(b"{}"))

"""If this failed, the tasks that make coarser copies would meet a field that is no number, or miss a measurement."""

from __future__ import annotations

import ast
from pathlib import Path

from stream_lineage import agents
from stream_lineage.agents.metrics import TopicWindow, window_of
from stream_lineage.store.tiers import COPIED, EVENTS, NO_NUMBERS, tiers
from stream_lineage.testing.observations import avro_reference, observation, span


def test_all_that_is_copied_is_a_number() -> None:
    seen = observation(avro_reference(1, subject="orders-value"), span(0, 0, 9), topic="orders")
    window = TopicWindow("c", "orders", window_of(seen))
    window.add(seen)
    points = window.points()
    assert points
    for point in points:
        for name, value in point.fields.items():
            assert (isinstance(value, str | bool)) <= (name in NO_NUMBERS), name


def test_every_measurement_of_the_agents_is_copied_or_an_event() -> None:
    found = {
        node.value
        for path in Path(agents.__path__[0]).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("lineage_")
    }
    assert found
    assert found <= {*COPIED, *EVENTS}
    assert not set(COPIED) & set(EVENTS)


def test_names_of_the_copies() -> None:
    assert [(tier.bucket, tier.name, tier.window_seconds) for tier in tiers("b", 1, 2)] == [
        ("b_5m", "5m", 300), ("b_1h", "1h", 3600),
    ]  # fmt: skip

"""If this failed, a cluster of many topics would fill the memory of InfluxDB, or its metrics would vanish unsaid."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta

import jsonschema  # type: ignore[import-untyped]
import orjson

from stream_lineage.agents.series_watch import SeriesWatch
from stream_lineage.model.schema_files import schema_text
from stream_lineage.store.capped import CappedStore
from stream_lineage.store.health import Health
from stream_lineage.store.ports import Point
from stream_lineage.store.series_cap import LEAST_EVENTS, OTHER, TURN_SECONDS, SeriesCap
from stream_lineage.testing.stores import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def field(topic: int, name: int, window: int = 0) -> Point:
    tags = {"cluster": "c", "topic": f"t{topic}", "field": f"f{name}"}
    return Point("lineage_field", tags, {"slots": 10, "mean": 0.5}, NOON + timedelta(seconds=10 * window))


def topic(number: int, window: int = 0) -> Point:
    tags = {"cluster": "c", "topic": f"t{number}", "partition": "all", "schema_version": "all"}
    return Point("lineage_topic", tags, {"bytes": 7, "records": 3}, NOON + timedelta(seconds=10 * window))


def test_within_the_bound_nothing_changes() -> None:
    cap = SeriesCap(100, "w")
    points = [*map(topic, range(10)), *(field(t, f) for t in range(8) for f in range(10))]
    for _ in range(3):
        assert cap.within(points) == points
    assert (cap.series, cap.left_out) == (90, 0)


def test_what_exceeds_it_is_added_up() -> None:
    cap = SeriesCap(10, "w")
    assert cap.within(map(topic, range(10))) == list(map(topic, range(10)))
    found = cap.within([topic(3), topic(10), topic(11), field(0, 0), topic(10, window=1)])
    tags = {"cluster": "c", "worker": "w", "topic": OTHER}
    later = NOON + timedelta(seconds=10)
    assert found == [
        topic(3),
        Point("lineage_topic", tags, {"points": 2, "bytes": 14, "records": 6}, NOON),
        Point("lineage_field", {**tags, "field": OTHER}, {"points": 1, "slots": 10}, NOON),
        Point("lineage_topic", tags, {"points": 1, "bytes": 7, "records": 3}, later),
    ]
    # Another write of the same time is added to it: the point replaces the one before.
    [more] = cap.within([topic(12)])
    assert more.fields == {"points": 3, "bytes": 21, "records": 9}
    assert (cap.series, cap.left_out) == (10, 4)


def test_fields_leave_room_for_topics() -> None:
    cap = SeriesCap(100, "w")
    cap.within(field(0, n) for n in range(1000))
    assert cap.series == 80
    assert len(cap.within(map(topic, range(20)))) == 20
    assert cap.series == 100


def alert(number: int, severity: str = "critical") -> Point:
    tags = {"cluster": "c", "topic": f"t{number}", "kind": "gap", "severity": severity, "fingerprint": f"f{number}"}
    return Point("lineage_alert", tags, {"alerts": 1, "summary": f"t{number} has a gap"}, NOON)


def test_alerts_are_there_when_there_are_too_many_series() -> None:
    now = [0.0]
    cap = SeriesCap(10, "w", clock=lambda: now[0])
    cap.within(map(topic, range(20)))
    events = [*map(alert, range(LEAST_EVENTS - 1)), Point("lineage_deploy", {"topic": "t*"}, {"minutes": 5}, NOON)]
    assert cap.within(events) == events
    assert (cap.series, cap.left_out) == (10, 10)


def test_too_many_alerts_make_few_series_and_still_say_what_they_say() -> None:
    now = [0.0]
    cap = SeriesCap(10, "w", clock=lambda: now[0])
    cap.within(map(alert, range(LEAST_EVENTS)))
    found = cap.within([alert(3), alert(5000), alert(6000, "warning"), alert(7000)])
    assert found[0] == alert(3)
    tags = {"cluster": "c", "kind": "gap", "severity": "critical", "worker": "w", "topic": OTHER}
    assert found[1] == Point("lineage_alert", tags, {"alerts": 1, "summary": "t5000 has a gap"}, NOON)
    assert found[2].tags == {**tags, "severity": "warning"}
    assert found[3].tags == tags
    assert cap.left_out == 3
    now[0] = TURN_SECONDS
    assert cap.within([alert(5000)]) == [alert(5000)]


def test_series_that_are_gone_make_room() -> None:
    now = [0.0]
    cap = SeriesCap(10, "w", clock=lambda: now[0])
    cap.within(map(topic, range(10)))
    assert len(cap.within([topic(99)])) == 1
    assert cap.left_out == 1
    for day in (1, 2, 3):
        now[0] = day * 86_400.0
        cap.within(map(topic, range(5)))
        assert cap.series <= 10
    points = [topic(n) for n in (0, 1, 2, 3, 4, 99, 98)]
    assert cap.within(points) == points


def test_many_topics_of_a_hundred_fields_take_little_memory() -> None:
    cap = SeriesCap(20_000, "w")
    tracemalloc.start()
    try:
        written = 0
        for number in range(300):
            written += len(cap.within([topic(number), *(field(number, n) for n in range(100))]))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cap.series <= 20_000
    assert cap.left_out == 10_000
    assert held < 5_000_000
    assert written < 21_000


def test_the_alert_is_told_once_a_day_and_is_the_same_everywhere() -> None:
    now = [NOON]
    health = [Health()]
    one, two = (SeriesWatch(lambda: health[0], "c", "http://ui", lambda: now[0]) for _ in range(2))
    assert one.look() == []
    health[0] = Health(series_left_out=3)
    [told] = one.look()
    health[0] = Health(series_left_out=5)
    now[0] += timedelta(hours=1)
    assert two.look() == one.look() == [told]
    one.told()
    assert one.look() == []
    now[0] += timedelta(days=1)
    assert [each.event_id == told.event_id for each in one.look()] == [False]
    jsonschema.validate(orjson.loads(told.value), orjson.loads(schema_text("alert.schema.json")))


def test_a_store_says_how_many_were_left_out() -> None:
    store = CappedStore(MemoryStore(), SeriesCap(10, "w"))
    store.write(map(topic, range(12)))
    assert (store.health().series, store.health().series_left_out) == (10, 2)
    assert len(store.latest("lineage_topic")) == 11

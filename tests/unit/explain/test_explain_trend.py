"""If this failed, a trend would show another course than was measured, or call the usual unusual."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.errors import NotFound
from stream_lineage.explain.trend import Mark, fitting_window, trend
from stream_lineage.store.ports import Point
from stream_lineage.testing.stores import MemoryStore

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def wave(time: datetime) -> float:
    """A day and a night, and every day a little else."""
    return 1000 + 500 * math.sin(2 * math.pi * time.hour / 24) + 10 * (time.day * 7 % 5)


def topic(time: datetime, records: float, version: str = "1", partition: str = "0") -> Point:
    tags = {"cluster": "c", "topic": "orders", "partition": partition, "schema_version": version}
    return Point("lineage_topic", tags, {"records": records}, time)


def filled(hours: int, *, fall: int = 0, new_version_at: int | None = None) -> MemoryStore:
    """Two partitions; in the last ``fall`` hours hardly anything comes."""
    store = MemoryStore()
    for hour in range(hours, 0, -1):
        at = NOW - hour * HOUR
        version = "2" if new_version_at is not None and hour <= new_version_at else "1"
        value = wave(at) * (0.1 if hour <= fall else 1)
        store.write(topic(at + timedelta(minutes=m), value / 4, version, str(m // 30)) for m in (0, 15, 30, 45))
    return store


def test_windows_have_what_was_measured_and_what_was_usual() -> None:
    found = trend(filled(24 * 10, fall=3), "orders", "records", NOW - 2 * 24 * HOUR, NOW, most_windows=48)
    assert (found.window_seconds, found.aggregation, found.measurement) == (3600, "sum", "lineage_topic")
    assert found.band == "same hours of the days before"
    assert [window.time for window in found.windows] == [NOW - hour * HOUR for hour in range(48, 0, -1)]
    for window in found.windows[:-3]:
        assert window.value == pytest.approx(wave(window.time))
        assert window.low is not None
        assert window.high is not None
        assert window.low <= wave(window.time) <= window.high
        assert window.high - window.low < 250
    assert [window.outside for window in found.windows] == [False] * 45 + [True] * 3


def test_without_days_before_the_windows_before_say_what_is_usual() -> None:
    store = MemoryStore()
    for minute in range(60):
        store.write([topic(NOW - HOUR + minute * timedelta(minutes=1), 100 + minute % 3 if minute < 55 else 0)])
    found = trend(store, "orders", "records", NOW - HOUR, NOW, most_windows=60)
    assert found.band == "windows before"
    assert [window.outside for window in found.windows] == [False] * 55 + [True] * 5
    assert [window.low for window in found.windows[:8]] == [None] * 8


def test_a_schema_version_that_is_new_is_marked() -> None:
    found = trend(filled(72, new_version_at=5), "orders", "records", NOW - 24 * HOUR, NOW)
    assert found.marks == (Mark(NOW - 5 * HOUR, "schema", "schema version 2"),)
    assert trend(filled(72), "orders", "records", NOW - 24 * HOUR, NOW).marks == ()
    # Both versions are at the window in which one follows the other: its value is theirs together.
    assert all(window.value == pytest.approx(wave(window.time) / 2) for window in found.windows)


def test_fields_and_pushed_metrics_have_trends_too() -> None:
    store = MemoryStore()
    times = [NOW - n * timedelta(minutes=10) for n in range(1, 7)]
    store.write(Point("lineage_field", {"topic": "orders", "field": "a:b"}, {"mean": 0.5}, time) for time in times)
    store.write(Point("lineage_pushed", {"node": "churn", "metric": "auc"}, {"value": 0.9}, time) for time in times)
    for target, metric, value in (("orders:a:b", "mean", 0.5), ("churn", "auc", 0.9)):
        found = trend(store, target, metric, NOW - HOUR, NOW, most_windows=6)
        assert [window.value for window in found.windows] == [value] * 6
        assert found.aggregation == "mean"
        assert found.band is None


def test_what_is_not_there_is_said_with_what_is() -> None:
    store = filled(3)
    store.write([Point("lineage_topic", {"topic": "orders", "partition": "all"}, {"bytes": 1}, NOW - HOUR)])
    with pytest.raises(NotFound, match="no mean of orders") as one:
        trend(store, "orders", "mean", NOW - HOUR, NOW)
    assert "bytes, records" in str(one.value.hint)
    with pytest.raises(NotFound) as two:
        trend(store, "order", "records", NOW - HOUR, NOW)
    assert "orders" in str(two.value.hint)
    store.write([Point("lineage_field", {"topic": "orders", "field": "id"}, {"null_ratio": 0, "mean": 3}, NOW - HOUR)])
    with pytest.raises(NotFound, match="no max of orders:id") as three:
        trend(store, "orders:id", "max", NOW - HOUR, NOW)
    assert three.value.hint == "orders:id has mean, null_ratio. --since asks for earlier."
    with pytest.raises(NotFound, match="no mean of orders:name") as four:
        trend(store, "orders:name", "mean", NOW - HOUR, NOW)
    assert four.value.hint == "The store knows orders. A field is TOPIC:FIELD."
    with pytest.raises(NotFound) as five:
        trend(MemoryStore(), "orders", "records", NOW - HOUR, NOW)
    assert five.value.hint == "The store knows nothing at all. A field is TOPIC:FIELD."


@pytest.mark.parametrize(
    ("hours", "seconds"), [(0.01, 10), (1, 60), (24, 1800), (7 * 24, 7200), (30 * 24, 43_200), (3000 * 24, 86_400)]
)
def test_how_wide_windows_are(hours: float, seconds: int) -> None:
    assert fitting_window(NOW - hours * HOUR, NOW, 96) == seconds

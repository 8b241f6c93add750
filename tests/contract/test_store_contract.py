"""If this failed, dashboards would show other numbers than the agents measured, or differ from store to store."""

from __future__ import annotations

import math
import random
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.store.comparison import same_hours
from stream_lineage.store.influx import InfluxStore
from stream_lineage.store.influx_api import InfluxApi
from stream_lineage.store.ports import MetricStore, Point
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.stores import MemoryStore

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@contextmanager
def sqlite() -> Iterator[MetricStore]:
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / "deep" / "metrics.sqlite")
        try:
            yield store
        finally:
            store.close()


@contextmanager
def memory() -> Iterator[MetricStore]:
    store = MemoryStore()
    yield store
    store.close()


Made = Callable[[], Any]
EVERY = pytest.mark.parametrize(
    "made", ["sqlite", "memory", pytest.param("influx", marks=pytest.mark.influx)], indirect=True
)


@pytest.fixture(scope="session")
def made(request: pytest.FixtureRequest) -> Made:
    """Opens an empty store."""
    if request.param != "influx":
        return {"sqlite": sqlite, "memory": memory}[request.param]
    server = request.getfixturevalue("influx")

    @contextmanager
    def influx() -> Iterator[MetricStore]:
        bucket = f"contract-{uuid.uuid4().hex}"
        server.make_bucket(bucket)
        store = InfluxStore(InfluxApi(server.url, server.org, server.token, timeout_seconds=60.0), bucket)
        yield store
        store.close()

    return influx


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def point(seconds: float, topic: str = "clicks", measurement: str = "lineage_topic", **fields: Any) -> Point:
    return Point(measurement, {"cluster": "test", "topic": topic}, fields, at(seconds))


@EVERY
def test_an_empty_store_has_nothing(made: Made) -> None:
    with made() as store:
        store.write([])
        assert store.latest("lineage_topic") == []
        assert store.range("lineage_topic", at(0), at(100)) == []
        assert store.aggregate("lineage_topic", "records", at(0), at(100), window_seconds=10) == []


@EVERY
def test_points_come_back_as_they_were(made: Made) -> None:
    written = [point(0, records=7, ratio=0.25, decoder="COLUMNAR", whole=True), point(10.000001, records=2**53 - 1)]
    with made() as store:
        store.write(written)
        assert store.range("lineage_topic", at(0), at(100)) == written
        [first, _] = store.range("lineage_topic", at(0), at(100))
        kinds = [isinstance(first.fields[name], bool | str) for name in ("records", "ratio", "decoder", "whole")]
        assert kinds == [False, False, True, True]


@EVERY
def test_ranges_are_half_open_and_ordered(made: Made) -> None:
    with made() as store:
        store.write([point(20, "b", n=1), point(20, "a", n=2), point(0, "b", n=3), point(30, "a", n=4)])
        found = store.range("lineage_topic", at(0), at(30))
        assert [(item.time, item.tags["topic"], item.fields["n"]) for item in found] == [
            (at(0), "b", 3),
            (at(20), "a", 2),
            (at(20), "b", 1),
        ]


@EVERY
def test_zones_are_only_a_way_of_writing(made: Made) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    with made() as store:
        store.write([Point("m", {}, {"n": 1}, at(0).astimezone(east))])
        store.write([Point("m", {}, {"n": 2}, at(0))])
        [only] = store.range("m", at(0).astimezone(east), at(1))
        assert (only.fields, only.time) == ({"n": 2}, at(0))


@EVERY
def test_times_without_a_zone_are_refused(made: Made) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - that is the point
    with made() as store:
        with pytest.raises(ValueError, match="timezone"):
            store.write([Point("m", {}, {"n": 1}, naive)])
        with pytest.raises(ValueError, match="timezone"):
            store.range("m", naive, naive)


@EVERY
def test_writing_again_is_writing_once(made: Made) -> None:
    points = [point(n * 10, records=n, name=f"n{n}") for n in range(5)]
    with made() as store:
        store.write(points)
        store.write(points)
        assert store.range("lineage_topic", at(0), at(100)) == points


@EVERY
def test_later_fields_win_and_others_stay(made: Made) -> None:
    with made() as store:
        store.write([point(0, a=1, b=2)])
        store.write([point(0, b=3, c=4), point(0, c=5)])
        [only] = store.range("lineage_topic", at(0), at(100))
        assert only.fields == {"a": 1, "b": 3, "c": 5}


@EVERY
def test_latest_is_the_last_of_each_series(made: Made) -> None:
    with made() as store:
        store.write([point(20, "b", n=1), point(5, "a", n=2), point(10, "b", n=3), point(99, measurement="x", n=4)])
        found = store.latest("lineage_topic")
        assert [(item.tags["topic"], item.time, item.fields["n"]) for item in found] == [
            ("a", at(5), 2),
            ("b", at(20), 1),
        ]
        earlier = store.latest("lineage_topic", before=at(20))  # which is not among them
        assert [(item.tags["topic"], item.time) for item in earlier] == [("a", at(5)), ("b", at(10))]
        assert store.latest("lineage_topic", {"topic": "b"}, before=at(10)) == []


@EVERY
def test_tags_select_series_that_have_them(made: Made) -> None:
    with made() as store:
        for partition in ("0", "1"):
            for topic in ("a", "b"):
                tags = {"topic": topic, "partition": partition}
                store.write([Point("m", tags, {"n": int(partition)}, at(0))])
        assert len(store.range("m", at(0), at(1), {"topic": "a"})) == 2
        assert len(store.latest("m", {"topic": "a", "partition": "1"})) == 1
        assert store.latest("m", {"topic": "a", "zone": "1"}) == []
        assert store.latest("m", {"topic": "c"}) == []
        assert len(store.latest("m", {})) == 4


@EVERY
def test_what_is_not_finite_is_left_out(made: Made) -> None:
    with made() as store:
        store.write([point(0, a=math.nan, b=1.5), point(10, a=math.inf)])
        assert [item.fields for item in store.range("lineage_topic", at(0), at(100))] == [{"b": 1.5}]


@EVERY
def test_all_or_nothing(made: Made) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001
    with made() as store:
        with pytest.raises(ValueError, match="timezone"):
            store.write([point(0, n=1), Point("lineage_topic", {}, {"n": 1}, naive)])
        assert store.range("lineage_topic", at(0), at(100)) == []


@EVERY
@pytest.mark.parametrize("aggregation", ["mean", "min", "max", "sum", "count", "last"])
def test_aggregates_per_series_and_aligned_window(made: Made, aggregation: Any) -> None:
    chance = random.Random(7)
    rows = [(topic, second, chance.uniform(-5, 5)) for topic in ("a", "b") for second in range(3, 77, 3)]
    with made() as store:
        store.write([point(second, topic, v=value) for topic, second, value in chance.sample(rows, len(rows))])
        store.write([point(4, "a", text="text"), point(4, "b", other=1)])
        buckets = store.aggregate(
            "lineage_topic", "v", at(5), at(70), window_seconds=20, aggregation=aggregation, tags={"cluster": "test"}
        )
    expected = []
    for topic in ("a", "b"):
        for start in range(0, 80, 20):
            values = [v for t, second, v in rows if t == topic and max(5, start) <= second < min(70, start + 20)]
            if values:
                result = {
                    "mean": sum(values) / len(values), "min": min(values), "max": max(values),
                    "sum": sum(values), "count": len(values), "last": values[-1],
                }  # fmt: skip
                expected.append((topic, at(start), pytest.approx(result[aggregation])))
    assert [(bucket.tags["topic"], bucket.time, bucket.value) for bucket in buckets] == expected


@EVERY
def test_a_window_of_nothing_is_refused(made: Made) -> None:
    with made() as store, pytest.raises(ValueError, match="window_seconds"):
        store.aggregate("m", "v", at(0), at(1), window_seconds=0)


NASTY = st.text(
    st.one_of(st.characters(), st.sampled_from("\"'`\\\x00;%_{}[]=, \n\u202e\ud800$.")), min_size=0, max_size=12
)


@EVERY
@settings(max_examples=60, deadline=None)
@given(texts=st.tuples(NASTY, NASTY, NASTY, NASTY, NASTY))
def test_any_text_is_a_legal_name(made: Made, texts: tuple[str, ...]) -> None:
    measurement, tag, value, field, text = texts
    written = Point(measurement, {tag: value}, {field: text}, at(0))
    with made() as store:
        store.write([written])
        store.write([written, Point(measurement + "x", {tag: value}, {field: 1}, at(0))])
        assert store.range(measurement, at(0), at(1), {tag: value}) == [written]
        assert store.latest(measurement) == [written]
        [bucket] = store.aggregate(measurement + "x", field, at(0), at(1), window_seconds=1)
        assert bucket.value == 1


@EVERY
def test_threads_do_not_lose_writes(made: Made) -> None:
    with made() as store:

        def work(worker: int) -> None:
            for n in range(40):
                store.write([point(n, f"t{worker}", n=n)])

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.range("lineage_topic", at(0), at(100))) == 160


@EVERY
def test_only_numbers_are_aggregated(made: Made) -> None:
    with made() as store:
        store.write([point(1, text="12"), point(2, whole=True), point(3, whole=False)])
        assert store.aggregate("lineage_topic", "text", at(0), at(9), window_seconds=10) == []
        [bucket] = store.aggregate("lineage_topic", "whole", at(0), at(9), window_seconds=10)
        assert bucket.value == 0.5


@EVERY
def test_what_is_forgotten_is_gone_and_the_rest_stays(made: Made) -> None:
    with made() as store:
        store.write([point(n, topic, n=n) for n in (0, 10, 20) for topic in ("a", "b")])
        store.write([point(0, measurement="x", n=1), point(20, measurement="x", n=2)])
        store.forget(at(10))
        assert [item.fields["n"] for item in store.range("lineage_topic", at(-99), at(99))] == [10, 10, 20, 20]
        assert [item.fields["n"] for item in store.range("x", at(-99), at(99))] == [2]
        store.forget(at(1000))
        assert store.latest("lineage_topic") == store.latest("x") == []
        store.write([point(5, "a", n=7)])
        assert [item.fields for item in store.latest("lineage_topic")] == [{"n": 7}]


@EVERY
def test_health_of_a_store_that_works(made: Made) -> None:
    with made() as store:
        assert store.health().ready
        assert store.health().trouble == ""


@EVERY
def test_an_hour_stands_beside_the_same_hour_of_earlier_days(made: Made) -> None:
    with made() as store:
        store.write(
            point(-day * 86_400 + 60 * minute, topic, v=100 * day + minute)
            for day in (0, 1, 2, 4)
            for minute in (0, 10, 30, 70)
            for topic in ("a", "b")
            if (day, minute) != (0, 30)
        )
        found = same_hours(
            store, "lineage_topic", "v", at(0), at(3600), window_seconds=1200, days=4, tags={"topic": "b"}
        )
    assert [(row.tags["topic"], row.time, row.value, row.earlier) for row in found] == [
        ("b", at(0), 5.0, (105.0, 205.0, None, 405.0)),
        ("b", at(1200), None, (130.0, 230.0, None, 430.0)),
    ]
    assert found[0].usual == 205.0
    assert found[0].band == pytest.approx((205 - 3 * 1.4826 * 100, 205 + 3 * 1.4826 * 100))
    with made() as store, pytest.raises(ValueError, match="divide a day"):
        same_hours(store, "m", "v", at(0), at(1), window_seconds=7)

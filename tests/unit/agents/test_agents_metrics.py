"""If this failed, charts would show wrong numbers, or would not say how records were decoded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from stream_lineage.agents.detection import LogPosition
from stream_lineage.agents.metrics import QUANTILES, TopicWindow, version_tag, window_of
from stream_lineage.agents.window_facts import window_facts
from stream_lineage.agents.windows import IDLE_SECONDS, OpenWindows
from stream_lineage.model.observation import EventTimes, Observation, ObservationKind
from stream_lineage.model.profile import (
    Decoder,
    FieldProfile,
    LengthProfile,
    NumericProfile,
    Profile,
    TypeCount,
)
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.store.ports import Point
from stream_lineage.testing.observations import NOON, avro_reference, observation, span, unresolved_reference


def kll(values: np.ndarray) -> bytes:
    from datasketches import kll_doubles_sketch

    sketch = kll_doubles_sketch(200)
    sketch.update(values)
    return bytes(sketch.serialize())


def numeric_field(path: str, values: np.ndarray, nulls: int = 0) -> FieldProfile:
    moments = NumericProfile(
        len(values), 0, float(values.min()), float(values.max()), float(values.mean()),
        float(((values - values.mean()) ** 2).sum()), kll(values),
    )  # fmt: skip
    return FieldProfile(path, (TypeCount("number", len(values)),), len(values) + nulls, nulls, 0, moments)


def profiled(*fields: FieldProfile, decoder: Decoder = Decoder.COLUMNAR) -> Profile:
    return Profile(decoder, Decoder.OPAQUE, fields[0].slots, 2, None, tuple(fields), ())


def window(*observations: Observation) -> TopicWindow:
    made = TopicWindow("test", "clicks", NOON)
    for item in observations:
        made.add(item)
    return made


def only(points: list[Point], measurement: str, **tags: str) -> Point:
    [found] = [p for p in points if p.measurement == measurement and tags.items() <= p.tags.items()]
    return found


def test_partitions_and_versions_have_their_own_counts() -> None:
    v1, v2 = avro_reference(1), avro_reference(2)
    points = window(
        observation(v1, span(0, 0, 9), span(1, 0, 4)),
        observation(v1, span(0, 20, 29, [(20, 22)])),
        observation(v2, span(0, 10, 19, [(10, 11)], "compacted")),
    ).points()

    found = {
        (p.tags["partition"], p.tags["schema_version"]): dict(p.fields) for p in points if p.tags["partition"] != "all"
    }
    assert found == {
        ("0", "1"): {"records": 17, "missing": 3, "lost": 3},
        ("1", "1"): {"records": 5, "missing": 0, "lost": 0},
        ("0", "2"): {"records": 8, "missing": 2, "lost": 0},
    }
    assert {p.time for p in points} == {NOON}


def test_the_topic_as_a_whole() -> None:
    times = EventTimes(10, 2, 3, 0, 9, 50.0, 80)
    more = EventTimes(5, 5, 0, None, None, None, None)
    worse = EventTimes(4, 0, 1, 0, 7, 200.0, 400)
    items = [
        observation(avro_reference(1), span(0, n * 10, n * 10 + 9), event_times=t, tombstones=1)
        for n, t in enumerate((times, more, worse, None))
    ]
    fields = only(window(*items).points(), "lineage_topic", partition="all").fields

    assert fields["bytes"] == 40 * 45
    assert fields["bytes_per_record"] == 45
    assert fields["tombstones"] == 4
    assert fields["out_of_order"] == 4
    assert fields["out_of_order_ratio"] == pytest.approx(4 / 19)
    assert fields["without_time"] == 7
    assert fields["lag_ms_mean"] == pytest.approx((8 * 50 + 4 * 200) / 12)
    assert fields["lag_ms_max"] == 400
    assert fields["newest_ms"] == 9
    assert fields["age_ms"] == NOON.timestamp() * 1000 + 10_000 - 9  # the newest record is of 9 ms after 1970
    assert fields["unprofiled"] == 40


def test_fields_are_merged_over_the_window_and_say_their_decoder() -> None:
    chance = np.random.default_rng(5)
    parts = [chance.normal(40, 9, 400), chance.normal(45, 3, 100)]
    profiles = [profiled(numeric_field("age", part, nulls=25)) for part in parts]
    points = window(
        *(observation(avro_reference(1), span(0, n * 10, n * 10 + 9), profile=p) for n, p in enumerate(profiles))
    ).points()
    fields = only(points, "lineage_field", field="age").fields
    values = np.concatenate(parts)

    assert fields["slots"] == 550
    assert fields["null_ratio"] == pytest.approx(50 / 550)
    assert fields["missing_ratio"] == 0
    assert fields["mean"] == pytest.approx(values.mean())
    assert fields["variance"] == pytest.approx(values.var())
    assert (fields["min"], fields["max"]) == (values.min(), values.max())
    for name, rank in QUANTILES.items():
        below = (values <= float(fields[name])).mean()
        assert below == pytest.approx(rank, abs=0.03), name
    assert fields["decoder"] == "COLUMNAR"
    assert only(points, "lineage_topic", partition="all").fields["undecoded"] == 4


def test_one_record_by_record_flush_shows() -> None:
    values = np.arange(10.0)
    items = [
        observation(
            avro_reference(1),
            span(0, n * 10, n * 10 + 9),
            profile=profiled(numeric_field("a", values), decoder=decoder),
        )
        for n, decoder in enumerate((Decoder.COLUMNAR, Decoder.RECORDS))
    ]
    points = window(*items).points()

    assert only(points, "lineage_topic", partition="all").fields["decoder"] == "RECORDS"
    assert only(points, "lineage_field", field="a").fields["decoder"] == "RECORDS"


def test_lengths_and_key_fields() -> None:
    text = FieldProfile("name", (TypeCount("string", 5),), 5, 0, 0, None, LengthProfile(5, 1, 9, 4.0, 10.0))
    made = replace(profiled(text), key_decoder=Decoder.RECORDS, key_fields=(replace(text, path="id"),))
    points = window(observation(avro_reference(1), span(0, 0, 4), profile=made)).points()
    fields = only(points, "lineage_field", field="name").fields

    assert (fields["length_min"], fields["length_max"], fields["length_mean"]) == (1, 9, 4.0)
    assert "mean" not in fields
    assert only(points, "lineage_field", field="@key.id").fields["decoder"] == "RECORDS"


def test_a_damaged_sketch_costs_that_number_only() -> None:
    field = numeric_field("a", np.arange(10.0))
    assert field.numeric is not None
    broken = replace(field, numeric=replace(field.numeric, quantiles=b"\x01broken"), distinct=b"\x02broken")
    fields = only(
        window(observation(avro_reference(1), span(0, 0, 9), profile=profiled(broken))).points(), "lineage_field"
    ).fields

    assert fields["mean"] == 4.5
    assert "p50" not in fields
    assert "distinct" not in fields


def test_resolutions_count_nothing() -> None:
    made = window(observation(avro_reference(1), span(0, 0, 9), kind=ObservationKind.RESOLUTION))

    assert [dict(p.fields).get("records") for p in made.points()] == [None]
    assert made.records == 0


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        (avro_reference(7, version=3), "3"),
        (SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, id=7), "id:7"),
        (SchemaReference(SchemaType.AVRO, Framing.GUID_HEADER, guid="g"), "id:g"),
        (unresolved_reference(7), "unresolved:7"),
        (PLAIN_JSON, "json"),
        (OPAQUE, "opaque"),
        (SchemaReference(SchemaType.AVRO, Framing.SINGLE_OBJECT), "single-object"),
    ],
)
def test_schema_versions_as_tags(reference: SchemaReference, tag: str) -> None:
    assert version_tag(reference) == tag


@pytest.mark.parametrize(("seconds", "start"), [(0, 0), (9.999, 0), (10, 10), (-0.001, -10)])
def test_windows_are_aligned(seconds: float, start: float) -> None:
    seen = observation(avro_reference(1), span(0, 0, 9), at=NOON + timedelta(seconds=seconds))

    assert window_of(seen) == NOON + timedelta(seconds=start)


@pytest.mark.parametrize(("width", "start"), [(1, 7), (2, 6), (5, 5), (10, 0)])
def test_windows_are_as_wide_as_they_are_told_to_be(width: int, start: float) -> None:
    windows: OpenWindows[int] = OpenWindows(width)
    for number, second in enumerate((7.1, 7.9)):
        seen = observation(avro_reference(1), span(0, number, number), at=NOON + timedelta(seconds=second))
        assert windows.add(seen, LogPosition(0, number), number, 0.0, {}) == []
    [(_, closed)] = windows.due(NOON + timedelta(minutes=1), IDLE_SECONDS, lambda _: 0.0)
    assert (closed.window.start, closed.window.records) == (NOON + timedelta(seconds=start), 2)
    assert closed.window.end - closed.window.start == timedelta(seconds=width)
    assert window_facts(closed.window).seconds == width

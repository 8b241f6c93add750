"""If this failed, bad records that the observation log has forgotten would count as those before the fault, or a schema
that comes rarely as one that is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lineage.explain.first_bad import By, Sought
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.pinpointing import Place, _first_of_schema, _Search
from stream_lineage.settings import load_settings
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("whole", "zone", "by"), [(True, (300, 320), By.OBSERVATIONS), (False, (210, 330), By.TIME)])
def test_where_the_log_has_not_all_of_the_time_records_are_told_by_their_own(
    monkeypatch: pytest.MonkeyPatch, whole: bool, zone: tuple[int, int], by: By
) -> None:
    search = object.__new__(_Search)
    search._place = Place("orders", Sought("null_ratio", "amount", True), NOW - timedelta(seconds=60), NOW)
    search._notes, search._whole = [], whole
    monkeypatch.setattr(_Search, "_first_at", lambda _, at: {0: 210 if at < NOW else 330})
    at = NOW - timedelta(seconds=5)
    seen = Observation(
        "a", ObservationKind.OBSERVATION, "lab", "orders", None, "one", at, PLAIN_JSON, PLAIN_JSON, 20, 100, 0, None,
        (OffsetSpan(0, 300, 319, 20),), None, (),
    )  # fmt: skip
    assert search._zones([seen], {0: 0}, {0: 500}) == ({0: zone}, by)
    assert bool(search._notes) is not whole


OLD, NEW, OTHER = (
    SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, number, subject="orders-value", version=number)
    for number in (1, 2, 3)
)
SINCE = NOW - timedelta(seconds=10)
GONE = (MissingRange(11, 11, MissingReason.COMPACTED),)


def flush(schema: SchemaReference, seconds: float, *spans: OffsetSpan) -> Observation:
    """What was observed so long after the deviation may have begun."""
    return Observation(
        "a", ObservationKind.OBSERVATION, "lab", "orders", "id", "one", SINCE + timedelta(seconds=seconds), schema,
        PLAIN_JSON, 20, 100, 0, None, spans, None, (),
    )  # fmt: skip


def place(*, changed: bool = True) -> Place:
    return Place("orders", Sought("mean", "amount", True), SINCE, NOW, changed)


SEEN = [
    flush(OLD, -5, OffsetSpan(0, 0, 9, 10), OffsetSpan(1, 0, 9, 10)),
    flush(OLD, 1, OffsetSpan(0, 10, 19, 10), OffsetSpan(1, 10, 14, 5)),
    flush(NEW, 2, OffsetSpan(0, 25, 29, 5), OffsetSpan(1, 11, 11, 0, GONE)),  # of partition 1 no record is left
    flush(OLD, 2, OffsetSpan(0, 20, 24, 5)),
    flush(NEW, 2, OffsetSpan(0, 22, 22, 1)),
    flush(OTHER, 3, OffsetSpan(1, 17, 18, 2)),
]


@pytest.mark.parametrize(
    ("rare", "found"),
    [
        (set(), [(0, 22, 22, 22, True), (1, 17, 17, 17, True)]),
        ({NEW}, [(0, 22, 10, 22, False), (1, 17, 17, 17, True)]),
        ({NEW, OTHER}, [(0, 22, 10, 22, False), (1, 17, 10, 17, False)]),
    ],
)
def test_the_first_record_with_a_schema_is_exact_where_it_was_never_there_before(
    rare: set[SchemaReference], found: list[tuple[int, int, int, int, bool]]
) -> None:
    said = _first_of_schema("orders", SEEN, place(), lambda schema: "others before" if schema in rare else None)
    assert [(each.partition, each.offset, each.first, each.last, each.exact) for each in said] == found
    assert all(each.by is By.SCHEMA and ("others before" in each.why) is not each.exact for each in said)


def test_nothing_is_told_by_schemas_where_none_was_observed_before() -> None:
    assert _first_of_schema("orders", SEEN[1:], place(), lambda _: None) == []


def search(tmp_path: Path, *, whole: bool = True) -> _Search:
    made = object.__new__(_Search)
    given = {"bootstrap_servers": "127.0.0.1:1", "cluster": "lab", "sqlite_path": str(tmp_path / "metrics.sqlite")}
    made._settings, made._place, made._whole = load_settings(given, {}), place(), whole
    return made


def test_what_was_measured_long_before_says_whether_a_schema_is_new(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.sqlite")
    tags = {"cluster": "lab", "topic": "orders", "partition": "0", "schema_version": "2"}
    wrong = [{"cluster": "dev"}, {"topic": "clicks"}, {"schema_version": "1"}]
    for other in wrong:
        store.write([Point("lineage_topic", {**tags, **other}, {"records": 1}, SINCE - timedelta(days=2))])
    store.write([Point("lineage_topic", tags, {"records": 5}, SINCE)])  # the fault itself
    assert search(tmp_path)._doubt(NEW) is None
    assert search(tmp_path)._doubt(OLD) is not None
    store.write([Point("lineage_topic", tags, {"records": 1}, SINCE - timedelta(days=3))])
    store.close()
    assert search(tmp_path)._doubt(NEW) == "there were others at 2026-02-26 11:59 UTC"


def test_where_nobody_knows_whether_a_schema_is_new_that_is_said(tmp_path: Path) -> None:
    assert search(tmp_path, whole=False)._doubt(NEW) == "the observation log has not all of that time"
    (tmp_path / "metrics.sqlite").write_bytes(b"no database" * 1000)
    assert "is not known" in str(search(tmp_path)._doubt(NEW))

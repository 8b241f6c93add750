"""If this failed, a training file would be profiled otherwise than the records which a producer writes from it."""

from __future__ import annotations

import csv
import hashlib
import math
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from stream_lineage.errors import DecodeError, NotFound, SettingsError
from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.profile import of_file
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.of_file import profile_of_file
from stream_lineage.profile.options import ProfileOptions, revealed_paths
from stream_lineage.profile.reading import distinct_estimate, item_counts
from stream_lineage.wire import csv_file, parquet_file
from stream_lineage.wire.columns import Batch
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.text_buffer import text_buffer

OPTIONS = ProfileOptions(hash_key=b"test key", reveal_fields=frozenset({"shown"}))


def fields(profile: Profile) -> dict[str, FieldProfile]:
    return {field.path: field for field in profile.fields}


def types(field: FieldProfile) -> dict[str, int]:
    return {count.type: count.count for count in field.types}


def records(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    return [
        {
            "id": n,
            "amount": float(random.normal()) + 0.25,
            "word": ("é", "b,c", 'say "x"', "two\nlines")[n % 4],
            "shown": "ab"[n % 2],
            "flag": n % 3 == 0,
            "maybe": None if n % 5 == 0 else n,
        }
        for n in range(count)
    ]


def of_json(rows: list[dict[str, Any]]) -> Profile:
    builder = ProfileBuilder(OPTIONS)
    builder.add(JsonRecords().decode(Batch(*text_buffer([orjson.dumps(row) for row in rows]))))
    return builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 30)


def test_a_csv_file_is_profiled_like_the_records(tmp_path: Path) -> None:
    rows = records(30_000)
    path = tmp_path / "train.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(rows[0])
        writer.writerows(["" if v is None else str(v).lower() if v is True or v is False else v for v in row.values()]
                         for row in rows)  # fmt: skip
    found = profile_of_file(path, OPTIONS)
    assert found.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.source.name, found.source.format, found.source.bytes) == ("train.csv", "csv", path.stat().st_size)
    live, filed = fields(of_json(rows)), fields(found.profile)
    assert list(live) == list(filed)
    for name, field in live.items():
        own = filed[name]
        assert (types(own), own.slots, own.nulls, own.items) == (types(field), field.slots, field.nulls, field.items)
        assert own.distinct == field.distinct
        assert own.lengths is None or own.lengths.mean == pytest.approx(field.lengths.mean)  # type: ignore[union-attr]
        if own.numeric is not None:
            assert field.numeric is not None
            assert (own.numeric.min, own.numeric.max) == (field.numeric.min, field.numeric.max)
            assert own.numeric.mean == pytest.approx(field.numeric.mean)
    assert set(item_counts(filed["shown"]) or ()) == {"=a", "=b"}
    assert all(item.startswith("#") for item in item_counts(filed["word"]) or ())


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2", "+3"], "integer"),
        (["1", "", "3"], "integer"),
        (["1", "2.5"], "number"),
        (["1e3", ".5", "7."], "number"),
        (["1", "nan", "inf"], "number"),
        (["9223372036854775807"], "integer"),
        (["9223372036854775808"], "number"),
        (["007", "1"], "string"),
        (["true", "FALSE"], "boolean"),
        (["true", "1"], "string"),
        (["1", "2", "x"], "string"),
        (["0x10"], "string"),
        (["1_000"], "string"),
        (["١"], "string"),
        (["", ""], None),
        (["2026-01-01"], "string"),
    ],
)
def test_types_of_columns(tmp_path: Path, cells: list[str], kind: str | None) -> None:
    path = tmp_path / "x.csv"
    path.write_text("c,other\n" + "".join(f"{cell},1\n" for cell in cells), encoding="utf-8")
    field = fields(profile_of_file(path, OPTIONS).profile)["c"]
    nulls = cells.count("")
    assert (types(field), field.nulls) == ({} if kind is None else {kind: len(cells) - nulls}, nulls)
    if "nan" in cells:
        assert field.numeric is not None
        assert field.numeric.not_finite == 2


def test_what_stands_for_null_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\tb\n1\tNA\nNA\t2\n")
    found = fields(profile_of_file(path, OPTIONS, nulls=frozenset({"NA"})).profile)
    assert [(types(field), field.nulls) for field in found.values()] == [({"integer": 1}, 1)] * 2
    assert types(fields(profile_of_file(path, OPTIONS).profile)["a"]) == {"string": 2}


def test_rows_that_are_no_rows_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(",a,b\n0,1,2\n1,2\n\n2,3,4,5\n3,4,5\n")
    found = profile_of_file(path, OPTIONS)
    assert (found.profile.decoded, dict(found.left_out), found.unnamed) == (2, {"wrong-number-of-columns": 2}, 1)
    assert list(fields(found.profile)) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"", "is empty"),
        ("x.csv", b"a,b\n", "holds no rows"),
        ("x.csv", b"a,b\n1\n", "holds no rows"),
        ("x.csv", b"a,a\n1,2\n", "twice: a"),
        ("x.csv", b",\n1,2\n", "must name the columns"),
        ("x.csv", b"a,b\n\xff\xfe,1\n", "not text in UTF-8"),
        ("x.csv", b"\xff\xfe\x00", "not text in UTF-8"),
        ("x.json", b"{}", "no format"),
        ("x.parquet", b"PAR1 but no more", "cannot be read as Parquet"),
        ("x.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=said):
        profile_of_file(path, OPTIONS)


def test_no_file(tmp_path: Path) -> None:
    for name in ("x.csv", "x.parquet"):
        with pytest.raises(NotFound):
            profile_of_file(tmp_path / name, OPTIONS)


def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    profile_of_file(path, OPTIONS)

    def changing(done: int, whole: int) -> None:
        with path.open("a") as file:
            file.write("3,4\n")

    with pytest.raises(DecodeError, match="changed while it was read"):
        profile_of_file(path, OPTIONS, progress=changing)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n" + b"1,2\n" * 20_000 + b"\xff,1\n", "not text in UTF-8"),
        (b"a,b\n1," + b"x" * 1_001 + b"\n", "is no CSV: line 2"),
    ],
)
def test_what_turns_out_to_be_no_csv_further_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.setattr(csv_file, "_MAX_CELL_CHARACTERS", 1_000)
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=said):
        profile_of_file(path, OPTIONS)


def test_the_readers_themselves_say_that_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        csv_file.csv_layout(tmp_path / "x.csv", frozenset(), None)
    with pytest.raises(NotFound):
        next(parquet_file.parquet_batches(tmp_path / "x.parquet", None))


def test_a_parquet_file_of_other_types(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    table = {
        "none": pa.array([None, None]),
        "empty": pa.array([[], []], pa.list_(pa.int64())),
        "months": pa.array([{}, {}], pa.map_(pa.string(), pa.int64())),
        "n": pa.array([1, 2]),
        "text": pa.array(["a", "é"], pa.string_view()),
        "raw": pa.array([b"a", b"\xff"], pa.binary_view()),
        "id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, None], pa.binary(16))),
        "json": pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(["{}", "[1]"])),
    }
    pq.write_table(pa.table(table), path)
    told: list[tuple[int, int]] = []
    found = fields(profile_of_file(path, OPTIONS, progress=lambda done, total: told.append((done, total))).profile)
    assert {name: (field.slots, types(field)) for name, field in found.items()} == {
        "none": (2, {}),
        "empty": (2, {"array": 2}),
        "months": (2, {"map": 2}),
        "n": (2, {"integer": 2}),
        "text": (2, {"string": 2}),
        "raw": (2, {"bytes": 2}),
        "id": (2, {"bytes": 1}),
        "json": (2, {"string": 2}),
    }
    assert told == [(2, 2)]


def test_many_batches_are_one_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "".join(f"{n},{n % 3}\n" for n in range(50)))
    whole = fields(profile_of_file(path, OPTIONS).profile)
    monkeypatch.setattr(csv_file, "BATCH_ROWS", 3)
    monkeypatch.setattr(of_file, "_PART_BATCHES", 2)
    parts = fields(profile_of_file(path, OPTIONS).profile)
    for path_, field in whole.items():
        again = parts[path_]
        assert (again.slots, again.types, again.distinct) == (50, field.types, field.distinct)
        assert again.numeric is not None
        assert field.numeric is not None
        assert again.numeric.mean == pytest.approx(field.numeric.mean)


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError) as caught:
        profile_of_file(path, OPTIONS)
    assert "pip install 'stream-lineage[parquet]'" in str(caught.value.hint)


def test_a_parquet_file(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    size = 1_000
    table = arrow.table(
        {
            "id": arrow.array(range(size), arrow.int32()),
            "big": arrow.array([(1 << 64) - 1] * size, arrow.uint64()),
            "amount": arrow.array([None if n % 4 == 0 else n / 2 for n in range(size)], arrow.float32()),
            "odd": arrow.array([math.nan] * size),
            "word": arrow.array(["a", "bb", None, "é"] * (size // 4)),
            "coded": arrow.array(["x", "y"] * (size // 2)).dictionary_encode(),
            "raw": arrow.array([b"\x00\xff"] * size),
            "flag": arrow.array([True, None] * (size // 2)),
            "at": arrow.array([noon] * size, arrow.timestamp("ms", "UTC")),
            "day": arrow.array([noon.date()] * size),
            "price": arrow.array([Decimal("1.25")] * size),
            "inner": arrow.array([{"a": 1, "b": "t"}, None, {"a": None, "b": "u"}, {"a": 3, "b": "t"}] * (size // 4)),
            "list": arrow.array([[1, 2], [], None, [3]] * (size // 4), arrow.list_(arrow.int64())),
            "map": arrow.array([[("k", 1.5)], [], None, [("l", 2.5), ("m", 3.5)]] * (size // 4),
                               arrow.map_(arrow.string(), arrow.float64())),
            "nothing": arrow.nulls(size),
        }
    )  # fmt: skip
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path, row_group_size=300)
    found = profile_of_file(path, OPTIONS)
    assert (found.source.format, found.profile.decoded) == ("parquet", size)
    own = fields(found.profile)
    quarter = size // 4
    assert {name: (types(field), field.slots, field.nulls) for name, field in own.items()} == {
        "id": ({"integer": size}, size, 0),
        "big": ({"number": size}, size, 0),
        "amount": ({"number": 3 * quarter}, size, quarter),
        "odd": ({"number": size}, size, 0),
        "word": ({"string": 3 * quarter}, size, quarter),
        "coded": ({"string": size}, size, 0),
        "raw": ({"bytes": size}, size, 0),
        "flag": ({"boolean": size // 2}, size, size // 2),
        "at": ({"integer": size}, size, 0),
        "day": ({"integer": size}, size, 0),
        "price": ({"number": size}, size, 0),
        "inner": ({"record": 3 * quarter}, size, quarter),
        "inner.a": ({"integer": 2 * quarter}, 3 * quarter, quarter),
        "inner.b": ({"string": 3 * quarter}, 3 * quarter, 0),
        "list": ({"array": 3 * quarter}, size, quarter),
        "list[]": ({"integer": 3 * quarter}, 3 * quarter, 0),
        "map": ({"map": 3 * quarter}, size, quarter),
        "map{}": ({"number": 3 * quarter}, 3 * quarter, 0),
        "nothing": ({}, size, size),
    }
    assert (own["at"].numeric and own["at"].numeric.max) == noon.timestamp() * 1000
    assert (own["odd"].numeric and own["odd"].numeric.not_finite) == size
    assert sorted((item_counts(own["word"]) or {}).values()) == [quarter] * 3
    assert distinct_estimate(own["id"]) == pytest.approx(size, rel=0.1)
    lengths = own["list"].lengths
    assert lengths is not None
    assert (lengths.min, lengths.max, round(lengths.mean, 9)) == (0, 2, 1.0)


def test_which_paths_may_be_shown() -> None:
    patterns = ("a", "t:b", "u:c", "t:x:y")
    assert revealed_paths(patterns, "t") == {"a", "b", "x:y"}
    assert revealed_paths(patterns, None) == {"a"}

"""If this failed, the same data would look different by the library that holds it, or different data the same."""

from __future__ import annotations

import decimal
import math
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_lineage.frames import checksum as checksums
from stream_lineage.frames import held as holding
from stream_lineage.frames.difference import difference
from stream_lineage.frames.held import held
from stream_lineage.frames.measure import Measure
from stream_lineage.frames.recognise import library_of
from stream_lineage.frames.types import type_name

AT = datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC)


def measure(frame: Any, *key: str) -> Measure:
    library = library_of(frame)
    assert library is not None
    return held(frame, library, key).measure()


def everywhere(rows: list[dict[str, Any]]) -> list[Any]:
    """The same rows in each library."""
    table = pa.Table.from_pylist(rows)
    pandas = pd.DataFrame(rows)
    return [
        rows, table, pl.from_arrow(table), pandas, pandas.astype(object), table.to_pandas(types_mapper=pd.ArrowDtype),
        table.slice(1).to_batches()[0] if len(rows) == 1 else pa.concat_tables([table.slice(0, 1), table.slice(1)]),
    ]  # fmt: skip


VALUES: dict[str, list[Any]] = {
    "int": [0, -5, 2**53 + 1, 2**63 - 1],
    "float": [0.5, -1.25, 1e300, 3.0],
    "text": ["", "a", "grüße", "x" * 400 + "y"],
    "bytes": [b"", b"\x00\xff", b"abc"],
    "bool": [True, False],
    "time": [AT, AT + timedelta(microseconds=1)],
    "date": [date(2026, 3, 1), date(1969, 12, 31)],
    "far time": [datetime(9999, 12, 31, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC), None],
    "far date": [date(9999, 12, 31), date(1, 1, 1)],
    "large float": [2.0**60, -(2.0**63), 2.0**63, math.inf],
    "with null": [1.5, None, 2.5],
    "text with null": ["a", None, ""],
    "time with null": [AT, None],
    "list": [[1, 2], [3]],
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_checksum_is_the_same_whichever_library_has_it(kind: str) -> None:
    rows = [{"k": value} for value in VALUES[kind]]
    frames = everywhere(rows)
    if kind == "list":
        frames = frames[:3]  # pandas has arrays there
    found = {measure(frame, "k").key_checksum for frame in frames}
    assert len(found) == 1
    assert found != {None}


TEXTS: dict[str, list[Any]] = {
    "nothing": ["", "", ""],
    "of one length, short": ["DE", "FR", "IT", "PL"],
    "of one length, 9 to 12": ["user-00001", "user-00002", "user-00009"],
    "of one length, longer": [f"user-{number:08d}" for number in range(40)],
    "of one length, very long": ["x" * 400 + "a", "x" * 400 + "b"],
    "of one length, beyond what is hashed at once": ["y" * 321, "z" * 321],
    "of several lengths, as long together": ["abc", "a", "abcde"],
    "of several lengths": ["", "abc", "user-00001", "user-00000001", "z" * 33],
    "of one length, with nulls": ["user-00000001", None, "user-00000002"],
    "of several lengths, with nulls": [None, "abc", "user-00000001", None, ""],
    "nulls only": [None, None],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_checksum_of_texts_is_the_same_however_they_lie_in_memory(kind: str) -> None:
    values = TEXTS[kind]
    array = pa.array(values, pa.string())
    series = pl.Series("k", values, dtype=pl.String)
    wide = pa.array([*values, "more", None, *values], pa.large_string()).slice(0, len(values))
    behind = pa.array(["more", None, *values], pa.string()).slice(2)
    tight = pa.Array.from_buffers(  # nothing behind the last byte
        pa.string(), len(values),
        [None if each is None else pa.py_buffer(bytes(memoryview(each))) for each in array.buffers()],
        array.null_count,
    )  # fmt: skip
    around = pl.concat([pl.Series("k", ["user-99999999"]), series, series[::-1]], rechunk=True)
    frames = [
        *(pa.table({"k": each}) for each in (array, wide, behind, tight)),
        *(pa.table({"k": array.cast(kind)}) for kind in ("string_view", "binary")),
        *(pl.DataFrame({"k": each}) for each in (series, series[::-1], around[1 : len(values) + 1])),
        pl.DataFrame({"k": series.cast(pl.Binary)}),
        pl.DataFrame({"k": series.append(pl.Series("k", [], dtype=pl.String))}),
        pd.DataFrame({"k": pd.array(values, "string")}), pd.DataFrame({"k": np.array(values, object)}),
    ]  # fmt: skip
    # Of lists each text is hashed beside one of another length, so that none of the short ways is taken.
    beside = measure([*({"k": value} for value in values), {"k": "q" * 999}], "k").checksum
    other = measure([{"k": "q" * 999}], "k").checksum
    assert beside is not None
    assert other is not None
    assert {measure(frame, "k").checksum for frame in frames} == {(beside - other) % 2**64}


def test_checksums_stay_what_they_were() -> None:
    """Whoever has kept one compares with it."""
    names = pl.DataFrame({"k": [f"user-{number:08d}" for number in range(1000)]})
    words = pl.DataFrame({"k": [None if number % 7 == 0 else "w" * (number % 400) for number in range(1000)]})
    assert measure(names, "k").key_checksum == "c49df5985c84daec"
    assert measure(words, "k").key_checksum == "d486d8c14538bea5"


def views(places: list[tuple[int, int]], *buffers: bytes) -> pa.Table:
    """Texts of 13 bytes, by the buffer that each is in and where."""
    made = b"".join(
        struct.pack("<i4sii", 13, buffers[which][at : at + 4], which, at) for which, at in places
    )  # as Arrow's format says
    array = pa.Array.from_buffers(pa.string_view(), len(places), [None, *map(pa.py_buffer, (made, *buffers))])
    array.validate(full=True)
    return pa.table({"k": array})


def test_views_of_texts_wherever_these_are() -> None:
    one, other = b"".join(b"user-%08d" % number for number in range(5)), b"".join(b"%013d" % n for n in range(5))
    for places in (
        [(0, 0), (0, 13), (0, 26), (0, 39), (0, 52)], [(0, 13), (0, 26)], [(1, 0), (1, 13), (1, 26)],
        [(0, 0), (0, 26), (0, 13), (0, 39)], [(0, 0), (0, 13), (0, 13), (0, 39)],
        [(0, 0), (1, 13), (0, 26)], [(1, 26), (0, 0)], [(0, 5), (0, 18)],
    ):  # fmt: skip
        table = views(places, one, other)
        texts = [(one, other)[which][at : at + 13].decode() for which, at in places]
        assert table.column("k").to_pylist() == texts
        assert measure(table, "k").checksum == measure([{"k": each} for each in texts], "k").checksum


def test_a_checksum_of_texts_of_polars_is_the_same_whichever_rows_are_left_in_whatever_order() -> None:
    """They stay where they were, and only which of them there are changes."""
    frame = pl.DataFrame({"k": [f"user-{number:08d}" for number in range(300)]})
    others = pl.DataFrame({"k": [f"{number:013d}" for number in range(300)]})
    for rows in (
        [*range(299, -1, -1)], [0, *range(298, 0, -1), 299], [7, 7, 3, 7, 3], [299, 0], [5], [250, 251, 250],
        [*range(150, 0, -1), *range(150, 300)], [0, 2, 4], [0, 1, 1, 3], [*range(100, 50, -1)] * 3,
    ):  # fmt: skip
        found = frame[rows]
        assert measure(found, "k").checksum == measure(found.to_dicts(), "k").checksum
    both = pl.concat([frame, others, others])[[599, 3, 700, 300, 3]]  # of several buffers
    uneven = pl.DataFrame({"k": ["z" * 14, *frame["k"]]})[1:].reverse()
    mixed = pl.DataFrame({"k": [f"{number:0{14 if number % 5 == 2 else 13}d}" for number in range(300)]})
    between = mixed.filter(pl.col("k").str.len_bytes() == 13).reverse()  # others lie between them
    for found in (both, between, uneven, uneven[3:50], pl.concat([uneven, pl.DataFrame({"k": [None]})])):
        assert measure(found, "k").checksum == measure(found.to_dicts(), "k").checksum


def test_whole_floats_are_integers() -> None:
    """pandas makes floats of integers where one is missing."""
    assert (
        measure(pd.DataFrame({"k": [1, None, 3]}), "k").checksum
        == measure(pl.DataFrame({"k": [1, None, 3]}), "k").checksum
    )


def test_the_order_of_rows_does_not_matter_and_everything_else_does() -> None:
    one = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
    same = measure(one, "a", "b").checksum
    assert measure(one[::-1], "a", "b").checksum == same
    others = [
        measure(one, "a"), measure(one, "b"), measure(one, "b", "a"),
        measure(one[:2], "a", "b"), measure(pl.concat([one, one]), "a", "b"),
        measure(one.with_columns(pl.col("b").fill_null("")), "a", "b"),
        measure(one.with_columns(pl.col("b").reverse()), "a", "b"),
        measure(one.with_columns(pl.col("a").cast(pl.String)), "a", "b"),
    ]  # fmt: skip
    assert len({same, *(each.checksum for each in others)}) == 9
    assert measure(one, "a", "none").checksum is None


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8), st.booleans()))
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_two_values_pass_for_one(values: list[Any]) -> None:
    """Against a set of what Python takes for equal, where NaN and None are one and texts are no numbers."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    known = {plain(value) for value in values}
    assert len({measure([{"k": value}], "k").checksum for value in values}) == len(known)


def test_portions_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"k": [f"key-{number}" for number in range(100)], "n": range(100)})
    whole = measure(frame, "k", "n")
    monkeypatch.setattr(checksums, "PORTION", 7)
    assert measure(frame, "k", "n") == whole
    parts = measure(frame[:30], "k", "n").plus(measure(frame[30:], "k", "n"))
    assert parts == whole


def test_measures_of_parts_with_other_columns() -> None:
    one, other = measure([{"a": 1, "b": None}]), measure([{"a": "x", "c": 2}, {"a": None}])
    both = one.plus(other)
    assert [(each.name, each.type, each.nulls) for each in both.columns] == [
        ("a", "int64|string", 1), ("b", "null", 3), ("c", "int64", 2),
    ]  # fmt: skip
    assert (both.rows, both.evaluated) == (3, 3)


def test_schemas_are_the_same_whichever_library_has_them() -> None:
    table = pa.table(
        {
            "i": pa.array([1], pa.int32()), "f": [0.5], "s": ["x"], "b": [True],
            "t": pa.array([AT], pa.timestamp("us", "UTC")),
            "n": pa.array([AT.replace(tzinfo=None)], pa.timestamp("ns")),
            "d": pa.array([timedelta(1)], pa.duration("us")),
        }
    )  # fmt: skip
    types = ["int32", "float64", "string", "bool", "timestamp[us, UTC]", "timestamp[ns]", "duration[us]"]
    for frame in (table, pl.from_arrow(table), table.to_pandas(), table.to_pandas(types_mapper=pd.ArrowDtype)):
        assert [each.type for each in measure(frame).columns] == types
    assert len({measure(frame).schema_hash for frame in (table, pl.from_arrow(table), table.to_pandas())}) == 1
    assert measure(table.select(["f", "i"])).schema_hash != measure(table.select(["i", "f"])).schema_hash


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (pl.Categorical(), "categorical"), (pd.CategoricalDtype(), "categorical"),
        ("dictionary<values=string>", "categorical"),
        (pl.Datetime("ms", "Europe/Rome"), "timestamp[ms, Europe/Rome]"), (pl.Duration("ns"), "duration[ns]"),
        (pd.Int64Dtype(), "int64"), (pd.BooleanDtype(), "bool"), (np.dtype("float32"), "float32"), (pl.Utf8, "string"),
        ("bigint", "int64"), ("decimal(10,2)", "decimal(10,2)"),
        (np.dtype(object), "object"), ("double[pyarrow]", "float64"),
    ],
)  # fmt: skip
def test_types(found: Any, name: str) -> None:
    assert type_name(found) == name


def test_nulls_are_counted_as_each_library_counts_them() -> None:
    assert [each.nulls for each in measure(pd.DataFrame({"a": [1.0, float("nan")], "b": [None, "x"]})).columns] == [
        1,
        1,
    ]
    assert [each.nulls for each in measure(pl.DataFrame({"a": [1.0, float("nan"), None]})).columns] == [1]
    twice = pd.DataFrame([[1, None], [2, None]], columns=["a", "a"])
    assert [(each.name, each.nulls) for each in measure(twice).columns] == [("a", 0), ("a", 2)]


def test_of_long_lists_some_rows_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "EVALUATED_ROWS", 10)
    found = measure([{"k": number, "n": None if number % 2 else 1} for number in range(100)], "k")
    assert (found.rows, found.evaluated) == (100, 10)
    assert found.null_ratio(found.columns[1]) not in (None, 0.0, 1.0)  # although every tenth row is alike
    assert found.checksum == measure(pl.DataFrame({"k": range(100)}), "k").checksum  # of all of them


def test_lists_are_as_they_were_when_they_were_given() -> None:
    rows = [{"k": 1, "n": None}]
    library = library_of(rows)
    assert library is not None
    kept = held(rows, library, ["k"])
    rows[0].update(k=2, n=3)
    rows.append({"k": 3})
    assert kept.measure() == measure([{"k": 1, "n": None}], "k")


COUNT = 1_000
Sharing = Callable[[Any], Any]
SHARING: dict[str, Sharing] = {
    "Polars of an array": lambda values: pl.DataFrame({"k": pl.Series(values)}),
    "Polars of a part of it": lambda values: pl.DataFrame({"k": pl.Series(values)})[3:-3],
    "Polars of a table": lambda values: pl.from_arrow(pa.table({"k": values})),
    "a table": lambda values: pa.table({"k": values}),
    "a part of a table": lambda values: pa.table({"k": values}).slice(5, 600),
    "a table of several parts": lambda values: pa.table(
        {"k": pa.chunked_array([pa.array(values[:7]), pa.array(values[:0]), pa.array(values[7:])])}
    ),
    "a batch": lambda values: pa.record_batch({"k": values}),
    "pandas of an array": lambda values: pd.DataFrame({"k": values}, copy=False),
    "pandas of a Series": lambda values: pd.Series(values, copy=False).to_frame("k"),
}
MEMORY: dict[str, Callable[[], Any]] = {
    "integers": lambda: np.arange(COUNT),
    "small ones": lambda: (np.arange(COUNT) % 200).astype(np.uint8),
    "floats": lambda: np.arange(COUNT) / 7,
    "times": lambda: np.datetime64("2026-01-01", "us") + np.arange(COUNT).astype("timedelta64[s]"),
}


@pytest.mark.parametrize("kind", MEMORY)
@pytest.mark.parametrize("way", SHARING)
def test_a_key_is_as_it_was_whoever_writes_into_its_memory_meanwhile(way: str, kind: str) -> None:
    """Polars and Arrow look at the memory of arrays, where others may write."""
    values = MEMORY[kind]()
    frame = SHARING[way](values)
    expected, library = measure(frame, "k"), library_of(frame)
    assert library is not None
    kept = held(frame, library, ["k"])
    values[10:20] = values[30]
    if way == "a table":  # others may have copied it
        assert measure(frame, "k").checksum != expected.checksum
    assert kept.measure() == expected


def test_parts_of_a_key_that_cannot_be_put_together_stay_apart() -> None:
    values = [{"a": 1}, {"a": 2}, {"a": 3}]
    parts = [
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(symbols))
        for codes, symbols in (([0, 1], values[:2]), ([], values[:1]), ([0], values[2:]))
    ]
    with pytest.raises(pa.ArrowNotImplementedError):
        pa.concat_arrays(parts)
    found = measure(pa.table({"k": pa.chunked_array(parts)}), "k")
    assert (found.rows, found.key_checksum) == (3, measure([{"k": each} for each in values], "k").key_checksum)


def test_a_table_is_as_it_was_whatever_becomes_of_the_frame_that_it_was_made_of() -> None:
    pandas = pd.DataFrame({"k": np.arange(COUNT), "f": np.linspace(0, 1, COUNT), "name": ["x"] * COUNT})
    for frame in (pa.Table.from_pandas(pandas), pl.from_pandas(pandas), pandas, pandas.astype(object)):
        library = library_of(frame)
        assert library is not None
        expected = measure(frame, "k", "name", "f")
        kept = held(frame, library, ["k", "name", "f"])
        pandas.iloc[5, 0] -= 1
        pandas.loc[7, "f"] = math.nan
        pandas.loc[8, "name"] = "y"
        if frame is not pandas and isinstance(frame, pd.DataFrame):
            frame.iloc[5, 0] = frame.loc[8, "name"] = None
        assert kept.measure() == expected


@pytest.mark.parametrize("make", [lambda: np.arange(4.0), lambda: np.array(["2026"] * 4, "datetime64[us]")])
def test_nulls_are_those_that_there_were(make: Callable[[], Any]) -> None:
    values = make()
    frame = pd.DataFrame({"f": values}, copy=False)
    library = library_of(frame)
    assert library is not None
    kept = held(frame, library)
    values[1] = None
    assert [each.nulls for each in measure(frame).columns] == [1]
    assert [each.nulls for each in kept.measure().columns] == [0]


@pytest.mark.parametrize("rows", [0, 1])
def test_frames_of_a_row_or_none(rows: int) -> None:
    table = pa.table({"k": pa.array([7][:rows], pa.int64()), "t": pa.array(["x"][:rows], pa.string())})
    frames = [table, pl.from_arrow(table), table.to_pandas(), *table.to_batches()]
    expected = measure([{"k": 7, "t": "x"}], "k", "t").checksum if rows else 0
    assert {measure(each, "k", "t").checksum for each in frames} == {expected}


def test_values_of_odd_kinds_are_hashed_by_their_text() -> None:
    odd = [decimal.Decimal("1.50"), 2**70, pd.NA, pd.NaT, {"a": 1}, np.int64(3)]
    found = [measure([{"k": value}], "k").checksum for value in odd]
    assert found[2] == found[3] == measure([{"k": None}], "k").checksum
    assert found[5] == measure([{"k": 3}], "k").checksum
    assert len(set(found)) == 5


def test_integers_of_64_bits_without_a_sign() -> None:
    values = [2**63, 2**64 - 1, 5]
    found = {measure(each, "k").checksum for each in (
        [{"k": value} for value in values], pd.DataFrame({"k": np.array(values, np.uint64)}),
        pl.DataFrame({"k": values}, {"k": pl.UInt64}), pa.table({"k": pa.array(values, pa.uint64())}),
    )}  # fmt: skip
    assert len(found) == 1
    assert found != {measure(pd.DataFrame({"k": [-(2**63), -1, 5]}), "k").checksum}


def test_large_floats_are_the_integers_that_they_are() -> None:
    assert measure([{"k": 2.0**60}], "k").checksum == measure([{"k": 2**60}], "k").checksum


def test_arrays_are_hashed_as_the_lists_that_they_are() -> None:
    """NumPy's own text of a long one leaves out its middle, and digits of each number."""
    one = np.arange(3000.0)
    other = one.copy()
    other[1500] += 1e-9
    first, second = ({"k": measure(pd.DataFrame({"k": [each]}), "k").checksum} for each in (one, other))
    assert first != second
    assert first["k"] == measure([{"k": one.tolist()}], "k").checksum
    assert measure(pd.DataFrame({"k": [np.array([math.nan])]}), "k").checksum != measure([{"k": None}], "k").checksum


def test_types_that_arrow_does_not_have() -> None:
    same = measure([{"k": 0}, {"k": 3}], "k").checksum
    assert measure(pd.DataFrame({"k": pd.arrays.SparseArray([0, 3])}), "k").checksum == same
    assert measure(pl.DataFrame({"k": pl.Series([0, 3], dtype=pl.Int128)}), "k").checksum == same


def test_values_that_cannot_be_hashed_leave_the_rest() -> None:
    """Where an object lies in memory is another one in each process."""
    found = measure(pl.DataFrame({"k": pl.Series([object(), None], dtype=pl.Object)}), "k")
    assert (found.rows, found.columns[0].nulls, found.checksum) == (2, 1, None)
    assert measure([{"k": decimal.Decimal("sNaN")}], "k").checksum is not None


def test_a_key_that_is_not_there_has_no_checksum() -> None:
    found = measure([{"a": 1}, {"a": 2}], "id")
    assert (found.checksum, found.key) == (None, ("id",))
    assert "keys" not in difference(found, measure([{"a": 3}], "id"))


def test_many_columns_are_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[Any, Any]] = [{"a": 1, "b": None}, {"b": 2.5, 3: "x"}, {}, {"a": "y", "c": None}]
    few = measure(rows)
    monkeypatch.setattr(holding, "_FEW_COLUMNS", 0)
    assert measure(rows) == few
    assert [(each.name, each.type, each.nulls) for each in few.columns] == [
        ("a", "int64|string", 2), ("b", "float64", 3), ("3", "string", 3), ("c", "null", 4),
    ]  # fmt: skip


def test_what_has_changed() -> None:
    before = measure([{"id": 1, "a": None, "b": 1}, {"id": 2, "a": 1.0, "b": 2}], "id")
    after = measure([{"id": 2, "a": 1.0, "b": "2", "c": 0}, {"id": 1, "a": 1.5, "b": "1", "c": 0}], "id")
    assert difference(before, after) == {
        "rows": {"before": 2, "after": 2, "change": 0},
        "columns": {"added": ["c"], "removed": [], "retyped": [{"name": "b", "before": "int64", "after": "string"}]},
        "nullRatios": {"a": {"before": 0.5, "after": 0.0}},
        "keys": "same",
    }
    assert "keys" not in difference(before, measure([{"id": 1}]))


@pytest.mark.parametrize(
    "value",
    [
        None, 7, "text", [], (), [1, 2], {"a": 1}, np.zeros((2, 2)), pd.Series([1]), pl.Series([1]),
        ({"rows": 3}, pd.DataFrame({"a": [1]})),
    ],
)  # fmt: skip
def test_what_is_no_frame(value: Any) -> None:
    assert library_of(value) is None

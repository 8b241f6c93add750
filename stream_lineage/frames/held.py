"""A frame as it is at one moment, to be looked at later.

Frames that cannot change (PyArrow's), and those of which a cheap copy keeps what it has (Polars' clones, pandas' with
copy-on-write), are looked at by whoever has time. Others, lists of dicts among them, are looked at on the spot.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

from stream_lineage.frames.measure import Column, Measure
from stream_lineage.frames.recognise import Library
from stream_lineage.frames.types import type_name, type_of_values

EVALUATED_ROWS = 10_000
"""Of a longer list of dicts nulls are counted in so many rows, one anywhere in each of so many equal parts: what
repeats at regular distances is met, too."""
_SPREAD = 0x9E3779B1
_FEW_COLUMNS = 200
_COPY_ON_WRITE = 3
"""The major version of pandas since which copies of frames are lazy, always."""


@dataclass(frozen=True, slots=True)
class Held:
    """``bytes`` are kept in memory as long as it is held, if the application lets go of the frame; 0: nothing is.
    ``measure`` counts everything, ``describe`` only rows and columns."""

    bytes: int
    measure: Callable[[], Measure]
    describe: Callable[[], Measure]


def held(value: Any, library: Library, key: Sequence[str] = ()) -> Held:
    """Hold a frame of this library. ``key``: the columns of which a checksum is wanted."""
    wanted = tuple(key)
    if wanted:  # here and not where it is needed: an import that is under way in a thread does not outlive a fork
        from stream_lineage.frames import checksum  # noqa: F401
    if library is Library.PANDAS:
        return _pandas(value, wanted)
    if library is Library.POLARS:
        copy = value.clone()
        return Held(
            int(copy.estimated_size()), lambda: _measured_polars(copy, wanted), lambda: _described_polars(copy, wanted)
        )
    if library is Library.POLARS_LAZY:
        return _now(_schema_only(library, value.collect_schema().items(), wanted))
    if library is Library.PYARROW:
        return Held(int(value.nbytes), lambda: _measured_arrow(value, wanted), lambda: _described_arrow(value, wanted))
    if library is Library.SPARK:
        # Of pandas' interface on Spark ``schema`` would be a column.
        on_spark = type(value).__module__.startswith("pyspark.pandas")
        schema = value.spark.schema() if on_spark else value.schema
        fields = ((field.name, field.dataType.simpleString()) for field in schema.fields)
        return _now(_schema_only(library, fields, wanted))
    return _rows(value, wanted)


def no_rows(key: Sequence[str] = ()) -> Measure:
    """Of a list that is empty."""
    return Measure(Library.ROWS, 0, (), 0, tuple(key), 0 if key else None)


def _now(measure: Measure) -> Held:
    return Held(0, lambda: measure, lambda: measure)


def _schema_only(library: Library, fields: Any, key: tuple[str, ...]) -> Measure:
    return Measure(library, None, tuple(Column(str(name), type_name(kind)) for name, kind in fields), None, key)


def _checksum(columns: Sequence[Any], rows: int, library: Library) -> int | None:
    """Null without a key, and where it has values that cannot be hashed."""
    if not columns:
        return None
    from stream_lineage.frames.checksum import checksum

    try:
        return checksum(columns, rows, library)
    except Exception:  # noqa: BLE001  (whatever a value does that is asked for its text)
        return None


# pandas


def _pandas(frame: Any, key: tuple[str, ...]) -> Held:
    if not _copies_on_write():
        return _now(_measured_pandas(frame, key))
    copy = frame.copy(deep=False)
    size = int(copy.memory_usage(index=False).sum())
    return Held(size, lambda: _measured_pandas(copy, key), lambda: _described_pandas(copy, key))


def _copies_on_write() -> bool:
    pandas = sys.modules.get("pandas")
    try:
        major = int(str(getattr(pandas, "__version__", "0")).split(".", maxsplit=1)[0])
        return major >= _COPY_ON_WRITE or getattr(pandas, "options").mode.copy_on_write is True  # noqa: B009
    except (AttributeError, ValueError):
        return False


def _described_pandas(frame: Any, key: tuple[str, ...]) -> Measure:
    columns = tuple(Column(str(name), type_name(kind)) for name, kind in zip(frame.columns, frame.dtypes, strict=True))
    return Measure(Library.PANDAS, len(frame), columns, None, key)


def _measured_pandas(frame: Any, key: tuple[str, ...]) -> Measure:
    """By position: columns may have the same name."""
    rows, columns = len(frame), []
    for place, (name, kind) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        columns.append(Column(str(name), type_name(kind), _nulls_of_pandas(frame.iloc[:, place])))
    names = [str(name) for name in frame.columns]
    keys = [frame.iloc[:, names.index(name)] for name in key] if set(key) <= set(names) else ()
    return Measure(Library.PANDAS, rows, tuple(columns), rows, key, _checksum(keys, rows, Library.PANDAS))


def _nulls_of_pandas(column: Any) -> int:
    numpy = sys.modules["numpy"]  # pandas has imported it
    if isinstance(column.dtype, numpy.dtype) and column.dtype.kind in "iub":
        return 0  # integers of NumPy's are all there
    return int(numpy.count_nonzero(column.isna().to_numpy()))


# Polars


def _described_polars(frame: Any, key: tuple[str, ...]) -> Measure:
    columns = tuple(Column(name, type_name(kind)) for name, kind in frame.schema.items())
    return Measure(Library.POLARS, frame.height, columns, None, key)


def _measured_polars(frame: Any, key: tuple[str, ...]) -> Measure:
    rows = frame.height
    columns = tuple(Column(each.name, type_name(each.dtype), each.null_count()) for each in frame.get_columns())
    keys = [frame.get_column(name) for name in key] if set(key) <= set(frame.columns) else ()
    return Measure(Library.POLARS, rows, columns, rows, key, _checksum(keys, rows, Library.POLARS))


# PyArrow


def _described_arrow(table: Any, key: tuple[str, ...]) -> Measure:
    columns = tuple(Column(field.name, type_name(field.type)) for field in table.schema)
    return Measure(Library.PYARROW, table.num_rows, columns, None, key)


def _measured_arrow(table: Any, key: tuple[str, ...]) -> Measure:
    rows, names = table.num_rows, table.schema.names
    columns = tuple(
        Column(field.name, type_name(field.type), each.null_count)
        for field, each in zip(table.schema, table.columns, strict=True)
    )
    keys = [table.column(names.index(name)) for name in key] if set(key) <= set(names) else ()
    return Measure(Library.PYARROW, rows, columns, rows, key, _checksum(keys, rows, Library.PYARROW))


# Lists of dicts


def _rows(rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> Held:
    """What is needed of them is taken out at once, the key's hashes are computed later."""
    count = len(rows)
    looked_at = [row for row in _some(rows, count) if isinstance(row, Mapping)]
    columns = columns_of_rows(looked_at)
    plain = Measure(Library.ROWS, count, columns, len(looked_at), key)
    if not set(key) <= {column.name for column in columns} or not key:
        return _now(plain)
    values = [_values(rows, name) for name in key]

    def measured() -> Measure:
        return Measure(Library.ROWS, count, columns, len(looked_at), key, _checksum(values, count, Library.ROWS))

    return Held(16 * count * len(key), measured, lambda: plain)


def _some(rows: Sequence[Any], count: int) -> Iterable[Any]:
    if count <= EVALUATED_ROWS:
        return rows
    bounds = [number * count // EVALUATED_ROWS for number in range(EVALUATED_ROWS + 1)]
    return [rows[first + (first * _SPREAD >> 16) % (last - first)] for first, last in pairwise(bounds)]


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Of dicts, in the order in which their names come."""
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) > _FEW_COLUMNS:
        return _of_many(rows)
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        kinds = set(map(type, values))
        nulls = values.count(None) if type(None) in kinds else 0
        columns.append(Column(str(name), type_of_values(kinds - {type(None)}), nulls))
    return tuple(columns)


def _of_many(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Likewise; each value is looked at once. Where names are data, each row may have others."""
    kinds: dict[Any, set[type]] = {}
    there: dict[Any, int] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set())
            if value is not None:
                kinds[name].add(type(value))
                there[name] = there.get(name, 0) + 1
    return tuple(
        Column(str(name), type_of_values(found), len(rows) - there.get(name, 0)) for name, found in kinds.items()
    )

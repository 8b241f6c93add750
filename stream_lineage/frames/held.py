"""A frame as it is at one moment, of which the key is hashed later.

Rows, columns and nulls are counted when it is given: they are known, or a fraction of a millisecond away. Of the key is
kept what nothing else writes into: a copy where values have a fixed width, which may lie in memory that is somebody
else's (a NumPy array that Polars or Arrow looks at, a pandas frame that a table was made of); texts are where their
library has put them, and nobody writes there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
_TEXTS_OF_POLARS = frozenset(("String", "Binary"))


@dataclass(frozen=True, slots=True)
class Held:
    """``bytes`` are kept in memory as long as it is held; 0: nothing is. ``measure`` has everything, ``describe`` all
    but the key."""

    bytes: int
    measure: Callable[[], Measure]
    describe: Callable[[], Measure]


def held(value: Any, library: Library, key: Sequence[str] = ()) -> Held:
    """Hold a frame of this library. ``key``: the columns of which a checksum is wanted.

    Raises:
        Exception: whatever its library raises; a panic of Polars, which is none, as one.
    """
    try:
        return _held(value, library, tuple(key))
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise RuntimeError(f"{library.value} panics") from error


def _held(value: Any, library: Library, wanted: tuple[str, ...]) -> Held:
    if wanted:  # here and not where it is needed: an import that is under way in a thread does not outlive a fork
        from stream_lineage.frames import checksum  # noqa: F401
    if library is Library.PANDAS:
        return _pandas(value, wanted)
    if library is Library.POLARS:
        return _polars(value, wanted)
    if library is Library.POLARS_LAZY:
        return _now(_schema_only(library, value.collect_schema().items(), wanted))
    if library is Library.PYARROW:
        return _arrow(value, wanted)
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


def _later(plain: Measure, columns: Sequence[Any], size: int) -> Held:
    """What is known, and the checksum of key columns once somebody has time."""
    if not columns or not plain.rows:
        return _now(replace(plain, checksum=_checksum(columns, plain.rows or 0, plain.library)))
    rows = plain.rows

    def measured() -> Measure:
        return replace(plain, checksum=_checksum(columns, rows, plain.library))

    return Held(size, measured, lambda: plain)


# pandas


def _pandas(frame: Any, key: tuple[str, ...]) -> Held:
    """By position: columns may have the same name."""
    names = [str(name) for name in frame.columns]
    columns = tuple(
        Column(name, type_name(kind), _nulls_of_pandas(frame.iloc[:, place]))
        for place, (name, kind) in enumerate(zip(names, frame.dtypes, strict=True))
    )
    plain = Measure(Library.PANDAS, len(frame), columns, len(frame), key)
    # Of Arrow's texts, which cannot be changed, a deep copy copies nothing; of objects it copies where they are.
    keys = [frame.iloc[:, names.index(name)].copy() for name in key] if set(key) <= set(names) else []
    return _later(plain, keys, sum(int(each.memory_usage(index=False)) for each in keys))


def _nulls_of_pandas(column: Any) -> int:
    numpy = sys.modules["numpy"]  # pandas has imported it
    if isinstance(column.dtype, numpy.dtype) and column.dtype.kind in "iub":
        return 0  # integers of NumPy's are all there
    return int(numpy.count_nonzero(column.isna().to_numpy()))


# Polars


def _polars(frame: Any, key: tuple[str, ...]) -> Held:
    columns = tuple(Column(each.name, type_name(each.dtype), each.null_count()) for each in frame.get_columns())
    plain = Measure(Library.POLARS, frame.height, columns, frame.height, key)
    keys = [_own_series(frame.get_column(name)) for name in key] if set(key) <= set(frame.columns) else []
    return _later(plain, keys, sum(int(each.estimated_size()) for each in keys))


def _own_series(column: Any) -> Any:
    """Put together of two parts, which copies: a clone has the same memory."""
    if str(column.dtype) in _TEXTS_OF_POLARS or not len(column):
        return column.clone()
    return sys.modules["polars"].concat([column, column[:1]], rechunk=True)[: len(column)]


# PyArrow


def _arrow(table: Any, key: tuple[str, ...]) -> Held:
    names = table.schema.names
    columns = tuple(
        Column(field.name, type_name(field.type), each.null_count)
        for field, each in zip(table.schema, table.columns, strict=True)
    )
    plain = Measure(Library.PYARROW, table.num_rows, columns, table.num_rows, key)
    keys = [_own_array(table.column(names.index(name))) for name in key] if set(key) <= set(names) else []
    return _later(plain, keys, sum(int(each.nbytes) for each in keys))


def _own_array(column: Any) -> Any:
    """Likewise; parts that cannot be put together (of too many bytes, or with dictionaries of structs) stay apart."""
    if type_name(column.type) in ("string", "binary") or not len(column):
        return column
    arrow = sys.modules["pyarrow"]
    chunks = [each for each in getattr(column, "chunks", [column]) if len(each)]
    try:
        return _put_together(arrow, chunks)
    except arrow.ArrowException:
        return arrow.chunked_array([_put_together(arrow, [each]) for each in chunks])


def _put_together(arrow: Any, parts: Sequence[Any]) -> Any:
    return arrow.concat_arrays([*parts, parts[0].slice(0, 1)])[: sum(map(len, parts))]


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

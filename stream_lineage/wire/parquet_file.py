"""Parquet files as columns, batch by batch. Needs pyarrow, which the extra ``parquet`` installs.

Types become those of records: timestamps, dates and times are integers in their own unit, decimals are numbers, text
that is coded in a dictionary is strings. Fields of structs are dotted, items of lists end in ``[]``, values of maps in
``{}``. What is null inside of a null struct has no slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stream_lineage.errors import DecodeError, NotFound, SettingsError
from stream_lineage.wire.columns import PADDING, Containers, Decoded, FieldColumn, Numbers, Part, Texts

BATCH_ROWS = 65_536
Progress = Callable[[int, int], None]


def parquet_batches(path: Path, progress: Progress | None = None) -> Iterator[Decoded]:
    """The rows as columns.

    Raises:
        SettingsError: pyarrow is not installed.
        NotFound: the file cannot be read.
        DecodeError: it is no Parquet file, or damaged.
    """
    arrow, parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            total, done = file.metadata.num_rows, 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns: list[FieldColumn] = []
                for name, array in zip(batch.schema.names, batch.columns, strict=True):
                    _add(arrow, name, array, columns)
                done += batch.num_rows
                if progress is not None:
                    progress(done, total)
                yield Decoded(batch.num_rows, columns, [])
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except (arrow.ArrowException, OSError) as error:
        raise DecodeError(f"{path.name} cannot be read as Parquet: {type(error).__name__}") from error


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SettingsError(
            "Parquet files need pyarrow, which is not installed",
            hint="Install it with `pip install 'stream-lineage[parquet]'`, or give a CSV file.",
        ) from error
    return pyarrow, pyarrow.parquet


def _add(arrow: Any, path: str, array: Any, columns: list[FieldColumn]) -> None:
    """The column of an array, and those of what is inside of it."""
    types = arrow.types
    if isinstance(array, arrow.ExtensionArray):
        array = array.storage
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    valid = array.drop_null()
    column = FieldColumn(path, len(array), nulls=len(array) - len(valid))
    columns.append(column)
    if not len(valid):
        return
    if types.is_struct(kind):
        column.parts.append(Containers("record", len(valid)))
        for place in range(kind.num_fields):
            _add(arrow, f"{path}.{kind.field(place).name}", arrow.compute.struct_field(valid, [place]), columns)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        lengths = arrow.compute.list_value_length(valid).to_numpy(zero_copy_only=False)
        column.parts.append(Containers("array", len(valid), lengths.astype(np.int64)))
        _add_items(arrow, f"{path}[]", valid.flatten(), columns)
    elif types.is_map(kind):
        offsets = np.diff(valid.offsets.to_numpy(zero_copy_only=False))
        column.parts.append(Containers("map", len(valid), offsets.astype(np.int64)))
        first, last = valid.offsets[0].as_py(), valid.offsets[-1].as_py()
        _add_items(arrow, f"{path}{{}}", valid.items.slice(first, last - first), columns)
    else:
        column.parts.append(_part(arrow, valid))


def _add_items(arrow: Any, path: str, items: Any, columns: list[FieldColumn]) -> None:
    if len(items):
        _add(arrow, path, items, columns)


def _part(arrow: Any, values: Any) -> Part:
    """Values without nulls."""
    types, kind = arrow.types, values.type
    if types.is_boolean(kind):
        return Numbers("boolean", values.to_numpy(zero_copy_only=False))
    if types.is_uint64(kind):
        numbers = values.to_numpy()
        fits = bool((numbers <= np.uint64(np.iinfo(np.int64).max)).all())
        return Numbers("integer", numbers.astype(np.int64)) if fits else Numbers("number", numbers.astype(np.float64))
    if types.is_integer(kind):
        return Numbers("integer", values.to_numpy().astype(np.int64))
    if types.is_floating(kind):
        return Numbers("number", values.to_numpy().astype(np.float64))
    if types.is_temporal(kind):
        width = arrow.int32() if kind.bit_width == 32 else arrow.int64()
        return Numbers("integer", values.view(width).to_numpy().astype(np.int64))
    if types.is_decimal(kind):
        return Numbers("number", np.array([float(value) for value in values.to_pylist()], np.float64))
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return _texts("string" if text else "bytes", values, arrow)


def _texts(name: str, values: Any, arrow: Any) -> Texts:
    large = values.cast(arrow.large_binary())
    offsets = np.frombuffer(large.buffers()[1], np.int64)[large.offset : large.offset + len(large) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    held = large.buffers()[2]
    body = b"" if held is None else bytes(memoryview(held)[first:last])
    data = np.frombuffer(body + bytes(PADDING), np.uint8)
    return Texts(name, data, offsets[:-1] - first, np.diff(offsets))

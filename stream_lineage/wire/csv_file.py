"""CSV files as columns: read twice, first to find the type of each column, then batch by batch.

The first row names the columns, which are field paths. A column holds integers, numbers or booleans when all of its
values look so, else strings: with one type a column the profile is that of records which a producer writes with these
types. Numbers with leading zeros are strings, as codes are. Texts that stand for null are null.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from stream_lineage.errors import DecodeError, NotFound
from stream_lineage.wire.columns import BadRecord, Decoded, FieldColumn, Numbers, Part, Texts
from stream_lineage.wire.text_buffer import text_buffer

BATCH_ROWS = 20_000
WRONG_WIDTH = "wrong-number-of-columns"
_MAX_COLUMNS = 10_000
_MAX_CELL_CHARACTERS = 16 * 1024 * 1024
_SNIFFED_CHARACTERS = 64 * 1024
_DELIMITERS = (",", ";", "\t", "|")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(
    r"[+-]?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)|nan", re.IGNORECASE
)
_BOOLEANS = {"true": True, "false": False}
_INT64 = range(-(1 << 63), 1 << 63)

Kind = Literal["boolean", "integer", "number", "string"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How a file is written. ``columns`` are name and type, null where a column has no name and is left out."""

    delimiter: str
    columns: tuple[tuple[str, Kind] | None, ...]

    @property
    def unnamed(self) -> int:
        """Columns that are left out."""
        return self.columns.count(None)


def csv_layout(path: Path, nulls: frozenset[str], delimiter: str | None = None) -> CsvLayout:
    """Look through the whole file. ``nulls`` are texts that stand for null; ``delimiter`` is guessed where it is null.

    Raises:
        NotFound: the file cannot be read.
        DecodeError: it is no CSV in UTF-8, or its first row does not name its columns.
    """
    with _opened(path) as file:
        delimiter = delimiter or _guessed(file, path)
        rows = _rows(file, path, delimiter)
        header = next(rows, None)
        if header is None:
            raise DecodeError(f"{path.name} is empty")
        names = [name.strip() for name in header]
        _check(names, path)
        kinds = [_Guess() for _ in names]
        for batch in _batches(rows):
            good = [row for row in batch if len(row) == len(names)]
            for guess, cells in zip(kinds, zip(*good, strict=True), strict=False):
                guess.add(cells, nulls)
    return CsvLayout(
        delimiter, tuple((name, guess.kind) if name else None for name, guess in zip(names, kinds, strict=True))
    )


def csv_batches(
    path: Path, layout: CsvLayout, nulls: frozenset[str], progress: Progress | None = None
) -> Iterator[Decoded]:
    """The rows as columns. Rows with another number of cells than the first one are bad records.

    Raises:
        NotFound, DecodeError: see ``csv_layout``.
    """
    size = path.stat().st_size
    width = len(layout.columns)
    with _opened(path) as file:
        rows = _rows(file, path, layout.delimiter)
        next(rows, None)
        for batch in _batches(rows):
            good = [row for row in batch if len(row) == width]
            bad = [BadRecord(index, WRONG_WIDTH, "") for index, row in enumerate(batch) if len(row) != width]
            cells = list(zip(*good, strict=True)) or [()] * width
            columns = [
                _column(column[0], column[1], values, nulls)
                for column, values in zip(layout.columns, cells, strict=True)
                if column is not None
            ]
            if progress is not None:
                progress(min(file.buffer.tell(), size), size)
            yield Decoded(len(batch), columns, bad)


class _Guess:
    """The narrowest type that all values of a column have so far."""

    def __init__(self) -> None:
        self._left: list[Kind] = ["boolean", "integer", "number"]
        self._some = False

    @property
    def kind(self) -> Kind:
        return self._left[0] if self._left and self._some else "string"

    def add(self, cells: Sequence[str], nulls: frozenset[str]) -> None:
        if not self._left:
            return
        values = {cell for cell in cells if cell not in nulls}
        self._some = self._some or bool(values)
        self._left = [kind for kind in self._left if _all_are(kind, values)]


def _all_are(kind: Kind, values: set[str]) -> bool:
    if kind == "boolean":
        return all(value.strip().lower() in _BOOLEANS for value in values)
    pattern = _INTEGER if kind == "integer" else _NUMBER
    if not all(pattern.fullmatch(value.strip()) for value in values):
        return False
    return kind == "number" or all(len(value) < 40 and int(value) in _INT64 for value in values)


def _column(name: str, kind: Kind, cells: Sequence[str], nulls: frozenset[str]) -> FieldColumn:
    values = [cell for cell in cells if cell not in nulls]
    parts: list[Part] = [_part(kind, values)] if values else []
    return FieldColumn(name, len(cells), nulls=len(cells) - len(values), parts=parts)


def _part(kind: Kind, values: list[str]) -> Part:
    if kind == "boolean":
        return Numbers("boolean", np.array([_BOOLEANS[value.strip().lower()] for value in values], np.bool_))
    if kind == "integer":
        return Numbers("integer", np.array([int(value) for value in values], np.int64))
    if kind == "number":
        return Numbers("number", np.array([float(value) for value in values], np.float64))
    return Texts("string", *text_buffer([value.encode() for value in values]))


def _opened(path: Path) -> TextIO:
    try:
        return path.open("r", encoding="utf-8-sig", newline="")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error


def _guessed(file: TextIO, path: Path) -> str:
    """The delimiter of which the first row has most."""
    try:
        first = file.readline(_SNIFFED_CHARACTERS)
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    file.seek(0)
    return max(_DELIMITERS, key=first.count)


def _rows(file: TextIO, path: Path, delimiter: str) -> Iterator[list[str]]:
    """The rows that are not empty."""
    before = csv.field_size_limit(_MAX_CELL_CHARACTERS)
    reader = csv.reader(file, delimiter=delimiter)
    try:
        for row in reader:
            if row:
                yield row
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except csv.Error as error:
        raise DecodeError(f"{path.name} is no CSV: line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(before)


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    batch: list[list[str]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _check(names: list[str], path: Path) -> None:
    given = [name for name in names if name]
    if not given or len(names) > _MAX_COLUMNS:
        raise DecodeError(f"the first row of {path.name} must name the columns, at most {_MAX_COLUMNS} of them")
    doubled = sorted({name for name in given if given.count(name) > 1}) if len(set(given)) < len(given) else []
    if doubled:
        raise DecodeError(f"{path.name} names a column twice: {doubled[0][:100]}")


def _not_text(path: Path) -> DecodeError:
    return DecodeError(f"{path.name} is no CSV: it is not text in UTF-8")

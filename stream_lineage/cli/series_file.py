"""Series of numbers in CSV files, read row by row."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from stream_lineage.cli.timestamps import TimestampReader
from stream_lineage.errors import DecodeError, NotFound

_NOTHING = frozenset({"", "nan", "null", "none", "na", "n/a", "-", "missing", "nil"})
_LOOKED_AT = 1000  # rows whose times tell how far apart rows are
_DEFAULT_WINDOW = 60.0


@dataclass(slots=True)
class Row:
    """``at`` and ``value`` are null where the cell does not tell; ``time_text`` and ``value_text`` are the cells."""

    at: float | None
    value: float | None
    weight: float
    time_text: str
    value_text: str


@dataclass(slots=True)
class SeriesFile:
    """The rows of a file in its order. What is counted is complete once all rows were read."""

    rows: Iterator[Row]
    window_seconds: float
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("rows", "bad_times", "bad_values", "missing_values", "duplicate_times", "earlier_times"), 0
        )
    )


@contextmanager
def series_file(
    path: str, time_column: str, value_column: str, weight_column: str | None = None, window: float | None = None
) -> Iterator[SeriesFile]:
    """Open a CSV file (``-``: stdin; ``.gz`` is unpacked) with a header. Commas, semicolons and tabs separate cells.

    ``window``: seconds between rows; without it the median distance of the first thousand.

    Raises:
        NotFound: there is no such file.
        DecodeError: it is no CSV file.
        click.UsageError: it has no such column.
    """
    with _opened(path) as stream:
        try:
            header, lines = _header(stream, (time_column, value_column))
            places = [_place(header, each) for each in (time_column, value_column)]
            weight = None if weight_column is None else _place(header, weight_column)
            found = SeriesFile(iter(()), 0.0)
            rows = _rows(csv.reader(lines, delimiter=_delimiter(header)), places[0], places[1], weight, found.counts)
            first = list(itertools.islice(rows, _LOOKED_AT))
            found.window_seconds = window if window is not None else inferred_window([row.at for row in first])
            found.rows = _guarded(itertools.chain(first, rows), path)
        except (csv.Error, OSError, EOFError) as error:
            raise DecodeError(f"{path} is no CSV file: {error}") from error
        yield found


def inferred_window(times: Sequence[float | None]) -> float:
    """The median distance of times that follow each other."""
    known = [each for each in times if each is not None]
    apart = [later - earlier for earlier, later in itertools.pairwise(known) if later > earlier]
    return median(apart) if apart else _DEFAULT_WINDOW


@contextmanager
def _opened(path: str) -> Iterator[io.TextIOBase]:
    if path == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace", newline="")
        return
    try:
        binary = gzip.open(path) if path.endswith(".gz") else Path(path).open("rb")  # noqa: SIM115
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    with io.TextIOWrapper(binary, encoding="utf-8-sig", errors="replace", newline="") as stream:
        yield stream


class _Header(list[str]):
    delimiter = ","


def _header(stream: io.TextIOBase, wanted: Sequence[str]) -> tuple[_Header, Iterator[str]]:
    line = stream.readline()
    while line and not line.strip():
        line = stream.readline()
    if not line:
        raise DecodeError("the file is empty", hint="It needs a header and at least one row.")
    best = _Header()
    for delimiter in (",", ";", "\t"):
        cells = _Header(cell.strip() for cell in next(csv.reader([line], delimiter=delimiter)))
        cells.delimiter = delimiter
        if len(cells) > len(best) or all(each in cells for each in wanted):
            best = cells
            if all(each in cells for each in wanted):
                break
    return best, iter(stream)


def _delimiter(header: _Header) -> str:
    return header.delimiter


def _place(header: Sequence[str], name: str) -> int:
    if name in header:
        return header.index(name)
    folded = [each.casefold() for each in header]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    shown = ", ".join(header[:20])
    raise click.UsageError(f"there is no column {name!r}; the file has: {shown}")


def _rows(
    reader: Iterator[list[str]], time_place: int, value_place: int, weight_place: int | None, counts: dict[str, int]
) -> Iterator[Row]:
    read_time = TimestampReader().read
    last: float | None = None
    for cells in reader:
        if not cells:  # an empty line
            continue
        counts["rows"] += 1
        time_text = cells[time_place] if time_place < len(cells) else ""
        value_text = cells[value_place] if value_place < len(cells) else ""
        at = read_time(time_text)
        if at is None or at != at:  # noqa: PLR0124
            counts["bad_times"] += 1
            at = None
        elif last is not None and at <= last:
            counts["duplicate_times" if at == last else "earlier_times"] += 1
        value = _value(value_text)
        if value is None or value != value:  # noqa: PLR0124
            missing = value_text.strip().casefold() in _NOTHING
            counts["missing_values" if missing else "bad_values"] += 1
            value = None
        weight = 1.0
        if weight_place is not None:
            weight = (_value(cells[weight_place]) if weight_place < len(cells) else None) or 1.0
        if at is not None:
            last = at
        yield Row(at, value, weight, time_text, value_text)


def _value(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if "_" in text else value


def _guarded(rows: Iterator[Row], path: str) -> Iterator[Row]:
    try:
        yield from rows
    except (csv.Error, OSError, EOFError) as error:
        raise DecodeError(f"{path}: {error}") from error

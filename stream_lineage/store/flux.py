"""Questions in Flux. InfluxDB 2 binds no parameters: every text goes through ``quoted``, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping

from stream_lineage.store.influx_text import encode_name, encode_value
from stream_lineage.store.ports import Aggregation

EARLIEST = -(2**63) // 1000 + 1_000_000
LATEST = (2**63) // 1000 - 1_000_000
"""The times that InfluxDB knows, in microseconds since the epoch."""

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "\\x24"})


def quoted(text: str) -> str:
    """A string literal of Flux that is this text, and that no text ends early; ``${`` starts no expression in it."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(char: str) -> str:
    if char.isprintable() or char in "\n\r\t":
        return char.translate(_ESCAPES)
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def selection(
    bucket: str,
    measurement: str,
    start: int,
    stop: int,
    *,
    tags: Mapping[str, str] | None = None,
    field: str | None = None,
    statistic: str | None = None,
) -> str:
    """The series of a measurement with these tags, ``start <= time < stop`` in microseconds since the epoch."""
    wanted = [f"r._measurement == {quoted(encode_name(measurement))}"]
    if field is not None:
        wanted.append(f"r._field == {quoted(encode_name(field))}")
    wanted += [
        f"r[{quoted(encode_name(name))}] == {quoted(encode_value(value))}" for name, value in (tags or {}).items()
    ]
    if statistic is not None:
        wanted.append(f"r.statistic == {quoted(statistic)}")
    return (
        f"from(bucket: {quoted(bucket)})"
        f" |> range(start: {_time(start)}, stop: {_time(stop)})"
        f" |> filter(fn: (r) => {' and '.join(wanted)})"
    )


def windowed(chosen: str, window_microseconds: int, aggregation: Aggregation) -> str:
    """One row for each series and window that holds something; for fields that are numbers."""
    return f"{chosen} |> {_window(window_microseconds, aggregation)}"


def windowed_of_any(chosen: str, window_microseconds: int, aggregation: Aggregation) -> str:
    """As ``windowed``, for fields that are not all numbers: booleans count as 0 and 1, texts not at all. Slower."""
    numbers = 'types.isType(v: r._value, type: "float") or types.isType(v: r._value, type: "bool")'
    whole = ' or types.isType(v: r._value, type: "int") or types.isType(v: r._value, type: "uint")'
    return (
        f'import "types"\n{chosen} |> filter(fn: (r) => {numbers}{whole}) |> toFloat()'
        f" |> {_window(window_microseconds, aggregation)}"
    )


def _window(window_microseconds: int, aggregation: Aggregation) -> str:
    every = f"{window_microseconds}us"
    return f'aggregateWindow(every: {every}, fn: {aggregation}, createEmpty: false, timeSrc: "_start")'


def _time(since_epoch: int) -> str:
    """A literal of Flux: its own ``time`` takes nanoseconds."""
    within = min(max(since_epoch, EARLIEST), LATEST)
    return f"time(v: {within * 1000})"

"""Points as InfluxDB's line protocol, one line each, with times in microseconds.

Numbers are written as floats, whole ones too: InfluxDB refuses a point whose field is an integer where another series
has written a float under the same name. See ``influx_text`` for what becomes of names.
"""

from __future__ import annotations

from collections.abc import Iterable

from stream_lineage.store.influx_text import encode_name, encode_value
from stream_lineage.store.ports import FieldValue, Point
from stream_lineage.store.windows import finite_fields, microseconds

PRECISION = "us"
_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ "})
_KEY = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_TEXT = str.maketrans({'"': '\\"', "\\": "\\\\"})


def lines(points: Iterable[Point]) -> list[bytes]:
    """A line for each point that has a finite field, without its line end.

    Raises:
        ValueError: a time has no zone.
    """
    return [_line(point, fields, time) for point, fields, time in list(_checked(points)) if fields]


def _checked(points: Iterable[Point]) -> Iterable[tuple[Point, dict[str, FieldValue], int]]:
    for point in points:
        yield point, finite_fields(point.fields), microseconds(point.time)


def _line(point: Point, fields: dict[str, FieldValue], time: int) -> bytes:
    series = encode_name(point.measurement).translate(_MEASUREMENT)
    for name, value in sorted(point.tags.items()):
        series += f",{encode_name(name).translate(_KEY)}={encode_value(value).translate(_KEY)}"
    members = ",".join(f"{encode_name(name).translate(_KEY)}={_value(value)}" for name, value in fields.items())
    return f"{series} {members} {time}".encode()


def _value(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{encode_value(value).translate(_TEXT)}"'
    return repr(float(value))

"""Names of column types that are the same for the same type, whichever library has it: those of Apache Arrow mostly.

``int64``, ``uint8``, ``float64``, ``string``, ``binary``, ``bool``, ``date``, ``timestamp[ns, UTC]``, ``duration[ns]``,
``categorical``, ``object``; what is none of these is as its library writes it, in small letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_SAME = {
    "boolean": "bool",
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "str": "string",
    "utf8": "string",
    "large_string": "string",
    "string_view": "string",
    "large_binary": "binary",
    "binary_view": "binary",
    "category": "categorical",
    "enum": "categorical",
    "date32[day]": "date",
    "tinyint": "int8",
    "smallint": "int16",
    "int": "int32",
    "integer": "int32",
    "bigint": "int64",
}
_TIME = re.compile(r"(?:datetime64|timestamp)\[(\w+)(?:, (?:tz=)?([^\]]+))?\]")
_DURATION = re.compile(r"(?:timedelta64|duration)\[(\w+)\]")
_POLARS_TIME = re.compile(r"datetime\(time_unit='(\w+)', time_zone=(?:none|'([^']*)')\)")
_POLARS_DURATION = re.compile(r"duration\(time_unit='(\w+)'\)")
_UNITS = {"\u03bcs": "us"}


def type_name(found: Any) -> str:
    """Of the type that a library gives a column."""
    text = str(found)
    name = text.lower()
    for pattern in (_TIME, _POLARS_TIME):
        time = pattern.fullmatch(name)
        if time is not None:
            # Zones are written in capitals.
            zone = time.group(2) and text[time.start(2) : time.end(2)]
            return f"timestamp[{_unit(time.group(1))}, {zone}]" if zone else f"timestamp[{_unit(time.group(1))}]"
    for pattern in (_DURATION, _POLARS_DURATION):
        duration = pattern.fullmatch(name)
        if duration is not None:
            return f"duration[{_unit(duration.group(1))}]"
    if name.startswith("dictionary<") or name.startswith(("categorical", "enum(")):
        return "categorical"
    if name.endswith("[pyarrow]"):  # pandas' types on Arrow
        return type_name(text[: -len("[pyarrow]")])
    return _SAME.get(name, name)


def type_of_values(kinds: Iterable[type]) -> str:
    """Of a column of a list of dicts, by the Python types that its values have, nulls left out."""
    names = {_PYTHON.get(kind.__name__, kind.__name__.lower()) for kind in kinds}
    if names == {"int64", "float64"}:
        return "float64"
    return "|".join(sorted(names)) or "null"


_PYTHON = {
    "int": "int64",
    "float": "float64",
    "str": "string",
    "bytes": "binary",
    "datetime": "timestamp[us]",
    "timedelta": "duration[us]",
    "dict": "struct",
}


def _unit(text: str) -> str:
    return _UNITS.get(text, text)

"""JSON text to columns: parsed record by record, then sorted member by member for the whole batch at once.

- Members of objects are dotted, items of arrays end in ``[]``. A value at the top that is no object is under ``$``, and
  then the objects beside it are counted there too.
- A member has a slot in every object at its path (at the top: in every record), and is missing where it is not there.
- A member's name that could be mistaken for a path is quoted as in JSON: ``"a.b"``.
- Objects that are used as maps have data for names, which must not become paths: an object path with more than
  ``max_members`` names, in all batches so far, or with one that looks like data (digits, a UUID, an e-mail address,
  very long), is a map from then on: its values are under ``{}``.
- Beyond ``max_fields`` paths, in all batches so far, and below ``max_json_depth`` levels, values have no column.
- Integers beyond 64 bits are numbers. Of members of one name in one object the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from stream_lineage.model.profile import Decoder
from stream_lineage.wire.columns import BadRecord, Batch, Containers, Decoded, FieldColumn, Numbers, Part, Texts
from stream_lineage.wire.limits import DEFAULT_LIMITS, DecodeLimits
from stream_lineage.wire.text_buffer import text_buffer

ROOT = "$"
INVALID = "invalid-json"
MOST_TRUNCATED = 10_000
"""Paths without a column are counted up to here in one batch."""

_FIRST_BYTES = frozenset(b'{["')
_NAME_CHARACTERS = 100
_DATA = re.compile(r"[\d\s.,:+-]+|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[^@\s]+@[^@\s]+\.[^@\s]+")
_PLAIN_NAME = re.compile(r"""[^\x00-\x1f."\[\]{}\\]+""")
_BEYOND = 1 << 63
_TYPES = (type(None), bool, int, float, str, list, dict)


def looks_like_json(first_byte: int) -> bool:
    """Whether a payload may be JSON: an object, an array or a string.

    Numbers, ``true``, ``false`` and ``null`` are as likely plain text, and are not taken for JSON.
    """
    return first_byte in _FIRST_BYTES


class JsonRecords:
    """Decodes batches of JSON texts. Remembers which members it has seen; not for several threads at once."""

    kind = Decoder.JSON

    def __init__(self, limits: DecodeLimits = DEFAULT_LIMITS) -> None:
        self._members = _Members(limits)
        self._max_depth = limits.max_json_depth

    def decode(self, batch: Batch) -> Decoded:
        """The columns of all records that are JSON."""
        view = batch.data.data
        loads = orjson.loads
        values: list[Any] = []
        bad: list[BadRecord] = []
        ends = (batch.starts + batch.lengths).tolist()
        for index, (start, end) in enumerate(zip(batch.starts.tolist(), ends, strict=True)):
            try:
                values.append(loads(view[start:end]))
            except orjson.JSONDecodeError as error:
                if "memory" in error.msg:  # which says nothing of the record
                    raise MemoryError from error
                bad.append(BadRecord(index, INVALID, f"not valid JSON, at character {error.pos}"))
        sorter = _Sorter(self._members, self._max_depth)
        if values:
            sorter.sort_records(values)
        return Decoded(len(batch), sorter.columns, bad, len(sorter.truncated))


class _Members:
    """The members seen so far, and the objects that turned out to be maps."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._max_fields = limits.max_fields
        self._max_members = limits.max_members
        self._paths: set[str] = set()
        self._known: dict[str, dict[str, str]] = {}  # by prefix: the members' names and their paths
        self._maps: set[str] = set()

    def admit(self, path: str) -> bool:
        """Whether this path may have a column: it has had one, or there is room for one more."""
        if path not in self._paths:
            if len(self._paths) >= self._max_fields:
                return False
            self._paths.add(path)
        return True

    def of(self, prefix: str, objects: list[dict[str, Any]], truncated: set[str]) -> dict[str, str] | None:
        """The members known at a prefix, those of these objects added, with their paths; null where names are data."""
        if prefix in self._maps:
            return None
        known = self._known.setdefault(prefix, {})
        names = known.keys()
        for value in objects:
            if value.keys() <= names:
                continue
            for name in value:
                if name in names:
                    continue
                if len(names) >= self._max_members or _is_data(name):
                    self._turn_to_map(prefix)
                    return None
                path = prefix + _step(name)
                if self.admit(path):
                    known[name] = path
                elif len(truncated) < MOST_TRUNCATED:
                    truncated.add(path)
        return known

    def _turn_to_map(self, prefix: str) -> None:
        """Forgets all members below a prefix."""
        self._maps.add(prefix)
        self._paths = {path for path in self._paths if path == ROOT or not path.startswith(prefix)}
        self._known = {each: known for each, known in self._known.items() if not each.startswith(prefix)}


def _step(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) and name != ROOT else orjson.dumps(name).decode()


def _is_data(name: str) -> bool:
    return len(name) > _NAME_CHARACTERS or _DATA.fullmatch(name) is not None


class _Sorter:
    """Sorts the values of one batch into columns."""

    def __init__(self, members: _Members, max_depth: int) -> None:
        self.columns: list[FieldColumn] = []
        self.truncated: set[str] = set()
        self._members = members
        self._max_depth = max_depth

    def sort_records(self, values: list[Any]) -> None:
        """Sorts whole records, of which there is at least one."""
        objects = [value for value in values if type(value) is dict]
        if len(objects) < len(values):
            self._sort_new(ROOT, values, 0)
        if objects:
            self._sort_objects("", objects, len(values), 1)

    def _sort_new(self, path: str, values: list[Any], level: int) -> None:
        """Sorts values at a path that may not have a column."""
        if self._members.admit(path):
            self._sort(path, values, 0, level)
        else:
            self.truncated.add(path)

    def _sort(self, path: str, values: list[Any], missing: int, level: int) -> None:
        """Sorts all values at one path, and what is inside of them."""
        column = FieldColumn(path, len(values) + missing, missing=missing)
        self.columns.append(column)
        types = set(map(type, values))
        numbers: list[float] = []
        for type_ in _TYPES if len(types) > 1 else types:
            if type_ not in types:
                continue
            alike: list[Any] = values if len(types) == 1 else [value for value in values if type(value) is type_]
            if type_ is type(None):
                column.nulls = len(alike)
            elif type_ is dict:
                column.parts.append(Containers("object", len(alike)))
                if path != ROOT:
                    self._sort_objects(f"{path}.", alike, len(alike), level + 1)
            elif type_ is list:
                lengths = np.fromiter(map(len, alike), np.int64, len(alike))
                column.parts.append(Containers("array", len(alike), lengths))
                self._sort_items(f"{path}[]", chain.from_iterable(alike), level + 1)
            elif type_ is str:
                column.parts.append(_string(alike))
            elif type_ is bool:
                column.parts.append(Numbers("boolean", np.array(alike, np.bool_)))
            elif type_ is int:
                integers, numbers = _integers(alike)
                column.parts.extend(integers)
            else:
                numbers = numbers + alike if numbers else alike
        if numbers:
            column.parts.append(Numbers("number", np.array(numbers, np.float64)))

    def _sort_items(self, path: str, items: Iterable[Any], level: int) -> None:
        if level > self._max_depth:
            self.truncated.add(path)
            return
        values = list(items)
        if values:
            self._sort_new(path, values, level)

    def _sort_objects(self, prefix: str, objects: list[dict[str, Any]], slots: int, level: int) -> None:
        if level > self._max_depth:
            self.truncated.add(f"{prefix}*")
            return
        members = self._members.of(prefix, objects, self.truncated)
        if members is None:
            path = f"{prefix.removesuffix('.') or ROOT}{{}}"
            self._sort_items(path, chain.from_iterable(value.values() for value in objects), level)
            return
        for name, path in members.items():
            try:
                values = list(map(itemgetter(name), objects))
            except KeyError:  # rarely there in all of them, or nearly always
                values = [each[name] for each in objects if name in each]
            if values:
                self._sort(path, values, slots - len(values), level)


def _string(values: list[str]) -> Texts:
    joined = "".join(values)
    if not joined.isascii():
        return Texts("string", *text_buffer([value.encode() for value in values]))
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    data, _, _ = text_buffer((joined.encode(),))
    return Texts("string", data, np.cumsum(lengths) - lengths, lengths)


def _integers(values: list[int]) -> tuple[list[Part], list[float]]:
    """The integers of 64 bits, if any, and the larger ones as floats: the parser knows unsigned integers too."""
    try:
        return [Numbers("integer", np.array(values, np.int64))], []
    except OverflowError:
        small = [value for value in values if value < _BEYOND]
        return [Numbers("integer", np.array(small, np.int64))] if small else [], [
            float(value) for value in values if value >= _BEYOND
        ]

"""JSON text to columns: parsed record by record, then sorted member by member for the whole batch at once.

- Members of objects are dotted, items of arrays end in ``[]``. A value at the top that is no object is under ``$``, and
  then the objects beside it are counted there too.
- A member has a slot in every object at its path (at the top: in every record), and is missing where it is not there.
- A member's name that could be mistaken for a path is quoted as in JSON: ``"a.b"``.
- Objects that are used as maps have data for names, which must not become paths: an object path with more than
  ``max_members`` names, in all batches so far, that are more than twice those of one object, or with one that looks
  like data (digits, a UUID, an e-mail address, very long), is a map from then on: its values are under ``{}``. Names
  that a schema declares are no data.
- Beyond ``max_fields`` paths, in all batches so far, and below ``max_json_depth`` levels, values have no column.
- Integers beyond 64 bits are numbers. Of members of one name in one object the last counts.
- A CloudEvent in structured mode is looked through: its data is the record, and its attributes are under ``ce.``. A
  member ``ce`` of the data itself is quoted. Where a schema is declared it describes the event, which is then left be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from functools import partial
from itertools import chain, count
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from stream_lineage.model.profile import Decoder
from stream_lineage.wire.cloud_events import ATTRIBUTES, INVALID_EVENT, has_events, looked_through
from stream_lineage.wire.columns import BadRecord, Batch, Containers, Decoded, FieldColumn, Numbers, Part, Texts
from stream_lineage.wire.cycle_search import without_cycle_search
from stream_lineage.wire.json_comparison import Comparison
from stream_lineage.wire.json_schema import Place
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
_TYPES = (type(None), bool, int, float, str, bytes, list, dict)


def looks_like_json(first_byte: int) -> bool:
    """Whether a payload may be JSON: an object, an array or a string.

    Numbers, ``true``, ``false`` and ``null`` are as likely plain text, and are not taken for JSON.
    """
    return first_byte in _FIRST_BYTES


class JsonRecords:
    """Decodes batches of JSON texts. Remembers which members it has seen; not for several threads at once.

    ``declared`` is the place of whole records in their schema, with which they are compared, if they have one. ``tail``
    bytes of framing stand behind each text.
    """

    kind = Decoder.JSON

    def __init__(self, limits: DecodeLimits = DEFAULT_LIMITS, declared: Place | None = None, *, tail: int = 0) -> None:
        self._limits = limits
        self._declared = declared
        self._tail = tail
        self._members = _Members(limits)

    def afresh(self) -> JsonRecords:
        """The same that has seen nothing yet."""
        return JsonRecords(self._limits, self._declared, tail=self._tail)

    def decode(self, batch: Batch) -> Decoded:
        """The columns of all records that are JSON."""
        with without_cycle_search():
            return self._decoded(batch)

    def _decoded(self, batch: Batch) -> Decoded:
        values: list[Any] = []
        bad: list[BadRecord] = []
        ends = (batch.starts + batch.lengths - self._tail).tolist()
        texts = map(batch.data.data.__getitem__, map(slice, batch.starts.tolist(), ends))
        reading = map(orjson.loads, texts)
        while True:  # no statement per record, but for those that are no JSON
            try:
                values.extend(reading)
            except orjson.JSONDecodeError as error:
                if "memory" in error.msg:  # which says nothing of the record
                    raise MemoryError from error
                index = len(values) + len(bad)
                bad.append(BadRecord(index, INVALID, f"not valid JSON, at character {error.pos}"))
            else:
                break
        comparison = None if self._declared is None else Comparison()
        sorter = _Sorter(self._members, self._limits.max_json_depth, comparison)
        events: list[dict[str, Any]] = []
        if self._declared is None and has_events(values):
            values, events, wrong = looked_through(values)
            bad = _with(bad, wrong)
            self._members.reserve(ATTRIBUTES)
        if values:
            sorter.sort_records(values, self._declared)
        if events:
            sorter.sort_attributes(events, len(values))
        compared = None if comparison is None or not values else comparison.compared
        return Decoded(len(batch), sorter.columns, bad, len(sorter.truncated), compared)


def _with(bad: list[BadRecord], wrong: dict[int, str]) -> list[BadRecord]:
    """The records that are no JSON, and by their place among the others those that are no proper events."""
    if not wrong:
        return bad
    known = {record.index for record in bad}
    good = (index for index in count() if index not in known)
    places = dict(zip(range(max(wrong) + 1), good, strict=False))
    return [*bad, *(BadRecord(places[place], INVALID_EVENT, error) for place, error in wrong.items())]


class _Members:
    """The members seen so far, and the objects that turned out to be maps."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._max_fields = limits.max_fields
        self._max_members = limits.max_members
        self._paths: set[str] = set()
        self._known: dict[str, dict[str, str]] = {}  # by prefix: the members' names and their paths
        self._maps: set[str] = set()
        self._reserved: set[str] = set()

    def reserve(self, name: str) -> None:
        """Quote this member at the top from now on: its paths would be mistaken for others."""
        self._reserved.add(name)
        known = self._known.get("", {})
        if name in known:
            known[name] = self.path("", name)

    def path(self, prefix: str, name: str) -> str:
        """The path of a member."""
        return prefix + (_quoted(name) if not prefix and name in self._reserved else path_step(name))

    def admit(self, path: str) -> bool:
        """Whether this path may have a column: it has had one, or there is room for one more."""
        if path not in self._paths:
            if len(self._paths) >= self._max_fields:
                return False
            self._paths.add(path)
        return True

    def of(
        self, prefix: str, objects: list[dict[str, Any]], truncated: set[str], declared: Container[str]
    ) -> dict[str, str] | None:
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
                crowded = len(names) >= max(self._max_members, min(2 * len(value), self._max_fields))
                if (crowded or _is_data(name)) and name not in declared:
                    self._turn_to_map(prefix)
                    return None
                path = self.path(prefix, name)
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


def path_step(name: str) -> str:
    """A member as a part of a path: in quotes where it could be mistaken for something else."""
    return name if _PLAIN_NAME.fullmatch(name) and name != ROOT else _quoted(name)


def _quoted(name: str) -> str:
    return orjson.dumps(name).decode()


def _is_data(name: str) -> bool:
    return len(name) > _NAME_CHARACTERS or _DATA.fullmatch(name) is not None


class _Sorter:
    """Sorts the values of one batch into columns."""

    def __init__(self, members: _Members, max_depth: int, comparison: Comparison | None) -> None:
        self.columns: list[FieldColumn] = []
        self.truncated: set[str] = set()
        self._members = members
        self._max_depth = max_depth
        self._comparison = comparison

    def sort_records(self, values: list[Any], place: Place | None) -> None:
        """Sorts whole records, of which there is at least one."""
        objects = [value for value in values if type(value) is dict]
        if len(objects) < len(values):
            self._sort_new(ROOT, values, 0, place)
        elif self._comparison is not None and place is not None:
            self._comparison.whole_objects(ROOT, len(objects), place)
        if objects:
            self._sort_objects("", objects, len(values), 1, place)

    def sort_attributes(self, events: list[dict[str, Any]], slots: int) -> None:
        """Sorts the attributes of events."""
        self._sort_objects(f"{ATTRIBUTES}.", events, slots, 1, None)

    def _sort_new(self, path: str, values: list[Any], level: int, place: Place | None) -> None:
        """Sorts values at a path that may not have a column."""
        if self._members.admit(path):
            self._sort(path, values, 0, level, place)
        else:
            self.truncated.add(path)

    def _sort(self, path: str, values: list[Any], missing: int, level: int, place: Place | None) -> FieldColumn:
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
                    self._sort_objects(f"{path}.", alike, len(alike), level + 1, place)
            elif type_ is list:
                lengths = np.fromiter(map(len, alike), np.int64, len(alike))
                column.parts.append(Containers("array", len(alike), lengths))
                items = None if place is None else place.items()
                self._sort_items(f"{path}[]", chain.from_iterable(alike), level + 1, items)
            elif type_ is str:
                column.parts.append(_string(alike))
                if self._comparison is not None and place is not None:
                    self._comparison.strings(path, alike, place)
            elif type_ is bytes:
                column.parts.append(Texts("bytes", *text_buffer(alike)))
            elif type_ is bool:
                column.parts.append(Numbers("boolean", np.array(alike, np.bool_)))
            elif type_ is int:
                integers, numbers = _integers(alike)
                column.parts.extend(integers)
            else:
                numbers = numbers + alike if numbers else alike
        if numbers:
            column.parts.append(Numbers("number", np.array(numbers, np.float64)))
        if self._comparison is not None and place is not None:
            self._comparison.column(column, place)
        return column

    def _sort_items(self, path: str, items: Iterable[Any], level: int, place: Place | None) -> None:
        if level > self._max_depth:
            self.truncated.add(path)
            return
        values = list(items)
        if values:
            self._sort_new(path, values, level, place)

    def _sort_objects(
        self, prefix: str, objects: list[dict[str, Any]], slots: int, level: int, place: Place | None
    ) -> None:
        if level > self._max_depth:
            self.truncated.add(f"{prefix}*")
            return
        alike = _have_the_same_members(objects)
        declared = () if place is None else place.declared
        members = self._members.of(prefix, objects[:1] if alike else objects, self.truncated, declared)
        if members is None:
            path = f"{prefix.removesuffix('.') or ROOT}{{}}"
            inside = None if place is None else place.values()
            self._sort_items(path, chain.from_iterable(value.values() for value in objects), level, inside)
            return
        seen: dict[str, FieldColumn] = {}
        member_values = _members_alike(objects) if alike else partial(_member_values, objects)
        for name, path in members.items():
            values = member_values(name)
            if values:
                inside = None if place is None else place.member(name)
                seen[name] = self._sort(path, values, slots - len(values), level, inside)
        if self._comparison is not None and place is not None:
            path_of = partial(self._members.path, prefix)
            self._comparison.members(place, len(objects), seen, path_of, self.truncated)


def _have_the_same_members(objects: list[dict[str, Any]]) -> bool:
    """Whether all have the same names in the same order, as those of one writer nearly always do."""
    names = list(objects[0])
    return all(map(names.__eq__, map(list, objects)))


def _members_alike(objects: list[dict[str, Any]]) -> Callable[[str], list[Any]]:
    """Gives the values of each member of objects that have the same ones: without looking a name up in each of them,
    and object by object, which memory likes better than member by member."""
    width = len(objects[0])
    values = list(chain.from_iterable(map(dict.values, objects)))
    places = {name: place for place, name in enumerate(objects[0])}
    return lambda name: values[places[name] :: width] if name in places else []


def _member_values(objects: list[dict[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), objects))
    except KeyError:  # rarely there in all of them, or nearly always
        return [each[name] for each in objects if name in each]


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

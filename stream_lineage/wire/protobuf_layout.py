"""The layout of a Protobuf schema: which field gets which path.

- Fields have their names from the schema, dotted; array items end in ``[]``, map values in ``{}``; map keys never
  appear. Extensions are in brackets, with their full names.
- A message has a column of its own (type ``record``, a count), since it may always be absent or repeated, but at the
  top. Wrappers (``google.protobuf.Int64Value`` and the like) are the value that they hold.
- A schema may declare several messages, and records say which of them they are: all of these share the paths. A field
  that only some of them have is missing in the others.
- A message that holds itself is unfolded ``RECURSION_LEVELS`` times. What is nested deeper is merged under one path, in
  which ``…[]`` stands for the records of all further levels, as in the layout of Avro schemas.
- Beyond ``max_fields`` paths, counted level by level from the top, fields have no column.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_lineage.wire.avro_layout import EVERY_RECORD, FOLDED, MOST_TRUNCATED, NO_SCOPE, RECURSION_LEVELS
from stream_lineage.wire.protobuf_schema import FieldType, MessageType

_VALUE = 2
"""The number of the value in an entry of a map; the key's is 1."""


@dataclass(slots=True, eq=False)
class Member:
    """A field of a message at a place.

    ``path`` is that of a value of the field. ``column`` is that of the field: of the value, the array or the map; for a
    single message that of its count. ``items`` is that of the items of an array. ``always``: an absent value is the
    default, as that of a map entry. ``child`` is the place of the messages that it holds, if any: for a map, of its
    entries.
    """

    field: FieldType
    path: str
    column: int | None = None
    items: int | None = None
    always: bool = False
    child: Place | None = None


@dataclass(slots=True, eq=False)
class Place:
    """A place where there are messages of a type. ``path`` is for people. ``mute`` says that nothing from here on has a
    column. ``fold`` is the column that counts the records of all further levels, of which this is one."""

    message: MessageType
    path: str
    members: list[Member] = field(default_factory=list)
    mute: bool = False
    fold: int | None = None


@dataclass(slots=True)
class _Unfolded:
    """The fields of a message on the way to a place, and those of all levels beyond its last."""

    prefix: str
    members: list[Member]
    fold: _Unfolded | None = None
    fold_column: int | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """The way to a place: the scope of fields there, and by message how often it was met, the last time where."""

    scope: int = EVERY_RECORD
    messages: Mapping[MessageType, tuple[int, _Unfolded]] = field(default_factory=dict)


class ProtobufLayout:
    """Grows: a message gets its paths when a record is first said to be one.

    ``paths`` and ``scopes`` are by column index, as in ``avro_layout.Layout``; ``truncated`` counts the paths left out.
    """

    def __init__(self, max_fields: int) -> None:
        self.truncated = 0
        self._max_fields = max_fields
        self._columns: dict[str, int] = {}
        self._scopes: list[int] = []
        self._roots: dict[MessageType, Place] = {}
        self._mute: dict[MessageType, Place] = {}
        self._below: dict[MessageType, int] = {}
        self._queue: deque[tuple[Place, _Way]] = deque()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self._columns)

    @property
    def scopes(self) -> tuple[int, ...]:
        return tuple(self._scopes)

    def root(self, message: MessageType) -> Place:
        """The place of records that are this message."""
        place = self._roots.get(message)
        if place is None:
            place = self._roots[message] = Place(message, "")
            self._queue.append((place, _Way()))
            while self._queue:
                self._unfold(*self._queue.popleft())
        return place

    def _unfold(self, place: Place, way: _Way) -> None:
        message, scope = place.message, way.scope
        here = _Unfolded(f"{place.path}." if place.path else "", place.members)
        levels, before = way.messages.get(message, (0, here))
        if levels >= RECURSION_LEVELS:
            if before.fold is None:
                path = before.prefix + FOLDED
                here = _Unfolded(f"{path}.", place.members, fold_column=self._column(path, NO_SCOPE))
                here.fold = before.fold = here
            known = here is not before.fold
            here = before.fold
            place.fold, place.members = here.fold_column, here.members
            if known:
                return
            if here.fold_column is None:
                self._truncate(self._paths_below(message))
                place.members.extend(self._muted(message).members)
                return
            scope = here.fold_column
        way = _Way(scope, {**way.messages, message: (levels + 1, here)})
        place.members.extend(self._member(each, here.prefix + each.name, way) for each in message.fields)

    def _member(self, field: FieldType, path: str, way: _Way) -> Member:
        """A field of a message that is there."""
        column = self._column(path, way.scope)
        if field.map:
            assert field.message is not None  # noqa: S101  (a map has entries)
            entry = Place(field.message, path, mute=column is None)
            for each in field.message.fields:
                if each.number == _VALUE and column is not None:
                    value = self._held(each, self._column(f"{path}{{}}", NO_SCOPE), f"{path}{{}}", way)
                    value.always = True
                else:
                    value = self._held(each, None, path, way)
                entry.members.append(value)
            return Member(field, path, column, child=entry)
        if not field.repeated:
            return self._held(field, column, path, way)
        member = self._held(field, None if column is None else self._column(f"{path}[]", NO_SCOPE), f"{path}[]", way)
        member.items, member.column = member.column, column
        return member

    def _held(self, field: FieldType, column: int | None, path: str, way: _Way) -> Member:
        """A single value, the item of an array or the value of a map, and what is inside of it."""
        if field.message is None:
            return Member(field, path, column)
        if column is None:
            self._truncate(self._paths_below(field.message))
            return Member(field, path, child=self._muted(field.message))
        child = Place(field.message, path)
        if field.message.wrapper:
            child.members.append(Member(field.message.fields[0], path, column))
            return Member(field, path, child=child)
        self._queue.append((child, _Way(column, way.messages)))
        return Member(field, path, column, child=child)

    def _column(self, path: str, scope: int) -> int | None:
        if path not in self._columns:
            if len(self._columns) >= self._max_fields:
                self._truncate(1)
                return None
            self._columns[path] = len(self._columns)
            self._scopes.append(scope)
        return self._columns[path]

    def _truncate(self, paths: int) -> None:
        self.truncated = min(MOST_TRUNCATED, self.truncated + paths)

    def _muted(self, message: MessageType) -> Place:
        """The one place without a column for all uses of this message that get none."""
        pending: list[Place] = []

        def place_of(message: MessageType) -> Place:
            place = self._mute.get(message)
            if place is None:
                place = self._mute[message] = Place(message, "…", mute=True)
                pending.append(place)
            return place

        wanted = place_of(message)
        while pending:
            place = pending.pop()
            for each in place.message.fields:
                child = None if each.message is None else place_of(each.message)
                place.members.append(Member(each, place.path, child=child))
        return wanted

    def _paths_below(self, message: MessageType) -> int:
        """How many paths there would be below a message, those of one within itself not counted again."""
        if message not in self._below:
            pending, seen, below = [message], {message}, 0
            while pending:
                for each in pending.pop().fields:
                    below += 2 if each.repeated else 1
                    if each.message is not None and each.message not in seen:
                        seen.add(each.message)
                        pending.append(each.message)
            self._below[message] = below
        return self._below[message]

"""The layout of a schema: which place in it gets which field path, for both Avro decoders alike.

- Record fields are dotted, array items end in ``[]``, map values in ``{}``; map keys never appear.
- A schema that is no record has its value under ``$``; the fields of a record are never prefixed with it.
- All branches of a union share the union's path; fields that two of its records have in common share theirs.
- A record has a column of its own (type ``record``, a count) where it may be absent or repeated: as the branch of a
  union, as an item, as a map's value. As a plain field or at the top it has none: its fields say it all.
- Where the records at a path are of several types, a field that only some of them have is missing in the others.
- A record that holds itself is unfolded ``RECURSION_LEVELS`` times. What is nested deeper is merged under one path, in
  which ``…[]`` stands for the records of all further levels, wherever they are: ``value``, ``next.value``,
  ``next.next.value``, ``next.next.next.value``, ``next.next.next.…[].value``.
- Beyond ``max_fields`` paths, counted level by level from the top, places have no column. The fields of a plain record
  are of its own level.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_lineage.wire.avro_nodes import (
    SATURATED,
    Array,
    AvroSchema,
    Definition,
    Map,
    Node,
    Record,
    Recursion,
    Union,
    children,
)

ROOT = "$"
RECURSION_LEVELS = 4
FOLDED = "…[]"
EVERY_RECORD = -1
NO_SCOPE = -2
MOST_TRUNCATED = 2**31 - 1


@dataclass(slots=True, eq=False)
class Place:
    """A place in the schema. ``column`` is the index of its path, null where it has none.

    ``children`` are the fields of a record, the items of an array, the values of a map, the branches of a union. They
    may lead back to this place, where a schema is recursive. ``fold`` is the column that counts the records of all
    further levels, of which this is one. ``mute`` says that nothing from here on has a column.
    """

    node: Definition
    column: int | None
    children: list[Place] = field(default_factory=list)
    fold: int | None = None
    mute: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """``paths`` in schema order, by column index. ``truncated`` counts the paths that were left out.

    ``scopes``, by column index: the column whose records each have one slot of this field; ``EVERY_RECORD`` for a field
    at the top; ``NO_SCOPE`` for what is no field.
    """

    root: Place
    paths: tuple[str, ...]
    scopes: tuple[int, ...]
    truncated: int


@dataclass(slots=True)
class _Unfolded:
    """The fields of a record on the way to a place, and those of all levels beyond its last."""

    prefix: str
    places: list[Place]
    fold: _Unfolded | None = None
    fold_column: int | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """The way to a place: the scope of fields there, and by record name how often it was met, the last time where."""

    scope: int = EVERY_RECORD
    records: Mapping[str, tuple[int, _Unfolded]] = field(default_factory=dict)


def layout(schema: AvroSchema, max_fields: int) -> Layout:
    """The layout of a schema with at most ``max_fields`` paths."""
    return _Builder(schema, max_fields).build()


class _Builder:
    def __init__(self, schema: AvroSchema, max_fields: int) -> None:
        self._schema = schema
        self._max_fields = max_fields
        self._columns: dict[str, int] = {}
        self._scopes: list[int] = []
        self._truncated = 0
        self._mute: dict[Definition, Place] = {}
        self._below: dict[Node, int] = {}
        self._queue: deque[tuple[Place, str, _Way]] = deque()
        self._plain: list[tuple[Place, str, _Way]] = []  # before the queue: they may hold each other, without a column

    def build(self) -> Layout:
        root, way = self._schema.root, _Way()
        place = self._field(root, ROOT, way) if isinstance(root, Record) else self._slot(root, ROOT, NO_SCOPE, way)
        while self._plain or self._queue:
            self._queue.extendleft(reversed(self._plain))
            self._plain.clear()
            self._unfold(*self._queue.popleft())
        return self._in_schema_order(place)

    def _field(self, node: Node, path: str, way: _Way) -> Place:
        """A place that holds a value always: a record there needs no column."""
        if not isinstance(node, Record | Recursion):
            return self._slot(node, path, way.scope, way)
        if self._paths_below(node) == 0:
            return self._muted(node)
        if len(self._columns) >= self._max_fields:
            self._truncate(self._paths_below(node))
            return self._muted(node)
        place = Place(self._schema.resolved(node), None)
        self._plain.append((place, path, way))
        return place

    def _slot(self, node: Node, path: str, scope: int, way: _Way) -> Place:
        """A place with a column."""
        column = self._column(path, scope)
        if column is None:
            self._truncate(1 + self._paths_below(node))
            return self._muted(node)
        return self._queued(node, column, path, way)

    def _truncate(self, paths: int) -> None:
        self._truncated = min(MOST_TRUNCATED, self._truncated + paths)

    def _queued(self, node: Node, column: int | None, path: str, way: _Way) -> Place:
        place = Place(self._schema.resolved(node), column)
        self._queue.append((place, path, way))
        return place

    def _column(self, path: str, scope: int) -> int | None:
        if path not in self._columns:
            if len(self._columns) >= self._max_fields:
                return None
            self._columns[path] = len(self._columns)
            self._scopes.append(scope)
        return self._columns[path]

    def _unfold(self, place: Place, path: str, way: _Way) -> None:
        match place.node:
            case Array(items=items):
                place.children.append(self._slot(items, f"{path}[]", NO_SCOPE, way))
            case Map(values=values):
                place.children.append(self._slot(values, f"{path}{{}}", NO_SCOPE, way))
            case Union(branches=branches):
                place.children.extend(self._queued(branch, place.column, path, way) for branch in branches)
            case Record() as record:
                self._unfold_record(place, record, path, way)
            case _:
                pass  # nothing below

    def _unfold_record(self, place: Place, record: Record, path: str, way: _Way) -> None:
        scope = way.scope if place.column is None or path == ROOT else place.column
        here = _Unfolded("" if path == ROOT else f"{path}.", place.children)
        levels, before = way.records.get(record.name, (0, here))
        if levels >= RECURSION_LEVELS:
            if before.fold is None:
                path = before.prefix + FOLDED
                column = self._column(path, NO_SCOPE)
                here = _Unfolded(f"{path}.", place.children, fold_column=column)
                here.fold = before.fold = here
                if column is None:
                    self._truncate(1 + self._paths_below(record))
                    place.children.extend(self._muted(each.type) for each in record.fields)
            known = here is before.fold
            here = before.fold
            place.fold, place.children = here.fold_column, here.places
            if not known or here.fold_column is None:
                return
            scope = here.fold_column
        way = _Way(scope, {**way.records, record.name: (levels + 1, here)})
        place.children.extend(self._field(each.type, here.prefix + each.name, way) for each in record.fields)

    def _muted(self, node: Node) -> Place:
        """The one place without a column for all uses of this node that get none."""
        pending: list[Place] = []

        def place_of(node: Node) -> Place:
            definition = self._schema.resolved(node)
            place = self._mute.get(definition)
            if place is None:
                place = self._mute[definition] = Place(definition, None, mute=True)
                pending.append(place)
            return place

        wanted = place_of(node)
        while pending:
            place = pending.pop()
            place.children.extend(map(place_of, children(place.node)))
        return wanted

    def _paths_below(self, node: Node) -> int:
        """How many paths there would be below this node, a record within itself not counted again."""
        if node not in self._below:
            below = 0
            match node:
                case Array(items=child) | Map(values=child):
                    below = 1 + self._paths_below(child)
                case Union(branches=branches):
                    below = sum(map(self._paths_below, branches))
                case Record(fields=fields):
                    types = [each.type for each in fields]
                    below = sum(not isinstance(type_, Record | Recursion) for type_ in types)
                    below += sum(map(self._paths_below, types))
                case Recursion():
                    below = 1  # at least: a record without any path cannot hold itself in finite data
            self._below[node] = min(below, SATURATED)
        return self._below[node]

    def _in_schema_order(self, root: Place) -> Layout:
        paths = list(self._columns)
        order: dict[int, int] = {}
        pending, seen = [root], {id(root)}
        while pending:
            place = pending.pop()
            if place.column is not None:
                place.column = order.setdefault(place.column, len(order))
            if place.fold is not None:
                place.fold = order.setdefault(place.fold, len(order))
            for child in reversed(place.children):
                if id(child) not in seen:
                    seen.add(id(child))
                    pending.append(child)
        scopes = [scope if scope < 0 else order[scope] for scope in self._scopes]
        return Layout(root, tuple(paths[old] for old in order), tuple(scopes[old] for old in order), self._truncated)

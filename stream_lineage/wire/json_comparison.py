"""Comparing the columns of a batch of JSON records with what their schema declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from stream_lineage.model.structure import DeviationKind
from stream_lineage.wire.avro_emission import size
from stream_lineage.wire.columns import Compared, FieldColumn, Numbers, Part, Symbols
from stream_lineage.wire.json_schema import Place

_MOST_UNSEEN = 1_000
"""Declared members that a batch does not have are listed up to here."""
_FORBIDDEN = "no other members"


class Comparison:
    """Of one batch."""

    def __init__(self) -> None:
        self.compared = Compared()

    def column(self, column: FieldColumn, place: Place) -> None:
        """Compare the types at a place."""
        types = place.types
        if types is None:
            return
        if column.nulls and "null" not in types:
            self._found(DeviationKind.TYPE_MISMATCH, column.path, place.label, "null", column.nulls)
        for part in column.parts:
            kind = _type(part)
            if kind not in types and (count := _mismatched(part, types)):
                self._found(DeviationKind.TYPE_MISMATCH, column.path, place.label, kind, count)

    def strings(self, path: str, values: list[str], place: Place) -> None:
        """Compare strings with the enum of a place."""
        allowed = place.strings
        if allowed is None:
            return
        outside = set(values) - allowed
        if outside:
            count = sum(map(outside.__contains__, values))
            self._found(DeviationKind.OUTSIDE_ENUM, path, f"enum of {len(allowed)}", "string", count)

    def whole_objects(self, path: str, count: int, place: Place) -> None:
        """Compare records that are objects, which have no column of their own."""
        if place.types is not None and "object" not in place.types:
            self._found(DeviationKind.TYPE_MISMATCH, path, place.label, "object", count)

    def members(
        self,
        place: Place,
        objects: int,
        seen: Mapping[str, FieldColumn],
        path_of: Callable[[str], str],
        left_out: Collection[str],
    ) -> None:
        """Compare which members so many objects have. ``seen`` are those with values, ``left_out`` paths without a
        column."""
        if place.names_members:
            for name, column in seen.items():
                if place.member(name) is None:
                    types = set(map(_type, column.parts)) | ({"null"} if column.nulls else set())
                    rule = _FORBIDDEN if place.closed else None
                    count = column.slots - column.missing
                    self._found(DeviationKind.UNDECLARED, column.path, rule, "|".join(sorted(types)), count)
        for name in place.required:
            column_there = seen.get(name)
            count = objects - (0 if column_there is None else column_there.slots - column_there.missing)
            if count and (path := path_of(name)) not in left_out:
                self._found(DeviationKind.REQUIRED_MISSING, path, _label(place, name), None, count)
        unseen = self.compared.unseen
        for name in place.declared:
            if name not in seen and len(unseen) < _MOST_UNSEEN and (path := path_of(name)) not in left_out:
                unseen[path] = (_label(place, name), objects)

    def _found(self, kind: DeviationKind, path: str, declared: str | None, seen: str | None, count: int) -> None:
        self.compared.found[kind, path, declared, seen] += count


def _label(place: Place, name: str) -> str | None:
    member = place.member(name)
    return None if member is None else member.label


def _type(part: Part) -> str:
    return "enum" if isinstance(part, Symbols) else part.type


def _mismatched(part: Part, types: frozenset[str]) -> int:
    """How many values of a part, whose type is not declared, are of no declared type."""
    if isinstance(part, Numbers):
        if part.type == "integer" and "number" in types:
            return 0
        if part.type == "number" and "integer" in types:  # 1.0 is an integer
            return int(np.count_nonzero(part.values != np.floor(part.values)))
        return len(part.values)
    return size(part)

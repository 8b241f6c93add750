"""The emission of a decoder: nulls and parts by column index, put together to field columns at the end."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from stream_lineage.wire.avro_layout import EVERY_RECORD, Place
from stream_lineage.wire.avro_nodes import Record
from stream_lineage.wire.columns import Containers, FieldColumn, Numbers, Part, Symbols, Texts


class Paths(Protocol):
    """The field paths of a schema and their scopes, by column index: see ``avro_layout.Layout``."""

    @property
    def paths(self) -> tuple[str, ...]: ...

    @property
    def scopes(self) -> tuple[int, ...]: ...


class Emission:
    """What the good records of one batch hold."""

    def __init__(self, layout: Paths, records: int) -> None:
        self._layout = layout
        self._records = records
        self.nulls = [0] * len(layout.paths)
        self.parts: list[list[Part]] = [[] for _ in layout.paths]

    def add_empty(self, place: Place, count: int) -> None:
        """Adds ``count`` values of a type that takes no bytes: nulls, and records that hold nothing else.

        A ``fixed`` of no bytes has nothing to tell apart its values by, and is counted as null.
        """
        pending = [place]
        while pending:
            place = pending.pop()
            if place.column is not None:
                if isinstance(place.node, Record):
                    self.parts[place.column].append(Containers("record", count))
                else:
                    self.nulls[place.column] += count
            pending.extend(child for child in place.children if not child.mute)

    def columns(self) -> list[FieldColumn]:
        """The columns that have a value, in schema order. Parts of one type, from several branches, become one part; of
        Protobuf's defaults another, if there are any."""
        merged = [_merged([part for part in parts if size(part)]) for parts in self.parts]
        out = []
        given = zip(self._layout.paths, self._layout.scopes, self.nulls, merged, self.parts, strict=True)
        for path, scope, nulls, parts, single in given:
            present = nulls + sum(map(size, parts))
            if not present:
                continue
            missing = 0
            if scope >= 0:
                missing = sum(size(part) for part in merged[scope] if _is_record(part)) - present
            elif scope == EVERY_RECORD:
                missing = self._records - present
            joined = len(parts) < sum(1 for part in single if size(part))
            out.append(FieldColumn(path, present + missing, nulls, missing, parts, joined))
        return out


def _is_record(part: Part) -> bool:
    return isinstance(part, Containers) and part.type == "record"


def size(part: Part) -> int:
    """How many values a part holds."""
    match part:
        case Numbers():
            return len(part.values)
        case Texts():
            return len(part.starts)
        case Symbols():
            return len(part.codes)
        case _:
            return part.count


def _merged(parts: list[Part]) -> list[Part]:
    if len(parts) < 2:
        return parts
    alike: dict[object, list[Part]] = {}
    for part in parts:
        key = (_is_constant(part), part.symbols if isinstance(part, Symbols) else part.type)
        alike.setdefault(key, []).append(part)
    return [_joined(group) for group in alike.values()]


def _is_constant(part: Part) -> bool:
    """Whether it is one value over and over, in the room of one: joined to others it would take that of all."""
    match part:
        case Numbers():
            return part.values.strides == (0,)
        case Texts():
            return part.starts.strides == (0,)
        case Symbols():
            return part.codes.strides == (0,)
        case _:
            return part.lengths is not None and part.lengths.strides == (0,)


def _joined(parts: list[Part]) -> Part:
    first = parts[0]
    if len(parts) == 1:
        return first
    match first:
        case Numbers():
            return Numbers(first.type, np.concatenate([part.values for part in parts if isinstance(part, Numbers)]))
        case Symbols():
            codes = np.concatenate([part.codes for part in parts if isinstance(part, Symbols)])
            return Symbols(codes, first.symbols)
        case Texts():
            return _joined_texts(first.type, [part for part in parts if isinstance(part, Texts)])
        case _:
            containers = [part for part in parts if isinstance(part, Containers)]
            known = [part.lengths for part in containers if part.lengths is not None]
            count = sum(part.count for part in containers)
            return Containers(first.type, count, np.concatenate(known) if known else None)


def _joined_texts(type_: str, texts: list[Texts]) -> Texts:
    lengths = np.concatenate([part.lengths for part in texts])
    if all(part.data is texts[0].data for part in texts):
        return Texts(type_, texts[0].data, np.concatenate([part.starts for part in texts]), lengths)
    ends = np.cumsum([len(part.data) for part in texts])
    moved = [part.starts + (end - len(part.data)) for part, end in zip(texts, ends.tolist(), strict=True)]
    return Texts(type_, np.concatenate([part.data for part in texts]), np.concatenate(moved), lengths)

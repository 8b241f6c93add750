"""The record decoder: Avro records to columns one by one, for schemas that the columnar decoder does not read.

fastavro reads the bytes, by the shadow of the schema, after the walker has been through them: deep recursion would let
fastavro crash the interpreter, arrays of items without bytes fill the memory, and some bytes that it takes are invalid.
The values are sorted into the same layout that the columnar decoder uses, so that both give the same columns.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import chain
from typing import Any

import fastavro
import numpy as np

from stream_lineage.model.profile import Decoder
from stream_lineage.wire.avro_decimal import read_decimals
from stream_lineage.wire.avro_emission import Emission
from stream_lineage.wire.avro_layout import Layout, Place, layout
from stream_lineage.wire.avro_nodes import (
    Array,
    AvroSchema,
    Enum,
    Map,
    Primitive,
    Record,
    Union,
    decimal_scale,
    minimum,
)
from stream_lineage.wire.avro_shadow import branch_name, is_null, shadow
from stream_lineage.wire.avro_walk import Unreadable, Walker
from stream_lineage.wire.columns import BadRecord, Batch, Containers, Decoded, Numbers, Part, Symbols, Texts
from stream_lineage.wire.limits import DEFAULT_LIMITS, DecodeLimits
from stream_lineage.wire.text_buffer import text_buffer

Put = Callable[[Any], None]


class AvroRecords:
    """Decodes batches of one schema. Not for several threads at once."""

    kind = Decoder.RECORDS

    def __init__(self, schema: AvroSchema, limits: DecodeLimits = DEFAULT_LIMITS) -> None:
        self._layout: Layout = layout(schema, limits.max_fields)
        self._walker = Walker(schema, limits)
        self._shadow = fastavro.parse_schema(shadow(schema))
        self._sorter = _Sorter(self._layout)

    def decode(self, batch: Batch) -> Decoded:
        """The columns of all records that can be read."""
        bad: list[BadRecord] = []
        self._sorter.clear()
        put = self._sorter.root
        for index, (start, length) in enumerate(zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True)):
            record = batch.data[start : start + length].tobytes()
            try:
                self._walker.check(record)
            except Unreadable as error:
                bad.append(BadRecord(index, error.kind, str(error)))
                continue
            put(fastavro.schemaless_reader(io.BytesIO(record), self._shadow))
        emission = Emission(self._layout, len(batch) - len(bad))
        self._sorter.emit(emission)
        return Decoded(len(batch), emission.columns(), bad, self._layout.truncated)


def _ignore(value: Any) -> None:
    """Puts a value nowhere."""


class _Sorter:
    """Lists of values, one for each type at each place, and the functions that put values into them.

    The functions call each other as deep as a record nests, which the walker has bounded.
    """

    def __init__(self, layout: Layout) -> None:
        self._lists: list[tuple[Place, list[Any]]] = []
        self._empty: dict[Place, list[int]] = {}
        self._folds: dict[int, list[int]] = {}
        self._puts: dict[Place, Put] = {}
        self._later: list[Callable[[], None]] = []
        self.root = self._put(layout.root)
        while self._later:
            self._later.pop()()

    def clear(self) -> None:
        """Forgets what has been put here."""
        for _, values in self._lists:
            values.clear()
        for count in chain(self._empty.values(), self._folds.values()):
            count[0] = 0

    def emit(self, emission: Emission) -> None:
        """Adds what has been put here to an emission."""
        for place, values in self._lists:
            if values and place.column is not None:
                emission.parts[place.column].append(_part(place, values))
        for place, count in self._empty.items():
            emission.add_empty(place, count[0])
        for column, count in self._folds.items():
            emission.parts[column].append(Containers("record", count[0]))

    def _put(self, place: Place) -> Put:
        if place.mute:
            return _ignore
        put = self._puts.get(place)
        if put is None:
            put = self._puts[place] = self._made(place)
        return put

    def _made(self, place: Place) -> Put:
        if minimum(place.node) == 0:
            return self._empty_put(place)
        values: list[Any] = []
        self._lists.append((place, values))
        match place.node:
            case Array():
                return self._items_put(place, values)
            case Map():
                return self._pairs_put(place, values)
            case Union():
                return self._union_put(place)
            case Record():
                return self._record_put(place, values)
            case _:
                return values.append

    def _empty_put(self, place: Place) -> Put:
        count = self._empty.setdefault(place, [0])

        def put(value: Any) -> None:
            count[0] += 1

        return put

    def _items_put(self, place: Place, lengths: list[Any]) -> Put:
        child = place.children[0]
        if minimum(child.node) == 0:
            count = self._empty.setdefault(child, [0])

            def put_empty(value: Any) -> None:
                lengths.append(len(value))
                count[0] += len(value)

            return put_empty
        items: list[Put] = []
        self._later.append(lambda: items.append(self._put(child)))

        def put(value: Any) -> None:
            lengths.append(len(value))
            for item in value:
                items[0](item)

        return put

    def _pairs_put(self, place: Place, lengths: list[Any]) -> Put:
        values: list[Put] = []
        self._later.append(lambda: values.append(self._put(place.children[0])))

        def put(value: Any) -> None:
            lengths.append(len(value))
            for pair in value:
                values[0](pair["v"])

        return put

    def _union_put(self, place: Place) -> Put:
        branches: dict[str, Put] = {}
        nulls: list[Put] = [_ignore]

        def link() -> None:
            for index, child in enumerate(place.children):
                if is_null(child.node):
                    nulls[0] = self._put(child)
                else:
                    branches[branch_name(index)] = self._put(child)

        self._later.append(link)

        def put(value: Any) -> None:
            if value is None:
                nulls[0](None)
            else:
                ((name, inner),) = value.items()
                branches[name](inner)

        return put

    def _record_put(self, place: Place, values: list[Any]) -> Put:
        fields: list[tuple[str, Put]] = []
        fold = [0] if place.fold is None else self._folds.setdefault(place.fold, [0])

        def link() -> None:
            for index, child in enumerate(place.children):
                if not child.mute:
                    fields.append((f"f{index}", self._put(child)))

        self._later.append(link)

        def put(value: Any) -> None:
            values.append(None)
            fold[0] += 1
            for name, field in fields:
                field(value[name])

        return put


def _part(place: Place, values: list[Any]) -> Part:
    match place.node:
        case Primitive(kind="boolean"):
            return Numbers("boolean", np.array(values, np.bool_))
        case Primitive(kind="int" | "long"):
            return Numbers("integer", np.array(values, np.int64))
        case Primitive(kind="float" | "double"):
            return Numbers("number", np.array(values, np.float64))
        case Enum(symbols=symbols):
            return Symbols(np.array(values, np.int64), symbols)
        case Array() | Map():
            return Containers(
                "array" if isinstance(place.node, Array) else "map", len(values), np.array(values, np.int64)
            )
        case Record():
            return Containers("record", len(values))
    data, starts, lengths = text_buffer(values)
    scale = decimal_scale(place.node)
    if scale is None:
        string = isinstance(place.node, Primitive) and place.node.kind == "string"
        return Texts("string" if string else "bytes", data, starts, lengths)
    words: np.ndarray[tuple[int], np.dtype[np.uint64]] = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))
    with np.errstate(over="ignore", invalid="ignore"):
        return Numbers("number", read_decimals(data, words, starts, lengths, scale))

"""The columnar decoder: Avro records to columns, all records of a batch at once.

A schema is compiled once to a plan (``avro_plan``), which NumPy runs over each batch. Everything that Avro 1.11 has is
read, but a type that is used within itself. Strings stay where they are, as positions in the batch's buffer.
"""

from __future__ import annotations

import numpy as np

from stream_lineage.model.profile import Decoder
from stream_lineage.wire.avro_blocks import BlocksStep
from stream_lineage.wire.avro_layout import Layout, Place, layout
from stream_lineage.wire.avro_nodes import (
    Array,
    AvroSchema,
    Enum,
    Fixed,
    Map,
    Primitive,
    Union,
    decimal_scale,
    minimum,
)
from stream_lineage.wire.avro_plan import (
    BooleanStep,
    BytesStep,
    EmptyStep,
    EnumStep,
    FloatStep,
    IntegerStep,
    PairStep,
    RecordStep,
    Step,
    UnionStep,
)
from stream_lineage.wire.avro_run import Rows, Run
from stream_lineage.wire.avro_walk import REFUSED, Unreadable, Walker
from stream_lineage.wire.columns import BadRecord, Batch, Decoded
from stream_lineage.wire.limits import DEFAULT_LIMITS, DecodeLimits


class AvroColumns:
    """Decodes batches of one schema. Not for several threads at once.

    Raises:
        ValueError: the schema is recursive (``AvroRecords`` reads those).
    """

    kind = Decoder.COLUMNAR

    def __init__(self, schema: AvroSchema, limits: DecodeLimits = DEFAULT_LIMITS) -> None:
        if schema.recursive:
            raise ValueError("the columnar decoder does not read recursive schemas")
        self._limits = limits
        self._layout: Layout = layout(schema, limits.max_fields)
        self._walker = Walker(schema, limits)
        self._plan = _Compiler(self._walker).step(self._layout.root)

    def decode(self, batch: Batch) -> Decoded:
        """The columns of all records that can be read."""
        kept = np.arange(len(batch))
        good = batch
        while len(good):
            run = self._run(good)
            if not run.bad.any():
                bad = np.ones(len(batch), np.bool_)
                bad[kept] = False
                return Decoded(len(batch), run.emission.columns(), self._reasons(batch, bad), self._layout.truncated)
            kept = kept[~run.bad]
            good = Batch(batch.data, batch.starts[kept], batch.lengths[kept])
        return Decoded(len(batch), [], self._reasons(batch, np.ones(len(batch), np.bool_)), self._layout.truncated)

    def _run(self, batch: Batch) -> Run:
        run = Run(batch, self._layout, self._limits.max_empty_items)
        rows = Rows(batch.starts.astype(np.int64))
        with np.errstate(all="ignore"):  # bytes of bad records make any number
            self._plan.read(run, rows, keep=True)
        run.close(rows)
        return run

    def _reasons(self, batch: Batch, bad: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[BadRecord]:
        out = []
        for index in np.flatnonzero(bad).tolist():
            start = int(batch.starts[index])
            try:
                self._walker.check(batch.data[start : start + int(batch.lengths[index])].tobytes())
                raise Unreadable(REFUSED)
            except Unreadable as error:
                out.append(BadRecord(index, error.kind, str(error)))
        return out


class _Compiler:
    def __init__(self, walker: Walker) -> None:
        self._walker = walker
        self._mute: dict[Place, Step] = {}

    def step(self, place: Place) -> Step:
        """The step for a place. Places without any column are shared, and so are their steps."""
        if not place.mute:
            return self._compiled(place)
        step = self._mute.get(place)
        if step is None:
            step = self._mute[place] = self._compiled(place)
        return step

    def _compiled(self, place: Place) -> Step:
        if minimum(place.node) == 0:
            return EmptyStep(place)
        match place.node:
            case Primitive():
                return _primitive_step(place.node, place.column)
            case Fixed(size=size):
                return BytesStep(place.column, "bytes", size=size, scale=decimal_scale(place.node))
            case Enum(symbols=symbols):
                return EnumStep(place.column, symbols)
            case Array():
                return BlocksStep(place.column, place.node, self.step(place.children[0]), self._walker)
            case Map():
                return BlocksStep(place.column, place.node, PairStep(self.step(place.children[0])), self._walker)
            case Union():
                union = UnionStep(place.column)
                union.branches.extend(map(self.step, place.children))
                return union
            case _:
                record = RecordStep(place.column, place.node.minimum)
                record.fields.extend(map(self.step, place.children))
                record.close()
                return record


def _primitive_step(node: Primitive, column: int | None) -> Step:
    match node.kind:
        case "boolean":
            return BooleanStep(column)
        case "int" | "long":
            return IntegerStep(column, bits_32=node.kind == "int")
        case "float":
            return FloatStep(column, width=4)
        case "double":
            return FloatStep(column, width=8)
        case _:
            return BytesStep(column, node.kind, scale=decimal_scale(node))

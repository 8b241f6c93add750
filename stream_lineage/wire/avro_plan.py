"""The plan: a schema compiled to steps, each of which reads one field of all records at once.

A step has two modes. With ``keep`` it checks what it reads and emits it; without, it only moves the cursors, which is
how the items of arrays are found: an item's place depends on the size of the one before, so arrays are passed once item
by item, all arrays together, and then all their items are read as if they were records.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.avro_decimal import read_decimals
from stream_lineage.wire.avro_layout import Place
from stream_lineage.wire.avro_run import Rows, Run, Varint
from stream_lineage.wire.avro_text import not_utf8
from stream_lineage.wire.columns import Containers, Numbers, Symbols, Texts

FEW_BRANCHES = 8
"""Unions of more branches sort their rows instead of looking for each branch."""

CHECK_BYTES = 256
"""For a record of more fields than this, the room that is left is looked at first: names can be used again and again,
so that a short schema can describe more fields than could ever be read."""


class Step:
    """Reads one place of the schema.

    ``width`` is the size of every value in bytes, null where sizes differ; ``varints`` how many varints make up a
    value, null where there is anything else in it.
    """

    __slots__ = ("column", "varints", "width")

    def __init__(self, column: int | None, width: int | None = None, varints: int | None = None) -> None:
        self.column = column
        self.width = width
        self.varints = varints

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        """Moves the cursors past the values. Never called without rows."""
        raise NotImplementedError


class EmptyStep(Step):
    """Null, and whatever else takes no bytes."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        super().__init__(place.column, width=0)
        self.place = place

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        if keep:
            self.count(run, len(rows))

    def count(self, run: Run, values: int) -> None:
        """Emits this many values without having read them."""
        if not self.place.mute:
            run.emission.add_empty(self.place, values)


class BooleanStep(Step):
    __slots__ = ()

    def __init__(self, column: int | None) -> None:
        super().__init__(column, width=1)

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        if keep:
            values = run.data[rows.at]
            if values.max() > 1:
                run.fail(rows, values > 1)
            if self.column is not None:
                run.emission.parts[self.column].append(Numbers("boolean", values != 0))
        run.advance(rows, 1)


class IntegerStep(Step):
    """int and long, dates and times."""

    __slots__ = ("_bits_32", "_varint")

    def __init__(self, column: int | None, *, bits_32: bool) -> None:
        super().__init__(column, varints=1)
        self._bits_32 = bits_32
        self._varint = Varint()

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        if not keep:
            self._varint.skip(run, rows)
            return
        values = self._varint.read(run, rows)
        if self._bits_32 and (int(values.min()) < -(1 << 31) or int(values.max()) >= 1 << 31):
            run.fail(rows, (values < -(1 << 31)) | (values >= 1 << 31))
        if self.column is not None:
            run.emission.parts[self.column].append(Numbers("integer", values))


class FloatStep(Step):
    """float (``width`` 4) and double (8)."""

    __slots__ = ()

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        if keep and self.column is not None:
            words = run.words[rows.at]
            if self.width == 8:
                values = words.view(np.float64)
            else:
                values = words.astype(np.uint32).view(np.float32).astype(np.float64)
            run.emission.parts[self.column].append(Numbers("number", values))
        run.advance(rows, self.width or 0)


class BytesStep(Step):
    """bytes and string (``size`` null), fixed (``size`` given), and decimals in either (``scale`` given)."""

    __slots__ = ("_scale", "_size", "_type", "_varint")

    def __init__(self, column: int | None, type_: str, *, size: int | None = None, scale: int | None = None) -> None:
        super().__init__(column, width=size)
        self._type = type_
        self._size = size
        self._scale = scale
        self._varint = Varint()

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        lengths = self._lengths(run, rows)
        starts = rows.at.copy() if keep else rows.at
        run.advance(rows, lengths)
        if not keep:
            return
        if self._type == "string":
            wrong = not_utf8(run.data, run.words, starts, lengths)
            if len(wrong):
                run.bad[rows.owners[wrong]] = True
        if self.column is None:
            return
        parts = run.emission.parts[self.column]
        if self._scale is None:
            parts.append(Texts(self._type, run.data, starts, lengths))
        else:
            parts.append(Numbers("number", read_decimals(run.data, run.words, starts, lengths, self._scale)))

    def _lengths(self, run: Run, rows: Rows) -> NDArray[np.int64]:
        if self._size is not None:
            return np.full(len(rows), min(self._size, len(run.data)), np.int64)
        lengths = self._varint.read(run, rows)
        if int(lengths.min()) < 0 or int(lengths.max()) > run.longest:
            wrong = (lengths < 0) | (lengths > run.longest)
            run.fail(rows, wrong)
            lengths[wrong] = 0
        return lengths


class EnumStep(Step):
    __slots__ = ("_symbols", "_varint")

    def __init__(self, column: int | None, symbols: tuple[str, ...]) -> None:
        super().__init__(column, varints=1)
        self._symbols = symbols
        self._varint = Varint()

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        if not keep:
            self._varint.skip(run, rows)
            return
        codes = self._varint.read(run, rows)
        if int(codes.min()) < 0 or int(codes.max()) >= len(self._symbols):
            run.fail(rows, (codes < 0) | (codes >= len(self._symbols)))
        if self.column is not None:
            run.emission.parts[self.column].append(Symbols(codes, self._symbols))


class UnionStep(Step):
    __slots__ = ("_varint", "branches")

    def __init__(self, column: int | None) -> None:
        super().__init__(column)
        self.branches: list[Step] = []
        self._varint = Varint()

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        taken = self._varint.read(run, rows)
        lowest, highest = int(taken.min()), int(taken.max())
        if lowest < 0 or highest >= len(self.branches):
            run.fail(rows, (taken < 0) | (taken >= len(self.branches)))
        elif lowest == highest:
            self.branches[lowest].read(run, rows, keep)
            return
        if len(self.branches) <= FEW_BRANCHES:
            for branch, step in enumerate(self.branches):
                self._read_branch(step, run, rows, np.flatnonzero(taken == branch), keep)
            return
        order = np.argsort(taken, kind="stable")
        present, first = np.unique(taken[order], return_index=True)
        for branch, pick in zip(present.tolist(), np.split(order, first[1:]), strict=True):
            if 0 <= branch < len(self.branches):
                self._read_branch(self.branches[branch], run, rows, pick, keep)

    def _read_branch(self, step: Step, run: Run, rows: Rows, pick: NDArray[np.int64], keep: bool) -> None:
        if not len(pick):
            return
        if isinstance(step, EmptyStep):
            if keep:
                step.count(run, len(pick))
            return
        some = Rows(rows.at[pick], rows, pick)
        step.read(run, some, keep)
        rows.at[pick] = some.at


class RecordStep(Step):
    __slots__ = ("_minimum", "fields")

    def __init__(self, column: int | None, minimum: int) -> None:
        super().__init__(column)
        self.fields: list[Step] = []
        self._minimum = minimum

    def close(self) -> None:
        """Works out what is known of the size, once the fields are there."""
        widths = [step.width for step in self.fields]
        varints = [0 if step.width == 0 else step.varints for step in self.fields]
        self.width = sum(width or 0 for width in widths) if None not in widths else None
        self.varints = sum(number or 0 for number in varints) if None not in varints else None

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        if self._minimum > CHECK_BYTES:
            short = run.remaining(rows) < self._minimum
            if short.any():
                run.fail(rows, short)
                if short.all():
                    return
        if keep and self.column is not None:
            run.emission.parts[self.column].append(Containers("record", len(rows)))
        for step in self.fields:
            step.read(run, rows, keep)


class PairStep(Step):
    """An entry of a map. The key is data, and only checked."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Step) -> None:
        super().__init__(None)
        self._key = BytesStep(None, "string")
        self.value = value

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        self._key.read(run, rows, keep)
        self.value.read(run, rows, keep)

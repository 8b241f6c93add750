"""Blocks: how the plan reads arrays and maps.

The specification writes them as blocks of items, each with a count before it, until an empty block. Nearly always there
is one block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.avro_nodes import Array, Map, minimum
from stream_lineage.wire.avro_plan import EmptyStep, Step
from stream_lineage.wire.avro_run import Indexes, Rows, Run, Varint
from stream_lineage.wire.avro_walk import Unreadable, Walker, read_count
from stream_lineage.wire.columns import Containers

FEW_ROWS = 32
"""So few arrays are read by the walker, item by item, which is then quicker than array arithmetic."""

MANY_ITEMS = 8
FULL_STEP = 1_000
"""Arrays of more varints than ``MANY_ITEMS``, and so unequal or so few that a step from item to item would have less
than ``FULL_STEP`` rows on average, are cut up by looking for the bytes that end varints."""

_MOST = np.iinfo(np.int64).max

Found = list[tuple[Indexes, Indexes]]
"""Items found so far: for each, the row that it belongs to and where it starts."""


class BlocksStep(Step):
    """An array or a map, the items of which are its entries."""

    __slots__ = ("_count", "_item_bytes", "_size", "_type", "_walk", "_walker", "item")

    def __init__(self, column: int | None, node: Array | Map, item: Step, walker: Walker) -> None:
        super().__init__(column)
        self.item = item
        self._type = "array" if isinstance(node, Array) else "map"
        self._item_bytes = minimum(node.items) if isinstance(node, Array) else 1 + minimum(node.values)
        self._walker = walker
        self._walk = walker.item_walk(node)
        self._count = Varint()
        self._size = Varint()

    def read(self, run: Run, rows: Rows, keep: bool) -> None:
        lengths = np.zeros(len(rows), np.int64)
        found: Found = []
        self._read_blocks(run, rows, lengths, found, keep)
        if not keep:
            return
        if self.column is not None:
            run.emission.parts[self.column].append(Containers(self._type, len(rows), lengths))
        if isinstance(self.item, EmptyStep):
            self.item.count(run, int(lengths.sum()))
        elif found:
            owners, starts = found[0]
            if len(found) > 1:
                owners, starts = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
                order = np.argsort(owners, kind="stable")
                owners, starts = owners[order], starts[order]
            self.item.read(run, Rows(starts, rows, owners), keep)

    def _read_blocks(self, run: Run, rows: Rows, lengths: NDArray[np.int64], found: Found, keep: bool) -> None:
        live = np.arange(len(rows))  # the rows that have not come to their empty block yet
        some = rows
        while len(live) > FEW_ROWS:
            counts = self._counts(run, some, keep)
            going = np.flatnonzero(counts)
            if len(going) < len(live):
                rows.at[live] = some.at
                live, counts = live[going], counts[going]
                some = Rows(rows.at[live], rows, live)
            lengths[live] += counts
            if self._item_bytes and len(live):
                starts = self._pass_items(run, some, counts)
                found.append((np.repeat(live, counts), starts))
        rows.at[live] = some.at
        for row in live.tolist():
            self._walk_blocks(run, rows, row, lengths, found, keep)

    def _counts(self, run: Run, rows: Rows, keep: bool) -> NDArray[np.int64]:
        """Reads the heads of blocks. A record whose count cannot be true is bad, and its count becomes 0."""
        counts = self._count.read(run, rows)
        if int(counts.min()) < 0:
            negative = np.flatnonzero(counts < 0)
            sized = Rows(rows.at[negative], rows, negative)
            sizes = self._size.read(run, sized)
            rows.at[negative] = sized.at
            if int(sizes.min()) < 0:
                run.fail(sized, sizes < 0)
            counts[negative] = -np.maximum(counts[negative], -_MOST)
        if int(counts.max()) == 0:
            return counts
        if self._item_bytes:
            wrong = counts > run.remaining(rows) // self._item_bytes
        elif keep:
            run.count_empty(rows, counts)
            wrong = run.bad[rows.owners]
        else:
            return counts
        if wrong.any():
            run.fail(rows, wrong)
            counts[wrong] = 0
        return counts

    def _pass_items(self, run: Run, rows: Rows, counts: NDArray[np.int64]) -> Indexes:
        """Moves the cursors past one block of items each. Returns where the items start, row by row."""
        offsets = np.cumsum(counts) - counts
        if self.item.width is not None:
            number = np.arange(int(counts.sum())) - np.repeat(offsets, counts)
            starts: Indexes = np.repeat(rows.at, counts) + number * self.item.width
            run.advance(rows, counts * self.item.width)
            return starts
        most = int(counts.max())
        if self.item.varints is not None and most > MANY_ITEMS and int(counts.sum()) < most * FULL_STEP:
            return _cut_varints(run, rows, counts, offsets, self.item.varints)
        starts = np.empty(int(counts.sum()), np.int64)
        order = np.argsort(-counts, kind="stable")  # so that the rows that still have items come first
        at, ordered, first = rows.at[order], counts[order], offsets[order]
        item, busy = 0, len(order)
        while busy > FEW_ROWS:
            starts[first[:busy] + item] = at[:busy]
            self.item.read(run, Rows(at[:busy], rows, order[:busy]), keep=False)
            item += 1
            busy = int(np.searchsorted(-ordered, -item, "left"))
        rows.at[order] = at
        for index in range(busy):
            done = int(first[index]) + item
            self._walk_items(run, rows, int(order[index]), starts[done : done + int(ordered[index]) - item])
        return starts

    def _walk_items(self, run: Run, rows: Rows, row: int, starts: Indexes) -> None:
        """Walks past as many items of one row as ``starts`` has room for, and fills it."""
        owner = int(rows.owners[row])
        record, begin = run.record(owner), int(run.starts[owner])
        at = int(rows.at[row]) - begin
        out: list[int] = []
        self._walker.begin()
        try:
            for _ in range(len(starts)):
                out.append(at)
                at = self._walk(record, at, 0)
        except (Unreadable, IndexError):
            run.bad[owner] = True
            starts[:] = run.limit
            return
        starts[:] = out
        starts += begin
        rows.at[row] = at + begin

    def _walk_blocks(
        self, run: Run, rows: Rows, row: int, lengths: NDArray[np.int64], found: Found, keep: bool
    ) -> None:
        """Walks past what is left of one row's array or map."""
        owner = int(rows.owners[row])
        record, begin = run.record(owner), int(run.starts[owner])
        at = int(rows.at[row]) - begin
        out: list[int] = []
        empty = 0
        self._walker.begin()
        try:
            while True:
                count, at = read_count(record, at)
                if count == 0:
                    break
                if self._item_bytes == 0:
                    self._walker.count_empty(count)
                    empty += count
                    continue
                if count > len(record) - at:
                    raise IndexError
                for _ in range(count):
                    out.append(at)
                    at = self._walk(record, at, 0)
        except (Unreadable, IndexError):
            run.bad[owner] = True
            return
        rows.at[row] = at + begin
        lengths[row] += empty + len(out)
        if empty and keep:
            run.count_empty(Rows(rows.at[[row]], rows, np.array([row])), np.array([empty]))
        if out:
            found.append((np.full(len(out), row), np.array(out, np.int64) + begin))


def _cut_varints(run: Run, rows: Rows, counts: NDArray[np.int64], offsets: Indexes, varints: int) -> Indexes:
    """As ``_pass_items``, for items of so many varints each: a varint ends at the next byte that can end one."""
    stops = run.stops
    first = np.searchsorted(stops, rows.at)
    number = np.arange(int(counts.sum())) - np.repeat(offsets, counts)
    # The block's head ends in a varint, so that even the first item comes after such a byte.
    before = np.repeat(first - 1, counts) + number * varints
    starts: Indexes = stops[np.minimum(before, len(stops) - 1)] + 1
    np.minimum(starts, run.limit, out=starts)
    last = first + counts * varints - 1
    np.minimum(stops[np.minimum(last, len(stops) - 1)] + 1, run.limit, out=rows.at)
    return starts

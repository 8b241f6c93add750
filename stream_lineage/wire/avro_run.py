"""A run of the columnar decoder over one batch: the buffer, the cursors, and which records turned out to be bad.

How it stays exact: every read moves a cursor forward, never back. A cursor that leaves its own record can therefore not
come to lie where the record ends, and the comparison of all cursors with all ends, once everything is read, finds each
such record. Until then it may have read its neighbours' bytes, but nothing that it read is kept: the caller runs again
without the bad records. ``limit`` keeps every load inside the buffer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.avro_emission import Emission
from stream_lineage.wire.avro_layout import Layout
from stream_lineage.wire.avro_varint import pass_varints, read_varints
from stream_lineage.wire.columns import PADDING, Batch

Indexes = NDArray[np.int64]


class Rows:
    """Cursors of values that are read together.

    ``at`` is changed in place as they are read. Which records they belong to is worked out only when somebody asks.
    """

    __slots__ = ("_owners", "_parent", "_pick", "at")

    def __init__(self, at: Indexes, parent: Rows | None = None, pick: Indexes | Callable[[], Indexes] | None = None):
        self.at = at
        self._parent = parent
        self._pick = pick
        self._owners: Indexes | None = None

    def __len__(self) -> int:
        return len(self.at)

    @property
    def owners(self) -> Indexes:
        """The index of each row's record in the run."""
        if self._owners is None:
            if self._parent is None:
                self._owners = np.arange(len(self.at))
            else:
                pick = self._pick() if callable(self._pick) else self._pick
                self._owners = self._parent.owners if pick is None else self._parent.owners[pick]
        return self._owners


class Varint:
    """One place that holds varints; remembers whether they have been of one byte, for speed alone."""

    __slots__ = ("_short",)

    def __init__(self) -> None:
        self._short = True

    def read(self, run: Run, rows: Rows) -> NDArray[np.int64]:
        """The values at the cursors, which are moved past them."""
        values, sizes, invalid = read_varints(run.data, run.words, rows.at, short=self._short)
        if invalid is not None:
            run.fail(rows, invalid)
        self._short = isinstance(sizes, int) or int(sizes.max(initial=0)) == 1
        run.advance(rows, sizes)
        return values

    def skip(self, run: Run, rows: Rows) -> None:
        """Moves the cursors past them."""
        sizes = pass_varints(run.data, run.words, rows.at, short=self._short)
        self._short = isinstance(sizes, int) or int(sizes.max(initial=0)) == 1
        run.advance(rows, sizes)


class Run:
    """One pass over records of a batch.

    Raises:
        ValueError: a record of the batch is outside of its data.
    """

    def __init__(self, batch: Batch, layout: Layout, max_empty_items: int) -> None:
        self.data = batch.data
        self.starts = batch.starts
        self.ends = batch.starts + batch.lengths
        inside = len(batch.data) - PADDING
        if len(batch) and (
            int(batch.starts.min()) < 0 or int(batch.lengths.min()) < 0 or int(self.ends.max()) > inside
        ):
            raise ValueError("a record of the batch is outside of its data")
        self.words: NDArray[np.uint64] = np.ndarray((max(len(batch.data) - 7, 0),), "<u8", batch.data, 0, (1,))
        self.limit = inside + 1
        """Where a cursor stops that has left the buffer: on no record's end, with 10 bytes to load after it."""
        self.longest = int(batch.lengths.max(initial=0))
        self.bad = np.zeros(len(batch), np.bool_)
        self.emission = Emission(layout, len(batch))
        self._max_empty_items = max_empty_items
        self._empty_items: NDArray[np.int64] | None = None
        self._stops: Indexes | None = None
        self._records: dict[int, bytes] = {}

    def advance(self, rows: Rows, by: NDArray[np.int64] | NDArray[np.uint8] | int) -> None:
        """Moves cursors, by no more than the length of the buffer."""
        np.add(rows.at, by, out=rows.at)
        np.minimum(rows.at, self.limit, out=rows.at)

    def fail(self, rows: Rows, where: NDArray[np.bool_]) -> None:
        """Marks the records of some rows as bad."""
        self.bad[rows.owners[where]] = True

    def remaining(self, rows: Rows) -> NDArray[np.int64]:
        """Bytes from each cursor to the end of its record; negative for one that has left it."""
        return self.ends[rows.owners] - rows.at

    def count_empty(self, rows: Rows, counts: NDArray[np.int64]) -> None:
        """Counts items that take no bytes, and marks the records that have too many."""
        if self._empty_items is None:
            self._empty_items = np.zeros(len(self.bad), np.int64)
        np.add.at(self._empty_items, rows.owners, np.minimum(counts, self._max_empty_items + 1))
        self.bad |= self._empty_items > self._max_empty_items

    @property
    def stops(self) -> Indexes:
        """The positions of all bytes that can end a varint."""
        if self._stops is None:
            self._stops = np.flatnonzero(self.data < 0x80)
        return self._stops

    def record(self, owner: int) -> bytes:
        """The bytes of one record."""
        record = self._records.get(owner)
        if record is None:
            record = self._records[owner] = self.data[self.starts[owner] : self.ends[owner]].tobytes()
        return record

    def close(self, rows: Rows) -> None:
        """Marks the records that were not read exactly to their end."""
        self.bad |= rows.at != self.ends

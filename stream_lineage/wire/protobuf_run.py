"""A run of the Protobuf decoder over one batch: the buffer, what it holds, and which records turned out to be bad."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.model.structure import DeviationKind
from stream_lineage.wire.avro_emission import Emission, Paths
from stream_lineage.wire.columns import PADDING, BadRecord, Batch, Compared

Indexes = NDArray[np.int64]

TRUNCATED = "truncated"
BAD_TAG = "bad-tag"
BAD_VARINT = "bad-varint"
BAD_LENGTH = "bad-length"
BAD_GROUP = "bad-group"
BAD_TEXT = "bad-utf8"
TOO_DEEP = "too-deep"
BAD_INDEX = "bad-message-index"

_WORDS = {
    TRUNCATED: "a value goes beyond the end of its message",
    BAD_TAG: "a field has no number, or a wire type that does not exist",
    BAD_VARINT: "a number is longer than 10 bytes",
    BAD_LENGTH: "a length is beyond 31 bits",
    BAD_GROUP: "a group does not end, or ends that has not begun",
    BAD_TEXT: "a string is not UTF-8",
    TOO_DEEP: "the record nests too deeply",
    BAD_INDEX: "the schema has no such message: the message index is wrong",
}
_PATH_CHARACTERS = 200
_MOST_DEVIATIONS = 1_000


class Run:
    """One pass over records of a batch.

    Raises:
        ValueError: a record of the batch is outside of its data.
    """

    def __init__(self, batch: Batch, layout: Paths) -> None:
        self.data = batch.data
        self.starts = batch.starts.astype(np.int64)
        self.ends = self.starts + batch.lengths
        inside = len(batch.data) - PADDING
        if len(batch) and (int(self.starts.min()) < 0 or int(batch.lengths.min()) < 0 or int(self.ends.max()) > inside):
            raise ValueError("a record of the batch is outside of its data")
        self.words: NDArray[np.uint64] = np.ndarray((max(len(batch.data) - 7, 0),), "<u8", batch.data, 0, (1,))
        self.view = batch.data.data
        self.bad = np.zeros(len(batch), np.bool_)
        self.emission = Emission(layout, len(batch))
        self.compared = Compared()
        self._failures: dict[int, tuple[str, str]] = {}
        self._stops: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None

    @property
    def stops(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The positions of all bytes that can end a varint, and how many of them there are before each position."""
        if self._stops is None:
            ends = self.data < 0x80
            before = np.zeros(len(ends) + 1, np.int32)
            np.cumsum(ends, out=before[1:])
            self._stops = np.flatnonzero(ends).astype(np.int32), before
        return self._stops

    def fail(self, records: Indexes, kind: str, path: str) -> None:
        """Marks records as bad. What is found first counts."""
        for record in np.unique(records).tolist():
            self._failures.setdefault(record, (kind, path))
        self.bad[records] = True

    def deviate(self, kind: DeviationKind, path: str, declared: str | None, seen: str | None, count: int) -> None:
        """Counts values that differ from what the schema declares."""
        found = self.compared.found
        if len(found) >= _MOST_DEVIATIONS and (kind, path, declared, seen) not in found:
            path, declared, seen = "…", None, None  # anybody can make up numbers
        found[kind, path, declared, seen] += count

    def reasons(self, numbers: Indexes) -> list[BadRecord]:
        """The bad records, as the numbers that they have elsewhere."""
        out = []
        for record in np.flatnonzero(self.bad).tolist():
            kind, path = self._failures[record]
            if len(path) > _PATH_CHARACTERS:
                path = path[:_PATH_CHARACTERS] + "…"
            error = f"{_WORDS[kind]}, at {path}" if path else _WORDS[kind]
            out.append(BadRecord(int(numbers[record]), kind, error))
        return out

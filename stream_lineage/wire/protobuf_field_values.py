"""The values of a Protobuf field in many messages, as they were found on the wire."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.protobuf_run import Indexes
from stream_lineage.wire.protobuf_scan import Chunk, Segments


class FieldValues:
    """The values of a field as they were found: the segments that they are in, the messages that they belong to (-1:
    none, they are checked only), where they are, and the number itself or the length. ``once``: none of the messages
    has two."""

    __slots__ = ("at", "extra", "instances", "once", "rows")

    def __init__(self, chunks: list[Chunk], segments: Segments, *, sized: bool) -> None:
        if len(chunks) == 1:
            (chunk,) = chunks
            self.rows, self.at, extra, self.once = chunk.rows, chunk.at, chunk.extra, chunk.once
        else:
            self.rows = np.concatenate([chunk.rows for chunk in chunks])
            self.at = np.concatenate([chunk.at for chunk in chunks])
            # Some are of type int64, and others of uint64: together they would be floats.
            type_ = np.int64 if sized else np.uint64
            extra = np.concatenate([chunk.extra.astype(type_) for chunk in chunks])
            self.once = False
        self.extra = extra.astype(np.int64, copy=False) if sized else extra
        self.instances = self.rows
        if segments.instances is not None:
            self.instances = segments.instances[self.rows]
            self.once = False

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, which: NDArray[np.bool_]) -> None:
        """Leave out all others."""
        self.rows, self.at, self.extra = self.rows[which], self.at[which], self.extra[which]
        self.instances = self.instances[which]

    def last(self, count: int) -> Indexes | None:
        """The last value of each message, by position here; null where these are all. ``count`` messages there are."""
        if self.once:
            return None
        kept = np.flatnonzero(self.instances >= 0)
        order = kept[np.argsort(self.at[kept], kind="stable")]
        last = np.full(count, -1, np.int64)
        last[self.instances[order]] = order
        return last[last >= 0]

    def sizes(self) -> Indexes:
        """Lengths in bytes, of values that have one."""
        return self.extra.astype(np.int64, copy=False)

    def merged(self, count: int, *, always: bool) -> tuple[Indexes | None, int]:
        """The messages that single messages are merged to, and how many. With ``always`` there is one in each of the
        ``count`` messages around."""
        if always:
            return self.instances, count
        if self.once:
            return None, len(self)
        there = np.zeros(count + 1, np.int64)
        there[self.instances] = 1
        there[-1] = 0  # of those that are checked only
        number = np.cumsum(there) - 1
        return np.where(self.instances < 0, -1, number[self.instances]), int(there.sum())

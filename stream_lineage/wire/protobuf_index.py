"""Message indexes: which message of a schema a record is.

Serializers write them before the message, or behind the GUID in a header: how many there are, then each, as zigzag
varints; the first is among the messages at the top of the schema, the next among those that are declared inside of it,
and so on. A single zero stands for the first message.

Source: Confluent's wire format.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.avro_varint import read_varints
from stream_lineage.wire.protobuf_schema import MessageType, ProtobufSchema

MAX_LEVELS = 32
"""More indexes than messages can nest in a schema."""

Indexes = NDArray[np.int64]


class MessageIndexes:
    """The messages of a schema in a row: those at the top, then those inside of each, message by message."""

    def __init__(self, schema: ProtobufSchema) -> None:
        self.messages: list[MessageType] = list(schema.messages)
        first, counts = [], []
        for message in self.messages:  # which grows
            first.append(len(self.messages))
            counts.append(len(message.nested))
            self.messages.extend(message.nested)
        # The last ones are for what stands before the first index: the top of the schema.
        self._first = np.array([*first, 0], np.int64)
        self._counts = np.array([*counts, len(schema.messages)], np.int64)

    def of_header(self, indexes: bytes) -> int | None:
        """The position in ``messages`` that some bytes name, all of them; null where they name none. None at all stand
        for the first message."""
        if not indexes:
            return 0 if self.messages else None
        data = np.frombuffer(indexes + bytes(16), np.uint8)
        ends = np.array([len(indexes)], np.int64)
        chosen, after = self.read(data, np.zeros(1, np.int64), ends)
        return int(chosen[0]) if after[0] == len(indexes) and chosen[0] >= 0 else None

    def read(self, data: NDArray[np.uint8], starts: Indexes, ends: Indexes) -> tuple[Indexes, Indexes]:
        """For each record the position in ``messages``, -1 where the indexes are wrong, and where the message begins.

        ``data`` has at least 16 bytes behind the last record.
        """
        words: NDArray[np.uint64] = np.ndarray((max(len(data) - 7, 0),), "<u8", data, 0, (1,))
        top = len(self._counts) - 1
        at: Indexes = np.minimum(starts, ends)
        counts, sizes, invalid = read_varints(data, words, at, short=True)
        after = at + sizes
        chosen = np.full(len(starts), top, np.int64)
        wrong = (after > ends) | (counts < 0) | (counts > MAX_LEVELS)
        if invalid is not None:
            wrong |= invalid
        plain = counts == 0
        chosen[plain] = 0 if self.messages else -1
        going = np.flatnonzero(~wrong & ~plain)
        level = 0
        while len(going):
            indexes, sizes, invalid = read_varints(data, words, after[going], short=True)
            after[going] += sizes
            parents = chosen[going]
            bad = (after[going] > ends[going]) | (indexes < 0) | (indexes >= self._counts[parents])
            if invalid is not None:
                bad |= invalid
            chosen[going] = self._first[parents] + np.where(bad, 0, indexes)
            wrong[going[bad]] = True
            level += 1
            going = going[~bad]
            going = going[counts[going] > level]
        chosen[wrong] = -1
        return chosen, np.minimum(after, ends)

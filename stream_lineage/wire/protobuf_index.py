"""Message indexes: which message of a schema a record is.

Serializers write them before the message, or behind the GUID in a header: how many there are, then each, as zigzag
varints; the first is among the messages at the top of the schema, the next among those that are declared inside of it,
and so on. A single zero stands for the first message.

Clients do not agree on what is declared inside: a map has entries, which are messages too, and Confluent's client for
Java does not count them where those for Python, Go and .NET do. What cannot be meant one way is taken the other way. If
both are possible, Java's counts, being the reference, unless the schema was registered by a client for Python.

Source: Confluent's wire format; ``ProtobufSchema.toMessageIndexes`` of its client for Java, ``_create_index_array`` of
that for Python.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.avro_varint import read_varints
from stream_lineage.wire.protobuf_schema import MessageType, ProtobufSchema

MAX_LEVELS = 32
"""More indexes than messages can nest in a schema."""

Indexes = NDArray[np.int64]


class _Numbering:
    """One way to count messages. Rows are messages: the row of the first one inside of each, how many there are, and
    what each is (-1: nothing that a record can be). The last row is the top of the schema."""

    def __init__(self, schema: ProtobufSchema, known: dict[MessageType, int], *, entries: bool) -> None:
        rows = list(schema.messages)
        first, counts = [], []
        for message in rows:  # which grows
            inside = [each for each in message.nested if entries or not each.entry]
            first.append(len(rows))
            counts.append(len(inside))
            rows.extend(inside)
        self.first = np.array([*first, 0], np.int64)
        self.counts = np.array([*counts, len(schema.messages)], np.int64)
        self.messages = np.array([-1 if each.entry else known[each] for each in rows] + [-1], np.int64)


class MessageIndexes:
    """The messages of a schema, in ``messages``, and how records name them."""

    def __init__(self, schema: ProtobufSchema) -> None:
        self.messages: list[MessageType] = list(schema.messages)
        for message in self.messages:  # which grows
            self.messages.extend(each for each in message.nested if not each.entry)
        known = {message: number for number, message in enumerate(self.messages)}
        ways = [_Numbering(schema, known, entries=entries) for entries in (False, True)]
        self._ways = ways[::-1] if schema.serialised else ways

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
        at: Indexes = np.minimum(starts, ends)
        counts, sizes, invalid = read_varints(data, words, at, short=True)
        after = at + sizes
        wrong = (after > ends) | (counts < 0) | (counts > MAX_LEVELS)
        if invalid is not None:
            wrong |= invalid
        chosen = np.full(len(starts), 0 if self.messages else -1, np.int64)
        chosen[wrong] = -1
        several = np.flatnonzero(~wrong & (counts != 0))
        if len(several):
            behind = after.copy()
            for way in self._ways:
                behind[several] = after[several]
                chosen[several] = _walk(way, data, words, several, counts, behind, ends)
                several = several[chosen[several] < 0]
                if not len(several):
                    break
            after = behind
        return chosen, np.minimum(after, ends)


def _walk(
    way: _Numbering,
    data: NDArray[np.uint8],
    words: NDArray[np.uint64],
    records: Indexes,
    counts: Indexes,
    at: Indexes,
    ends: Indexes,
) -> Indexes:
    """The messages that so many indexes of some records lead to, -1 where to none. Moves ``at`` behind them."""
    rows = np.full(len(at), len(way.counts) - 1, np.int64)
    lost = np.zeros(len(at), np.bool_)
    going, level = records, 0
    while len(going):
        indexes, sizes, invalid = read_varints(data, words, at[going], short=True)
        at[going] += sizes
        bad = (at[going] > ends[going]) | (indexes < 0) | (indexes >= way.counts[rows[going]])
        if invalid is not None:
            bad |= invalid
        lost[going[bad]] = True
        rows[going] = way.first[rows[going]] + np.where(bad, 0, indexes)
        level += 1
        going = going[~bad & (counts[going] > level)]
    return np.where(lost[records], -1, way.messages[rows[records]])

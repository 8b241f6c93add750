"""Records of a topic that have one value in one field: decoded in columns, and halved where the value is.

Decoding a batch tells whether any of its records has the value; which one, the halves of the batch tell. So a search
costs little more than decoding everything once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.flush import Flush, Piece
from stream_lineage.collect.progress import PartitionProgress
from stream_lineage.collect.range_reader import RangeReader
from stream_lineage.collect.resolver import SchemaResolver
from stream_lineage.collect.schema_answers import SchemaAnswers
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.schema_settling import settle_values
from stream_lineage.collect.value_decoders import ValueDecoders
from stream_lineage.profile.typed_value import typed_value
from stream_lineage.wire.columns import Batch, Containers, Numbers, Part, Symbols, Texts
from stream_lineage.wire.decoder import RecordDecoder

KEY = "@key"
"""Stands for the record's key, as text."""
_AT_ONCE = 2_000
_PORTION_RECORDS = 20_000
_PORTION_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Search:
    """What was found: partitions and offsets, in the order in which they were read. ``unreadable`` records name a
    schema that nobody knows, or cannot be decoded; ``cut`` tells that there are more than were asked for."""

    found: list[tuple[int, int]] = field(default_factory=list)
    records: int = 0
    unreadable: int = 0
    cut: bool = False


class ValueSearch:
    """Looks for one value in one field of values, or in keys.

    ``asks_registry`` says whether there is a registry: then a schema that it does not tell is waited for.
    """

    def __init__(
        self, *, codes: SchemaCodes, resolver: SchemaResolver, asks_registry: bool, path: str, wanted: str, most: int
    ) -> None:
        self._codes, self._resolver, self._asks_registry = codes, resolver, asks_registry
        self._answers = SchemaAnswers(codes, resolver)
        self._path, self._wanted, self._most = path, Wanted(wanted), most
        self._decoders = ValueDecoders(self._answers)

    def search(self, reader: RangeReader) -> Search:
        """Read everything, or until ``most`` are found.

        Raises:
            KafkaUnavailable, NotFound: see ``RangeReader.batches``.
            RegistryUnavailable: the registry does not answer for a schema.
        """
        result = Search()
        owned = {
            (reader.topic, partition): PartitionProgress(reader.topic, partition, None, first, first)
            for partition, (first, _) in reader.ranges.items()
        }
        flush = Flush(0, time.monotonic())
        for messages in reader.batches():
            result.records += len(messages)
            if self._path == KEY:
                result.found += [
                    (message.partition(), message.offset()) for message in messages if message.key() == self._wanted.raw
                ]
            else:
                for batch in topic_batches(messages, self._codes):
                    flush.add(batch, owned, 0)
                if flush.bytes >= _PORTION_BYTES or flush.records >= _PORTION_RECORDS:
                    self._examine(flush, result)
                    flush = Flush(0, time.monotonic())
            if len(result.found) > self._most:
                break
        self._examine(flush, result)
        result.cut = len(result.found) > self._most
        del result.found[self._most :]
        return result

    def _examine(self, flush: Flush, result: Search) -> None:
        settle_values(flush.groups, self._answers, self._resolver, asks_registry=self._asks_registry)
        for group in flush.groups.values():
            pieces = group.take_pending()
            decoder, skip = self._decoders.of(group)
            if decoder is None:
                result.unreadable += group.records - group.tombstones
                continue
            for piece in pieces:
                for partition, offset in self._matches(decoder, piece, skip, result):
                    result.found.append((partition, offset))
                    if len(result.found) > self._most:
                        return

    def _matches(self, decoder: RecordDecoder, piece: Piece, skip: int, result: Search) -> Iterator[tuple[int, int]]:
        values = piece.values
        present = np.flatnonzero(values.lengths >= skip)
        data = np.frombuffer(values.data, np.uint8)
        waiting: list[tuple[NDArray[Any], bool]] = [
            (present[start : start + _AT_ONCE], True) for start in range(0, len(present), _AT_ONCE)
        ]
        waiting.reverse()
        while waiting:
            places, first_time = waiting.pop()
            decoded = decoder.decode(Batch(data, values.starts[places] + skip, values.lengths[places] - skip))
            if first_time:
                result.unreadable += len(decoded.bad)
            if not any(self._wanted.among(column.parts) for column in decoded.columns if column.path == self._path):
                continue
            if len(places) == 1:
                place = int(places[0])
                yield int(piece.partitions[place]), int(piece.offsets[place])
                continue
            half = len(places) // 2
            waiting += [(places[half:], False), (places[:half], False)]


class Wanted:
    """A value as somebody typed it: text, and a number or a truth value where it looks like one."""

    def __init__(self, text: str) -> None:
        typed = typed_value(text)
        self.raw = typed.raw
        self._text = text
        self._bytes = np.frombuffer(self.raw, np.uint8)
        self._integer, self._number = typed.integer, typed.number

    def among(self, parts: list[Part]) -> bool:
        """Whether any of the values is this one."""
        return any(self._in(part) for part in parts)

    def _in(self, part: Part) -> bool:
        if isinstance(part, Containers):
            return False
        if isinstance(part, Symbols):
            codes = [code for code, symbol in enumerate(part.symbols) if symbol == self._text]
            return bool(np.isin(part.codes, codes).any())
        if isinstance(part, Texts):
            return self._in_texts(part)
        return self._in_numbers(part)

    def _in_texts(self, part: Texts) -> bool:
        size = len(self._bytes)
        starts = part.starts[part.lengths == size]
        for place, byte in enumerate(self._bytes):  # few are left after the first ones
            if not len(starts):
                return False
            starts = starts[part.data[starts + place] == byte]
        return len(starts) > 0

    def _in_numbers(self, part: Numbers) -> bool:
        if part.type == "boolean":
            if self._text not in ("true", "false"):
                return False
            return bool((part.values == (self._text == "true")).any())
        if part.type == "integer":
            return self._integer is not None and bool((part.values == self._integer).any())
        return self._number is not None and bool((part.values == self._number).any())

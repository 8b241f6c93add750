"""What the records of some ranges show of one field, record by record, without its values."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.flush import Flush, Piece
from stream_lineage.collect.progress import PartitionProgress
from stream_lineage.collect.range_reader import RangeReader
from stream_lineage.collect.resolver import SchemaResolver
from stream_lineage.collect.schema_answers import SchemaAnswers
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.schema_settling import settle_values
from stream_lineage.collect.value_decoders import ValueDecoders
from stream_lineage.errors import KafkaUnavailable
from stream_lineage.explain.first_bad import Row
from stream_lineage.wire.columns import Batch, Containers, Decoded, FieldColumn, Numbers, Part, Symbols, Texts
from stream_lineage.wire.decoder import RecordDecoder

_MOST_HASHES = 64
"""Values of one record that are kept apart."""


@dataclass(slots=True)
class RowsRead:
    """Rows by partition, in the order of offsets. ``cut``: not all of the ranges could be read within the bounds;
    ``trouble`` says why the rest could not be read at all, where that is so."""

    rows: dict[int, list[Row]] = field(default_factory=dict)
    records: int = 0
    bytes: int = 0
    cut: bool = False
    trouble: str | None = None


class ValueRows:
    """Reads what is to be judged. ``path`` null: only what holds of the record as a whole is looked at, and whether it
    can be decoded where ``decodes``."""

    def __init__(
        self, *, codes: SchemaCodes, resolver: SchemaResolver, asks_registry: bool, path: str | None, decodes: bool
    ) -> None:
        self._codes, self._resolver, self._asks_registry = codes, resolver, asks_registry
        self._answers = SchemaAnswers(codes, resolver)
        self._decoders = ValueDecoders(self._answers)
        self._path, self._decodes = path, decodes or path is not None

    def read(self, reader: RangeReader, *, most_bytes: int, deadline: float) -> RowsRead:
        """Until everything is read, a bound is reached, or Kafka does not go on: what has been read is given then, too.
        ``deadline`` is of ``time.monotonic``.

        Raises:
            NotFound: see ``RangeReader.batches``.
            RegistryUnavailable: the registry does not answer for a schema.
        """
        result = RowsRead()
        try:
            self._read(reader, result, most_bytes, deadline)
        except KafkaUnavailable as error:
            result.trouble = error.message
        for rows in result.rows.values():
            rows.sort(key=lambda each: each.offset)
        return result

    def _read(self, reader: RangeReader, result: RowsRead, most_bytes: int, deadline: float) -> None:
        owned = {
            (reader.topic, partition): PartitionProgress(reader.topic, partition, None, first, first)
            for partition, (first, _) in reader.ranges.items()
        }
        for messages in reader.batches():
            made = {_place(message): _row(message) for message in messages}
            result.records += len(messages)
            result.bytes += sum(each.size for each in made.values())
            if self._decodes:
                flush = Flush(0, time.monotonic())
                for batch in topic_batches(messages, self._codes):
                    flush.add(batch, owned, 0)
                self._examine(flush, made, deadline)
            for (partition, _), row in made.items():
                result.rows.setdefault(partition, []).append(row)
            if result.bytes > most_bytes or time.monotonic() > deadline:
                result.cut = True
                break

    def _examine(self, flush: Flush, made: dict[tuple[int, int], Row], deadline: float) -> None:
        settle_values(flush.groups, self._answers, self._resolver, asks_registry=self._asks_registry)
        for group in flush.groups.values():
            pieces = group.take_pending()
            decoder, skip = self._decoders.of(group)
            for piece in pieces:
                for place, row in self._rows(decoder, piece, skip, made, deadline):
                    made[place] = row

    def _rows(
        self, decoder: RecordDecoder | None, piece: Piece, skip: int, made: dict[tuple[int, int], Row], deadline: float
    ) -> Iterator[tuple[tuple[int, int], Row]]:
        values = piece.values
        data = np.frombuffer(values.data, np.uint8)
        for index in np.flatnonzero(values.lengths >= 0).tolist():
            place = (int(piece.partitions[index]), int(piece.offsets[index]))
            row = made[place]
            if decoder is None or values.lengths[index] < skip:
                yield place, replace(row, readable=False)
                continue
            if time.monotonic() > deadline:
                del made[place]  # nothing is known of it
                continue
            one = slice(index, index + 1)
            decoded = decoder.decode(Batch(data, values.starts[one] + skip, values.lengths[one] - skip))
            yield place, self._seen(row, decoded)

    def _seen(self, row: Row, decoded: Decoded) -> Row:
        if decoded.bad:
            return replace(row, readable=False)
        if self._path is None:
            return row
        if decoded.text is not None:  # bytes of which only the coordinates are known have no fields
            return replace(row, readable=False)
        own = [column for column in decoded.columns if column.path == self._path]
        return replace(row, missing=True) if not own else _of_field(row, own)


def _place(message: Message) -> tuple[int, int]:
    return message.partition(), message.offset()


def _row(message: Message) -> Row:
    key, value = message.key(), message.value()
    kind, milliseconds = message.timestamp()
    return Row(
        message.offset(),
        -1 if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds,
        len(key or b"") + len(value or b""),
        None if key is None else hash(key),
        tombstone=value is None,
    )


def _of_field(row: Row, columns: Sequence[FieldColumn]) -> Row:
    parts = [part for column in columns for part in column.parts]
    numbers = [part.values for part in parts if isinstance(part, Numbers) and part.type != "boolean"]
    finite = [values[np.isfinite(values)] for values in numbers]
    finite = [values for values in finite if len(values)]
    lengths = [
        float(part.lengths.mean())
        for part in parts
        if isinstance(part, Texts | Containers) and part.lengths is not None and len(part.lengths)
    ]
    hashes: list[int] = []
    for part in parts:
        hashes += _hashes(part)
    return replace(
        row,
        null=any(column.nulls for column in columns),
        missing=any(column.missing for column in columns),
        types=tuple(sorted({_type(part) for part in parts})),
        hashes=tuple(hashes[:_MOST_HASHES]),
        low=float(min(values.min() for values in finite)) if finite else None,
        high=float(max(values.max() for values in finite)) if finite else None,
        length=float(np.mean(lengths)) if lengths else None,
    )


def _type(part: Part) -> str:
    return "enum" if isinstance(part, Symbols) else part.type


def _hashes(part: Part) -> Iterable[int]:
    if isinstance(part, Numbers):
        return map(hash, part.values[:_MOST_HASHES].tolist())
    if isinstance(part, Symbols):
        return [hash(part.symbols[code]) for code in part.codes[:_MOST_HASHES].tolist()]
    if isinstance(part, Texts):
        bounds = zip(part.starts[:_MOST_HASHES].tolist(), part.lengths[:_MOST_HASHES].tolist(), strict=True)
        return [hash(part.data[start : start + length].tobytes()) for start, length in bounds]
    return ()

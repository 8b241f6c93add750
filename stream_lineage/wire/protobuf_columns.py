"""The columnar decoder: Protobuf records to columns, all records of a batch at once.

Messages are read level by level: first the fields of all records, then those of all messages that were found in them,
place by place (``protobuf_layout``), and so on. A record is bad where Google's own parsers refuse it.

- What is absent and has no presence of its own (proto3's plain fields) holds its default, and counts as that; an absent
  array or map is empty. What has presence (optional, required, in a oneof, messages) is missing where it is absent.
- Of a single field that comes several times the last value counts; messages are merged. Of a oneof the last one counts.
- Entries of a map count each, also under a key that came before.
- Unknown fields, those with a wire type that does not fit among them, are passed and counted as deviations from the
  schema, and so are required fields that are not there and numbers that an enum does not have. Those are passed too
  where the enum is closed, and integers where it is open.
"""

from __future__ import annotations

import numpy as np

from stream_lineage.model.profile import Decoder
from stream_lineage.wire.columns import BadRecord, Batch, Decoded
from stream_lineage.wire.limits import DEFAULT_LIMITS, DecodeLimits
from stream_lineage.wire.protobuf_index import MessageIndexes
from stream_lineage.wire.protobuf_layout import ProtobufLayout
from stream_lineage.wire.protobuf_message import Level, MessageReader, SymbolicEnums
from stream_lineage.wire.protobuf_run import BAD_INDEX, TOO_DEEP, Indexes, Run
from stream_lineage.wire.protobuf_scan import Found, Segments, scan
from stream_lineage.wire.protobuf_schema import (
    MessageType,
    ProtobufSchema,
)
from stream_lineage.wire.protobuf_slots import Slots
from stream_lineage.wire.protobuf_walk import MAX_DEPTH, Walker


class ProtobufColumns:
    """Decodes batches of one schema. Not for several threads at once.

    ``indexes`` are the message indexes of all records; null where they stand before each.
    """

    kind = Decoder.COLUMNAR

    def __init__(
        self, schema: ProtobufSchema, limits: DecodeLimits = DEFAULT_LIMITS, indexes: bytes | None = None
    ) -> None:
        self._indexes = MessageIndexes(schema)
        self._header = indexes
        self._layout = ProtobufLayout(limits.max_fields)
        self._reader = _Reader()

    def decode(self, batch: Batch) -> Decoded:
        """The columns of all records that can be read."""
        if not len(batch):
            return Decoded(0, [], [], self._layout.truncated)
        kept = np.arange(len(batch))
        bad: list[BadRecord] = []
        good, messages = self._begun(batch)
        while True:
            run = self._run(good, messages)
            if not run.bad.any():
                bad.sort(key=lambda record: record.index)
                alike = bool((messages == messages[:1]).all())  # else they come message by message
                columns = run.emission.columns()
                return Decoded(len(batch), columns, bad, self._layout.truncated, run.compared, in_order=alike)
            bad += run.reasons(kept)
            fine = ~run.bad
            kept, messages = kept[fine], messages[fine]
            good = Batch(good.data, good.starts[fine], good.lengths[fine])

    def _begun(self, batch: Batch) -> tuple[Batch, Indexes]:
        """The batch without message indexes, and which message each record is."""
        if self._header is not None:
            message = self._indexes.of_header(self._header)
            return batch, np.full(len(batch), -1 if message is None else message, np.int64)
        starts = batch.starts.astype(np.int64)
        ends = starts + batch.lengths
        messages, starts = self._indexes.read(batch.data, starts, ends)
        return Batch(batch.data, starts, ends - starts), messages

    def _run(self, batch: Batch, messages: Indexes) -> Run:
        present = np.unique(messages).tolist()
        places = {number: self._layout.root(self._indexes.messages[number]) for number in present if number >= 0}
        run = Run(batch, self._layout)
        run.fail(np.flatnonzero(messages < 0), BAD_INDEX, "")
        level: Level = {}
        for number, place in places.items():
            own = np.flatnonzero(messages == number)
            level[place] = [Segments(run.starts[own], run.ends[own], own, len(own))]
        with np.errstate(all="ignore"):  # bytes of bad records make any number
            self._reader.read(run, level)
        return run


class _Reader:
    """Reads messages level by level. Remembers what it needs to know of messages and enums."""

    def __init__(self) -> None:
        self._slots: dict[MessageType, Slots] = {}
        self._symbolic = SymbolicEnums()

    def read(self, run: Run, level: Level) -> None:
        walker = Walker(run.view)
        depth = 0
        while level:
            below: Level = {}
            for place, groups in level.items():
                segments = _joined(groups)
                if depth > MAX_DEPTH:
                    run.fail(segments.owners, TOO_DEEP, place.path)
                    continue
                slots = self._slots_of(place.message)
                found = scan(run, walker, slots, segments, depth, place.path) if len(segments.starts) else Found()
                MessageReader(run, self._symbolic, place, segments, slots, found, below).read()
            level = below
            depth += 1

    def _slots_of(self, message: MessageType) -> Slots:
        slots = self._slots.get(message)
        if slots is None:
            slots = self._slots[message] = Slots(message)
        return slots


def _joined(groups: list[Segments]) -> Segments:
    if len(groups) == 1:
        return groups[0]
    instances, before = [], 0
    for group in groups:
        own = np.arange(group.count) if group.instances is None else group.instances
        instances.append(np.where(own < 0, -1, own + before))
        before += group.count
    starts, ends, owners = (
        np.concatenate([getattr(group, name) for group in groups]) for name in ("starts", "ends", "owners")
    )
    return Segments(starts, ends, owners, before, np.concatenate(instances))

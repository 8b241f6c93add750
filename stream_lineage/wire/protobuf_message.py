"""The messages at one place: their fields to columns, and the messages in them for the level below."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_lineage.model.structure import DeviationKind
from stream_lineage.wire.avro_emission import size
from stream_lineage.wire.avro_text import not_utf8
from stream_lineage.wire.avro_varint import read_unsigned
from stream_lineage.wire.columns import Containers, Numbers, Symbols, Texts
from stream_lineage.wire.protobuf_field_values import FieldValues
from stream_lineage.wire.protobuf_layout import Member, Place
from stream_lineage.wire.protobuf_run import BAD_TEXT, BAD_VARINT, TRUNCATED, Indexes, Run
from stream_lineage.wire.protobuf_scan import Found, Segments
from stream_lineage.wire.protobuf_schema import (
    FIXED64,
    VARINT,
    WIRE_TYPES,
    EnumType,
    FieldType,
    Kind,
)
from stream_lineage.wire.protobuf_slots import Slots
from stream_lineage.wire.protobuf_values import Symbolic, from_varints, from_words, number_parts
from stream_lineage.wire.protobuf_values import Values as Numeric

Scalar = TypeVar("Scalar", bound=np.generic)
Level = dict[Place, list[Segments]]
"""By place the segments that its messages are in."""


class SymbolicEnums:
    """The numbers and symbols of enums, each made once."""

    def __init__(self) -> None:
        self._known: dict[EnumType, Symbolic] = {}

    def of(self, enum: EnumType) -> Symbolic:
        """Those of one enum."""
        known = self._known.get(enum)
        if known is None:
            known = self._known[enum] = Symbolic(enum)
        return known


class MessageReader:
    """The messages at one place: emits their fields, and collects the messages in them for the level below."""

    def __init__(
        self,
        run: Run,
        symbolic: SymbolicEnums,
        place: Place,
        segments: Segments,
        slots: Slots,
        found: Found,
        below: Level,
    ) -> None:
        self._run = run
        self._symbolic = symbolic
        self._place = place
        self._segments = segments
        self._slots = slots
        self._found = found
        self._below = below
        self._values: dict[FieldType, FieldValues] = {}

    def read(self) -> None:
        place, count = self._place, self._segments.count
        if place.fold is not None and count:
            self._run.emission.parts[place.fold].append(Containers("record", count))
        if self._found.unknown is not None:
            self._count_unknown(*self._found.unknown)
        self._settle_oneofs()
        for member in place.members:
            field = member.field
            if field.message is not None:
                self._messages(member, field)
            elif field.repeated:
                self._array(member, field)
            else:
                self._single(member, field)

    def _count_unknown(self, rows: Indexes, tags: Indexes) -> None:
        """Counts fields that the schema does not know, or that it says to be of another wire type."""
        if self._segments.instances is not None:
            tags = tags[self._segments.instances[rows] >= 0]
        known = {field.number: field for field in self._place.message.fields}
        prefix = f"{self._place.path}." if self._place.path else ""
        distinct, counts = np.unique(tags, return_counts=True)
        for tag, count in zip(distinct.tolist(), counts.tolist(), strict=True):
            number, seen = tag >> 3, WIRE_TYPES[tag & 7]
            field = known.get(number)
            if field is None:
                self._run.deviate(DeviationKind.UNDECLARED, f"{prefix}#{number}", None, seen, count)
            else:
                path = prefix + field.name
                self._run.deviate(DeviationKind.TYPE_MISMATCH, path, field.declared, seen, count)

    def _count_outside(self, member: Member, count: int) -> None:
        """Counts numbers that an enum does not have."""
        if count:
            self._run.deviate(DeviationKind.OUTSIDE_ENUM, member.path, member.field.declared, None, count)

    def _count_held(self, member: Member, field: FieldType, held: int) -> None:
        """Tells of a field with presence that it is in none of the messages, or not in all of them though it must."""
        absent = self._segments.count - held
        if not absent or self._place.mute or member.always:
            return
        if field.required:
            self._run.deviate(DeviationKind.REQUIRED_MISSING, member.path, field.declared, None, absent)
        if not held:
            unseen = self._run.compared.unseen
            unseen[member.path] = field.declared, absent + unseen.get(member.path, (None, 0))[1]

    def _values_of(self, member: Member) -> FieldValues | None:
        """The values of a field that stand one by one; null where there are none."""
        field = member.field
        values = self._values.get(field)
        if values is None:
            chunks = self._found.chunks.get(self._slots.of_field[field][0])
            if chunks is None:
                return None
            values = self._values[field] = FieldValues(chunks, self._segments, sized=field.wire_type != VARINT)
            if field.enum is not None and field.enum.closed and not self._place.message.entry:
                known = self._known(field, from_varints(Kind.ENUM, values.extra.astype(np.uint64, copy=False)))
                if not known.all():
                    self._count_outside(member, int(np.count_nonzero(values.instances[~known] >= 0)))
                    values.pick(known)
        return values

    def _known(self, field: FieldType, numbers: Numeric) -> NDArray[np.bool_]:
        """Which numbers an enum has."""
        assert field.enum is not None  # noqa: S101  (callers have looked)
        return self._symbolic.of(field.enum).codes(numbers.astype(np.int64, copy=False))[1]

    def _settle_oneofs(self) -> None:
        """Of several fields of a oneof in a message only what follows the last value of all others is kept."""
        oneofs: dict[int, list[Member]] = {}
        for member in self._place.members:
            field = member.field
            if field.oneof is not None and self._slots.of_field[field][0] in self._found.chunks:
                oneofs.setdefault(field.oneof, []).append(member)
        for members in oneofs.values():
            if len(members) > 1:
                self._settle([values for values in map(self._values_of, members) if values is not None])

    def _settle(self, rivals: list[FieldValues]) -> None:
        taken = np.zeros(self._segments.count, np.int64)
        for values in rivals:
            taken[values.instances[values.instances >= 0]] += 1  # by one, however many there are
        disputed = taken > 1
        if not disputed.any():
            return
        wanted = [np.flatnonzero((each.instances >= 0) & disputed[each.instances]) for each in rivals]
        rival = np.repeat(np.arange(len(rivals)), list(map(len, wanted)))
        instances = np.concatenate([each.instances[some] for each, some in zip(rivals, wanted, strict=True)])
        at = np.concatenate([each.at[some] for each, some in zip(rivals, wanted, strict=True)])
        order = np.lexsort((at, instances))
        other = np.ones(len(order), np.bool_)
        other[1:] = (instances[order][1:] != instances[order][:-1]) | (rival[order][1:] != rival[order][:-1])
        turn = np.cumsum(other)
        last = np.zeros(self._segments.count, np.int64)
        last[instances[order]] = turn
        lost = np.zeros(len(order), np.bool_)
        lost[order] = turn != last[instances[order]]
        first = 0
        for each, some in zip(rivals, wanted, strict=True):
            own = lost[first : first + len(some)]
            if own.any():
                each.instances = each.instances.copy()
                each.instances[some[own]] = -1
                each.once = False
            first += len(some)

    # Single values

    def _single(self, member: Member, field: FieldType) -> None:
        values = self._values_of(member)
        if values is not None and field.utf8:
            self._check_text(values.at, values.sizes(), values.rows)
        if member.column is None:
            return
        held = 0
        if values is not None:
            last = values.last(self._segments.count)
            held = len(values) if last is None else len(last)
            self._emit(member, member.column, values, last)
        if field.presence:
            self._count_held(member, field, held)
        if (member.always or not field.presence) and held < self._segments.count:
            self._emit_default(member.column, field, self._segments.count - held)

    def _emit(self, member: Member, column: int, values: FieldValues, chosen: Indexes | None) -> None:
        """Emits some of the values, or all of them."""
        field = member.field
        at, extra = values.at, values.extra
        if chosen is not None:
            at, extra = at[chosen], extra[chosen]
        if not len(at):
            return
        run = self._run
        if field.kind in (Kind.STRING, Kind.BYTES):
            run.emission.parts[column].append(Texts(field.kind.value, run.data, at, extra.astype(np.int64, copy=False)))
        elif field.wire_type == VARINT:
            raw: NDArray[np.uint64] | NDArray[np.uint8] = extra  # type: ignore[assignment]
            self._emit_numbers(member, column, from_varints(field.kind, raw))
        else:
            self._emit_numbers(member, column, from_words(field.kind, run.words[at]))

    def _emit_numbers(self, member: Member, column: int, numbers: Numeric) -> None:
        enum = member.field.enum
        parts = number_parts(numbers, None if enum is None else self._symbolic.of(enum))
        if enum is not None and len(parts) > 1:
            self._count_outside(member, size(parts[1]))
        self._run.emission.parts[column].extend(parts)

    def _emit_default(self, column: int, field: FieldType, count: int) -> None:
        """Emits the default, so many times: one value that takes the room of one."""
        parts, zeros = self._run.emission.parts[column], _repeated(np.zeros(1, np.int64), count)
        if field.kind in (Kind.STRING, Kind.BYTES):
            parts.append(Texts(field.kind.value, self._run.data, zeros, zeros))
        elif field.enum is not None:
            codes, _ = self._symbolic.of(field.enum).codes(np.array(field.enum.numbers[:1], np.int64))
            parts.append(Symbols(_repeated(codes, count), self._symbolic.of(field.enum).symbols))
        elif field.kind is Kind.BOOL:
            parts.append(Numbers("boolean", _repeated(np.zeros(1, np.bool_), count)))
        elif field.kind in (Kind.FLOAT, Kind.DOUBLE):
            parts.append(Numbers("number", _repeated(np.zeros(1, np.float64), count)))
        else:
            parts.append(Numbers("integer", zeros))

    def _check_text(self, starts: Indexes, lengths: Indexes, rows: Indexes) -> None:
        wrong = not_utf8(self._run.data, self._run.words, starts, lengths)
        if len(wrong):
            self._run.fail(self._segments.owners[rows[wrong]], BAD_TEXT, self._place.path)

    # Arrays

    def _array(self, member: Member, field: FieldType) -> None:
        values = self._values_of(member)
        together = self._found.chunks.get(self._slots.of_field[field][1]) if field.packable else None
        if values is None and together is None:
            self._emit_empty(member, "array")
            return
        lengths = np.zeros(self._segments.count, np.int64)
        if values is not None:
            if field.utf8:
                self._check_text(values.at, values.sizes(), values.rows)
            kept = np.flatnonzero(values.instances >= 0)
            lengths += np.bincount(values.instances[kept], minlength=len(lengths))
            if member.items is not None:
                self._emit(member, member.items, values, None if len(kept) == len(values) else kept)
        if together is not None:
            self._packed(member, field, FieldValues(together, self._segments, sized=True), lengths)
        if member.column is not None and len(lengths):
            self._run.emission.parts[member.column].append(Containers("array", len(lengths), lengths))

    def _emit_empty(self, member: Member, type_: str) -> None:
        """Emits an array or a map without items for each message."""
        count = self._segments.count
        if member.column is not None and count:
            lengths = _repeated(np.zeros(1, np.int64), count)
            self._run.emission.parts[member.column].append(Containers(type_, count, lengths))

    def _packed(self, member: Member, field: FieldType, values: FieldValues, lengths: Indexes) -> None:
        """Emits numbers that stand together, and adds how many they are to ``lengths``."""
        run, sizes = self._run, values.sizes()
        if field.wire_type == VARINT:
            starts, counts = self._cut(values, sizes)
            if int(counts.sum()) == int(sizes.sum()):
                raw: NDArray[np.uint64] | NDArray[np.uint8] = run.data[starts]
            else:
                raw, _, invalid = read_unsigned(run.data, run.words, starts, highest=0x7F)
                if invalid is not None:
                    rows = np.repeat(values.rows, counts)[invalid]
                    run.fail(self._segments.owners[rows], BAD_VARINT, self._place.path)
            numbers: Numeric = from_varints(field.kind, raw)
        else:
            width = 8 if field.wire_type == FIXED64 else 4
            wrong = sizes % width != 0
            if wrong.any():
                run.fail(self._segments.owners[values.rows[wrong]], TRUNCATED, self._place.path)
            counts = sizes // width
            at = np.repeat(values.at - width * (np.cumsum(counts) - counts), counts)
            at += np.arange(0, width * len(at), width)
            numbers = from_words(field.kind, run.words[at])
        instances = values.instances
        if field.enum is not None and field.enum.closed:
            instances, counts = np.repeat(instances, counts), np.ones(len(numbers), np.int64)
            known = self._known(field, numbers)
            if not known.all():
                self._count_outside(member, int(np.count_nonzero(instances[~known] >= 0)))
                numbers, instances, counts = numbers[known], instances[known], counts[known]
        if (instances < 0).any():
            kept = instances >= 0
            numbers = numbers[np.repeat(kept, counts)]
            instances, counts = instances[kept], counts[kept]
        if values.once and len(instances) == len(values):
            lengths[instances] += counts
        else:
            np.add.at(lengths, instances, counts)
        if member.items is not None and len(numbers):
            self._emit_numbers(member, member.items, numbers)

    def _cut(self, values: FieldValues, sizes: Indexes) -> tuple[Indexes, Indexes]:
        """Where the varints begin that stand together, and how many each value holds: one comes after each byte that
        can end one, the first after the length of them all."""
        run = self._run
        stops, before = run.stops
        ends = values.at + sizes
        first = before[values.at].astype(np.int64)
        counts = before[ends] - first
        open_ = (sizes > 0) & (run.data[ends - 1] >= 0x80)
        if open_.any():
            run.fail(self._segments.owners[values.rows[open_]], TRUNCATED, self._place.path)
        which = np.repeat(first - 1 - (np.cumsum(counts) - counts), counts)
        which += np.arange(len(which))
        return stops[which].astype(np.int64) + 1, counts

    # Messages

    def _messages(self, member: Member, field: FieldType) -> None:
        child, count = member.child, self._segments.count
        assert child is not None  # noqa: S101  (a message has a place)
        values = self._values_of(member)
        parts = self._run.emission.parts
        if not field.repeated and values is None:
            self._count_held(member, field, 0)
        if values is None:
            if field.repeated:
                self._emit_empty(member, "map" if field.map else "array")
            if member.always and count:
                if member.column is not None:
                    parts[member.column].append(Containers("record", count))
                nothing = np.zeros(0, np.int64)
                self._below.setdefault(child, []).append(Segments(nothing, nothing, nothing, count, nothing))
            return
        instances: Indexes | None
        if field.repeated:
            kept = values.instances >= 0
            found = int(np.count_nonzero(kept))
            instances = None if found == len(values) else np.where(kept, np.cumsum(kept) - 1, -1)
            if member.column is not None:
                lengths = np.bincount(values.instances[kept], minlength=count)
                parts[member.column].append(Containers("map" if field.map else "array", count, lengths))
            if member.items is not None and found:
                parts[member.items].append(Containers("record", found))
        else:
            instances, found = values.merged(count, always=member.always)
            self._count_held(member, field, found)
            if member.column is not None and found:
                parts[member.column].append(Containers("record", found))
        ends = values.at + values.sizes()
        segments = Segments(values.at, ends, self._segments.owners[values.rows], found, instances)
        self._below.setdefault(child, []).append(segments)


def _repeated(value: NDArray[Scalar], count: int) -> NDArray[Scalar]:
    """One value over and over."""
    return np.broadcast_to(value, (count,))

"""Decoding a flush in the worker, and finding the records that kill it.

A batch that the worker does not survive is cut in halves, each tried as a mere probe, until the records at fault stand
alone. They are left out, everything else of the flush is given to a fresh worker again, and the flush goes on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from stream_lineage.collect.batch import Payloads, joined
from stream_lineage.collect.decode_process import DecodeProcess, DecodeSchema, Undecodable
from stream_lineage.collect.flush import Flush, Group, GroupKey, Piece
from stream_lineage.errors import WorkerLost
from stream_lineage.logs import get_logger

_log = get_logger("stream_lineage.collect")
_PROBE_SECONDS = 2.0
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How the records of a group are decoded: schemas of value and key, and the bytes of framing before each."""

    value: DecodeSchema
    key: DecodeSchema
    skips: tuple[int, int]


@dataclass(slots=True)
class _Work:
    number: int
    plan: Plan
    bad: list[tuple[int, Undecodable]] = field(default_factory=list)  # piece, record
    excluded: dict[int, set[int]] = field(default_factory=dict)  # piece -> records that kill the worker


@dataclass(slots=True)
class GroupResult:
    """``profile`` is the encoded Profile, null when it could not be made; ``bad`` holds (partition, offset, size,
    record) of what did not decode."""

    profile: bytes | None
    bad: list[tuple[int, int, int, Undecodable]]


class DecodeStage:
    """Feeds the groups of one flush after the other to the worker. Used by one thread."""

    def __init__(self, process: DecodeProcess, *, recovery_seconds: float) -> None:
        self._process = process
        self._recovery_seconds = recovery_seconds
        self._work: dict[GroupKey, _Work] = {}
        self._numbers = 0

    def begin(self) -> None:
        """Forget the flush before; the worker's groups of an abandoned flush go with the worker."""
        if self._work:
            self._work.clear()
            self._process.start()

    def feed(self, flush: Flush, group: Group, plan: Plan) -> None:
        """Send the pieces of a group that have not been sent yet, as one batch."""
        fresh = group.pieces[group.sent :]
        if not fresh:
            return
        if len(fresh) > 1:
            group.pieces[group.sent :] = [_merged(fresh)]
        work = self._work.get(group.key)
        if work is None:
            self._numbers += 1
            work = self._work[group.key] = _Work(self._numbers, plan)
        index = group.sent
        group.sent += 1
        try:
            self._send(group, work, index)
        except WorkerLost as lost:
            self._recover(flush, lost)

    def finish(self, flush: Flush, group: Group, budget: int) -> GroupResult:
        """The profile of a group all of whose pieces have been fed."""
        work = self._work.get(group.key)
        if work is None:
            return GroupResult(None, [])
        profile = None
        for _ in range(2):
            try:
                profile = self._process.finish(work.number, budget)
                break
            except WorkerLost as lost:
                self._recover(flush, lost)
        bad = []
        for piece, record in work.bad:
            at = group.pieces[piece]
            payloads = at.values if record.role == "value" else at.keys
            size = max(int(payloads.lengths[record.index]), 0)
            bad.append((int(at.partitions[record.index]), int(at.offsets[record.index]), size, record))
        del self._work[group.key]
        return GroupResult(profile, bad)

    def _send(self, group: Group, work: _Work, index: int) -> None:
        piece = group.pieces[index]
        excluded = work.excluded.get(index)
        values, keys, places = piece.values, piece.keys, None
        if excluded:
            places = [place for place in range(len(piece)) if place not in excluded]
            if not places:
                return
            values, keys = _chosen(values, places), _chosen(keys, places)
        bad = self._process.batch(
            work.number, group.topic, values, keys, work.plan.value, work.plan.key, work.plan.skips
        )
        for record in bad:
            place = record.index if places is None else places[record.index]
            work.bad.append((index, Undecodable(place, record.role, record.kind, record.error)))

    def _recover(self, flush: Flush, lost: WorkerLost) -> None:
        """Give a fresh worker everything of this flush again, without the records that kill it."""
        _log.warning(
            "the decode worker was lost and is started again", reason=lost.message, restarts=self._process.restarts
        )
        deadline = time.monotonic() + self._recovery_seconds
        for _ in range(_ROUNDS):
            self._process.start()
            culprit = self._feed_again(flush)
            if culprit is None:
                return
            group, work, index = culprit
            killers = self._isolate(group, work, index, deadline)
            work.excluded.setdefault(index, set()).update(killers)
            if not killers:
                # Every record is fine alone, yet not all of them together: they do without a profile.
                work.excluded[index] = set(range(len(group.pieces[index])))
                _log.error("a batch cannot be profiled and is left out of the profile", topic=group.topic)
        raise WorkerLost("the decode worker keeps dying")

    def _feed_again(self, flush: Flush) -> tuple[Group, _Work, int] | None:
        """The batch that the worker did not survive, or null when it has taken all."""
        for key, work in self._work.items():
            group = flush.groups[key]
            killed = [row for row in work.bad if row[1].kind == "worker-lost"]
            work.bad = killed
            for index in range(group.sent):
                try:
                    self._send(group, work, index)
                except WorkerLost:
                    return group, work, index
        return None

    def _isolate(self, group: Group, work: _Work, index: int, deadline: float) -> set[int]:
        """Indices of the records of one piece that kill the worker, found by bisection."""
        piece = group.pieces[index]
        known = work.excluded.get(index, set())
        places = [place for place in range(len(piece)) if place not in known]
        found: set[int] = set()
        pending = [(0, len(places))]
        self._process.start()
        while pending:
            start, stop = pending.pop()
            chosen = places[start:stop]
            if time.monotonic() > deadline:
                found.update(chosen)
                self._blame(work, index, chosen, "no time was left to find which record of its batch ends the decoder")
                continue
            values, keys = _chosen(piece.values, chosen), _chosen(piece.keys, chosen)
            plan = work.plan
            try:
                self._process.batch(
                    work.number,
                    group.topic,
                    values,
                    keys,
                    plan.value,
                    plan.key,
                    plan.skips,
                    probe=True,
                    deadline_seconds=_PROBE_SECONDS,
                )
            except WorkerLost as lost:
                self._process.start()
                if stop - start == 1:
                    found.update(chosen)
                    self._blame(work, index, chosen, lost.message)
                else:
                    middle = (start + stop) // 2
                    pending += [(middle, stop), (start, middle)]
        return found

    @staticmethod
    def _blame(work: _Work, index: int, places: list[int], reason: str) -> None:
        work.bad += [(index, Undecodable(place, "value", "worker-lost", reason)) for place in places]


def _merged(pieces: list[Piece]) -> Piece:
    return Piece(
        _concatenated([piece.values for piece in pieces]),
        _concatenated([piece.keys for piece in pieces]),
        np.concatenate([piece.partitions for piece in pieces]),
        np.concatenate([piece.offsets for piece in pieces]),
    )


def _concatenated(payloads: list[Payloads]) -> Payloads:
    data, starts, base = [], [], 0
    for part in payloads:
        size = part.byte_count
        data.append(memoryview(part.data)[:size])
        starts.append(part.starts + base)
        base += size
    data.append(memoryview(joined([]).data))
    return Payloads(b"".join(data), np.concatenate(starts), np.concatenate([part.lengths for part in payloads]))


def _chosen(payloads: Payloads, places: list[int]) -> Payloads:
    starts, lengths = payloads.starts.tolist(), payloads.lengths.tolist()
    items = [payloads.data[starts[i] : starts[i] + lengths[i]] if lengths[i] >= 0 else None for i in places]
    return joined(items)

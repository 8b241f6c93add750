"""Decoding a flush in the worker, and finding the records that kill it.

When the worker is lost, a fresh one is given everything of the flush again. The batch that it was lost with is now
given with care: tried as a mere probe first, and in halves where the probe dies, until the records at fault stand
alone. They are left out. A worker that others end costs a restart and blames nobody: probes die in a child of the
worker.

All of this has an end: each flush has so many seconds for it, after which what is not decoded yet does without a
profile. Whatever happens here, the flush goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from stream_lineage.collect.decode_process import (
    MOST_FINISHES,
    FinishRequest,
    Undecodable,
)
from stream_lineage.collect.decode_work import (
    MAX_BATCH_BYTES,
    WORKER_LOST,
    DecodeWork,
    Plan,
    Worker,
    merged,
    portions,
)
from stream_lineage.collect.flush import Flush, Group, GroupKey
from stream_lineage.collect.group_result import GroupResult
from stream_lineage.collect.payloads import chosen, joined
from stream_lineage.errors import WorkerLost
from stream_lineage.logs import get_logger

_log = get_logger("stream_lineage.collect")
_PROBE_SECONDS = 1.0
_CONFIRM_SECONDS = 5.0
_RETRY_SECONDS = 0.2
_GRACE = 0.2
"""After the recovery time, this share of it is left to profile what does not kill the worker."""
_FINISH_ATTEMPTS = 5
_SMALL_BYTES = 256 * 1024
"""A piece up to this size is sent together with others: it is decoded in milliseconds."""
_MOST_TOGETHER = 128
_LOST_BEFORE_CUT = 2
_LOST_BEFORE_BLAME = 5
"""How often the worker itself, and not its child, must be lost with a range of records before it is cut in halves
untried, and with a single one before it is blamed: it may be too large even to be received."""
_NO_TIME = "the decoder did not survive its batch, and no time was left to find out why"


class DecodeStage:
    """Feeds the groups of one flush after the other to the worker. Used by one thread. Never raises ``WorkerLost``.

    ``recovery_seconds`` are for each flush.
    """

    def __init__(self, worker: Worker, *, recovery_seconds: float) -> None:
        self._worker = worker
        self._recovery_seconds = recovery_seconds
        self._seconds_left = recovery_seconds
        self._given_up = False
        self._worker_is_dirty = False
        self._work: dict[GroupKey, DecodeWork] = {}
        self._numbers = 0
        self._void: Callable[[], bool] = lambda: False

    def begin(self, void: Callable[[], bool] = lambda: False) -> None:
        """Forget the flush before; the worker's groups of an abandoned flush go with the worker.

        Once ``void`` says that the new flush is not wanted any more, it is given up at once.
        """
        self._void = void
        self._worker.work_until(void)
        dirty = self._worker_is_dirty or bool(self._work)
        self._work.clear()
        self._seconds_left = self._recovery_seconds
        self._given_up = self._worker_is_dirty = False
        if dirty:
            try:
                self._worker.start()
            except WorkerLost as lost:  # the first batch will say so again
                _log.warning("the decode worker could not be started", reason=lost.message)

    def feed(self, flush: Flush, group: Group, plan: Plan) -> None:
        """Send the pieces of a group that have not been sent yet, as one batch."""
        work = self._prepared(flush, group, plan)
        if work is None:
            return
        piece = group.sent
        group.sent += 1
        if self._given_up:
            if not self._void():
                work.leave_out(group, piece, _NO_TIME)
            return
        try:
            self._send(group, work, piece)
        except WorkerLost as lost:
            work.careful.add(piece)
            self._recover(flush, lost)

    def feed_together(self, flush: Flush, plans: Iterable[tuple[Group, Plan]]) -> None:
        """The same for several groups: what is small goes in one go. Where the worker is lost with that, each is sent
        by itself."""
        portion: list[tuple[Group, DecodeWork]] = []
        size = 0
        for group, plan in plans:
            work = self._prepared(flush, group, plan)
            if work is None:
                continue
            more = group.pieces[group.sent].byte_count
            if more > _SMALL_BYTES:
                self.feed(flush, group, plan)
                continue
            portion.append((group, work))
            size += more
            if size > MAX_BATCH_BYTES or len(portion) >= _MOST_TOGETHER:
                self._feed_portion(flush, portion)
                portion, size = [], 0
        self._feed_portion(flush, portion)

    def _feed_portion(self, flush: Flush, portion: list[tuple[Group, DecodeWork]]) -> None:
        if len(portion) < 2 or self._given_up:
            for group, work in portion:
                self.feed(flush, group, work.plan)
            return
        requests = []
        for group, work in portion:
            piece = group.pieces[group.sent]
            requests.append(work.request(group.topic, piece.values, piece.keys))
            group.sent += 1
        try:
            answers = self._worker.batches(requests)
        except WorkerLost as lost:
            self._recover(flush, lost)
            return
        for (group, work), answer in zip(portion, answers, strict=True):
            work.bad += [(group.sent - 1, record) for record in answer.bad]
            work.keys += [(group.sent - 1, found) for found in answer.keys]

    def _prepared(self, flush: Flush, group: Group, plan: Plan) -> DecodeWork | None:
        """What is fresh of a group as one piece; null where nothing is."""
        work = self._work.get(group.key)
        if work is not None and work.plan != plan:
            self._change(flush, work, plan)
        fresh = group.pieces[group.sent :]
        if not fresh:
            return None
        if len(fresh) > 1:
            group.pieces[group.sent :] = [merged(fresh)]
        if work is None:
            self._numbers += 1
            work = self._work[group.key] = DecodeWork(self._numbers, plan)
        return work

    def finish_together(self, flush: Flush, groups: Sequence[tuple[Group, int]]) -> list[GroupResult]:
        """``finish`` for several groups with their budgets: the worker makes one profile after the other."""
        found: list[GroupResult] = []
        while len(found) < len(groups):
            portion = groups[len(found) : len(found) + MOST_FINISHES]
            known = [(group, budget, work) for group, budget in portion if (work := self._work.get(group.key))]
            if len(known) == len(portion) and not self._given_up:
                requests = [FinishRequest(work.number, budget, work.left_out(group)) for group, budget, work in known]
                try:
                    for (group, _, work), profile in zip(known, self._worker.finishes(requests), strict=True):
                        found.append(self._finished(group, work, profile))
                    continue
                except WorkerLost as lost:
                    self._recover(flush, lost)
            found += [self.finish(flush, group, budget) for group, budget in groups[len(found) :]]
        return found

    def finish(self, flush: Flush, group: Group, budget: int) -> GroupResult:
        """The profile of a group all of whose pieces have been fed."""
        work = self._work.get(group.key)
        if work is None:
            return GroupResult(None, [])
        return self._finished(group, work, self._profile(flush, group, work, budget))

    def _finished(self, group: Group, work: DecodeWork, profile: bytes | None) -> GroupResult:
        bad = []
        for piece, record in work.bad:
            at = group.pieces[piece]
            payloads = at.values if record.role == "value" else at.keys
            size = max(int(payloads.lengths[record.index]), 0)
            bad.append((int(at.partitions[record.index]), int(at.offsets[record.index]), size, record))
        del self._work[group.key]
        return GroupResult(profile, bad, work.found(group))

    def _profile(self, flush: Flush, group: Group, work: DecodeWork, budget: int) -> bytes | None:
        for _ in range(_FINISH_ATTEMPTS):
            if self._given_up:
                return None
            try:
                return self._worker.finish(work.number, budget, work.left_out(group))
            except WorkerLost as lost:
                self._recover(flush, lost)
        _log.error("a profile cannot be made: the decode worker does not survive it", topic=group.topic)
        self._worker_is_dirty = True
        return None

    def _change(self, flush: Flush, work: DecodeWork, plan: Plan) -> None:
        """What is known of a schema has changed since the group's first pieces: they are decoded again."""
        work.plan = plan
        work.bad.clear()
        work.keys.clear()
        work.excluded.clear()
        work.careful.clear()
        self._recover(flush, None)

    def _send(self, group: Group, work: DecodeWork, piece: int) -> None:
        """Send a piece as one batch, or as several if it is large."""
        if group.pieces[piece].byte_count <= MAX_BATCH_BYTES:
            self._batch(group, work, piece, None)
            return
        for places in reversed(portions(group.pieces[piece], range(len(group.pieces[piece])))):
            self._batch(group, work, piece, places)

    def _batch(self, group: Group, work: DecodeWork, piece: int, places: list[int] | None) -> None:
        """Send a piece, or some records of it, as one batch."""
        whole = group.pieces[piece]
        values, keys = whole.values, whole.keys
        if places is not None:
            values, keys = chosen(values, places), chosen(keys, places)
        answer = self._worker.batch(work.request(group.topic, values, keys))
        for found in answer.keys:
            own = found if places is None else replace(found, places=np.array(places, np.int64)[found.places])
            work.keys.append((piece, own))
        for record in answer.bad:
            place = record.index if places is None else places[record.index]
            work.bad.append((piece, Undecodable(place, record.role, record.kind, record.error)))

    # Recovery

    def _recover(self, flush: Flush, lost: WorkerLost | None) -> None:
        """Give a fresh worker everything of this flush again, without the records that kill it."""
        if lost is not None:
            restarts = self._worker.restarts
            _log.warning("the decode worker was lost and is started again", reason=lost.message, restarts=restarts)
        began = time.monotonic()
        deadline = began + self._seconds_left
        try:
            while time.monotonic() < deadline + self._recovery_seconds * _GRACE and not self._void():
                try:
                    self._worker.start()
                    if self._feed_again(flush, deadline):
                        return
                except WorkerLost:
                    time.sleep(_RETRY_SECONDS)
        finally:
            self._seconds_left -= time.monotonic() - began
        self._give_up(flush)

    def _feed_again(self, flush: Flush, deadline: float) -> bool:
        """Send all pieces again; whether the worker has taken them all."""
        for key, work in self._work.items():
            group = flush.groups[key]
            work.bad = [row for row in work.bad if row[1].kind == WORKER_LOST]
            work.keys.clear()
            for piece in range(group.sent):
                try:
                    if piece not in work.careful:
                        self._send(group, work, piece)
                    elif time.monotonic() < deadline:
                        self._send_with_care(group, work, piece, deadline)
                    else:
                        work.leave_out(group, piece, _NO_TIME)
                except WorkerLost:
                    work.careful.add(piece)
                    return False
        return True

    def _send_with_care(self, group: Group, work: DecodeWork, piece: int, deadline: float) -> None:
        """Send what the worker survives of a piece, and leave out what it does not.

        Raises:
            WorkerLost: the worker itself is gone, or there is no time left.
        """
        whole, excluded = group.pieces[piece], work.excluded.get(piece, set())
        pending = portions(whole, (place for place in range(len(whole)) if place not in excluded))
        while pending:
            if time.monotonic() > deadline or self._void():
                raise WorkerLost("no time is left to find the records that end the decoder")
            places = pending.pop()
            key = (piece, places[0], places[-1])
            if len(places) > 1:
                if work.lost[key] < _LOST_BEFORE_CUT and self._dies(group, work, piece, places, _PROBE_SECONDS) is None:
                    self._batch(group, work, piece, places)
                else:
                    middle = len(places) // 2
                    pending += [places[middle:], places[:middle]]
                continue
            reason: str | None = work.last_words
            role = "value"
            if work.lost[key] < _LOST_BEFORE_BLAME:
                reason = self._dies(group, work, piece, places, _PROBE_SECONDS)
                if reason is not None:  # once more, with more time, before it is blamed
                    reason = self._dies(group, work, piece, places, _CONFIRM_SECONDS)
                if reason is None:
                    self._batch(group, work, piece, places)
                    continue
                role = self._role(group, work, piece, places)
            assert reason is not None  # noqa: S101  (it has ended the worker or its child)
            work.blame(piece, places[0], role, reason)
            _log.error("a record ends the decoder and is left out", topic=group.topic, reason=reason)

    def _dies(
        self, group: Group, work: DecodeWork, piece: int, places: list[int], seconds: float, *, keys_alone: bool = False
    ) -> str | None:
        """How a decoder ends that is given these records now; null where it lives."""
        whole = group.pieces[piece]
        values = joined([None] * len(places)) if keys_alone else chosen(whole.values, places)
        keys = chosen(whole.keys, places)
        key = (piece, places[0], places[-1])
        work.lost[key] += 1
        try:
            reason = self._worker.probe(work.request(group.topic, values, keys), seconds=seconds)
        except WorkerLost as lost:
            work.last_words = lost.message
            raise
        work.lost[key] -= 1  # it was not
        return reason

    def _role(self, group: Group, work: DecodeWork, piece: int, places: list[int]) -> str:
        """Whether the value or the key of a record is at fault: the key, if the decoder dies of that alone."""
        if int(group.pieces[piece].keys.lengths[places[0]]) < 0:
            return "value"
        return "key" if self._dies(group, work, piece, places, _CONFIRM_SECONDS, keys_alone=True) else "value"

    def _give_up(self, flush: Flush) -> None:
        """No time is left: what this flush has not finished does without a profile."""
        self._given_up = self._worker_is_dirty = True
        if self._void():
            return
        _log.error("the decode worker keeps dying: records of this flush are left out of the profile")
        for key, work in self._work.items():
            for piece in range(flush.groups[key].sent):
                work.leave_out(flush.groups[key], piece, _NO_TIME)

"""Sends what is in the outbox: what came just now first, then a piece of the backlog, in turns.

What can be mended is tried again, later and later, or when the other side says: no answer, an answer of 5xx or 429, a
token that is not known, a bucket that is not there, an answer that is not InfluxDB's. What cannot be mended is one line
that InfluxDB refuses for what it says, or that is too long for the other side: it is found by halving, counted, told
of and kept in a file, and all others arrive. So is one that the other side fails on (500), or something before it
refuses, again and again, while others are taken: it is set aside on the disk.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from stream_lineage.errors import ConnectionFailed
from stream_lineage.logs import get_logger
from stream_lineage.otel import span
from stream_lineage.store.influx_api import (
    BUSY,
    FORBIDDEN,
    NOT_FOUND,
    TOO_LARGE,
    UNAUTHORIZED,
    Answer,
)
from stream_lineage.store.outbox import Batch, Outbox
from stream_lineage.store.set_aside import SetAside

BEHIND_SECONDS = 2.0
"""What has waited for so long is backlog. Larger: what comes just now may wait behind so much of it."""
BATCH_BYTES = 1_000_000
LEAST_BYTES = 10_000
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
LONGEST_RETRY_AFTER_SECONDS = 600.0
"""Of what the other side asks for."""
ISOLATE_AFTER = 8
"""Failures on the same batch, after which the line that it is for is looked for: after about a minute."""
MAX_IN_VAIN = 50
"""Failures on pieces of a batch, after which the other side fails on everything unless it has taken one."""
_ERROR, _UNAVAILABLE = 500, 503
_TOLD = 20
_log = get_logger("stream_lineage.store")


Destination = Callable[[bytes], Answer]
"""Where lines are sent. Raises ConnectionFailed where there is no answer."""


@dataclass(slots=True)
class _Later(Exception):
    """Nothing more can be sent now. ``seconds`` is how long the other side asks us to wait."""

    reason: str
    hint: str | None = None
    seconds: float | None = None
    isolable: bool = False


class Sender:
    """``run`` in a thread of its own until ``stop``. The counts are since the start."""

    def __init__(
        self,
        outbox: Outbox,
        destination: Destination,
        aside: SetAside | None = None,
        refusals: SetAside | None = None,
        *,
        behind_seconds: float = BEHIND_SECONDS,
        batch_bytes: int = BATCH_BYTES,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        isolate_after: int = ISOLATE_AFTER,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._destination = destination
        self._aside = aside
        self._refusals = refusals
        self._first_wait_seconds = first_wait_seconds
        self._isolate_after = isolate_after
        self._errors: dict[int, int] = {}
        self._taken: bytes | None = None
        self._in_vain = 0
        self._suspects: list[bytes] = []
        self._refused: list[tuple[bytes, Answer]] = []
        self._behind_seconds = behind_seconds
        self._batch_bytes = batch_bytes
        self._chance = chance
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0
        self.sent = 0
        self.refused = 0
        self.set_aside = 0
        self.trouble = ""

    def run(self) -> None:
        while True:
            try:
                wait = self._turn()
            except Exception as error:  # noqa: BLE001 - nothing is sent any more once this thread is dead
                _log.exception("metrics cannot be sent")
                wait = self._wait(_Later(f"an error of ours: {error!r}"))
            if self._stopped.is_set() and (wait is None or self._failures):
                return
            if wait is None:  # nothing to do
                self._wake.wait(self._behind_seconds)
                self._wake.clear()
            elif wait > 0:
                self._stopped.wait(wait)

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._wake.set()

    def stop(self) -> None:
        """End when all is sent, or when something cannot be."""
        self._stopped.set()
        self._wake.set()

    def _turn(self) -> float | None:
        """Send what came just now and a piece of the backlog; how long to wait then, null where nothing is left."""
        self._taken = None
        try:
            live = self._outbox.live(self._batch_bytes, self._behind_seconds)
            if live is not None:
                with span("store.send", points=live.points, backlog=0):
                    self._send(live)
            old = self._outbox.backlog(self._batch_bytes)
            if old is not None:
                with span("store.send", points=old.points, backlog=1):
                    self._send(old)
        except _Later as later:
            return self._wait(later)
        except OSError as error:
            return self._wait(_Later(f"the outbox cannot be read: {error}"))
        return None if live is None and old is None else 0.0

    def _send(self, batch: Batch) -> None:
        errors = self._errors.get(batch.first, 0)
        isolating = self._aside is not None and errors > 0 and errors % self._isolate_after == 0
        self._in_vain, self._suspects, self._refused = 0, [], []
        try:
            if batch.lines:
                self._lines(batch.lines, isolating)
            failed = sum(self._put_aside(line) for line in self._suspects)
            for number, (line, answer) in enumerate(self._refused, self.refused):
                self._keep(line, answer, number)
        except _Later as later:
            if later.isolable:
                self._errors[batch.first] = errors + 1
            raise
        self._errors.clear()
        self.sent += len(batch.lines) - len(self._refused) - failed
        self.refused += len(self._refused)
        self.set_aside += failed
        self._outbox.sent(batch)  # counted by whoever sees it empty
        if batch.damaged:
            _log.error("records of the outbox are damaged and left out", records=batch.damaged)
        if batch.lines and self._failures:
            _log.info("metrics are written again", waiting=self._outbox.waiting)
            self._failures = 0
            self.trouble = ""

    def _lines(self, lines: list[bytes], isolating: bool) -> None:
        """Send lines, and find those that are refused for what they are. Those that it fails on, each alone, become
        suspects if that is looked for."""
        answer = self._answer(lines)
        if answer.ok:
            return
        if answer.status == TOO_LARGE:
            self._batch_bytes = max(LEAST_BYTES, min(self._batch_bytes, sum(map(len, lines)) // 2))
        elif _failure(answer) and isolating:
            self._in_vain += 1
            if self._taken is None and self._in_vain > MAX_IN_VAIN:
                raise _later(answer)
            if len(lines) == 1:
                self._suspects.append(lines[0])
                return
        elif not answer.refused:
            raise _later(answer)
        if len(lines) == 1:
            self._refused.append((lines[0], answer))
            return
        half = len(lines) // 2
        self._lines(lines[:half], isolating)
        self._lines(lines[half:], isolating)

    def _answer(self, lines: list[bytes]) -> Answer:
        try:
            answer = self._destination(b"\n".join(lines))
        except ConnectionFailed as error:
            raise _Later(error.message, error.hint) from None
        if answer.ok:
            self._taken = lines[-1]
        return answer

    def _put_aside(self, line: bytes) -> bool:
        """Put a suspect aside if the other side still fails on it and still takes what it took last, which changes
        nothing. Whether it is aside; else it has arrived."""
        taken = self._taken
        answer = self._answer([line])
        if answer.ok:
            return False
        if taken is None or not _failure(answer) or self._aside is None:
            raise _later(answer)
        again = self._answer([taken])
        if not again.ok:
            raise _later(again)
        try:
            kept = self._aside.put(line)
        except OSError as error:
            raise _Later(f"what is to be set aside cannot be written: {error.strerror or error}") from None
        _log.error(
            "InfluxDB fails on a point while it takes others: it is set aside" if kept else
            "InfluxDB fails on a point while it takes others: it is left out, for the file of those is full",
            series=_series(line), file=str(self._aside.path), status=answer.status, reason=answer.message,
        )  # fmt: skip
        return True

    def _keep(self, line: bytes, answer: Answer, number: int) -> None:
        """Keep a line that was refused, as long as there is room; once more where its batch has to be sent again.
        ``number`` is how many were refused before it."""
        kept = False
        try:
            kept = self._refusals is not None and self._refusals.put(line)
        except OSError as error:
            raise _Later(f"what was refused cannot be kept: {error.strerror or error}") from None
        if number < _TOLD or number % 1000 == 0:
            what = "is too long for InfluxDB" if answer.status == TOO_LARGE else "is refused by InfluxDB"
            _log.error(
                f"a point {what} and left out", series=_series(line), status=answer.status, reason=answer.message,
                kept_in=str(self._refusals.path) if kept and self._refusals is not None else None,
            )  # fmt: skip

    def _wait(self, later: _Later) -> float:
        self._failures += 1
        seconds = later.seconds
        if seconds is None:
            longest = min(self._first_wait_seconds * 2 ** min(self._failures - 1, 10), LONGEST_WAIT_SECONDS)
            seconds = longest * (0.5 + self._chance() / 2)
        else:
            seconds = min(seconds, LONGEST_RETRY_AFTER_SECONDS)
        if later.reason != self.trouble:
            _log.warning(
                "metrics cannot be written: they wait on the disk", reason=later.reason, mend=later.hint,
                waiting=self._outbox.waiting,
            )  # fmt: skip
        self.trouble = later.reason
        return seconds


def _failure(answer: Answer) -> bool:
    """Whether it may be for one of the lines, without saying so."""
    return answer.status == _ERROR or answer.foreign


def _later(answer: Answer) -> _Later:
    said = (
        f"what answered {answer.status} is not InfluxDB"
        if answer.foreign
        else {
            UNAUTHORIZED: "InfluxDB does not accept our token (401)",
            FORBIDDEN: "InfluxDB does not let our token write there (403)",
            NOT_FOUND: "InfluxDB has no such bucket or organisation (404)",
            BUSY: "InfluxDB asks us to wait (429)",
            _UNAVAILABLE: "InfluxDB asks us to wait (503)",
        }.get(answer.status, f"InfluxDB answered {answer.status}")
    )
    return _Later(f"{said}: {answer.message}", answer.hint, answer.retry_after, _failure(answer))


def _series(line: bytes) -> str:
    return line[:200].decode("utf-8", "replace").partition(" ")[0]

"""Work that incidents give, done once for all workers, beside everything else.

A clerk reads what is told of incidents and has done what its desk says is due, in threads that nobody waits for. What
begins and what has ended is noted on a topic of ours: whichever worker has the first partition of the log next goes on
from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from stream_lineage.errors import StreamLineageError
from stream_lineage.notify.courier import Couriers
from stream_lineage.notify.delivery import Delivery
from stream_lineage.notify.desk import Parcel
from stream_lineage.notify.hook_desk import Act
from stream_lineage.notify.hook_record import ActionRecord
from stream_lineage.notify.sending import Heard


class Told(Protocol):
    """``lineage.incidents``."""

    def end(self) -> int: ...
    def read(self, start: int) -> tuple[list[tuple[int, Heard]], int]: ...


J = TypeVar("J", bound=Parcel | Act)
N = TypeVar("N", bound=Delivery | ActionRecord)
R_contra = TypeVar("R_contra", contravariant=True)


class Notes(Protocol[N]):
    """The topic of what is noted: ``records`` are all of it, in order, ``newer`` those since it was read last."""

    def records(self) -> list[tuple[bytes, N | None]]: ...
    def newer(self) -> list[tuple[bytes, N | None]]: ...
    def write(self, key: bytes, value: bytes | None) -> None: ...


class Desk(Protocol[J, R_contra, N]):
    """What is to be done, by what is told and what was noted. Pure: time is an argument."""

    def load(self, note: N, /) -> None: ...
    def take(self, heard: Heard, /) -> None: ...
    def due(self, now: datetime, /) -> Iterable[J]: ...
    def begun(self, job: J, now: datetime, /) -> N: ...
    def let_go(self, job: J, /) -> None: ...
    def ended(self, job: J, result: R_contra, now: datetime, /) -> N: ...


D = TypeVar("D", bound=Desk)  # type: ignore[type-arg]  # whose types are the clerk's


class Clerk(ABC, Generic[D, J, R_contra, N]):
    """``turn`` now and then. ``here``: whether this worker is the one; ``ready``: whether the owners of what is hit are
    known."""

    def __init__(
        self,
        desk: Callable[[], D],
        couriers: Couriers[tuple[int, J], R_contra],
        told: Told,
        notes: Notes[N],
        *,
        here: Callable[[], bool],
        ready: Callable[[], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._make_desk, self._couriers = desk, couriers
        self._told, self._notes = told, notes
        self._here, self._ready, self._now = here, ready, now
        self._desk: D | None = None
        self._offset = 0
        self._round = 0
        self._unsaved: list[N] = []

    def turn(self) -> None:
        """Take in what is told, and have done what is due.

        Raises:
            StreamLineageError: Kafka does not answer.
        """
        if not self._here():
            self._desk = None
            self._gone()
            return
        desk = self._desk = self._desk or self._begin()
        self._save()
        ready, end = self._ready(), self._told.end()
        while self._offset < end:
            messages, self._offset = self._told.read(self._offset)
            for _, heard in messages:
                desk.take(heard)
            self._taken(desk)
        self._ends(desk)
        if not ready:
            self._unready(desk)
            return
        for job in desk.due(self._now()):
            if not self._here():
                return
            self._start(desk, job)

    @abstractmethod
    def _ended(self, desk: D | None, job: J, result: R_contra) -> N | None:
        """What is to be noted, if anything; ``desk`` is null where another worker has gone on meanwhile."""

    @abstractmethod
    def _gone(self) -> None:
        """This worker is not the one, or not any more."""

    def _begin(self) -> D:
        """The desk of whoever goes on."""
        desk = self._make_desk()
        self._load(desk, self._notes.records())
        self._round += 1
        self._offset = 0
        return desk

    def _load(self, desk: D, records: Iterable[tuple[bytes, N | None]]) -> None:
        for _, note in records:
            if note is not None:
                desk.load(note)

    def _taken(self, desk: D) -> None:
        """A portion of what is told was taken in."""

    def _unready(self, desk: D) -> None:
        """What was taken in was looked at without its owners."""

    def _mine(self, desk: D, note: N) -> bool:
        """Whether what was noted is to be done, and here."""
        return True

    def _start(self, desk: D, job: J) -> None:
        note = desk.begun(job, self._now())
        try:
            self._notes.write(note.key, note.to_bytes())
            mine = self._mine(desk, note)
        except StreamLineageError:
            desk.let_go(job)
            raise
        if mine:
            self._couriers.offer(job.name, (self._round, job))
        else:
            desk.let_go(job)

    def _ends(self, desk: D | None) -> None:
        """All are taken in before one is noted: what cannot be noted now holds up nobody else."""
        for _, (number, job), result in self._couriers.done():
            made = self._ended(desk if number == self._round else None, job, result)
            if made is not None:
                self._unsaved.append(made)
        self._save()

    def _save(self) -> None:
        while self._unsaved:
            self._notes.write(self._unsaved[0].key, self._unsaved[0].to_bytes())
            del self._unsaved[0]


def ours(error: BaseException) -> str:
    """What is noted of what should not have been raised."""
    return f"an error of ours: {type(error).__name__}"

"""How old what the provenance index holds is: whatever was written to our own topics until then is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream_lineage.errors import IndexUnusable, StreamLineageError
from stream_lineage.serve.ports import Ends

LOOK_SECONDS = 5.0
_MOST = 1_000
"""Past looks that are kept; even, so that the last one is among every second of one more."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """What an index says of itself: the next offset that it reads of each partition, and as of when it has everything,
    where it says so."""

    positions: Mapping[tuple[str, int], int]
    whole_at: datetime | None


@dataclass(frozen=True, slots=True)
class Age:
    """``as_of``: everything that was written until then is in the index; null: since when something is missing is not
    known. ``missing`` messages of our own topics were not read at the last look; null: Kafka did not say."""

    as_of: datetime | None = None
    missing: int | None = None

    def seconds(self, now: datetime) -> float | None:
        """So long nothing that was written is sure to be in it."""
        return None if self.as_of is None else max((now - self.as_of).total_seconds(), 0.0)


class IndexAge:
    """``look`` again and again, in one thread; ``age`` is what was seen last, for any thread.

    Where our topics ended at past looks is kept until the index has read so far: also one that is never quite at the
    end, since there is always something new, is told its true age.

    Args:
        ends: asks Kafka where our topics end; raises errors of ours.
        state: asks the index; raises errors of ours.
        clock: the present time.
    """

    def __init__(
        self, ends: Callable[[], Ends], state: Callable[[], IndexState], clock: Callable[[], datetime]
    ) -> None:
        self._ends = ends
        self._state = state
        self._clock = clock
        self._asked: list[tuple[datetime, Ends]] = []
        self._positions: Mapping[tuple[str, int], int] = {}
        self.age: Age | None = None
        """Null until it was looked for the first time."""

    def look(self) -> None:
        """Ask both. Without an index nothing is known; without Kafka what the index says of itself.

        Raises:
            StreamLineageError: Kafka does not answer, or the index has no time.
        """
        begun, trouble = self._clock(), None
        try:
            self._asked.append((begun, self._ends()))
            if len(self._asked) > _MOST:  # also where there is no index for days
                self._asked = self._asked[::2]
        except StreamLineageError as error:
            trouble = error
        try:
            state = self._state()  # asked last: what it has read by now counts
        except IndexUnusable:
            self.age = None
            return
        times = [at for at, ends in self._asked if not _missing(ends, state)]
        if self.age is not None and self.age.as_of is not None and not self._was_made_anew(state):
            times.append(self.age.as_of)
        if state.whole_at is not None:
            times.append(min(state.whole_at, begun))
        as_of = max(times, default=None)
        missing = None if trouble is not None else _missing(self._asked[-1][1], state)
        self._asked = [(at, ends) for at, ends in self._asked if as_of is None or at > as_of]
        self._positions = state.positions
        self.age = Age(as_of, missing)
        if trouble is not None:
            raise trouble

    def _was_made_anew(self, state: IndexState) -> bool:
        return any(state.positions.get(place, 0) < offset for place, offset in self._positions.items())


def standing(age: Age | None, now: datetime, most: timedelta | None) -> tuple[bool, str]:
    """Whether an index is not older than ``most``, if that is said, and how it stands, in numbers."""
    if age is None:
        return True, "it can be read; how old it is is not known yet"
    seconds = age.seconds(now)
    missing = "" if not age.missing else f"; {age.missing:,} messages of our own topics are not read yet"
    if seconds is None:
        return most is None, f"behind: it was never whole{missing}"
    late = most is not None and seconds > most.total_seconds()
    return not late, f"{'behind: ' if late else ''}as of {seconds:.0f} s ago{missing}"


def _missing(ends: Ends, state: IndexState) -> int:
    return sum(max(high - state.positions.get(place, 0), 0) for place, high in ends.items())

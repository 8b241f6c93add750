"""Which window is open for each topic, and which observations wait for it to close.

An observation is acknowledged to Kafka when the window that it is in has been stored. Until then a crash means that it
is read again, so that a window is either stored and noted as closed, or made again as a whole: nothing is kept in
between, and a flush rewrites nothing. The windows of a topic follow one another: an observation that comes late, for a
window that is closed, counts in the open one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

import orjson

from stream_lineage.agents.detection import RECREATED_AFTER, LogPosition
from stream_lineage.agents.metrics import WINDOW_SECONDS, TopicWindow, window_of
from stream_lineage.model.observation import Observation

E = TypeVar("E")
IDLE_SECONDS = 3.0
"""A window that is over is closed when nothing has come for its topic for so long. Larger: metrics of quiet topics come
later; smaller: more late observations count in the next window."""

PASSED_SECONDS = 10.0
"""A window is closed when others in its partition of the log have moved on so far. Larger: silence is told later;
smaller: what comes a little late is taken for silence."""

CLOCK_ERROR = timedelta(hours=1)
"""A window further ahead of an observation than this was made by a collector whose clock was wrong."""


@dataclass(slots=True)
class OpenWindow(Generic[E]):
    """``position`` is that of the last observation in it; ``waiting`` are the events to be acknowledged."""

    window: TopicWindow
    position: LogPosition
    touched: float
    waiting: list[E] = field(default_factory=list)


class OpenWindows(Generic[E]):
    """The open windows of the partitions that this worker has, so many ``seconds`` wide. ``E`` is what acknowledges an
    observation."""

    def __init__(self, seconds: int = WINDOW_SECONDS) -> None:
        self._seconds = seconds
        self._open: dict[bytes, OpenWindow[E]] = {}

    def add(
        self, observation: Observation, position: LogPosition, event: E, now: float, closed: Mapping[bytes, bytes]
    ) -> list[tuple[bytes, OpenWindow[E]]] | None:
        """Count an observation in; the windows to be closed before it, or null when it is in a stored window already.

        Args:
            observation: the observation.
            position: where it stands in the log.
            event: acknowledges it.
            now: of a clock that only goes forward, seconds.
            closed: what is noted of closed windows, by key.
        """
        key = window_key(observation.topic)
        through, passed = _closed(closed.get(key), position, observation.observed_at)
        if passed:
            return None
        start = window_of(observation, self._seconds)
        if through is not None and start < through <= start + CLOCK_ERROR:
            start = through
        current = self._open.get(key)
        due: list[tuple[bytes, OpenWindow[E]]] = []
        if current is not None and not start <= current.window.start <= start + CLOCK_ERROR:
            due.append((key, current))
            current = None
        if current is None:
            current = OpenWindow(self._window(observation, start), position, now)
            self._open[key] = current
        current.window.add(observation)
        current.position = position
        current.touched = now
        current.waiting.append(event)
        return due

    def due(self, wall: datetime, now: float, known: Callable[[int], float]) -> list[tuple[bytes, OpenWindow[E]]]:
        """Take out the windows that are over: by the clock on the wall, with their topics idle, or by what is ``known``
        of their partitions of the log, in seconds since the epoch, which others have moved on."""
        over = [
            (key, current)
            for key, current in self._open.items()
            if (current.window.end <= wall and now - current.touched >= IDLE_SECONDS)
            or current.window.end.timestamp() + PASSED_SECONDS <= known(current.position.partition)
        ]
        for key, _ in over:
            del self._open[key]
        return over

    def drop(self) -> None:
        """Forget all: their observations will be read again, by whoever has their partitions then."""
        self._open.clear()

    def _window(self, observation: Observation, start: datetime) -> TopicWindow:
        return TopicWindow(observation.cluster, observation.topic, start, seconds=self._seconds)

    @property
    def topics(self) -> set[str]:
        """The topics that have one."""
        return {current.window.topic for current in self._open.values()}

    def __len__(self) -> int:
        return len(self._open)


def window_key(topic: str) -> bytes:
    return f"window/{topic}".encode()


def _closed(value: bytes | None, position: LogPosition, observed_at: datetime) -> tuple[datetime | None, bool]:
    """Until when the topic's windows are closed, and whether the observation at ``position`` is in one of them."""
    if value is None:
        return None, False
    document = orjson.loads(value)
    through = datetime.fromtimestamp(document["at_ms"] / 1000, UTC)
    noted = LogPosition(*document["position"])
    passed = (
        noted.partition == position.partition
        and position.offset <= noted.offset
        and observed_at <= through + RECREATED_AFTER
    )
    return through, passed

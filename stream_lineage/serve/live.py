"""Alerts as they come, handed to everybody who listens."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass

MOST_LISTENERS = 100
_KEPT = 500
"""Alerts that are given again to whoever comes back."""
_WAITING = 200
"""Alerts that may wait for one listener, who is let go beyond that."""


@dataclass(frozen=True, slots=True)
class LiveAlert:
    """``place`` tells where it is among the others: its topic's channel and offset, ``drift.17``. ``body`` is JSON."""

    place: str
    body: bytes


class Listener:
    """One who listens, in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[LiveAlert | None] = asyncio.Queue(_WAITING + 1)

    async def next(self, seconds: float) -> LiveAlert:
        """What comes next.

        Raises:
            TimeoutError: nothing came for so long.
            EOFError: it is over: it was too slow, or nobody tells any more.
        """
        found = await asyncio.wait_for(self._queue.get(), seconds)
        if found is None:
            raise EOFError
        return found

    def give(self, alert: LiveAlert | None) -> None:
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, alert)

    def _put(self, alert: LiveAlert | None) -> None:
        if alert is None or self._queue.qsize() >= _WAITING:
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait(None)
        else:
            self._queue.put_nowait(alert)


class LiveAlerts:
    """``tell`` in one thread, listen in any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._last: deque[LiveAlert] = deque(maxlen=_KEPT)
        self._closed = False

    def tell(self, alert: LiveAlert) -> None:
        with self._lock:
            self._last.append(alert)
            listeners = list(self._listeners)
        for each in listeners:
            each.give(alert)

    def listen(self, after: str | None = None) -> tuple[Listener, list[LiveAlert]] | None:
        """A listener, and what came since the place that it has got to, as far as that is remembered; null where too
        many listen, or nobody tells any more."""
        made = Listener(asyncio.get_running_loop())
        with self._lock:
            if self._closed or len(self._listeners) >= MOST_LISTENERS:
                return None
            self._listeners.add(made)
            last = list(self._last)
        places = [each.place for each in last]
        return made, last[places.index(after) + 1 :] if after in places else []

    def leave(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Let everybody go."""
        with self._lock:
            self._closed = True
            listeners = list(self._listeners)
        for each in listeners:
            each.give(None)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

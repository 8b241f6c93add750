"""One thing that goes wrong a thousand times a second is told a few times, and how often it came."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import structlog

_LIMITED = frozenset({"warning", "error", "critical"})
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An event that came ``left_out`` times more than was logged."""

    logger: str
    level: str
    event: str
    left_out: int


@dataclass(slots=True)
class _Window:
    since: float
    admitted: int = 0
    left_out: int = 0
    topics: dict[str, int] = field(default_factory=dict)


class RepeatLimit:
    """A structlog processor that lets a warning or error through ``burst`` times per topic, and ``most`` times in all,
    per ``window_seconds``. Thread-safe.

    Events are the same when logger, level and text are. The first one is never left out. The first one of the next
    window says in ``suppressed`` how many were; where none comes, ``over`` does. Larger ``burst`` and ``most``: more
    repetition; larger ``window_seconds``: longer silence. ``remembered`` bounds the events that are told apart.
    """

    def __init__(
        self,
        *,
        burst: int = 5,
        most: int = 50,
        window_seconds: float = 60.0,
        remembered: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._most = most
        self._window_seconds = window_seconds
        self._remembered = remembered
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[_Key, _Window] = OrderedDict()
        self._hot: set[_Key] = set()
        self._forgotten: list[Repeated] = []

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        level = event.get("level", method)
        if level not in _LIMITED:
            return event
        key = (str(event.get("logger")), level, str(event.get("event")))
        with self._lock:
            window, left_out = self._window(key)
            admitted = self._admits(key, window, str(event.get("topic")))
        if not admitted:
            raise structlog.DropEvent
        if left_out:
            event["suppressed"] = left_out
        return event

    def admits(self, record: logging.LogRecord) -> bool:
        """The same for records of other libraries, as a filter of the standard library."""
        level = record.levelname.lower()
        if isinstance(record.msg, dict) or level not in _LIMITED:
            return True  # an event of ours has passed already
        key = (record.name, level, str(record.msg))
        with self._lock:
            window, left_out = self._window(key)
            if left_out:
                self._forgotten.append(Repeated(*key, left_out))
            return self._admits(key, window, "")

    def over(self, *, at_once: bool = False) -> list[Repeated]:
        """What was left out in windows that are over by now, or with ``at_once`` in all; each is told once."""
        if not self._hot and not self._forgotten:
            return []
        now = self._clock()
        with self._lock:
            told, self._forgotten = self._forgotten, []
            for key in sorted(self._hot):
                window = self._seen[key]
                if at_once or now - window.since >= self._window_seconds:
                    told.append(Repeated(*key, window.left_out))
                    window.left_out = 0
                    self._hot.discard(key)
            return told

    def _window(self, key: _Key) -> tuple[_Window, int]:
        """The window of an event, and how many were left out in the one before where this is a new one."""
        now, left_out = self._clock(), 0
        window = self._seen.pop(key, None)
        if window is None or now - window.since >= self._window_seconds:
            left_out = 0 if window is None else window.left_out
            window = _Window(now)
            self._hot.discard(key)
        self._seen[key] = window
        if len(self._seen) > self._remembered:
            oldest, gone = self._seen.popitem(last=False)
            if gone.left_out:
                self._hot.discard(oldest)
                self._forgotten.append(Repeated(*oldest, gone.left_out))
        return window, left_out

    def _admits(self, key: _Key, window: _Window, topic: str) -> bool:
        count = window.topics.get(topic, 0)
        if count < self._burst and window.admitted < self._most:
            window.topics[topic] = count + 1
            window.admitted += 1
            return True
        window.left_out += 1
        self._hot.add(key)
        return False

"""Which message is in hand: the one that ``poll`` returned last, until the next ``poll``, in the same thread and task.

Parents are taken from here only while there is no doubt. A message that was polled by another thread or another task
is not in hand, nor is one of two that consumers of one thread have polled, nor any while delivery reports are served.
"""

from __future__ import annotations

import weakref
from asyncio import _get_running_loop as running_loop
from asyncio import current_task
from collections.abc import Callable
from threading import get_ident
from typing import Any

LIVE: dict[int, weakref.ref[Hand]] = {}
"""The hands of all consumers of the process."""
SERVING: dict[int, Serving] = {}
"""By thread: what is serving delivery reports there."""


class Hand:
    """That of one consumer: ``message``, and the thread and task that polled it."""

    __slots__ = ("__weakref__", "message", "task", "thread")

    def __init__(self) -> None:
        self.message: Any = None
        self.thread = 0
        self.task: Any = None
        """The task of the event loop that polled; null: it was no task."""
        LIVE[id(self)] = weakref.ref(self, _forget(id(self)))

    def release(self) -> None:
        """There is nothing in it any more, and will be nothing."""
        self.message = None
        LIVE.pop(id(self), None)

    def held(self) -> Any:
        """The one message that whoever asks has in hand; null where there is none, or where there may be another."""
        message = self.message
        own = get_ident()
        if message is None or self.thread != own or message.error() is not None:
            return None
        if running_loop() is None:
            if self.task is not None:
                return None
        elif current_task() is not self.task:
            return None
        if (SERVING and own in SERVING) or (len(LIVE) > 1 and self._others(own)):
            return None
        return message

    def _others(self, thread: int) -> bool:
        hands = [hand for reference in list(LIVE.values()) if (hand := reference()) is not None]
        return any(hand is not self and hand.message is not None and hand.thread == thread for hand in hands)


class Serving:
    """While delivery reports are served: they are about other messages than the one in hand."""

    __slots__ = ("_outer", "_thread")

    def __enter__(self) -> None:
        self._thread = get_ident()
        self._outer = SERVING.get(self._thread)
        SERVING[self._thread] = self

    def __exit__(self, *_: object) -> None:
        if self._outer is None:
            SERVING.pop(self._thread, None)
        else:
            SERVING[self._thread] = self._outer


def _forget(key: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        LIVE.pop(key, None)

    return forget

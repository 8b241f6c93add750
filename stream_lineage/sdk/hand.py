"""Which message is in hand: the one that ``poll`` returned last, until the next ``poll``, in the same thread and task.

Parents are taken from here only while there is no doubt. A message that was polled by another thread or another task
is not in hand, nor is one of two that consumers of one thread have polled, nor any while delivery reports are served.
"""

from __future__ import annotations

import asyncio.tasks
import os
from asyncio import _get_running_loop as running_loop
from asyncio import current_task
from collections.abc import Callable, Collection
from threading import RLock, get_ident, local
from typing import Any
from weakref import ref

SERVING: dict[int, object] = {}
"""By thread: one for each call that is serving delivery reports there, the innermost."""
CHANGING = RLock()
"""Held for a few assignments, where a consumer's hand is made or ends."""
_NOBODYS: Any = RLock()  # is never acquired
if hasattr(os, "register_at_fork") and hasattr(CHANGING, "_at_fork_reinit"):
    os.register_at_fork(after_in_child=CHANGING._at_fork_reinit)  # whoever held it is not in the child


def _working() -> Collection[Any]:
    """Empty while no task of any event loop of this process is being worked on.

    Where asyncio answers ``current_task`` from a dict (up to Python 3.13 at least), it is that dict. Elsewhere it is
    never empty.
    """
    tasks: Any = getattr(asyncio.tasks, "_current_tasks", None)
    loop: Any = object()
    if isinstance(tasks, dict):
        tasks[loop] = task = object()
        try:
            if current_task(loop) is task:
                return tasks
        finally:
            del tasks[loop]
    return (None,)


WORKING = _working()
"""Whether it is empty is known in a tenth of the time that it takes to ask for this thread's task."""


def task_here() -> Any:
    """The task that is being worked on in this thread; null: none is."""
    return None if running_loop() is None else current_task()


class Hand:
    """That of one consumer in one thread, and in one task or in none: those that make it.

    Another thread or task that polls has a hand of its own. So a message never gets into the hand of somebody who has
    not polled it, whatever several threads do at once.
    """

    __slots__ = ("__weakref__", "message", "owner", "peers", "task", "thread")

    def __init__(self) -> None:
        self.message: Any = None
        self.thread = get_ident()
        self.task: Any = task_here()
        self.owner: Any = _NOBODYS
        """Of the thread's, where it is no task's. Nobody waits for this lock: it says whether who asks is its owner in
        less time than it takes to ask for the thread's number."""
        if self.task is None:
            self.owner = RLock()
            self.owner.acquire()
        self.peers = _hands_here()
        """Of its thread, itself among them."""
        self.peers[id(self)] = ref(self, _forget(self.peers, id(self)))

    def release(self) -> None:
        """There is nothing in it any more, and will be nothing."""
        self.message = None
        self.thread = 0
        self.owner = _NOBODYS
        self.peers.pop(id(self), None)

    def fits(self) -> bool:
        """Whether it is of the thread and the task that ask."""
        return self.thread == get_ident() and self.task is task_here()

    def held(self) -> Any:
        """The one message that whoever asks has in hand; null where there is none, or where there may be another."""
        message = self.message
        if message is None or ((WORKING or not self.owner._is_owned()) and not self.fits()):
            return None
        if message.error() is not None or (SERVING and get_ident() in SERVING):
            return None
        return None if len(self.peers) > 1 and self._another() else message

    def _another(self) -> bool:
        hands = [hand for reference in list(self.peers.values()) if (hand := reference()) is not None]
        return any(hand is not self and hand.message is not None for hand in hands)


class _Thread:
    """Ends with its thread. What that had in hand is in no hand then: the numbers of threads are given again."""

    __slots__ = ("hands",)

    def __init__(self) -> None:
        self.hands: dict[int, ref[Hand]] = {}

    def __del__(self) -> None:
        for reference in list(self.hands.values()):
            hand = reference()
            if hand is not None:
                hand.release()


_threads = local()


def _hands_here() -> dict[int, ref[Hand]]:
    try:
        thread: _Thread = _threads.this
    except AttributeError:
        thread = _threads.this = _Thread()
    return thread.hands


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


def _forget(hands: dict[int, ref[Hand]], key: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        hands.pop(key, None)

    return forget

"""Where handlers do their work: what the index and the graph answer in a few threads, so that those who ask are served
in turn and do not fight for the interpreter; what waits for others (Kafka, the registry, the store) in many; what waits
for the index to catch up in some of its own, so that it keeps nobody else from those. What takes less than the way to a
thread and back is answered in the event loop, as far as it is known to be so little."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from stream_lineage.serve.ports import Lineage, Sources, TakesLonger

P = ParamSpec("P")
T = TypeVar("T")
QUICK = 2
SLOW = 32
PATIENT = 16


class Threads:
    """Those of one application."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(QUICK, "quick")
        self._slow = ThreadPoolExecutor(SLOW, "slow")
        self._patient = ThreadPoolExecutor(PATIENT, "patient")

    def quickly(self, handler: Callable[P, T]) -> Callable[P, Awaitable[T]]:
        """A handler that asks the index and the graph alone."""
        return _elsewhere(self._quick, handler)

    def shortly(self, lineage: Lineage, handler: Callable[Concatenate[Sources, P], T]) -> Callable[P, Awaitable[T]]:
        """One whose answers are small nearly always: at once, else as ``quickly``."""
        later = self.quickly(functools.partial(handler, lineage))

        async def called(*arguments: P.args, **named: P.kwargs) -> T:
            try:
                return handler(lineage.at_once, *arguments, **named)
            except TakesLonger:
                return await later(*arguments, **named)

        return called

    def slowly(self, handler: Callable[P, T]) -> Callable[P, Awaitable[T]]:
        """A handler that waits for others."""
        return _elsewhere(self._slow, handler)

    def patiently(self, handler: Callable[P, T]) -> Callable[P, Awaitable[T]]:
        """What waits for the index."""
        return _elsewhere(self._patient, handler)


def _elsewhere(threads: ThreadPoolExecutor, handler: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(handler)
    async def called(*arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            threads, functools.partial(handler, *arguments, **named)
        )

    return called

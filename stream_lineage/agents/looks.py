"""What a worker looks at now and then, beside its stream."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger, trail

SAID_AGAIN_SECONDS = 3600.0
"""How long after it was said a trouble that lasts is said again."""
_log = get_logger("stream_lineage.agents")
_T = TypeVar("_T")


class Looks:
    """Timers of a Faust app. A look that fails ends the worker, and with it all that it may hold half done: Faust would
    log it and go on."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._said: dict[str, float] = {}

    @property
    def settled(self) -> bool:
        """Whether the table is what it will be."""
        return not self._app.rebalancing and not self._app.in_recovery

    def every(
        self,
        seconds: float,
        look: Callable[[], Awaitable[None]],
        *,
        fails: str,
        when: Callable[[], bool] = lambda: True,
    ) -> None:
        """Look each so many seconds, where ``when`` says so. ``fails`` is what is logged when it does."""

        async def turn() -> None:
            if not when():
                return
            try:
                await look()
            except Exception as error:
                _log.exception(fails)
                await self._app.crash(error)
                raise

        self._app.timer(seconds)(turn)

    def reading(
        self,
        seconds: float,
        read: Callable[[], Awaitable[_T]],
        judge: Callable[[_T], Awaitable[None]],
        *,
        unread: str,
        fails: str,
        when: Callable[[], bool] = lambda: True,
    ) -> None:
        """The same for what is read first. What cannot be read now (StreamLineageError) ends nothing: ``unread`` is
        logged, and it is tried again."""

        async def look() -> None:
            try:
                found = await read()
            except StreamLineageError as error:
                self.trouble(unread, error)
                return
            await judge(found)

        self.every(seconds, look, fails=fails, when=when)

    def trouble(self, what: str, error: Exception) -> None:
        """Log a trouble that may last, once in an hour."""
        now = time.monotonic()
        if now - self._said.get(what, -SAID_AGAIN_SECONDS) < SAID_AGAIN_SECONDS:
            return
        self._said[what] = now
        if isinstance(error, StreamLineageError):
            _log.warning(what, error=error.message, hint=error.hint)
        else:
            _log.error(what, error=trail(error))

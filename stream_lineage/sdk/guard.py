"""What went wrong inside the SDK is said in the log, now and then, and nowhere else.

Neither messages of exceptions nor values are logged: they may hold what was being written.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import PurePath

_log = logging.getLogger("stream_lineage.sdk")
EVERY_SECONDS = 300.0


class Notices:
    """One line for each kind of trouble, at most so often."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, kind: str, text: str, error: BaseException | None = None) -> None:
        now = time.monotonic()
        if now - self._told.get(kind, -EVERY_SECONDS) < EVERY_SECONDS:
            return
        self._told[kind] = now
        with suppress(Exception):  # of the application's handlers and filters
            _log.warning("%s%s", text, "" if error is None else f" ({_trail(error)})")


def _trail(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"

"""Work beside the pipeline, in a thread of its own that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger

RETRY_SECONDS = 5.0
_log = get_logger("stream_lineage.agents")


class Beside:
    """``turn`` again and again, with a pause in between, until ``stop``. What fails is said and tried again."""

    def __init__(self, name: str, turn: Callable[[], None], pause_seconds: float) -> None:
        self._name = name
        self._turn = turn
        self._pause = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """It ends after what it does at the moment."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = self._pause
            try:
                self._turn()
            except StreamLineageError as error:
                _log.warning("what is done beside detection cannot be done now", what=self._name, error=error.message)
                pause = RETRY_SECONDS
            except Exception:  # noqa: BLE001 - a thread that is gone would do nothing any more
                _log.exception("what is done beside detection cannot be done now", what=self._name)
                pause = RETRY_SECONDS
            self._stop.wait(pause)

"""Where our own topics end, asked of Kafka once for all who want to know at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.serve.ports import Ends

_log = get_logger("stream_lineage.serve")


class OwnEnds:
    """``asked`` from any thread. ``ask`` asks Kafka, and raises errors of ours."""

    def __init__(self, ask: Callable[[], Ends]) -> None:
        self._ask = ask
        self._state = threading.Condition()
        self._found: Ends | None = None
        self._begun = 0
        """Questions to Kafka that were begun."""
        self._over = 0

    def asked(self, seconds: float) -> Ends | None:
        """What Kafka answers to a question that begins from now on; null where it does not within so long."""
        deadline = time.monotonic() + seconds
        with self._state:
            wanted = self._begun + 1
            if self._begun == self._over:
                self._begin()
            while self._over < wanted:
                if not self._state.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    return None
                if self._over < wanted and self._begun == self._over:
                    self._begin()
            return self._found

    def _begin(self) -> None:
        self._begun += 1
        threading.Thread(target=self._run, name="own-ends", daemon=True).start()

    def _run(self) -> None:
        found: Ends | None = None
        try:
            found = self._ask()
        except StreamLineageError as error:
            _log.warning("where our own topics end is not known", error=error.message)
        except Exception:  # noqa: BLE001 - whoever waits must not wait for what will not come
            _log.exception("where our own topics end is not known")
        with self._state:
            self._found, self._over = found, self._over + 1
            self._state.notify_all()

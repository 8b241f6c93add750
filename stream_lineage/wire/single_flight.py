"""One caller works, the others that ask for the same thing meanwhile wait for its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class SingleFlight:
    """Runs at most one call per key at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[Any]] = {}

    def do(self, key: Hashable, call: Callable[[], T]) -> T:
        """The result of ``call``, or of the one that is under way for ``key``; its exception likewise."""
        with self._lock:
            future = self._under_way.get(key)
            leads = future is None
            if future is None:
                future = self._under_way[key] = Future()
        if not leads:
            shared: T = future.result()
            return shared
        try:
            result = call()
        except BaseException as error:
            self._land(key, future)
            future.set_exception(error)
            raise
        self._land(key, future)
        future.set_result(result)
        return result

    def _land(self, key: Hashable, future: Future[Any]) -> None:
        with self._lock:
            del self._under_way[key]

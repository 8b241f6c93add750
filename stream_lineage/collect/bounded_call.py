"""Calls into a client library that may not return when they should."""

from __future__ import annotations

import threading
from collections.abc import Callable


def within(seconds: float, call: Callable[[], object]) -> None:
    """Make a call in a thread of its own. What it raises is raised here.

    Raises:
        TimeoutError: it has not returned yet. It goes on, and holds what it holds, until it does.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  (raised where it can be seen)
            raised.append(error)

    thread = threading.Thread(target=run, name="bounded-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"a call has not returned after {seconds:g} s")
    if raised:
        raise raised[0]

"""Keeping Python from searching for reference cycles where there are none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Parsed records are many containers without a cycle. The search goes through all of them again and again while
    they are made: it took nine tenths of the time for nested JSON. Others that run meanwhile do without it too."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()

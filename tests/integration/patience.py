"""How long tests wait: the seconds that they name are those of a quiet machine; a busy one gets some times as many."""

from __future__ import annotations

import time

FACTOR = 4.0
"""Larger: fewer tests fail where the machine is slow, and a test that waits in vain takes longer to say so."""


def patient(seconds: float) -> float:
    """Seconds to wait for what takes at most ``seconds`` on a quiet machine."""
    return seconds * FACTOR


def deadline_in(seconds: float) -> float:
    """The monotonic time, in seconds, at which to give up on what takes at most ``seconds`` on a quiet machine."""
    return time.monotonic() + patient(seconds)

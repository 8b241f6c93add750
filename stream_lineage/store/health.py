"""How a store is getting on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """``ready``: points can be taken. ``trouble`` says what is wrong, and is empty where nothing is.

    Of points that wait on the disk: how many, and the age of the oldest in seconds. Of points that will never arrive,
    since the start: refused by the store, set aside because it fails on them, dropped because the outbox was full or
    they were too old, damaged on the disk (records, of one or more points). ``series`` are written by this process,
    ``max_series`` at most, those of events apart; ``series_left_out`` exceed that and went into ``__other__``.
    """

    ready: bool = True
    trouble: str = ""
    waiting: int = 0
    waiting_bytes: int = 0
    oldest_seconds: float = 0.0
    sent: int = 0
    refused: int = 0
    set_aside: int = 0
    dropped: int = 0
    damaged: int = 0
    series: int = 0
    max_series: int = 0
    series_left_out: int = 0

"""Points in time as people say them: a timestamp, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from stream_lineage.cli.timestamps import TimestampReader

_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment_before(text: str, now: datetime) -> datetime:
    """``3d``, ``1d12h`` and ``90m`` before ``now``; or a time, UTC unless it says so.

    Raises:
        click.UsageError: it is neither.
    """
    said = text.strip().removesuffix("ago").strip()
    if _AGO.fullmatch(said):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(said))
        try:
            return now - timedelta(seconds=seconds)
        except OverflowError:
            pass
    at = TimestampReader().read(text)
    try:
        if at is not None:
            return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        pass
    raise click.UsageError(f"{text!r} is no time: say 2026-03-01T12:00Z, or how long ago: 3d, 12h, 90m")

"""Timestamps as they stand in files of other tools."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_FORMATS = (
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y",
    "%m/%d/%y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y-%m-%d %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d %b %Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
)
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))
"""Numbers below are seconds, milliseconds, microseconds, nanoseconds."""


class TimestampReader:
    """Reads cells of one column: seconds, milliseconds, microseconds or nanoseconds since the epoch; ISO 8601, with or
    without a zone; and what spreadsheets and logs write. Times without a zone are UTC. Of 03/04/2026 the month is
    first, unless the column has shown that it is not; then the day is."""

    def __init__(self) -> None:
        self._format: str | None = None

    def read(self, cell: str) -> float | None:
        """Seconds since the epoch; null where the cell is no timestamp."""
        text = cell.strip()
        if not text:
            return None
        if self._format is not None:
            found = _parsed(text, self._format)
            if found is not None:
                return found
        if len(text) != 8 and text.replace(".", "", 1).isdigit():  # 20260401 is a date in ISO 8601
            return _number(text)
        try:
            return _seconds(datetime.fromisoformat(text))
        except ValueError:
            return self._other(text)

    def _other(self, text: str) -> float | None:
        number = _number(text)
        if number is not None:
            return number
        if text.endswith(("UTC", "GMT")):
            text = text[:-3].strip()
            try:
                return _seconds(datetime.fromisoformat(text))
            except ValueError:
                pass
        for form in _FORMATS:
            found = _parsed(text, form)
            if found is not None:
                self._format = form
                return found
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or "_" in text:
        return None
    return next(number / unit for limit, unit in _UNITS if abs(number) < limit)


def _parsed(text: str, form: str) -> float | None:
    try:
        return _seconds(datetime.strptime(text, form))  # noqa: DTZ007  (no zone is UTC)
    except ValueError:
        return None


def _seconds(moment: datetime) -> float:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return math.nan

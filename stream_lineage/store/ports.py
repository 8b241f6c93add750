"""What metrics are written to and read from. Every implementation passes one contract suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from stream_lineage.store.health import Health

FieldValue = float | int | str | bool
Aggregation = Literal["mean", "min", "max", "sum", "count", "last"]


@dataclass(frozen=True, slots=True)
class Point:
    """Fields of one series at one time.

    A series is a measurement and its tags. ``time`` is timezone-aware and kept to the microsecond. Numbers are doubles:
    a whole one is exact up to 2**53 and may come back as a float. A field has one kind in all series of its measurement
    for ever, number, text or boolean: what a store does with a point that contradicts is its own affair.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
    time: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """One aggregated value of one series. ``time`` is the start of a window that is aligned to the epoch."""

    tags: Mapping[str, str]
    time: datetime
    value: float


class MetricStore(Protocol):
    """Where points are kept.

    Any text is a legal name or value. ``tags`` in a question selects the series that have these tags with these values,
    whatever other tags they have. Times are half-open ranges, ``start <= time < end``.

    Raises:
        ConnectionFailed: from every method, when the store cannot be reached, read or written.
    """

    def write(self, points: Iterable[Point]) -> None:
        """Write all points or none. A point of the same series and time replaces the fields of the same names, so that
        writing a point twice is writing it once. Fields that are not finite are left out."""
        ...

    def latest(
        self, measurement: str, tags: Mapping[str, str] | None = None, *, before: datetime | None = None
    ) -> list[Point]:
        """The last point of each series, ordered by tags; ``before``: of those of an earlier time alone."""
        ...

    def range(
        self, measurement: str, start: datetime, end: datetime, tags: Mapping[str, str] | None = None
    ) -> list[Point]:
        """All points, ordered by time, then by tags."""
        ...

    def aggregate(
        self,
        measurement: str,
        field: str,
        start: datetime,
        end: datetime,
        *,
        window_seconds: float,
        aggregation: Aggregation = "mean",
        tags: Mapping[str, str] | None = None,
    ) -> list[Bucket]:
        """One bucket for each series and window that holds a number (or boolean) under ``field``, ordered by tags and
        time."""
        ...

    def forget(self, before: datetime) -> None:
        """Delete all points whose time is before this one."""
        ...

    def health(self) -> Health:
        """How it is getting on. Asks nobody and does not wait."""
        ...

    def close(self) -> None:
        """Give back files and connections. Nothing may be called afterwards."""
        ...

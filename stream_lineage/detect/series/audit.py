"""Alerts of a series held against incidents that are known: how many alerts were right, how many incidents were found,
and how late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from stream_lineage.detect.series.live_series import LiveSeries

MONTH_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Incident:
    """From ``start`` to ``end``, seconds since the epoch, both included."""

    start: float
    end: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An excursion: from the value that opened it to the last one that was still out of line."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Audit:
    """``right``: alarms that overlap an incident. ``found``: incidents that an alarm overlaps. ``delays``: seconds from
    the start of each found incident to its first alarm, 0 where one was on. ``seconds``: how long was watched."""

    alarms: int
    right: int
    incidents: int
    found: int
    delays: tuple[float, ...]
    seconds: float

    @property
    def precision(self) -> float | None:
        return self.right / self.alarms if self.alarms else None

    @property
    def recall(self) -> float | None:
        return self.found / self.incidents if self.incidents else None

    @property
    def median_delay_seconds(self) -> float | None:
        return median(self.delays) if self.delays else None

    @property
    def false_per_month(self) -> float | None:
        """False alarms of one series in a month."""
        return (self.alarms - self.right) * MONTH_SECONDS / self.seconds if self.seconds > 0 else None

    def __add__(self, other: Audit) -> Audit:
        return Audit(
            self.alarms + other.alarms,
            self.right + other.right,
            self.incidents + other.incidents,
            self.found + other.found,
            self.delays + other.delays,
            self.seconds + other.seconds,
        )


def alarms(live: LiveSeries, rows: Iterable[tuple[float, float, float]]) -> list[Alarm]:
    """The excursions of a series. ``rows`` are times, values and of how many samples each was made; what a detector
    has learned before is what ``live`` knows."""
    found: list[Alarm] = []
    opened: float | None = None
    latest = 0.0
    for at, value, weight in rows:
        if live.observe(at, value, weight).alert:
            opened, latest = at if opened is None else opened, at
        elif opened is not None:
            found.append(Alarm(opened, max(opened, latest)))
            opened = None
    if opened is not None:
        found.append(Alarm(opened, max(opened, latest)))
    return found


def audited(alarms: Sequence[Alarm], incidents: Iterable[Incident], first: float, last: float) -> Audit:
    """Hold the alarms of one series, watched from ``first`` to ``last``, against the incidents of that time."""
    known = [each for each in incidents if each.end >= first and each.start <= last]
    right = sum(any(_overlap(alarm, incident) for incident in known) for alarm in alarms)
    delays = [
        max(0.0, min(hits) - incident.start)
        for incident in known
        if (hits := [alarm.start for alarm in alarms if _overlap(alarm, incident)])
    ]
    return Audit(len(alarms), right, len(known), len(delays), tuple(delays), max(0.0, last - first))


def _overlap(alarm: Alarm, incident: Incident) -> bool:
    return alarm.start <= incident.end and incident.start <= alarm.end

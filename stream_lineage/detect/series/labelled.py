"""Alarms of many series held against incidents that people have labelled: which sensitivity would have caught which of
them, by what, how late, and with how many false alarms besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from stream_lineage.detect.series.audit import MONTH_SECONDS, Alarm


@dataclass(frozen=True, slots=True)
class SeriesName:
    """``node`` is a topic, a consumer group or what a metric was pushed for; ``field`` null for all of it."""

    node: str
    metric: str
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.node} {self.metric}{'' if self.field is None else f' of {self.field}'}"


@dataclass(frozen=True, slots=True)
class LabelledIncident:
    """From ``start`` to ``end``, seconds since the epoch, both included. ``verdict`` is null where nobody has said
    whether it was one; ``nodes`` are those that it showed at."""

    id: str
    start: float
    end: float
    verdict: bool | None
    nodes: frozenset[str]

    def meets(self, node: str, alarm: Alarm) -> bool:
        """Whether an alarm at a node may be about this incident."""
        return node in self.nodes and alarm.start <= self.end and self.start <= alarm.end


@dataclass(frozen=True, slots=True)
class Caught:
    """``by`` is the series that told of an incident first, ``delay_seconds`` after its start, 0 where it had begun."""

    incident: str
    by: SeriesName
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one sensitivity. ``missed`` are incidents that nothing told of; ``repeated`` those that people called false
    alarms, and that would be told again. ``false_alarms`` meet no incident but those; ``false_by_metric`` counts them.
    ``seconds`` is how long all series together were watched, ``span_seconds`` from the first value to the last."""

    sensitivity: float
    caught: tuple[Caught, ...]
    missed: tuple[str, ...]
    repeated: tuple[str, ...]
    false_alarms: int
    false_by_metric: Mapping[str, int]
    seconds: float
    span_seconds: float

    @property
    def median_delay_seconds(self) -> float | None:
        return median(each.delay_seconds for each in self.caught) if self.caught else None

    @property
    def false_per_month(self) -> float | None:
        """False alarms of all series together in a month."""
        return self.false_alarms * MONTH_SECONDS / self.span_seconds if self.span_seconds > 0 else None

    @property
    def false_per_series_month(self) -> float | None:
        """False alarms of one series in a month: what the sensitivity promises."""
        return self.false_alarms * MONTH_SECONDS / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Watched:
    """The alarms of one series, which was watched from ``first`` to ``last``."""

    name: SeriesName
    alarms: Sequence[Alarm]
    first: float
    last: float


def outcome(sensitivity: float, watched: Sequence[Watched], incidents: Iterable[LabelledIncident]) -> Outcome:
    """What a sensitivity would have done. Incidents that nobody has labelled count neither way: an alarm in one of them
    is not false."""
    known = list(incidents)
    first_told: dict[str, Caught] = {}
    false_by_metric: dict[str, int] = {}
    for each in watched:
        for alarm in each.alarms:
            met = [incident for incident in known if incident.meets(each.name.node, alarm)]
            for incident in met:
                found = Caught(incident.id, each.name, max(0.0, alarm.start - incident.start))
                before = first_told.get(incident.id)
                if before is None or (found.delay_seconds, str(found.by)) < (before.delay_seconds, str(before.by)):
                    first_told[incident.id] = found
            if all(incident.verdict is False for incident in met):
                false_by_metric[each.name.metric] = false_by_metric.get(each.name.metric, 0) + 1
    real = sorted((each for each in known if each.verdict), key=lambda each: (each.start, each.id))
    firsts, lasts = [each.first for each in watched], [each.last for each in watched]
    return Outcome(
        sensitivity,
        tuple(first_told[each.id] for each in real if each.id in first_told),
        tuple(each.id for each in real if each.id not in first_told),
        tuple(sorted(each.id for each in known if each.verdict is False and each.id in first_told)),
        sum(false_by_metric.values()),
        dict(sorted(false_by_metric.items())),
        sum(max(0.0, each.last - each.first) for each in watched),
        max(lasts) - min(firsts) if watched else 0.0,
    )


def suggested(outcomes: Sequence[Outcome], most_false_per_month: float, present: float) -> Outcome | None:
    """The one that catches most with no more false alarms in a month than are bearable; of equals the one with the
    fewest, then the soonest, then the one that is set at present, then the least sensitive. Null where each has more.
    """
    bearable = [each for each in outcomes if (each.false_per_month or 0.0) <= most_false_per_month]
    return min(
        bearable,
        key=lambda each: (
            -len(each.caught), each.false_alarms, each.median_delay_seconds or 0.0, each.sensitivity != present,
            each.sensitivity,
        ),
        default=None,
    )  # fmt: skip

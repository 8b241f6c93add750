"""Sensitivities held against incidents that people have labelled, over what the metric store has of the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream_lineage.detect.series.audit import alarms
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.labelled import LabelledIncident, Outcome, SeriesName, Watched, outcome
from stream_lineage.errors import NotFound
from stream_lineage.explain.live_series import LiveSeries, Measured, Span
from stream_lineage.graph.naming import naming
from stream_lineage.incidents import Told
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store
from stream_lineage.store.windows import window_start

LEAST_POINTS = 24
"""A series with fewer says nothing: its detector is not warm."""
_KINDS: Mapping[str, SeriesKind] = {
    "records": SeriesKind.COUNT, "undecoded": SeriesKind.COUNT, "null_ratio": SeriesKind.RATIO,
    "missing_ratio": SeriesKind.RATIO, "out_of_order_ratio": SeriesKind.RATIO,
}  # fmt: skip
_LEAD = timedelta(minutes=2)
"""What is told so long before an incident begins belongs to it: its beginning is known to a window only."""

OnSeries = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Question:
    """``nodes`` are looked at beside those that the incidents showed at."""

    start: datetime
    end: datetime
    window_seconds: int
    sensitivities: tuple[float, ...]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """``outcomes`` by ascending sensitivity; ``incidents`` those of the time looked at."""

    outcomes: tuple[Outcome, ...]
    incidents: tuple[LabelledIncident, ...]
    series: int
    notes: tuple[str, ...]


def audit(settings: Settings, told: Iterable[Told], question: Question, progress: OnSeries | None = None) -> Report:
    """What each sensitivity would have done.

    Raises:
        NotFound: nobody has labelled an incident of that time, or nothing is stored of it.
        ConnectionFailed: the store did not answer.
    """
    incidents = [
        each
        for each in (labelled(one, question.end) for one in told if one.incident.merged_into is None)
        if each.start <= question.end.timestamp() and each.end >= question.start.timestamp()
    ]
    if not any(each.verdict is not None for each in incidents):
        raise NotFound(
            "no incident of that time is labelled",
            hint="`stream-lineage incident label ID true --cause NODE` says that one was right, false that it was not.",
        )
    nodes = sorted({node for each in incidents if each.verdict is not None for node in each.nodes} | {*question.nodes})
    series, short = _series(settings, nodes, question)
    if not series:
        raise NotFound(f"nothing is stored of {', '.join(nodes)} from {question.start} to {question.end}")
    outcomes = []
    for done, sensitivity in enumerate(sorted(question.sensitivities)):
        watched = []
        for number, (name, points, weights) in enumerate(series):
            watched.append(_watched(name, points, weights, sensitivity, question.window_seconds))
            if progress is not None:
                progress(done * len(series) + number + 1, len(question.sensitivities) * len(series))
        outcomes.append(outcome(sensitivity, watched, incidents))
    notes = [f"{short} series have fewer than {LEAST_POINTS} points and are left out."] if short else []
    unlabelled = sum(each.verdict is None for each in incidents)
    if unlabelled:
        notes.append(f"{unlabelled} incidents are not labelled: alarms in them count neither as right nor as false.")
    return Report(tuple(outcomes), tuple(incidents), len(series), tuple(notes))


def labelled(told: Told, until: datetime) -> LabelledIncident:
    """An incident as it is held against alarms: from when what broke first began, until it was over; until ``until``
    where it is not."""
    incident, cause = told.incident, told.incident.cause or {}
    named = [each for each in cause.get("ranking", ()) if each["named"]]
    began = min(
        [each.first_at.timestamp() for each in incident.members] + [float(each["onset_interval"][0]) for each in named]
    )
    ends = [each.over_at or (each.last_at if each.once else until) for each in incident.members]
    over = incident.resolved_at or max(ends)
    nodes = {each.job if each.kind.startswith("group-") and each.job else each.topic for each in incident.members}
    nodes |= {str(each["node"]) for each in named}
    if told.label is not None and told.label.cause is not None:
        nodes.add(told.label.cause)
    return LabelledIncident(
        incident.id, began, max(over.timestamp(), began) + _LEAD.total_seconds(),
        None if told.label is None else told.label.verdict, frozenset(nodes),
    )  # fmt: skip


_Points = tuple[tuple[float, float], ...]


def _series(
    settings: Settings, nodes: Sequence[str], question: Question
) -> tuple[list[tuple[SeriesName, _Points, Mapping[float, float]]], int]:
    """With how many records each value was made of, by its time; and how many series are too short."""
    names = naming(settings.kafka.cluster_name, settings.kafka.addresses)
    width = question.window_seconds
    span = Span(window_start(question.start, width), window_start(question.end, width), width)
    found: list[tuple[SeriesName, _Points, Mapping[float, float]]] = []
    short = 0
    with closing(open_store(settings.store)) as store:
        live = LiveSeries(store, names.cluster, names.namespace, span, "records", None)
        for node in nodes:
            measured = [*live.of(names.topic(node)), *_of_group(live, names.group(node))]
            records = next((dict(each.points) for each in measured if each.metric == "records"), {})
            for each in measured:
                if len(each.points) < LEAST_POINTS:
                    short += 1
                    continue
                found.append((SeriesName(node, each.metric, each.field), each.points, records))
    return found, short


def _of_group(live: LiveSeries, job: Node) -> list[Measured]:
    lag = live.lags.get(job.name) if job.kind is NodeKind.JOB else None
    return [] if lag is None else [Measured("lag", None, lag)]


def _watched(
    name: SeriesName, points: _Points, weights: Mapping[float, float], sensitivity: float, window_seconds: int
) -> Watched:
    kind = _KINDS.get(name.metric, SeriesKind.LEVEL)
    detector = SeriesDetector(kind, sensitivity=sensitivity, window_seconds=window_seconds)
    live = detector.resume(detector.initial())
    rows = ((at, value, 1.0 if kind is SeriesKind.COUNT else weights.get(at, 1.0)) for at, value in points)
    return Watched(name, alarms(live, rows), points[0][0], points[-1][0])

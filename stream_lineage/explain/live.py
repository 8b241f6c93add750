"""The bundle of a breach in the live system: the graph as it was, series and events from the metric store.

It is the document that ``explain BUNDLE.json`` reads, so that the answer is the same whoever asks. It holds no payload
values: what is in the unit of the payloads is scaled, each series by a factor of its own, to which the search is
indifferent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stream_lineage.errors import NotFound
from stream_lineage.explain.live_events import Happened, events, versions
from stream_lineage.explain.live_series import (
    OF_PAYLOADS,
    POINT_SECONDS,
    LiveSeries,
    Measured,
    Span,
    latest_names,
    point_seconds,
)
from stream_lineage.explain.neighbourhood import Neighbourhood
from stream_lineage.explain.trend import fitting_window
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.store.ports import MetricStore
from stream_lineage.store.windows import window_start

HISTORIES = (timedelta(hours=2), timedelta(hours=12), timedelta(days=4), timedelta(days=30))
"""Tried one after the other, until the metric that is asked about has points enough."""
MOST_POINTS = 720
"""Of a series."""
LEAST_POINTS = 40
"""Of the metric that is asked about, before the breach."""
MOST_MEASURED, MOST_MEASURED_WIDE = 300, 60
"""Nodes whose series are read, and at most so many where windows are wider than points: the store adds up then."""
MOST_SERIES = 6_000
_AFTER_WINDOWS = 30
_DIGITS = 6

_ASKED = 3
"""Topics that are asked how far their points are apart, where those before have none."""

Progress = Callable[[int, int], Any]
Widths = tuple[tuple[timedelta, int], ...]
"""How long before the breach to look, in windows of how many seconds."""


@dataclass(frozen=True, slots=True)
class Question:
    """``at`` is when the breach was noticed; ``history`` how long before it to look, by itself where it is null."""

    metric: str
    field: str | None
    at: datetime
    history: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """``document`` is what ``explain`` reads. ``notes`` say what was left out of it."""

    document: dict[str, Any]
    notes: tuple[str, ...]
    window_seconds: int


def live_bundle(
    around: Neighbourhood,
    store: MetricStore,
    question: Question,
    *,
    cluster: str,
    namespace: str,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Of a breach at the node that ``around`` starts from, in the graph of that time.

    Raises:
        NotFound: nothing is measured at that node under that name at that time; the hint says what is.
        ConnectionFailed: the store cannot be read.
    """
    until = now or datetime.now(UTC)
    narrow = _narrow(store, around, question, cluster, namespace)
    span, own = _span(store, around.start, question, cluster, namespace, until, narrow)
    notes = []
    if around.left_out:
        notes.append(f"{around.left_out} nodes further away are left out.")
    most = MOST_MEASURED if span.window_seconds <= POINT_SECONDS else MOST_MEASURED_WIDE
    measured = [node for node in around.nodes if _may_be_measured(node, namespace, own.pushed)]
    chosen = measured[:most]
    if len(measured) > most:
        notes.append(f"Series of the nearest {most} of {len(measured)} nodes are read, what is upstream first.")
    series: list[dict[str, Any]] = []
    happened: list[Happened] = events(
        store, cluster, namespace, around.names, span.start, min(span.end, question.at + timedelta(seconds=1))
    )
    for done, node in enumerate(chosen):
        found = own.of(node)
        if len(series) + len(found) > MOST_SERIES:
            notes.append(f"Series of {len(chosen) - done} nodes are left out: there are more than {MOST_SERIES:,}.")
            break
        series += [_series(around.names[node], each) for each in found]
        if span.window_seconds <= POINT_SECONDS and node.kind is NodeKind.DATASET and node.namespace == namespace:
            happened += versions(store, cluster, node, span.start, question.at)
        if progress is not None:
            progress(done + 1, len(chosen))
    return Bundle(_document(question, around, series, happened), tuple(notes), span.window_seconds)


def _narrow(store: MetricStore, around: Neighbourhood, question: Question, cluster: str, namespace: str) -> Widths:
    """Of the points themselves, where topics are judged in windows that are narrower than ``POINT_SECONDS``."""
    topics = (node for node in around.nodes if node.kind is NodeKind.DATASET and node.namespace == namespace)
    for node in itertools.islice(topics, _ASKED):
        width = point_seconds(store, node.name, cluster, question.at)
        if width < POINT_SECONDS:
            return ((timedelta(seconds=MOST_POINTS * width), width),)
    return ()


def _span(
    store: MetricStore, node: Node, question: Question, cluster: str, namespace: str, now: datetime, narrow: Widths
) -> tuple[Span, LiveSeries]:
    """The shortest history in which enough is known of the metric; where none has enough, that with the most."""
    found: tuple[Span, LiveSeries] | None = None
    most = 0
    histories = HISTORIES if question.history is None else (question.history,)
    widths = [(each, fitting_window(question.at - each, question.at, MOST_POINTS)) for each in histories]
    for history, width in (*(narrow if question.history is None else ()), *widths):
        end = min(now, question.at + timedelta(seconds=_AFTER_WINDOWS * width))
        # What began after this is not over.
        last = window_start(end, width) if end >= now or width > POINT_SECONDS else end
        span = Span(window_start(question.at - history, width), last, width)
        own = LiveSeries(store, cluster, namespace, span, question.metric, question.field)
        before = max(
            (
                sum(at <= question.at.timestamp() for at, _ in each.points)
                for each in own.of(node)
                if each.metric == question.metric and question.field in (None, each.field)
            ),
            default=0,
        )
        if before > most:
            most, found = before, (span, own)
        if before >= LEAST_POINTS:
            break
    if found is None:
        raise _nothing(store, node, question, cluster)
    return found


def _nothing(store: MetricStore, node: Node, question: Question, cluster: str) -> NotFound:
    names = latest_names(store, node, cluster)
    what = question.metric if question.field is None else f"{question.metric} of {question.field}"
    at = question.at.astimezone(UTC)
    return NotFound(
        f"there is no series of {what} of {node.label} before {at:%Y-%m-%d %H:%M:%S} UTC",
        hint=f"Of {node.label} there are {', '.join(names)}."
        if names
        else f"Nothing is measured at {node.label}: it is not collected, and nobody pushes metrics for it.",
    )


def _may_be_measured(node: Node, namespace: str, pushed: Any) -> bool:
    return node.kind is NodeKind.JOB or node.label in pushed or node.namespace == namespace


def _series(name: str, found: Measured) -> dict[str, Any]:
    points = found.points
    if found.field is not None and found.metric in OF_PAYLOADS:
        largest = max((abs(value) for _, value in points), default=0.0)
        if largest > 0:
            points = tuple((at, float(f"{value / largest:.{_DIGITS}g}")) for at, value in points)
    document: dict[str, Any] = {"node": name, "metric": found.metric}
    if found.field is not None:
        document["field"] = found.field
    return {**document, "points": [[at, value] for at, value in points]}


def _document(
    question: Question, around: Neighbourhood, series: list[dict[str, Any]], happened: list[Happened]
) -> dict[str, Any]:
    names = around.names
    breach: dict[str, Any] = {"node": names[around.start], "metric": question.metric, "at": question.at.timestamp()}
    if question.field is not None:
        breach["field"] = question.field
    return {
        "graph": {
            "nodes": [{"id": names[node], "kind": node.kind.value} for node in sorted(around.nodes)],
            "edges": [
                {
                    "from": names[each.edge.source],
                    "to": names[each.edge.target],
                    "evidence": list(dict.fromkeys(one.by.value for one in each.evidence if one.holds)),
                }
                for each in sorted(around.edges, key=lambda view: view.edge)
            ],
        },
        "series": series,
        "events": [
            {"node": names[each.node], "kind": each.kind, "at": each.at, "detail": each.detail}
            for each in sorted(happened, key=lambda each: (each.at, each.node, each.kind, each.detail))
        ],
        "breach": breach,
    }

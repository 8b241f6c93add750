"""Where in Kafka to look for the first bad records of an answer: the topics that its causes are, or lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream_lineage.explain.answer import Answer, Ranked
from stream_lineage.explain.first_bad import fault_of, sought_of
from stream_lineage.explain.live_events import SCHEMA_CHANGE, is_schema_kind
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.symptoms import Deviation
from stream_lineage.model.graph import Node, NodeKind

MOST_SPOTS = 3
_STEPS_AROUND = 2
"""A schema that changed so many points before what deviates, or after it began, is what changed it."""


@dataclass(frozen=True, slots=True)
class Spot:
    """``cause`` is what the answer names, ``topic`` the topic whose records show it: its own, or where it has none,
    that of the first one on the way that deviates. ``since`` and ``until`` are epoch seconds: it began in between.
    ``usual`` and ``found`` are of the metric, in whatever unit. ``schema_at``: a schema changed then."""

    cause: str
    topic: str
    metric: str
    field: str | None
    usual: float | None
    found: float | None
    since: float
    until: float
    schema_at: float | None = None


def spots_of(recording: Recording, answer: Answer, nodes: Mapping[str, Node], namespace: str) -> tuple[Spot, ...]:
    """Of the causes that an answer names, by the nodes of the graph and the namespace of the cluster's topics."""
    found = []
    for each in answer.ranking:
        if each.named and (spot := _spot(recording, each, nodes, namespace)) is not None:
            found.append(spot)
    return tuple(found[:MOST_SPOTS])


def causes_of(answer: Answer) -> list[dict[str, Any]]:
    """What broke first, as JSON: node, field, and what kind of fault it is."""
    return [
        {
            "node": each.node,
            "kind": each.kind,
            "metric": each.metric,
            "field": each.field,
            "fault": _fault(each),
            "onset": each.onset,
            "onset_interval": list(each.onset_interval),
            "confidence": round(each.confidence, 3),
        }
        for each in answer.ranking
        if each.named
    ]


def _fault(each: Ranked) -> str:
    own = next((one for one in each.deviations if one.name.node == each.node), None)
    if own is None:
        return fault_of(sought_of(each.metric, each.field, None, None))
    return fault_of(sought_of(own.name.metric, own.name.field, own.usual, own.found))


def _spot(recording: Recording, each: Ranked, nodes: Mapping[str, Node], namespace: str) -> Spot | None:
    along = {one.name.node: one for one in each.deviations}
    for name in each.path:
        node, own = nodes.get(name), along.get(name)
        if node is None or node.kind is not NodeKind.DATASET or node.namespace != namespace:
            continue
        if own is not None:
            return Spot(
                each.node, node.name, own.name.metric, own.name.field, own.usual, own.found, own.earliest,
                own.latest + own.step, _schema_change(recording, name, own),
            )  # fmt: skip
        if name == each.node and is_schema_kind(each.metric):  # known by what happened to it alone
            since, until = each.onset_interval
            return Spot(each.node, node.name, each.metric, each.field, None, None, since, until, since)
    return None


def _schema_change(recording: Recording, name: str, own: Deviation) -> float | None:
    around = _STEPS_AROUND * own.step
    times = [
        event.at
        for event in recording.events
        if event.node == name
        and (event.kind == SCHEMA_CHANGE or is_schema_kind(event.kind))
        and own.earliest - around <= event.at <= own.latest + own.step + around
    ]
    return min(times, default=None)

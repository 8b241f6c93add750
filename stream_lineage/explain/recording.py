"""An incident as it was recorded: the graph, the series, what happened, and the breach. What the root cause is found
in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeriesName:
    """``field`` is null where the metric is of the node as a whole."""

    node: str
    metric: str
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.metric} of {self.node}" if self.field is None else f"{self.metric} of {self.node}:{self.field}"


@dataclass(frozen=True, slots=True)
class Series:
    """``times`` are epoch seconds, ascending and each once; ``values`` are finite."""

    name: SeriesName
    times: Array
    values: Array


@dataclass(frozen=True, slots=True)
class Edge:
    """``evidence``: the classes of evidence that the edge is known by, none where that was not said."""

    source: str
    target: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A schema change, a change of the graph, a run, a deploy. ``at`` is in epoch seconds."""

    node: str
    kind: str
    at: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """What somebody noticed. ``at`` is in epoch seconds."""

    node: str
    metric: str
    field: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Recording:
    """``nodes`` are kinds by id, in the order of ids, and hold the ends of every edge. Edges, series and events are in
    an order of their own, whatever order they were recorded in. ``notes`` say what was mended or left out."""

    nodes: Mapping[str, str]
    edges: tuple[Edge, ...]
    series: tuple[Series, ...]
    events: tuple[Event, ...]
    breach: Breach
    notes: tuple[str, ...] = ()

"""Jobs of a graph as runs of OpenLineage (spec 2-0-2).

A consumer group, a connector or an application that streams is one run from when it was first seen until nothing of it
holds any more: START at the beginning, RUNNING now, COMPLETE at the end. Its id is made of the job and its beginning:
whoever sends the same again, from wherever, sends the same run. Jobs that only events of others tell of are left out:
how they run is known where they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from stream_lineage.graph.codec import time_to_json
from stream_lineage.graph.graph import EdgeView, Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.openlineage_events import named, streaming, told_by_us
from stream_lineage.model.graph import Evidence, Node, NodeKind
from stream_lineage.wire.openlineage import (
    PRODUCER,
    RunName,
    engine_facet,
    error_facet,
    facet,
    parent_facet,
    run_event,
    run_name,
    schema_facet,
)

_ENDED = timedelta(days=1)
_QUANTILES = {"p01": "0.01", "p05": "0.05", "p25": "0.25", "p50": "0.5", "p75": "0.75", "p95": "0.95", "p99": "0.99"}


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """Of the last hour; null where nothing is known. ``quantiles`` by their names in metrics (``p50``)."""

    count: int | None = None
    nulls: int | None = None
    low: float | None = None
    high: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assertion:
    """Something that is watched, and whether it holds: the kind of an alert, the field that it is about."""

    kind: str
    column: str | None
    success: bool
    severe: bool


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a dataset beside the graph: ``version`` is its schema's fingerprint, ``types`` are those of the
    fields that it declares, by path, in its order; ``rows`` and ``bytes`` those of the last hour."""

    version: str | None = None
    rows: int | None = None
    bytes: int | None = None
    columns: Mapping[str, ColumnFacts] = field(default_factory=dict)
    assertions: Sequence[Assertion] = ()
    troubles: Sequence[str] = ()
    """What critical alerts that last say of it."""
    types: Mapping[str, str] = field(default_factory=dict)


NOTHING = DatasetFacts()


def run_events(graph: Graph, facts: Mapping[Node, DatasetFacts], now: datetime) -> list[dict[str, Any]]:
    """START and RUNNING of each job that reads or writes a dataset, START and COMPLETE of those that have ended within
    a day, in a fixed order."""
    views = sorted(map(graph.view, range(graph.size[1])), key=lambda each: each.edge)
    columns = [view for view in views if view.edge.target.field is not None and view.confidence >= LOW]
    of_jobs: dict[Node, list[EdgeView]] = {}
    for view in views:
        ends = view.edge.source, view.edge.target
        if {end.kind for end in ends} == {NodeKind.JOB, NodeKind.DATASET}:
            of_jobs.setdefault(next(end for end in ends if end.kind is NodeKind.JOB), []).append(view)
    found: list[dict[str, Any]] = []
    for job, mine in sorted(of_jobs.items()):
        pieces = [piece for view in mine for piece in view.evidence]
        of_itself = graph.known(job)
        if not told_by_us([*pieces, *of_itself]):
            continue
        begun = min(piece.first_seen for piece in pieces)
        over = max(piece.withdrawn_at or piece.last_seen for piece in pieces)
        holding = [view for view in mine if view.confidence >= LOW]
        if not holding and (now - over > _ENDED or any(view.confidence > 0 for view in mine)):
            continue  # long ago, or only guessed
        parents = _parents(of_itself)

        def event(kind: str, at: datetime, inputs: Any = (), outputs: Any = (), **facets: Any) -> dict[str, Any]:
            run = str(run_id(job, begun)), {"processing_engine": engine_facet("kafka"), **parents, **facets}  # noqa: B023
            about = job.namespace, job.name, {"jobType": streaming(job)}  # noqa: B023
            return run_event(kind, time_to_json(at), run, about, inputs, outputs)

        read = [view.edge.source for view in holding if view.edge.target == job]
        written = [view.edge.target for view in holding if view.edge.source == job]
        found.append(event("START", begun, list(map(named, read)), list(map(named, written))))
        if not holding:
            found.append(event("COMPLETE", over))
            continue
        troubles = dict.fromkeys(text for node in (*read, *written) for text in facts.get(node, NOTHING).troubles)
        wrong = {"errorMessage": error_facet("; ".join(troubles))} if troubles else {}
        inputs = [_input(node, facts) for node in read]
        found.append(event("RUNNING", now, inputs, [_output(node, facts, columns) for node in written], **wrong))
    return found


def run_id(job: Node, begun: datetime) -> UUID:
    """The same for the same job that began at the same time."""
    return uuid5(NAMESPACE_URL, f"{PRODUCER}/run/{job.id}/{time_to_json(begun)}")


def _parents(evidence: Iterable[Evidence]) -> dict[str, Any]:
    found = started_by(evidence)
    return {} if found is None else {"parent": parent_facet(*found)}


def started_by(evidence: Iterable[Evidence]) -> tuple[RunName, RunName | None] | None:
    """The run that has started a job and the one that all of it began with, as the job itself has said last, or what
    tells of its runs."""
    for piece in sorted(evidence, key=lambda each: each.last_seen, reverse=True):
        known = dict(piece.detail)
        parent = run_name(known.get("parent"))
        if piece.holds and parent is not None:
            return parent, run_name(known.get("root"))
    return None


def _input(node: Node, facts: Mapping[Node, DatasetFacts]) -> dict[str, Any]:
    known = facts.get(node, NOTHING)
    facets: dict[str, Any] = {}
    metrics = _metrics(known)
    if metrics is not None:
        facets["dataQualityMetrics"] = facet("1-0-3", "DataQualityMetricsInputDatasetFacet", **metrics)
    if known.assertions:
        assertions = [
            {
                "assertion": each.kind,
                "success": each.success,
                "severity": "error" if each.severe else "warn",
                **({} if each.column is None else {"column": each.column}),
            }
            for each in known.assertions
        ]
        facets["dataQualityAssertions"] = facet("1-1-0", "DataQualityAssertionsDatasetFacet", assertions=assertions)
    return {**named(node), "facets": dataset_facets(known), "inputFacets": facets}


def _output(node: Node, facts: Mapping[Node, DatasetFacts], columns: Iterable[EdgeView]) -> dict[str, Any]:
    known = facts.get(node, NOTHING)
    facets = dataset_facets(known)
    made: dict[str, list[dict[str, Any]]] = {}
    for view in columns:
        if view.edge.target.dataset == node and view.edge.source.field is not None:
            source = {**named(view.edge.source), "field": view.edge.source.field}
            made.setdefault(view.edge.target.field or "", []).append(source)
    if made:
        fields = {path: {"inputFields": sources} for path, sources in made.items()}
        facets["columnLineage"] = facet("1-2-0", "ColumnLineageDatasetFacet", fields=fields)
    written: dict[str, Any] = {}
    if known.rows is not None:
        sizes: dict[str, Any] = {"rowCount": known.rows}
        if known.bytes is not None:
            sizes["size"] = known.bytes
        written["outputStatistics"] = facet("1-0-2", "OutputStatisticsOutputDatasetFacet", **sizes)
    return {**named(node), "facets": facets, "outputFacets": written}


def dataset_facets(known: DatasetFacts) -> dict[str, Any]:
    """Those of any dataset, read, written or by itself."""
    facets: dict[str, Any] = {}
    fields = dict(known.types)
    for path, column in sorted(known.columns.items()):
        fields.setdefault(path, "unknown" if column.low is None else "number")
    if fields:
        facets["schema"] = schema_facet(fields.items())
    if known.version is not None:
        facets["version"] = facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=known.version)
    return facets


def _metrics(known: DatasetFacts) -> dict[str, Any] | None:
    if known.rows is None and not known.columns:
        return None
    columns = {}
    for path, each in sorted(known.columns.items()):
        said = {"count": each.count, "nullCount": each.nulls, "min": each.low, "max": each.high}
        column: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        if each.quantiles:
            column["quantiles"] = {_QUANTILES[name]: value for name, value in sorted(each.quantiles.items())}
        columns[path] = column
    sizes = {"rowCount": known.rows, "bytes": known.bytes}
    return {**{name: value for name, value in sizes.items() if value is not None}, "columnMetrics": columns}

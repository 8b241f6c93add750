"""A picture as static OpenLineage events (spec 2-0-2): what any reader of them can load as it is.

Jobs, models and dashboards are JobEvents with their inputs and outputs. Facets of DatasetEvents say what leads from
dataset to dataset without a job that is known, who owns a dataset and what its columns are made of. An edge that is
only guessed is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from stream_lineage.graph.codec import time_to_json
from stream_lineage.graph.known import LOW
from stream_lineage.graph.picture import Picture
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, Node, NodeKind
from stream_lineage.wire.openlineage import PRODUCER, SPEC, facet, job_type_facet

_WORKING = (NodeKind.JOB, NodeKind.MODEL, NodeKind.DASHBOARD)


def openlineage_events(picture: Picture, now: datetime) -> list[dict[str, Any]]:
    """In a fixed order. ``now`` is the time of events about the present."""
    at = time_to_json(picture.at or now)
    edges = [each.edge for each in picture.edges if each.confidence >= LOW]
    events = [_job_event(node, picture, edges, at) for node in picture.nodes if node.kind in _WORKING]
    datasets = dict.fromkeys(node.dataset or node for node in picture.nodes if node.kind not in _WORKING)
    return events + [_dataset_event(node, edges, picture.known.get(node, ()), at) for node in datasets]


def _job_event(node: Node, picture: Picture, edges: Iterable[GraphEdge], at: str) -> dict[str, Any]:
    known = [piece for each in picture.edges if node in (each.edge.source, each.edge.target) for piece in each.evidence]
    ours = told_by_us([*known, *picture.known.get(node, ())])
    return {
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}#/$defs/JobEvent",
        "job": {**named(node), "facets": {"jobType": streaming(node)} if ours else {}},
        "inputs": [named(each.source) for each in edges if each.target == node and _is_dataset(each.source)],
        "outputs": [named(each.target) for each in edges if each.source == node and _is_dataset(each.target)],
    }


def _dataset_event(node: Node, edges: Sequence[GraphEdge], known: Iterable[Evidence], at: str) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    owners = sorted({value for each in known if each.holds for name, value in each.detail if name == "owner"})
    if owners:
        facets["ownership"] = facet("1-0-1", "OwnershipDatasetFacet", owners=[{"name": owner} for owner in owners])
    sources = [each.source for each in edges if each.target == node and _is_dataset(each.source)]
    if sources:
        inputs = [{**named(source), "type": "DATASET"} for source in sources]
        facets["lineage"] = facet("1-0-0", "LineageFacet", "LineageDatasetFacet", inputs=inputs)
    fields: dict[str, list[dict[str, str]]] = {}
    for each in edges:
        if each.target.dataset == node and each.target.field and each.source.field:
            source = {**named(each.source), "field": each.source.field}
            fields.setdefault(each.target.field, []).append(source)
    if fields:
        columns = {path: {"inputFields": found} for path, found in fields.items()}
        facets["columnLineage"] = facet("1-2-0", "ColumnLineageDatasetFacet", fields=columns)
    return {
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}#/$defs/DatasetEvent",
        "dataset": {**named(node), "facets": facets},
    }


def told_by_us(evidence: Iterable[Evidence]) -> bool:
    """Whether something is known of a job beside what others say in events of theirs: how it runs is theirs to tell."""
    return any(piece.by is not EvidenceClass.OPENLINEAGE for piece in evidence)


def streaming(node: Node) -> dict[str, Any]:
    """The job type of a job, a model or a dashboard of ours."""
    return job_type_facet("STREAMING", "KAFKA", node.kind.value.upper())


def named(node: Node) -> dict[str, str]:
    """Its namespace and name."""
    return {"namespace": node.namespace, "name": node.name}


def _is_dataset(node: Node) -> bool:
    return node.kind is NodeKind.DATASET

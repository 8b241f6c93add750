"""The lineage graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from stream_lineage.graph.codec import evidence_to_json, node_to_json
from stream_lineage.graph.differences import differences, differences_document
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.lookup import find
from stream_lineage.graph.picture import Picture, around, document, edge_document, whole
from stream_lineage.graph.walk import Direction
from stream_lineage.model.graph import NodeKind
from stream_lineage.serve.answers import Json, Page, sorted_page
from stream_lineage.serve.documents import (
    ColumnDocument,
    EdgeDocument,
    GraphChanges,
    GraphDocument,
    Impact,
    NodeDocument,
)
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import documented
from stream_lineage.serve.routes.parameters import (
    At,
    Candidates,
    Cursor,
    Depth,
    Limit,
    Moment,
    NodeName,
    Nodes,
    Search,
)
from stream_lineage.serve.threads import Threads

_CANDIDATES = 0.01
_MOST_EDGES = 20_000
_MOST_CHANGES = 5_000
_BOTH: tuple[Direction, ...] = ("upstream", "downstream")


def graph(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/graph``, ``/impact`` and ``/columns``."""
    router = APIRouter(tags=["graph"], responses=documented(HTTPStatus.NOT_FOUND))

    @router.get("/graph", responses={200: {"model": GraphDocument}}, response_class=Json)
    @threads.quickly
    def shown(
        focus: NodeName | None = None,
        direction: Annotated[Literal["both", "upstream", "downstream"], Query(description="From `focus`.")] = "both",
        depth: Depth = None,
        at: At = None,
        candidates: Candidates = False,
        nodes: Nodes = 1000,
    ) -> Any:
        """The graph, or what is around a node: one step in both directions, all steps in one, unless `depth` says."""

        def asked(found: Graph) -> Picture:
            if focus is None:
                return whole(found, at_least=_least(candidates), at=at)
            ways = _BOTH if direction == "both" else (direction,)
            steps = depth if depth is not None or direction != "both" else 1
            return around(found, focus, ways, depth=steps, at_least=_least(candidates), at=at)

        picture, less = bounded(lineage.ask(asked, at), nodes)
        return Json({**document(picture), "cut": less})

    @router.get("/graph/nodes", responses={200: {"model": Page[NodeDocument]}}, response_class=Json)
    @threads.quickly
    def nodes_(
        kind: NodeKind | None = None, q: Search = None, at: At = None, cursor: Cursor = None, limit: Limit = 100
    ) -> Any:
        """Nodes in the order of their ids."""

        def asked(found: Graph) -> Any:
            chosen = [
                node
                for node in found.present()
                if (kind is None or node.kind is kind) and (q is None or q.lower() in node.label.lower())
            ]
            ids = ((node.id, node) for node in chosen)
            return sorted_page(ids, cursor, limit, lambda _, node: _node_document(found, node))

        return Json(lineage.ask(asked, at))

    @router.get("/graph/edges", responses={200: {"model": Page[EdgeDocument]}}, response_class=Json)
    @threads.quickly
    def edges(at: At = None, candidates: Candidates = False, cursor: Cursor = None, limit: Limit = 100) -> Any:
        """Edges with what they are known from, in the order of their ids."""

        def asked(found: Graph) -> Any:
            ids = ((each.edge.id, each) for each in found.edges(_least(candidates)))
            return sorted_page(ids, cursor, limit, lambda _, each: _edge(each))

        return Json(lineage.ask(asked, at))

    @router.get("/graph/changes", responses={200: {"model": GraphChanges}}, response_class=Json)
    @threads.quickly
    def changes(since: Moment, until: Moment | None = None, candidates: Candidates = False) -> Any:
        """What changed in the graph between two times, as far as there is room."""

        def then(at: datetime | None) -> Graph:
            return lineage.ask(lambda found: found.as_of(at) if at is not None else Graph(found.events()))

        before = then(since)
        found = differences(before, then(until), at_least=_least(candidates))
        said = differences_document(found)
        less = any(len(each) > _MOST_CHANGES for each in said.values())
        return Json({**{name: each[:_MOST_CHANGES] for name, each in said.items()}, "cut": less})

    @router.get("/impact", responses={200: {"model": Impact}}, response_class=Json)
    @threads.quickly
    def impact(
        node: NodeName, depth: Depth = None, at: At = None, candidates: Candidates = False, nodes: Nodes = 1000
    ) -> Any:
        """What is made of a node: who is hit when it breaks, the nearest first."""

        def asked(found: Graph) -> Picture:
            return around(found, node, ("downstream",), depth=depth, at_least=_least(candidates), at=at)

        picture = lineage.ask(asked, at)
        counts = dict.fromkeys(NodeKind, 0)
        for each in picture.nodes:
            if each != picture.start:
                counts[each.kind] += 1
        shown, less = bounded(picture, nodes)
        return Json({**document(shown), "cut": less, "counts": {kind.value: n for kind, n in counts.items()}})

    @router.get("/columns", responses={200: {"model": Page[ColumnDocument]}}, response_class=Json)
    @threads.quickly
    def columns(
        dataset: NodeName, at: At = None, candidates: Candidates = False, cursor: Cursor = None, limit: Limit = 100
    ) -> Any:
        """The columns of a dataset of which lineage is known, with the edges that lead to and from each."""

        def asked(found: Graph) -> Any:
            node = find(found, dataset)
            edges_ = [
                each
                for each in found.edges(_least(candidates))
                if node in (each.edge.source.dataset, each.edge.target.dataset)
            ]
            known = {each for each in found.present() if each.dataset == node}
            fields = ((each.field or "", each) for each in known)
            return sorted_page(
                fields,
                cursor,
                limit,
                lambda field, column: {
                    "id": column.id,
                    "field": field,
                    "sources": [_edge(each) for each in edges_ if each.edge.target == column],
                    "targets": [_edge(each) for each in edges_ if each.edge.source == column],
                },
            )

        return Json(lineage.ask(asked, at))

    return router


def bounded(picture: Picture, most: int) -> tuple[Picture, bool]:
    """So many nodes of a picture, the nearest to its start, with the edges between them; whether any is left out."""
    nodes: Sequence[Any] = picture.nodes
    if len(nodes) > most:
        nodes = sorted(nodes, key=lambda node: (picture.steps.get(node, 0 if node == picture.start else 1), node))[
            :most
        ]
    kept = set(nodes)
    edges = [each for each in picture.edges if each.edge.source in kept and each.edge.target in kept]
    less = len(nodes) < len(picture.nodes) or len(edges) > _MOST_EDGES
    return replace(picture, nodes=tuple(sorted(nodes)), edges=tuple(edges[:_MOST_EDGES])), less


def _least(candidates: bool) -> float:
    return _CANDIDATES if candidates else LOW


def _edge(view: Any) -> dict[str, Any]:
    return edge_document(view.edge, view.evidence, view.confidence)


def _node_document(found: Graph, node: Any) -> dict[str, Any]:
    return {"id": node.id, **node_to_json(node), "evidence": [evidence_to_json(each) for each in found.known(node)]}

"""The lineage graph."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from stream_lineage.errors import IndexUnusable, NotFound
from stream_lineage.graph.codec import evidence_to_json, node_to_json
from stream_lineage.graph.differences import changes as changes_between
from stream_lineage.graph.differences import differences_document
from stream_lineage.graph.excerpt import excerpt
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.lookup import find
from stream_lineage.graph.openlineage_runs import started_by
from stream_lineage.graph.picture import edge_document
from stream_lineage.graph.walk import Direction, reach
from stream_lineage.graph.walk import impact as impact_of
from stream_lineage.index.pages import topic_lives
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.serve.answers import Json, Page, ordered_page
from stream_lineage.serve.documents import (
    ColumnDocument,
    EdgeDocument,
    GraphChanges,
    GraphDocument,
    Impact,
    NodeDocument,
)
from stream_lineage.serve.ports import Lineage, Sources, TakesLonger
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
from stream_lineage.wire.openlineage import RunName

_CANDIDATES = 0.01
_MOST_EDGES = 20_000
_MOST_CHANGES = 5_000
_MOST_OF_A_COLUMN = 1_000
"""Edges that lead to a column, and from it."""
_EVER = datetime(9990, 1, 1, tzinfo=UTC)
_BOTH: tuple[Direction, ...] = ("upstream", "downstream")


def graph(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/graph``, ``/impact`` and ``/columns``."""
    router = APIRouter(tags=["graph"], responses=documented(HTTPStatus.NOT_FOUND))

    def drawn(
        sources: Sources, focus: str | None, direction: str, depth: int | None, at: datetime | None, least: float,
        nodes: int,
    ) -> Json:  # fmt: skip
        ways = _BOTH if direction == "both" else tuple(way for way in _BOTH if way == direction)
        steps = depth if depth is not None or direction != "both" else 1
        if sources.room is not None and (focus is None or steps != 1):
            raise TakesLonger

        def asked(found: Graph) -> Json:
            reaches = None
            if focus is not None:
                if sources.room is not None and not found.called(focus):
                    raise TakesLonger  # names that are near are compared with all there are
                start = find(found, focus)
                reaches = [reach(found, start, way, depth=steps, at_least=least) for way in ways]
                if sources.room is not None and sum(len(each.edges) for each in reaches) > sources.room:
                    raise TakesLonger
            return Json(excerpt(found, reaches, at_least=least, nodes=nodes, edges=_MOST_EDGES, at=at))

        return sources.ask(asked, at)

    draw = threads.shortly(lineage, drawn)

    @router.get("/graph", responses={200: {"model": GraphDocument}}, response_class=Json)
    async def shown(
        focus: NodeName | None = None,
        direction: Annotated[Literal["both", "upstream", "downstream"], Query(description="From `focus`.")] = "both",
        depth: Depth = None,
        at: At = None,
        candidates: Candidates = False,
        nodes: Nodes = 1000,
    ) -> Any:
        """The graph, or what is around a node: one step in both directions, all steps in one, unless `depth` says."""
        return await draw(focus, direction, depth, at, _least(candidates), nodes)

    @router.get("/graph/nodes", responses={200: {"model": Page[NodeDocument]}}, response_class=Json)
    @threads.quickly
    def nodes_(
        kind: NodeKind | None = None, q: Search = None, at: At = None, cursor: Cursor = None, limit: Limit = 100
    ) -> Any:
        """Nodes in the order of their ids."""

        def asked(found: Graph) -> Any:
            def wanted(number: int) -> bool:
                node = found.nodes[number]
                fits = (kind is None or node.kind is kind) and (q is None or q.lower() in node.label.lower())
                return fits and found.is_present(number)

            def shown(number: int) -> Any:
                return _node_document(found, found.nodes[number])

            return ordered_page(found.nodes_by_id(), found.node_id, cursor, limit, shown, wanted)

        return Json(lineage.ask(asked, at))

    @router.get("/graph/edges", responses={200: {"model": Page[EdgeDocument]}}, response_class=Json)
    @threads.quickly
    def edges(at: At = None, candidates: Candidates = False, cursor: Cursor = None, limit: Limit = 100) -> Any:
        """Edges with what they are known from, in the order of their ids."""

        def asked(found: Graph) -> Any:
            return ordered_page(
                found.edges_by_id(),
                found.edge_id,
                cursor,
                limit,
                lambda number: _edge(found.view(number)),
                lambda number: found.confidences[number] >= _least(candidates),
            )

        return Json(lineage.ask(asked, at))

    @router.get("/graph/changes", responses={200: {"model": GraphChanges}}, response_class=Json)
    @threads.quickly
    def changes(since: Moment, until: Moment | None = None, candidates: Candidates = False) -> Any:
        """What changed in the graph between two times, as far as there is room."""

        found = lineage.ask(
            lambda graph: changes_between(
                graph, since, _EVER if until is None else until, at_least=_least(candidates), most=_MOST_CHANGES + 1
            )
        )
        said = differences_document(found)
        less = any(len(each) > _MOST_CHANGES for each in said.values())
        return Json({**{name: each[:_MOST_CHANGES] for name, each in said.items()}, "cut": less})

    @router.get("/impact", responses={200: {"model": Impact}}, response_class=Json)
    @threads.quickly
    def impact(
        node: NodeName, depth: Depth = None, at: At = None, candidates: Candidates = False, nodes: Nodes = 1000
    ) -> Any:
        """What is made of a node: who is hit when it breaks, the nearest first."""

        def asked(found: Graph) -> dict[str, Any]:
            hit = reach(found, find(found, node), "downstream", depth=depth, at_least=_least(candidates))
            counts = {**dict.fromkeys(NodeKind, 0), **impact_of(found, hit)}
            shown = excerpt(found, [hit], at_least=_least(candidates), nodes=nodes, edges=_MOST_EDGES, at=at)
            return {**shown, "counts": {kind.value: n for kind, n in counts.items()}}

        return Json(lineage.ask(asked, at))

    @router.get("/columns", responses={200: {"model": Page[ColumnDocument]}}, response_class=Json)
    @threads.quickly
    def columns(
        dataset: NodeName, at: At = None, candidates: Candidates = False, cursor: Cursor = None, limit: Limit = 100
    ) -> Any:
        """The columns of a dataset of which lineage is known, with the edges that lead to and from each."""
        observed = _observed(lineage, dataset)

        def meant(found: Graph) -> Node:
            try:
                return find(found, dataset)
            except NotFound:
                # A topic need not be a node itself: its columns may be, or it was only observed.
                if observed is not None and observed[1]:
                    return observed[0]
                if observed is not None and any(
                    each.field is not None and (each.name, each.namespace) == (observed[0].name, observed[0].namespace)
                    for each in found.nodes
                ):
                    return observed[0]
                raise

        def asked(found: Graph) -> Any:
            node, least = meant(found), _least(candidates)
            left = _MOST_EDGES

            def bounded(numbers: Any) -> tuple[list[Any], bool]:
                nonlocal left
                sure = found.index.confidences[numbers]
                there = numbers[(sure > 0) & (sure >= least)].tolist()
                chosen = sorted(there, key=found.edge_id)[: min(_MOST_OF_A_COLUMN, left)]
                left -= len(chosen)
                return [_edge(found.view(number)) for number in chosen], len(chosen) < len(there)

            def shown(number: int) -> Any:
                (sources, fewer), (targets, less) = map(bounded, found.index.edges_of(number))
                column = {"id": found.node_id(number), "field": found.nodes[number].field}
                return {**column, "sources": sources, "targets": targets, "cut": fewer or less}

            known = [
                number
                for number, each in enumerate(found.nodes)
                if each.field is not None and (each.name, each.namespace) == (node.name, node.namespace)
            ]
            if node.kind is not NodeKind.DATASET:
                known = []
            known.sort(key=lambda number: found.nodes[number].field or "")
            return ordered_page(
                known, lambda number: found.nodes[number].field or "", cursor, limit, shown, found.is_present
            )

        return Json(lineage.ask(asked, at))

    return router


def _observed(lineage: Lineage, name: str) -> tuple[Node, bool] | None:
    """The node of a topic of this name, and whether it was observed; null where no topic can have it."""
    try:
        node = lineage.naming.topic(name)
    except ValueError:
        return None
    try:
        with lineage.index() as index:
            return node, bool(topic_lives(index, name))
    except (NotFound, IndexUnusable):
        return node, False


def _least(candidates: bool) -> float:
    return _CANDIDATES if candidates else LOW


def _edge(view: Any) -> dict[str, Any]:
    return edge_document(view.edge, view.evidence, view.confidence)


def _node_document(found: Graph, node: Any) -> dict[str, Any]:
    known = found.known(node)
    document = {"id": node.id, **node_to_json(node), "evidence": [evidence_to_json(each) for each in known]}
    runs = started_by(known) if node.kind is NodeKind.JOB else None
    if runs is not None:
        named = zip(("parent", "root"), runs, strict=True)
        document |= {name: _run_document(each) for name, each in named if each is not None}
    return document


def _run_document(run: RunName) -> dict[str, Any]:
    job = Node(NodeKind.JOB, run.namespace, run.name)
    return {"node": job.id, "namespace": run.namespace, "name": run.name, "run": run.run_id}

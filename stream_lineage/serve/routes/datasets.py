"""Datasets and topics, their spans and the schemas that they were written with."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query

from stream_lineage.errors import IndexUnusable, NotFound
from stream_lineage.graph.codec import time_to_json
from stream_lineage.graph.graph import Graph
from stream_lineage.index.pages import TopicLife, partitions, schemas_in_use, span_containing, spans_from, topic_lives
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.provenance.documents import schema_document, span_document
from stream_lineage.serve.answers import Json, Page, page, place, sorted_page
from stream_lineage.serve.documents import Dataset, SchemaInUse, Span, TopicDocument
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import documented
from stream_lineage.serve.routes.parameters import At, Cursor, Limit, Search, Topic, TopicId
from stream_lineage.serve.threads import Threads


def datasets(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/datasets``, ``/topics`` and ``/spans``."""
    router = APIRouter(tags=["datasets"], responses=documented(HTTPStatus.NOT_FOUND))

    @router.get("/datasets", responses={200: {"model": Page[Dataset]}}, response_class=Json)
    @threads.quickly
    def listed(q: Search = None, at: At = None, cursor: Cursor = None, limit: Limit = 100) -> Any:
        """Datasets of the graph and topics that were observed, in the order of their ids."""
        lives: dict[Node, list[TopicLife]] = {}
        for each in _observed(lineage):
            lives.setdefault(lineage.naming.topic(each.topic), []).append(each)

        def asked(found: Graph) -> Any:
            known = {node for node in found.present() if node.kind is NodeKind.DATASET} | lives.keys()
            ids = ((node.id, node) for node in known if q is None or q.lower() in node.name.lower())
            return sorted_page(
                ids,
                cursor,
                limit,
                lambda id_, node: {
                    "id": id_,
                    "namespace": node.namespace,
                    "name": node.name,
                    "observed": [_life(each) for each in lives.get(node, ())],
                    "owner": found.attribute(node, "owner"),
                    "description": found.attribute(node, "description"),
                },
            )

        return Json(lineage.ask(asked, at))

    @router.get("/topics/{topic}", responses={200: {"model": TopicDocument}}, response_class=Json)
    @threads.quickly
    def topic_(topic: Topic) -> Any:
        """What was observed of a topic: its lives, and the partitions of the newest one."""
        with lineage.index() as index:
            lives = _lives(topic_lives(index, topic), topic)
            found = partitions(index, topic, lives[-1].topic_id)
        return Json(
            {
                "id": lineage.naming.topic(topic).id,
                "topic": topic,
                "observed": [_life(each) for each in lives],
                "partitions": [
                    {"partition": number, "first_offset": first, "last_offset": last}
                    for number, _, first, last in found
                ],
            }
        )

    @router.get("/topics/{topic}/schemas", responses={200: {"model": Page[SchemaInUse]}}, response_class=Json)
    @threads.quickly
    def schemas(topic: Topic, topic_id: TopicId = None, cursor: Cursor = None, limit: Limit = 100) -> Any:
        """The schemas that records of a topic were written with, and from where on."""
        after = place(cursor, int)
        with lineage.index() as index:
            lives = _lives(topic_lives(index, topic), topic, topic_id)
            found = schemas_in_use(index, topic, topic_id or lives[-1].topic_id)
        start = 0 if after is None else after[0]
        items = [
            {
                "role": role,
                "schema": schema_document(reference),
                "first_offsets": {str(number): first for number, first in sorted(firsts.items())},
            }
            for role, reference, firsts in found[start : start + limit]
        ]
        return Json(page(items, [start + limit] if len(found) > start + limit else None))

    @router.get("/spans/{topic}", responses={200: {"model": Page[Span]}}, response_class=Json)
    @threads.quickly
    def spans(
        topic: Topic,
        topic_id: TopicId = None,
        partition: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
        offset: Annotated[int, Query(ge=0, lt=2**53, description="From the span on that holds it.")] = 0,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Any:
        """Which offsets of a topic were written with which schema, by partition and offset, all lives of the topic
        after one another unless one is named."""
        after = place(cursor, int, int, int)
        with lineage.index() as index:
            chosen = _lives(topic_lives(index, topic), topic, topic_id)
            items: list[dict[str, Any]] = []
            following: list[int] | None = None
            for number, life in enumerate(chosen):
                for log_number, log, _, _ in partitions(index, topic, life.topic_id):
                    if partition is not None and log_number != partition:
                        continue
                    start = span_containing(index, log, offset)
                    if after is not None:
                        if (number, log_number) < (after[0], after[1]):
                            continue
                        if (number, log_number) == (after[0], after[1]):
                            start = max(start, after[2])
                    found, more = spans_from(index, log, start, limit - len(items) or 1)
                    if found and len(items) == limit:
                        following = [number, log_number, start]
                        return Json(page(items, following))
                    items += [span_document(each, life.topic_id) for each in found]
                    if more:
                        return Json(page(items, [number, log_number, found[-1].span.last_offset + 1]))
            return Json(page(items, following))

    return router


def _observed(lineage: Lineage) -> list[TopicLife]:
    """None where there is no index yet."""
    try:
        with lineage.index() as index:
            return topic_lives(index)
    except (NotFound, IndexUnusable):
        return []


def _lives(found: list[TopicLife], topic: str, topic_id: str | None = None) -> list[TopicLife]:
    if not found:
        raise NotFound(f"nothing has been observed of {topic}")
    lives = [each for each in found if topic_id is None or each.topic_id == topic_id]
    if not lives:
        raise NotFound(f"nothing has been observed of a topic {topic} with the id {topic_id}")
    return lives


def _life(each: TopicLife) -> dict[str, Any]:
    return {
        "topic_id": each.topic_id,
        "first_seen": time_to_json(each.first_seen),
        "last_seen": time_to_json(each.last_seen),
    }

"""Datasets and topics, their spans and the schemas that they were written with."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query

from stream_lineage.errors import IndexUnusable, NotFound
from stream_lineage.graph.codec import time_to_json
from stream_lineage.graph.graph import Graph
from stream_lineage.index.pages import TopicLife, partitions, schemas_in_use, topic_lives
from stream_lineage.index.span_pages import SpanPlace, span_logs, span_page
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.provenance.documents import schema_document
from stream_lineage.serve.answers import Json, Page, page, place, sorted_page
from stream_lineage.serve.documents import Dataset, SchemaInUse, Span, TopicDocument
from stream_lineage.serve.ports import Lineage, Sources, TakesLonger
from stream_lineage.serve.problems import documented
from stream_lineage.serve.routes.parameters import At, Cursor, Limit, Search, Topic, TopicId
from stream_lineage.serve.threads import Threads

_MOST_AT_ONCE = 200
"""Spans of a page, and partitions that are looked at for it."""


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
        """The schemas that records of a topic were written with, and from where on: of values, then of keys, by subject
        and version."""
        with lineage.index() as index:
            lives = _lives(topic_lives(index, topic), topic, topic_id)
            found = schemas_in_use(index, topic, topic_id or lives[-1].topic_id)
        return Json(sorted_page(((_schema_key(*each[:2]), each) for each in found), cursor, limit, _used))

    def paged(
        sources: Sources, topic: str, topic_id: str | None, partition: int | None, offset: int, after: SpanPlace | None,
        limit: int,
    ) -> Json:  # fmt: skip
        if sources.room is not None and limit > _MOST_AT_ONCE:
            raise TakesLonger
        with sources.index() as index:
            logs = span_logs(index, _lives(topic_lives(index, topic), topic, topic_id), partition, after)
            if sources.room is not None and len(logs) > _MOST_AT_ONCE:
                raise TakesLonger
            return Json(page(*span_page(index, logs, limit, offset=offset, after=after)))

    get_page = threads.shortly(lineage, paged)

    @router.get("/spans/{topic}", responses={200: {"model": Page[Span]}}, response_class=Json)
    async def spans(
        topic: Topic,
        topic_id: TopicId = None,
        partition: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
        offset: Annotated[int, Query(ge=0, lt=2**53, description="From the span on that holds it.")] = 0,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Any:
        """Which offsets of a topic were written with which schema, by partition and offset, all lives of the topic
        after one another unless one is named. The next page goes on behind the last offset of the one before."""
        after = place(cursor, int, str, int, int)
        return await get_page(topic, topic_id, partition, offset, None if after is None else SpanPlace(*after), limit)

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


def _schema_key(role: str, schema: SchemaReference) -> str:
    """In the order of a page; the same whatever else there is."""
    digest = hashlib.sha256(orjson.dumps(schema_document(schema))).hexdigest()
    return f"{role != 'value':d}\0{schema.subject or ''}\0{schema.version or 0:010d}\0{digest}"


def _used(_: str, found: tuple[str, SchemaReference, dict[int, int]]) -> dict[str, Any]:
    role, schema, firsts = found
    return {
        "role": role,
        "schema": schema_document(schema),
        "first_offsets": {str(number): first for number, first in sorted(firsts.items())},
    }


def _life(each: TopicLife) -> dict[str, Any]:
    return {
        "topic_id": each.topic_id,
        "first_seen": time_to_json(each.first_seen),
        "last_seen": time_to_json(each.last_seen),
    }

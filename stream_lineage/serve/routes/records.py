"""Single records: their schema, and what they were made from or became."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Query

from stream_lineage.errors import NotFound
from stream_lineage.index.documents import drafted
from stream_lineage.index.kept import Kept
from stream_lineage.index.pages import newest
from stream_lineage.index.trace import trace
from stream_lineage.index.walk import Direction
from stream_lineage.provenance.documents import schema_document
from stream_lineage.serve.answers import Json
from stream_lineage.serve.documents import Record, RecordPath
from stream_lineage.serve.ports import Ends, Lineage, Sources, TakesLonger
from stream_lineage.serve.problems import documented
from stream_lineage.serve.routes.parameters import Depth, Offset, Partition, Topic, TopicId
from stream_lineage.serve.threads import Threads

Read = Annotated[bool, Query(description="Read from Kafka, too, what it still has: timestamps, runs, traces.")]
Edges = Annotated[int, Query(ge=1, le=20_000, description="Rows of edges to follow at most; `cut` says if more.")]
Wait = Annotated[
    int,
    Query(ge=0, le=10_000, description="Milliseconds to wait at most for the index to catch up; 0 asks Kafka nothing."),
]
_HINT = "The index reads on all the time: what has just been observed is there some seconds later."


def records(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/records``."""
    router = APIRouter(tags=["records"], responses=documented(HTTPStatus.NOT_FOUND))

    def looked_up(sources: Sources, topic: str, partition: int, offset: int, topic_id: str | None) -> Json:
        with sources.index() as index:
            number = newest(index, topic, topic_id, partition)
            if number is None:
                raise NotFound(f"nothing is known of {topic}[{partition}]", hint=_HINT)
            gap = index.hole_at(number, offset)
            if gap is not None:
                raise NotFound(f"offset {offset} of {topic}[{partition}] holds no record: {gap.reason.value}")
            found = index.span_at(number, topic, offset)
            if found is None:
                raise NotFound(f"offset {offset} of {topic}[{partition}] has not been observed", hint=_HINT)
            return Json(
                {
                    "cluster": sources.naming.cluster,
                    "topic": topic,
                    "topic_id": index.logs[number].topic_id,
                    "partition": partition,
                    "offset": offset,
                    "schema": schema_document(found[0]),
                    "key_schema": schema_document(found[1]),
                }
            )

    look_up = threads.shortly(lineage, looked_up)

    @router.get("/records/{topic}/{partition}/{offset}", responses={200: {"model": Record}}, response_class=Json)
    async def record(topic: Topic, partition: Partition, offset: Offset, topic_id: TopicId = None) -> Any:
        """Which schema a record was written with, by the index alone."""
        return await look_up(topic, partition, offset, topic_id)

    def found(
        sources: Sources, direction: Direction, place: tuple[str, int, int], topic_id: str | None, depth: int | None,
        edges: int, read: bool, begun: datetime, ends: Ends | None = None,
    ) -> Any:  # fmt: skip
        most = edges if sources.room is None else min(edges, sources.room)
        with sources.index() as index:
            doubts = sources.doubts(index, direction, begun, ends)
            path = trace(index, *place, direction, topic_id=topic_id, depth=depth, most_strips=most, doubts=doubts)
            if path.walk.cut and most < edges:
                raise TakesLonger
            document = drafted(index, path)
        # Others read the index while Kafka is asked.
        return Json(document(lineage.kept(path) if read else Kept()))

    def waited(until: float) -> Ends | None:
        """Many may wait already: what has waited for them too long waits no more."""
        return lineage.caught_up(max(until - monotonic(), 0.0))

    quick, slow = threads.shortly(lineage, found), threads.slowly(partial(found, lineage))
    caught_up = threads.patiently(waited)

    @router.get(
        "/records/{topic}/{partition}/{offset}/upstream", responses={200: {"model": RecordPath}}, response_class=Json
    )
    async def upstream(
        topic: Topic, partition: Partition, offset: Offset, topic_id: TopicId = None, depth: Depth = None,
        edges: Edges = 2000, read: Read = False,
    ) -> Any:  # fmt: skip
        """The records that a record was made from, hop by hop back to the sources."""
        ask = slow if read else quick
        return await ask("upstream", (topic, partition, offset), topic_id, depth, edges, read, datetime.now(UTC))

    @router.get(
        "/records/{topic}/{partition}/{offset}/downstream", responses={200: {"model": RecordPath}}, response_class=Json
    )
    async def downstream(
        topic: Topic, partition: Partition, offset: Offset, topic_id: TopicId = None, depth: Depth = None,
        edges: Edges = 2000, read: Read = False, wait: Wait = 1000,
    ) -> Any:  # fmt: skip
        """The records that were made from a record: all that there were when the question came, where it says that it
        is exact. For that the index must have read what our own topics hold by then."""
        ask, begun = slow if read else quick, datetime.now(UTC)
        ends = await caught_up(monotonic() + wait / 1000) if wait else None
        return await ask("downstream", (topic, partition, offset), topic_id, depth, edges, read, begun, ends)

    return router

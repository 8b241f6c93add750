"""The agent of the observation log: each observation through the pipeline, once and in order."""

from __future__ import annotations

import asyncio
from typing import Any

from stream_lineage.agents.faust_app import observations_topic
from stream_lineage.agents.looks import Looks
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.agents.progress import Progress
from stream_lineage.logs import get_logger
from stream_lineage.provenance.topics import OBSERVATIONS
from stream_lineage.wire.settings import KafkaSettings

WINDOW_CHECK_SECONDS = 1.0
_log = get_logger("stream_lineage.agents")


def wire_stream(app: Any, looks: Looks, kafka: KafkaSettings, pipeline: Pipeline[Any], progress: Progress) -> None:
    """Observations into the pipeline, its windows closed when they are due, and partitions that come and go."""
    topic = kafka.topic(OBSERVATIONS)
    mine: list[int] = []

    async def rewind() -> None:
        _log.info("observations are read again: some were dropped in a rebalance")
        pipeline.revoked()
        await app.consumer.rewind()

    async def observations(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            verdict = app.deliveries.arrived(message.partition, message.offset)
            if verdict == "rewind":
                await rewind()
            if verdict != "take":
                continue
            try:
                await pipeline.take(message.partition, message.offset, message.value, event)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Faust would log it, drop the observation and go on.
                _log.exception("observation cannot be processed", partition=message.partition, offset=message.offset)
                await app.crash(error)
                raise
            progress.processed(message.partition, message.offset)

    async def close_windows() -> None:
        await pipeline.close_due()
        if not pipeline.busy and app.deliveries.overdue():
            await rewind()

    async def beat() -> None:
        progress.beat()

    async def assigned(_: Any, assigned: Any, **__: Any) -> None:
        mine[:] = sorted(tp.partition for tp in assigned if tp.topic == topic)
        progress.assigned(mine)
        _log.info("partitions assigned", partitions=mine)

    async def recovered(*_: Any, **__: Any) -> None:
        pipeline.recovered(mine)

    async def revoked(*_: Any, **__: Any) -> None:
        progress.revoked()
        app.deliveries.expect_start()
        pipeline.revoked()

    app.agent(observations_topic(app), name="observations", concurrency=1)(observations)
    looks.every(WINDOW_CHECK_SECONDS, close_windows, fails="windows cannot be stored")
    app.timer(WINDOW_CHECK_SECONDS)(beat)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_rebalance_complete.connect(recovered, weak=False)

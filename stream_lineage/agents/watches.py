"""The watches beside the stream, each on its timer."""

from __future__ import annotations

import asyncio
from typing import Any

from stream_lineage.agents.deploy_points import DeployPoints
from stream_lineage.agents.edge_watch import EdgeWatch
from stream_lineage.agents.faust_app import FaustOutlet
from stream_lineage.agents.graph_watch import GraphWatch
from stream_lineage.agents.group_offsets import GroupOffsets
from stream_lineage.agents.group_watch import GroupWatch
from stream_lineage.agents.home import Home
from stream_lineage.agents.looks import Looks
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.agents.pushed_watch import PushedFeed, PushedWatch
from stream_lineage.agents.registry_poll import RegistryPoll
from stream_lineage.agents.series_watch import SeriesWatch
from stream_lineage.agents.training_watch import TrainingWatch
from stream_lineage.detect.window import Window
from stream_lineage.provenance.baselines import BaselineFeed

TRAINING_CHECK_SECONDS = 5.0
PUSHED_CHECK_SECONDS = 1.0
SERIES_CHECK_SECONDS = 10.0
EDGE_CHECK_SECONDS = 1.0
DEPLOY_CHECK_SECONDS = 5.0


def wire_registry(
    app: Any, looks: Looks, log: str, pipeline: Pipeline[Any], outlet: FaustOutlet, poll: RegistryPoll, seconds: float
) -> None:
    """What the registry holds, judged by the worker that has the topic's partition of the observation log, ``log``."""

    async def look() -> None:
        rows = dict(outlet.rows)  # the thread that asks must not see it change
        answers = await asyncio.to_thread(poll.ask, rows)
        await pipeline.aside(lambda kept: poll.judge(answers, kept))

    async def assigned(_: Any, assigned: Any, **__: Any) -> None:
        poll.assigned(tp.partition for tp in assigned if tp.topic == log)

    async def revoked(*_: Any, **__: Any) -> None:
        poll.assigned(())

    looks.every(seconds, look, fails="what the registry holds cannot be judged", when=lambda: looks.settled)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)


def wire_training(looks: Looks, pipeline: Pipeline[Any], training: TrainingWatch, feed: BaselineFeed) -> None:
    """Live data against training baselines."""
    looks.reading(
        TRAINING_CHECK_SECONDS,
        lambda: asyncio.to_thread(feed.news),
        lambda news: pipeline.aside(lambda rows: training.turn(news, rows)),
        unread="the training baselines cannot be read",
        fails="live data cannot be compared with training baselines",
        when=lambda: looks.settled,
    )


def wire_pushed(
    looks: Looks, home: Home, pipeline: Pipeline[Any], outlet: FaustOutlet, watch: PushedWatch, feed: PushedFeed
) -> None:
    """Metrics that others measure."""
    looks.reading(
        PUSHED_CHECK_SECONDS,
        lambda: asyncio.to_thread(feed.read, watch.place(outlet.rows)),
        lambda found: pipeline.aside(lambda rows: watch.judge(*found, rows) if home.held else []),
        unread="pushed metrics cannot be read",
        fails="pushed metrics cannot be judged",
        when=lambda: home.settled,
    )


def wire_series(looks: Looks, pipeline: Pipeline[Any], watch: SeriesWatch) -> None:
    """Whether there are too many series."""

    async def look() -> None:
        if due := watch.look():
            await pipeline.publish(due)
            watch.told()

    looks.every(
        SERIES_CHECK_SECONDS, look, fails="nobody can be told that there are too many series",
        when=lambda: looks.settled,
    )  # fmt: skip


def wire_deploys(looks: Looks, pipeline: Pipeline[Any], deploys: DeployPoints) -> None:
    """Deploy windows as points."""
    looks.every(DEPLOY_CHECK_SECONDS, lambda: pipeline.store(deploys.due), fails="deploy windows cannot be stored")


def wire_edges(
    looks: Looks,
    home: Home,
    pipeline: Pipeline[Any],
    outlet: FaustOutlet,
    watch: EdgeWatch,
    feed: OnePartition[Window],
) -> None:
    """What goes into declared jobs against what comes out of them."""
    dropped = False

    async def read() -> tuple[list[tuple[int, Window]], int]:
        nonlocal dropped
        if dropped:
            dropped = False
            watch.drop()
        return await asyncio.to_thread(feed.read, watch.place(outlet.rows))

    def lost() -> None:
        nonlocal dropped
        dropped = True

    looks.reading(
        EDGE_CHECK_SECONDS,
        read,
        lambda found: pipeline.aside(lambda rows: watch.judge(*found, rows) if home.held and not dropped else []),
        unread="windows of declared jobs cannot be read",
        fails="declared jobs cannot be judged",
        when=lambda: home.settled,
    )
    home.when_lost(lost)


def wire_groups(
    app: Any,
    looks: Looks,
    home: Home,
    pipeline: Pipeline[Any],
    offsets: GroupOffsets,
    watch: GroupWatch,
    graph: GraphWatch | None,
    seconds: float,
) -> None:
    """How far consumer groups are behind; what they read is evidence for the graph."""

    async def look() -> None:
        found = await offsets.ask()
        if graph is not None:
            graph.groups(found)
        await pipeline.aside(lambda rows: watch.judge(found, rows) if home.held else [])

    async def ended(*_: Any, **__: Any) -> None:
        await offsets.close()

    looks.every(seconds, look, fails="consumer groups cannot be judged", when=lambda: home.settled)
    app.on_before_shutdown.connect(ended, weak=False)

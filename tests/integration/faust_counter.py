"""A Faust application that says ``exactly_once``: it counts words in a table, and sends each word to two topics, one of
which it consumes itself. Run as ``python faust_counter.py BOOTSTRAP ID worker|embedded DIRECTORY``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import faust
from faust.app.base import BootStrategy


class Boot(BootStrategy):  # type: ignore[misc]
    enable_web = False


class App(faust.App):  # type: ignore[misc]
    BootStrategy = Boot


def main(bootstrap: str, name: str, how: str, directory: str) -> None:
    app = App(
        name, broker=f"kafka://{bootstrap}", processing_guarantee="exactly_once", store="memory://",
        datadir=directory, autodiscover=False, topic_allow_declare=False, topic_disable_leader=True,
        key_serializer="raw", value_serializer="raw", stream_wait_empty=False, broker_commit_interval=0.5,
    )  # fmt: skip
    words = app.topic(f"{name}-words", key_type=bytes, value_type=bytes)
    consumed = app.topic(f"{name}-consumed", key_type=bytes, value_type=bytes)
    unconsumed = app.topic(f"{name}-unconsumed", key_type=bytes, value_type=bytes)
    counts = app.Table("counts", default=int, partitions=1)

    @app.agent(words)  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        async for word in stream:
            counts[word.decode()] += 1
            await unconsumed.send(key=b"k", value=word)
            await consumed.send(key=b"k", value=word)

    @app.agent(consumed)  # type: ignore[untyped-decorator]
    async def again(stream: Any) -> None:
        async for _ in stream:
            pass

    if how == "worker":
        faust.Worker(app, quiet=True, loglevel="INFO").execute_from_commandline()
    else:
        asyncio.run(embedded(app))


async def embedded(app: Any) -> None:
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

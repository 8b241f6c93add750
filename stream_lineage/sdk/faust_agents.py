"""Lineage of what Faust agents write.

    lineage = Lineage()

    @app.agent(orders)
    async def score(stream):
        async for event in events(stream, lineage):
            await send(scores, lineage, key=event.key, value=scored(event.value))

Inside of the loop the event is what a record is made from, unless parents are named. An event of ``stream.take`` stands
for many: there parents are always named.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from stream_lineage.sdk.lineage import AUTOMATIC, Lineage
from stream_lineage.wire.lineage_headers import PARENTS_HEADER


async def events(stream: Any, lineage: Lineage) -> AsyncIterator[Any]:
    """As ``stream.events()``; while the loop's body runs, the event is the parent of what is written."""
    async for event in stream.events():
        with lineage.window(event):
            yield event


def send(channel: Any, lineage: Lineage, *, parents: Any = AUTOMATIC, headers: Any = None, **options: Any) -> Any:
    """As ``channel.send``, to be awaited, with the parents of the record in its headers.

    Args:
        channel: a topic of Faust, or what else has its ``send`` and a name.
        parents: events, messages or coordinates; without it the event of the loop.
    """
    return channel.send(headers=with_lineage(channel, lineage, headers, parents), **options)


def with_lineage(channel: Any, lineage: Lineage, headers: Any = None, parents: Any = AUTOMATIC) -> Any:
    """The headers for ``send``: the application's own and those of lineage. Never fails."""
    try:
        own = lineage.headers(_name(channel), parents)
        given = [] if headers is None else list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        names = {header[0] for header in given}
        lineage.counts.stale += PARENTS_HEADER in names
        kept = [header for header in given if header[0] != PARENTS_HEADER]
        added = [header for header in own if header[0] == PARENTS_HEADER or header[0] not in names]
    except Exception as error:  # noqa: BLE001  (the record is written whatever happens to its lineage)
        lineage.failed(error)
        return headers
    return [*kept, *added] or None


def _name(channel: Any) -> str:
    """The topic that a channel writes to."""
    name = channel if isinstance(channel, str) else channel.get_topic_name()
    if not isinstance(name, str):
        raise TypeError("not a topic")
    return name

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

from stream_lineage.sdk.lineage import AUTOMATIC, Lineage, Window
from stream_lineage.wire.lineage_headers import PARENTS_HEADER


def events(stream: Any, lineage: Lineage) -> AsyncIterator[Any]:
    """As ``stream.events()``; while the loop's body runs, the event is the parent of what is written.

    That ends with the loop, however it is left, if nothing but the loop holds what this returns.
    """
    return _Events(stream.events(), lineage)


class _Events:
    """No generator: one that a loop has left by ``break`` stays where it was, inside of the window, until the event
    loop closes it some time later."""

    def __init__(self, inner: AsyncIterator[Any], lineage: Lineage) -> None:
        self._inner = inner
        self._lineage = lineage
        self._window: Window | None = None

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Any:
        self._leave()
        event = await anext(self._inner)
        self._window = self._lineage.window(event)
        self._window.__enter__()
        return event

    async def aclose(self) -> None:
        """For ``contextlib.aclosing``, where the loop is not the only one that holds it."""
        self._leave()
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()

    def _leave(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.__exit__()

    def __del__(self) -> None:
        self._leave()


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
        try:
            own = lineage.unknown(_name(channel), parents)
        except Exception:  # noqa: BLE001  (it was counted)
            return headers
        given = list(headers.items()) if isinstance(headers, Mapping) else headers or []
        return [*given, *own] if own and isinstance(given, list) else headers
    return [*kept, *added] or None


def _name(channel: Any) -> str:
    """The topic that a channel writes to."""
    name = channel if isinstance(channel, str) else channel.get_topic_name()
    if not isinstance(name, str):
        raise TypeError("not a topic")
    return name

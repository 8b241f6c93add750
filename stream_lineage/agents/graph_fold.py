"""The graph as a worker knows it: ``lineage.graph`` read from its beginning, and on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from stream_lineage.agents.message_time import message_time
from stream_lineage.graph.codec import decode_event
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.graph.walk import downstream_names
from stream_lineage.model.graph import Evidence, GraphEvent

if TYPE_CHECKING:
    from confluent_kafka import Message

T = TypeVar("T")
MOST_REACHED = 100
"""Nodes that an alert names as reached by what it tells of."""
_PORTIONS = 200
"""Portions that are read at a time, at most."""


@dataclass(frozen=True, slots=True)
class Written:
    """An event, and when it was written to the topic."""

    event: GraphEvent
    at: datetime


def written(message: Message) -> Written:
    """What a message of the topic says.

    Raises:
        DecodeError: it is no event.
    """
    event = decode_event(message.value() or b"")
    return Written(event, message_time(message, event.at))


Told = Callable[[int, Written, list[Evidence], Graph], object]


class Feed(Protocol):
    """One partition of a topic of ours."""

    def end(self) -> int:
        """The offset that the next message will have."""
        ...

    def read(self, start: int) -> tuple[list[tuple[int, Written]], int]:
        """What comes from here on, a portion of it, with offsets, and where to go on."""
        ...


class GraphFold:
    """``catch_up`` in a thread, ask in any other."""

    def __init__(self, feed: Feed, naming: Naming) -> None:
        self._feed = feed
        self._naming = naming
        self._lock = threading.Lock()
        self._offset = 0
        self.graph = Graph()
        self.whole = False
        """Whether all that there was had been taken in once."""

    def start_from(self, graph: Graph, offset: int) -> None:
        """Begin with a graph that has all that the topic said before this offset."""
        with self._lock:
            self.graph, self._offset = graph, offset

    def catch_up(self, told: Told | None = None) -> bool:
        """Take in what has come; whether all there is has been taken in. ``told`` is given each event with its offset,
        what was known of its node or edge before, and the graph after it.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        end = self._feed.end()
        if end < self._offset:  # the topic was made anew
            self._offset, self.graph = 0, Graph()
        for _ in range(_PORTIONS):
            if self._offset >= end:
                self.whole = True
                return True
            events, self._offset = self._feed.read(self._offset)
            with self._lock:
                for offset, each in events:
                    before = [] if told is None else self.graph.known(each.event.subject)
                    self.graph.take(each.event)
                    if told is not None:
                        told(offset, each, before, self.graph)
        self.whole = self.whole or self._offset >= end
        return self._offset >= end

    @property
    def offset(self) -> int:
        """Behind the last event that was taken in."""
        return self._offset

    def ask(self, question: Callable[[Graph], T]) -> T:
        """What the graph says, while nothing is taken in."""
        with self._lock:
            return question(self.graph)

    def ask_at_once(self, question: Callable[[Graph], T]) -> tuple[T] | None:
        """The same; null where something is being taken in just now."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return (question(self.graph),)
        finally:
            self._lock.release()

    def reached(self, topic: str) -> list[str]:
        """What is made of a topic, along edges that are more than guessed, the nearest first."""
        try:
            node = self._naming.topic(topic)
        except ValueError:
            return []
        with self._lock:
            return downstream_names(self.graph, node, MOST_REACHED)

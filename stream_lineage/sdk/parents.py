"""What applications name as parents: messages of any client, or coordinates."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from stream_lineage.model.record_edge import ParentRange
from stream_lineage.wire.parent_ranges import ParentRanges

_COORDINATES = (3, 4)


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent (a message or coordinates) with the name of its cluster; null: the one that the record made from it is
    written to."""

    of: Any
    cluster: str | None


def add_parent(ranges: ParentRanges, parent: Any, cluster: str | None = None, *, written: Container[str] = ()) -> None:
    """Add a parent: a message of confluent-kafka, also one that a delivery report gave back; one of Faust (event or
    message), aiokafka or anybody's with ``topic``, ``partition`` and ``offset``; ``(topic, partition, offset)`` or
    ``(topic, partition, first_offset, last_offset)``; a ``Parent``; a ``ParentRange``; or all of a set of parents.

    ``cluster`` is that of messages and bare coordinates. What a delivery report gives of one of the topics ``written``
    is where the application writes to, and has none.

    Raises:
        Exception: it is none of these, or holds no coordinates.
    """
    if isinstance(parent, Parent):
        add_parent(ranges, parent.of, parent.cluster)
        return
    if isinstance(parent, ParentRange):
        ranges.update((parent,))
        return
    inner = getattr(parent, "ranges", None)
    if isinstance(inner, ParentRanges):
        parent = inner
    if isinstance(parent, ParentRanges):
        ranges.update(parent)
        ranges.incomplete = ranges.incomplete or parent.incomplete
        return
    if isinstance(parent, tuple) and len(parent) in _COORDINATES and isinstance(parent[0], str):
        ranges.add(*parent, cluster=cluster)
        return
    message = parent if hasattr(parent, "offset") else parent.message
    topic, partition, offset = message.topic, message.partition, message.offset
    if callable(offset):
        topic, partition, offset = topic(), partition(), offset()
    if topic in written and _reported(message):
        cluster = None
    ranges.add(topic, partition, offset, cluster=cluster)


def _reported(message: Any) -> bool:
    """Whether a message was written and acknowledged rather than consumed. The client knows leader epochs of consumed
    ones only, and what others give of a written record has no value."""
    return message.leader_epoch() is None if isinstance(message, Message) else not hasattr(message, "value")


def named(parents: Any) -> Iterable[Any]:
    """One parent or several, as several."""
    if isinstance(parents, Parent | ParentRange | ParentRanges) or hasattr(parents, "ranges"):
        return (parents,)
    if isinstance(parents, tuple) and len(parents) in _COORDINATES and isinstance(parents[0], str):
        return (parents,)
    if hasattr(parents, "offset") or hasattr(parents, "message"):
        return (parents,)
    return parents  # type: ignore[no-any-return]

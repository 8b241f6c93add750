"""What people said of incidents, as metric points: ``lineage_incident_label``, one for each label.

The worker that has the first partition of the log writes them, from the beginning whenever it gets it: the same label
is the same point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from stream_lineage.agents.home import Home
from stream_lineage.agents.looks import Looks
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.store.ports import FieldValue, Point

if TYPE_CHECKING:
    from confluent_kafka import Message

MEASUREMENT = "lineage_incident_label"
CHECK_SECONDS = 2.0
_PREFIX = b"incident-label/"
_MOST = 1000


@dataclass(frozen=True, slots=True)
class LabelRead:
    """``confirms``: whether what was named as the cause is what people found; null where that is not known."""

    incident: str
    verdict: bool
    cause: str | None
    confirms: bool | None
    at: datetime


def label_read(key: bytes | None, value: bytes | None) -> LabelRead | None:
    """The label of a record; null for a record of others, and for one that cannot be read."""
    if key is None or value is None or not key.startswith(_PREFIX):
        return None
    try:
        body = orjson.loads(value)
        cause, confirms = body["cause"], body.get("confirms")
        return LabelRead(
            key.removeprefix(_PREFIX).decode(),
            bool(body["verdict"]),
            None if cause is None else str(cause)[:_MOST],
            confirms if isinstance(confirms, bool) else None,
            datetime.fromisoformat(body["at"]).astimezone(UTC),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def label_points(labels: Iterable[LabelRead], cluster: str, since: datetime) -> list[Point]:
    """A point for each label that is not older than ``since``: the store keeps nothing that old."""
    found = []
    for each in labels:
        if each.at < since:
            continue
        fields: dict[str, FieldValue] = {"labels": 1}
        if each.cause is not None:
            fields["cause"] = each.cause
        if each.confirms is not None:
            fields["confirmed"] = int(each.confirms)
        tags = {"cluster": cluster, "incident": each.incident, "verdict": str(each.verdict).lower()}
        found.append(Point(MEASUREMENT, tags, fields, each.at))
    return found


def wire_labels(
    looks: Looks, home: Home, pipeline: Pipeline[Any], feed: OnePartition[LabelRead | None], cluster: str,
    kept: timedelta, wall: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:  # fmt: skip
    """``kept`` is how long the store keeps points."""
    place = 0

    async def store(found: tuple[list[tuple[int, LabelRead | None]], int]) -> None:
        nonlocal place
        read, after = found
        labels = [each for _, each in read if each is not None]
        await pipeline.store(lambda: label_points(labels, cluster, wall() - kept))
        place = after if home.held else 0

    def lost() -> None:
        nonlocal place
        place = 0

    looks.reading(
        CHECK_SECONDS,
        lambda: asyncio.to_thread(feed.read, place),
        store,
        unread="labels of incidents cannot be read",
        fails="labels of incidents cannot be stored",
        when=lambda: home.settled,
    )
    home.when_lost(lost)


def labelled(message: Message) -> LabelRead | None:
    """The label of a record of the topic of states, as ``label_read``."""
    return label_read(message.key(), message.value())

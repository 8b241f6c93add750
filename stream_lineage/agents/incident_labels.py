"""What people said of incidents, as metric points: ``lineage_incident_label``, one for each label.

The worker that has the first partition of the log writes them, from the beginning whenever it gets it: the same label
is the same point. Where two incidents have become one, the newest label of both is that of what remains, and the other
one's point is written again to say that it does not count.
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
from stream_lineage.provenance.incident_codec import remains
from stream_lineage.store.ports import FieldValue, Point

if TYPE_CHECKING:
    from confluent_kafka import Message

MEASUREMENT = "lineage_incident_label"
CHECK_SECONDS = 2.0
_PREFIX = b"incident-label/"
_MOST = 1000
_MERGED = b'"merged_into":"'
NOT_COUNTED = -1
"""``confirmed`` of a label in whose place there is that of an incident that has become one with this: what a point has
cannot be taken back."""


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


def merge_read(value: bytes | None) -> tuple[str, str] | None:
    """Of a message about an incident: its id and that of the older one that it has turned out to be part of; null where
    it is in none."""
    if value is None or _MERGED not in value:
        return None
    try:
        body = orjson.loads(value)
        return str(body["id"]), str(body["merged_into"])
    except (ValueError, KeyError, TypeError):
        return None


class Labels:
    """The newest label of each incident, and which of those of incidents that are one counts."""

    def __init__(self) -> None:
        self._newest: dict[str, LabelRead] = {}
        self._merged: dict[str, str] = {}

    def take(self, labels: Iterable[LabelRead], merges: Iterable[tuple[str, str]]) -> list[tuple[LabelRead, bool]]:
        """What was read; returns the labels whose points are to be written, and whether they count."""
        changed, before = set(), []
        for each in labels:
            if (known := self._newest.get(each.incident)) is not None:
                before.append((known, True))  # the newest one of an incident is what is asked for
            self._newest[each.incident] = each
            changed.add(each.incident)
        for name, older in merges:
            self._merged[name] = older
            changed.add(name)
        concerned = {remains(name, self._merged) for name in changed}
        ones: dict[str, list[LabelRead]] = {}
        for each in sorted(self._newest.values(), key=lambda label: label.at):
            ones.setdefault(remains(each.incident, self._merged), []).append(each)
        return [*before, *((each, each is one[-1]) for name, one in ones.items() if name in concerned for each in one)]


def label_points(labels: Iterable[tuple[LabelRead, bool]], cluster: str, since: datetime) -> list[Point]:
    """A point for each label that is not older than ``since``: the store keeps nothing that old. With each is said
    whether it counts."""
    found = []
    for each, counts in labels:
        if each.at < since:
            continue
        fields: dict[str, FieldValue] = {"labels": int(counts)}
        if each.cause is not None:
            fields["cause"] = each.cause
        if each.confirms is not None:
            fields["confirmed"] = int(each.confirms) if counts else NOT_COUNTED
        tags = {"cluster": cluster, "incident": each.incident, "verdict": str(each.verdict).lower()}
        found.append(Point(MEASUREMENT, tags, fields, each.at))
    return found


def wire_labels(
    looks: Looks, home: Home, pipeline: Pipeline[Any], feed: OnePartition[LabelRead | None],
    merges: OnePartition[tuple[str, str] | None], cluster: str, kept: timedelta,
    wall: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:  # fmt: skip
    """``kept`` is how long the store keeps points."""
    places, known = (0, 0), Labels()

    def read() -> tuple[list[LabelRead], list[tuple[str, str]], tuple[int, int]]:
        (labels, labels_after), (merged, merges_after) = feed.read(places[0]), merges.read(places[1])
        said = [each for _, each in labels if each is not None]
        return said, [each for _, each in merged if each is not None], (labels_after, merges_after)

    async def store(found: tuple[list[LabelRead], list[tuple[str, str]], tuple[int, int]]) -> None:
        nonlocal places
        said, merged, after = found
        points = label_points(known.take(said, merged), cluster, wall() - kept)
        await pipeline.store(lambda: points)
        places = after if home.held else (0, 0)

    def lost() -> None:
        nonlocal places, known
        places, known = (0, 0), Labels()

    looks.reading(
        CHECK_SECONDS,
        lambda: asyncio.to_thread(read),
        store,
        unread="labels of incidents cannot be read",
        fails="labels of incidents cannot be stored",
        when=lambda: home.settled,
    )
    home.when_lost(lost)


def merged_one(message: Message) -> tuple[str, str] | None:
    """What a message of the topic of incidents says of a merge, as ``merge_read``."""
    return merge_read(message.value())


def labelled(message: Message) -> LabelRead | None:
    """The label of a record of the topic of states, as ``label_read``."""
    return label_read(message.key(), message.value())

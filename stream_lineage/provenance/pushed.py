"""Pushed points as messages of their topic: JSON, keyed by node and metric."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stream_lineage.errors import DecodeError
from stream_lineage.model.pushed import PushedPoint

_VERSION = 1
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_MAX_NODE, _MAX_TAGS, _MAX_TAG_VALUE = 300, 10, 200
_KINDS = ("count", "level")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
MAX_MESSAGE_BYTES = 16 * 1024


def checked(point: PushedPoint, now: datetime) -> PushedPoint:
    """The point itself.

    Raises:
        DecodeError: a name, a value or a time is not legal; says which and what is.
    """
    if not point.node or len(point.node) > _MAX_NODE or not point.node.isprintable():
        raise DecodeError(f"a node is 1 to {_MAX_NODE} printable characters")
    for name in (point.metric, *point.tags):
        if not _METRIC.fullmatch(name):
            raise DecodeError(
                f"'{name[:100]}' is no name: letters, digits, '_', '.' and '-', at most 100, the first no digit"
            )
    if len(point.tags) > _MAX_TAGS:
        raise DecodeError(f"a point has at most {_MAX_TAGS} tags")
    if any(len(value) > _MAX_TAG_VALUE or not value.isprintable() for value in point.tags.values()):
        raise DecodeError(f"the value of a tag is at most {_MAX_TAG_VALUE} printable characters")
    if not math.isfinite(point.value):
        raise DecodeError("a value is a finite number")
    if point.kind not in _KINDS:
        raise DecodeError("a kind is count or level")
    if point.kind == "count" and point.value < 0:
        raise DecodeError("a count is not below 0")
    if not _EARLIEST <= point.at <= now + _AHEAD:
        raise DecodeError("a time is from the year 2000 on and not in the future")
    if not 1 <= point.every_seconds <= 31 * 86_400:
        raise DecodeError("points are 1 second to 31 days apart")
    return point


def series_key(point: PushedPoint) -> bytes:
    """The same for all points of a series."""
    return orjson.dumps([point.node, point.metric, sorted(point.tags.items())])


def message_key(point: PushedPoint) -> bytes:
    return orjson.dumps([point.node, point.metric])


def encode_point(point: PushedPoint) -> bytes:
    return orjson.dumps(
        {
            "version": _VERSION,
            "node": point.node,
            "metric": point.metric,
            "value": point.value,
            "at": point.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "tags": dict(point.tags),
            "kind": point.kind,
            "every_seconds": point.every_seconds,
        }
    )


def decode_point(value: bytes, now: datetime) -> PushedPoint:
    """The point that ``encode_point`` wrote.

    Raises:
        DecodeError: the bytes are no point, or not a legal one.
    """
    if len(value) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"a point of {len(value)} bytes is beyond the bound of {MAX_MESSAGE_BYTES}")
    try:
        document = orjson.loads(value)
        if document["version"] != _VERSION:
            raise DecodeError("a point of an unknown version")
        return point_from_json(document, now)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"not a point: {type(error).__name__}") from error


def point_from_json(document: Mapping[str, Any], now: datetime) -> PushedPoint:
    """A point from the members of an object; the time is now where there is none.

    Raises:
        DecodeError: it is not a legal one.
        KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    at = document.get("at")
    time = now if at is None else datetime.fromisoformat(at)
    point = PushedPoint(
        node=_text(document["node"]),
        metric=_text(document["metric"]),
        value=float(document["value"]),
        at=time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC),
        tags={_text(name): _text(value) for name, value in (document.get("tags") or {}).items()},
        kind=document.get("kind", "level"),
        every_seconds=float(document.get("every_seconds", 60.0)),
    )
    return checked(point, now)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value

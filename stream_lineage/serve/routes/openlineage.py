"""OpenLineage's events from other systems."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from stream_lineage.graph.from_openlineage import subject_of
from stream_lineage.serve.answers import Json
from stream_lineage.serve.documents import Accepted
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import BadBody, TooLarge, documented
from stream_lineage.serve.threads import Threads

MOST_EVENTS = 1_000
LARGEST_EVENT = 900_000
"""Bytes: brokers take one message of 1 MB unless configured otherwise."""
LARGEST_BODY = 10_000_000
_SMALL_BODY = 100_000
"""Bytes that are taken apart at once; more of them elsewhere, while others are answered."""
_BLANKS = re.compile(r"[ \t\n\r]*")
_BETWEEN = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_EVENT = {
    "type": "object",
    "description": "A RunEvent, JobEvent or DatasetEvent of any version of OpenLineage's specification.",
    "additionalProperties": True,
    "properties": {
        "eventType": {"type": "string"},
        "eventTime": {"type": "string"},
        "producer": {"type": "string"},
        "schemaURL": {"type": "string"},
        "run": {"type": "object"},
        "job": {"type": "object"},
        "dataset": {"type": "object"},
        "inputs": {"type": "array", "items": {"type": "object"}},
        "outputs": {"type": "array", "items": {"type": "object"}},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT, "maxItems": MOST_EVENTS}]}
            }
        },
    }
}


def openlineage(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/lineage``."""
    router = APIRouter(
        tags=["openlineage"],
        responses=documented(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    )

    keep, taken_apart = threads.slowly(lineage.accept), threads.slowly(accepted)

    @router.post(
        "/lineage", status_code=201, responses={201: {"model": Accepted}}, response_class=Json, openapi_extra=_BODY
    )
    async def take(request: Request) -> Any:
        """Take an event of OpenLineage, or an array of them, as any client sends them. When this answers they are in
        Kafka, byte by byte as they came; the graph has them some seconds later. None of an array is taken where one of
        it is refused; where Kafka fails some may be in it: send it again."""
        body = await _body(request)
        events = await (taken_apart(body) if len(body) > _SMALL_BODY else _at_once(body))
        await keep(events)
        return Json({"accepted": len(events)}, HTTPStatus.CREATED)

    return router


async def _at_once(body: bytes) -> list[tuple[bytes, bytes]]:
    return accepted(body)


def accepted(body: bytes) -> list[tuple[bytes, bytes]]:
    """Events as messages: keys and values. Each is kept byte by byte.

    Raises:
        BadBody: it is no event, or one of them is none; says which.
        TooLarge: there are too many of them, or one is too long.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"the body is no JSON: {error}") from None
    if isinstance(found, list):
        if len(found) > MOST_EVENTS:
            raise TooLarge(f"{len(found)} events are more than the {MOST_EVENTS} that one request may hold")
        texts = _items(body.decode(), len(found))
        return [
            _message(event, f"event {number}: ", text.encode())
            for number, (event, text) in enumerate(zip(found, texts, strict=True))
        ]
    return [_message(found, "", body)]


def _items(text: str, count: int) -> list[str]:
    """The texts of the items of an array that was read before, and so is one."""
    scan, found = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode, []
    at = _BLANKS.match(text, text.index("[") + 1)
    try:
        for _ in range(count):
            start = _end(at)
            _, stop = scan(text, start)
            found.append(text[start:stop])
            at = _BETWEEN.match(text, stop)
    except RecursionError:
        raise BadBody("it is nested too deeply") from None
    return found


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # noqa: S101  (both patterns match nothing, too)
    return match.end()


def _message(event: Any, where: str, value: bytes) -> tuple[bytes, bytes]:
    if not isinstance(event, Mapping):
        raise BadBody(f"{where}an event is an object")
    subject = subject_of(event)
    if subject is None:
        raise BadBody(
            f"{where}neither a job nor a dataset with a namespace and a name",
            hint="OpenLineage's RunEvents and JobEvents have a job, DatasetEvents a dataset.",
        )
    try:
        orjson.dumps(event)
    except orjson.JSONEncodeError:
        raise BadBody(f"{where}it is nested too deeply") from None
    if len(value) > LARGEST_EVENT:
        raise TooLarge(f"{where}{len(value)} bytes are more than the {LARGEST_EVENT} that one event may have")
    return "/".join(subject).encode(errors="replace"), value


async def _body(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("application/json", "application/vnd.openlineage+json"):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an event is sent as application/json")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip"):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is sent as it is, or with gzip")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise TooLarge(f"a body may have {LARGEST_BODY} bytes")
        parts.append(part)
    body = b"".join(parts)
    return body if encoding != "gzip" else _unpacked(body)


def _unpacked(body: bytes) -> bytes:
    unpack = zlib.decompressobj(wbits=31)
    try:
        found = unpack.decompress(body, LARGEST_BODY)
    except zlib.error:
        raise BadBody("the body is not packed with gzip") from None
    if unpack.unconsumed_tail:
        raise TooLarge(f"a body may have {LARGEST_BODY} bytes")
    if not unpack.eof:
        raise BadBody("the packed body is not whole")
    if unpack.unused_data:
        raise BadBody("the packed body has more than one part")
    return found

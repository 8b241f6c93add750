"""Errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stream_lineage.errors import (
    ConnectionFailed,
    DecodeError,
    IndexUnusable,
    NotFound,
    Overloaded,
    SchemaError,
    SettingsError,
    StreamLineageError,
)
from stream_lineage.logs import get_logger

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 20
_log = get_logger("stream_lineage.serve")


class BadCursor(StreamLineageError):
    """A cursor is none that was given out."""


class TooLarge(StreamLineageError):
    """A request holds more than one may."""


class BadBody(StreamLineageError):
    """A request's body is not what it should be."""


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field(default="about:blank", description="Always about:blank: the status says what kind it is.")
    title: str
    status: int
    detail: str | None = None
    hint: str | None = Field(default=None, description="What to do about it.")
    errors: list[dict[str, Any]] | None = Field(default=None, description="What is wrong with which parameter.")


_STATUS: tuple[tuple[type[StreamLineageError], HTTPStatus], ...] = (
    (BadCursor, HTTPStatus.BAD_REQUEST),
    (BadBody, HTTPStatus.BAD_REQUEST),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (NotFound, HTTPStatus.NOT_FOUND),
    (SchemaError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (DecodeError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConnectionFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (IndexUnusable, HTTPStatus.SERVICE_UNAVAILABLE),
    (Overloaded, HTTPStatus.SERVICE_UNAVAILABLE),
    (SettingsError, HTTPStatus.SERVICE_UNAVAILABLE),
)
_SAID = {
    HTTPStatus.BAD_REQUEST: "The request cannot be understood.",
    HTTPStatus.UNAUTHORIZED: "There is no valid token.",
    HTTPStatus.FORBIDDEN: "The token's role may not do this.",
    HTTPStatus.NOT_FOUND: "It is not there.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A parameter is not what it should be.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Kafka, the registry, the store or the index cannot be used at present.",
}


def documented(*more: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that are problems, for its documentation."""
    usual = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        int(status): {"description": _SAID.get(status, f"{status.phrase}."), "content": content}
        for status in (*usual, *more)
    }


def problem(
    status: int,
    detail: str | None = None,
    hint: str | None = None,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """An answer."""
    said = {"detail": detail, "hint": hint, "errors": errors}
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body |= {name: value for name, value in said.items() if value is not None}
    return Response(orjson.dumps(body, default=str), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of an app answered so."""
    app.add_exception_handler(StreamLineageError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def answered(error: StreamLineageError) -> Response:
    """What an error of ours is for whoever asked."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status >= HTTPStatus.SERVICE_UNAVAILABLE:
        _log.warning("a request cannot be answered", reason=error.message)
    if isinstance(error, ConnectionFailed | IndexUnusable | SettingsError):
        # Addresses and paths are for the log.
        return problem(status, _SAID[HTTPStatus.SERVICE_UNAVAILABLE], "The log says more.")
    return problem(status, error.message, error.hint)


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, StreamLineageError)  # noqa: S101
    return answered(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()[:_MOST_ERRORS]]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "a parameter is not what it should be", errors=found)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("a request failed", path=request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "This is a fault of ours; the log says more.")

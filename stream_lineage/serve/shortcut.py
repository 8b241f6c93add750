"""The short way of a plain GET to its handler.

To find a route and to read its parameters takes the framework several times as long as looking a record up. Here the
same is done with what is known from the start: the patterns of paths, and validators of the annotations that the
framework reads, too. What is not plain goes on to the framework, and so does what does not fit: it says what is wrong.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from fastapi.params import Param, Path, Query
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_lineage.errors import StreamLineageError
from stream_lineage.serve.problems import answered

Handler = Callable[..., Awaitable[Response]]
_LONGEST_QUERY = 8_000
_SCALARS = (str, int, float, datetime, AwareDatetime, Enum, NoneType)


@dataclass(frozen=True, slots=True)
class Plain:
    """A handler that wants single values of the path and the query, and nothing else of a request. ``readers`` make
    them of texts, by the names of parameters; ``needed`` are those without a default."""

    handler: Handler
    readers: dict[str, Callable[[str], Any]]
    needed: frozenset[str]

    def values(self, path: dict[str, str], query: bytes) -> dict[str, Any] | None:
        """What the handler is called with; null where something does not fit. What is given twice counts as it was
        given last, and what nobody asks for not at all."""
        given = path
        if query:
            try:
                given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) | path
            except ValueError:
                return None
        if not self.needed <= given.keys():
            return None
        try:
            return {name: self.readers[name](text) for name, text in given.items() if name in self.readers}
        except ValidationError:
            return None


Ways = dict[str, list[tuple[re.Pattern[str], Plain | None]]]
"""Patterns of paths in the order in which an app looks at them, by where paths begin."""


def ways(routes: Iterable[tuple[str, APIRoute]]) -> Ways:
    """Of the routes of an app, with their whole paths."""
    found: Ways = {}
    for path, route in routes:
        if "GET" in (route.methods or ()):
            pattern, _, _ = compile_path(path)
            found.setdefault(_begin(path), []).append((pattern, plain(route.endpoint)))
    return found


class Shortcut:
    """In front of an app."""

    def __init__(self, app: ASGIApp, ways: Ways) -> None:
        self._app = app
        self._ways = ways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, values = found
        try:
            answer = await handler(**values)
        except StreamLineageError as error:
            answer = answered(error)
        await answer(scope, receive, send)

    def _found(self, scope: Scope) -> tuple[Handler, dict[str, Any]] | None:
        path, query = scope["path"], scope["query_string"]
        if scope.get("root_path") or len(query) > _LONGEST_QUERY:
            return None
        for pattern, way in self._ways.get(_begin(path), ()):
            if (match := pattern.match(path)) is not None:
                values = None if way is None else way.values(match.groupdict(), query)
                return None if way is None or values is None else (way.handler, values)
        return None


def plain(handler: Callable[..., Any]) -> Plain | None:
    """Null where a handler wants more of a request than single values of its path and its query."""
    hints = get_type_hints(handler, include_extras=True)
    parameters = inspect.signature(handler).parameters
    if not inspect.iscoroutinefunction(handler) or not all(_is_single(hints[name]) for name in parameters):
        return None
    return Plain(
        handler,
        {name: TypeAdapter(hints[name]).validator.validate_python for name in parameters},
        frozenset(name for name, each in parameters.items() if each.default is each.empty),
    )


def _is_single(hint: Any) -> bool:
    """Whether an annotation is of one value of the path or the query, under the parameter's own name."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        said = [each for each in parts[1:] if isinstance(each, Param)]
        return _is_single(parts[0]) and all(isinstance(each, Path | Query) and each.alias is None for each in said)
    if origin in (Union, UnionType):
        return all(map(_is_single, parts))
    return origin is Literal or (isinstance(hint, type) and issubclass(hint, _SCALARS))


def _begin(path: str) -> str:
    """The first part of a path behind that which all of them have in common, ``/api/v1``: no pattern has it open."""
    return path.split("/", 4)[3] if path.count("/") > 2 else ""

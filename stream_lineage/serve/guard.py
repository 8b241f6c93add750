"""Who may ask what. Everything but health is closed unless it is opened here: unknown paths too."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from stream_lineage.serve.problems import problem
from stream_lineage.serve.tokens import Role, Token, bearer

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_READING = frozenset({"GET", "HEAD"})
_STILL = "still_let_in"


class KnownTokens(Protocol):
    """The tokens as they are now."""

    @property
    def tokens(self) -> Mapping[str, Token]:
        """By id."""
        ...


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who is let in. ``tokens`` null: everybody, which only a setting or listening on loopback can mean; with
    ``local_names_only`` no page of another site that has made its name ours."""

    tokens: KnownTokens | None
    local_names_only: bool = False


class Guard:
    """In front of an app. A reader may read, all else is for operators."""

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self._app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN_PATHS):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        headers = {name: value for name, value in scope["headers"] if name in (b"authorization", b"host")}
        tokens = self._entrance.tokens
        if tokens is None:
            if self._entrance.local_names_only and not is_local(headers.get(b"host", b"").decode("latin-1")):
                await problem(HTTPStatus.FORBIDDEN, "without a token only localhost may be asked")(scope, receive, send)
                return
            await self._app(scope, receive, send)
            return
        said = headers.get(b"authorization", b"").decode("latin-1")
        scheme, _, text = said.partition(" ")

        def found() -> Token | None:
            return bearer(tokens.tokens, text.strip(), datetime.now(UTC)) if scheme.lower() == "bearer" else None

        token = found()
        if token is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="stream-lineage"'}
            await problem(HTTPStatus.UNAUTHORIZED, "there is no valid token", headers=challenge)(scope, receive, send)
            return
        needed: Role = "reader" if scope["method"] in _READING else "operator"
        if not token.allows(needed):
            await problem(HTTPStatus.FORBIDDEN, f"this needs a token of the role {needed}")(scope, receive, send)
            return

        def still() -> bool:
            now = found()
            return now is not None and now.allows(needed)

        scope.setdefault("state", {})[_STILL] = still
        await self._app(scope, receive, send)


def still_let_in(scope: Scope) -> bool:
    """Whether who was let in with a request still would be: an answer without end asks again and again."""
    still: Callable[[], bool] | None = scope.get("state", {}).get(_STILL)
    return still is None or still()


def is_local(host: str) -> bool:
    """Whether a name or address, with a port or without, is this machine's own."""
    name = host.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

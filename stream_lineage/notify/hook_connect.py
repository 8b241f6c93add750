"""Pausing a connector, and the like, by Kafka Connect's REST API."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import orjson

from stream_lineage.notify.address import AddressRefused, Policy, network
from stream_lineage.notify.hook_desk import Done
from stream_lineage.notify.hook_rules import ConnectAction
from stream_lineage.notify.post import Caller, NoReply

ANYWHERE = Policy((network("0.0.0.0/0"), network("::/0")), http=True)
"""Kafka Connect is where the settings say, which is mostly a private network."""
_CALLS: Mapping[str, tuple[str, str]] = {
    "pause": ("PUT", "pause"), "resume": ("PUT", "resume"), "stop": ("PUT", "stop"),
    "restart": ("POST", "restart?includeTasks=true&onlyFailed=false"),
}  # fmt: skip
_LATER = frozenset({408, 409, 429})
"""409: while the workers rebalance."""


def ask_connect(
    action: ConnectAction, urls: Sequence[str], credentials: tuple[str, str] | None, caller: Caller
) -> Done:
    """Ask the workers in turn until one answers. Each of these actions may be done twice without harm."""
    if not urls:
        return Done(ok=False, result="connect_url is not set")
    method, call = _CALLS[action.do]
    headers: dict[str, str] = {}
    if credentials is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
    why = ""
    for url in urls:
        try:
            reply = caller.call(method, f"{url}/connectors/{quote(action.connector, safe='')}/{call}", headers)
        except (NoReply, AddressRefused) as error:
            why = error.message
            continue
        if 200 <= reply.status < 300:
            return Done(ok=True, result=f"Kafka Connect answered {reply.status}")
        said = f"Kafka Connect answered {reply.status}{_said(reply.body)}"
        if reply.status in _LATER or reply.status >= 500:
            why = said
            continue
        return Done(ok=False, result=said)
    return Done(ok=False, result=why, again=True)


def _said(body: bytes) -> str:
    """Kafka Connect says ``{"error_code": 404, "message": "..."}``."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    message = found.get("message") if isinstance(found, dict) else None
    return f": {message[:200]}" if isinstance(message, str) else ""

"""Slack: with a bot's token one message that is changed; with an incoming webhook only messages that stay."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson

from stream_lineage.errors import SettingsError
from stream_lineage.notify.address import AddressRefused
from stream_lineage.notify.links import Links
from stream_lineage.notify.message import incident_message
from stream_lineage.notify.post import Caller, NoReply, Reply
from stream_lineage.notify.sending import Later, Letter, Outcome, Refused, Sent, failed, judged
from stream_lineage.notify.slack_blocks import slack_blocks, slack_text
from stream_lineage.notify.targets import SlackTarget, SlackWebhookTarget

EVENT_TYPE = "stream_lineage_incident"
"""Of the metadata of a message, by which it is found again."""
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "update_failed"})
"""The message that is to be changed cannot be: a new one is posted."""
_MESSAGE = frozenset({
    "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "metadata_too_large",
    "invalid_metadata_format", "invalid_metadata_schema", "markdown_text_conflict", "too_many_attachments",
})  # fmt: skip
"""What Slack says of a message that it would not take later either. Of all others somebody may mend the cause: a token,
a channel that the bot was not invited to."""
_UNKNOWN = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
"""After which it may be there all the same."""
_BRIEFLY = _UNKNOWN | {"ratelimited"}
_BUSY, _SERVER = frozenset({408, 425, 429}), 500
_LOOKED_AT = 100
_HISTORY_BYTES = 4_000_000
"""Of so many messages: each has its blocks with it."""


class SlackSender:
    """With a bot's token."""

    def __init__(self, target: SlackTarget, caller: Caller, links: Links) -> None:
        self._target = target
        self._caller = caller
        self._links = links

    def send(self, letter: Letter) -> Outcome:
        """Post the message, or change the one that is there."""
        try:
            token = self._target.token.read(f"notifications: target {self._target.name}: token")
            return self._sent(letter, token)
        except SettingsError as error:
            return Later(error.message)
        except (NoReply, AddressRefused) as error:
            return failed(error)

    def _sent(self, letter: Letter, token: str) -> Outcome:
        message = incident_message(letter.heard.document, self._links, letter.owners)
        said = {
            "text": slack_text(message), "blocks": slack_blocks(message), "unfurl_links": False, "unfurl_media": False,
            "metadata": {"event_type": EVENT_TYPE, "event_payload": self._mark(letter)},
        }  # fmt: skip
        there = letter.reference
        if there is None and letter.again:
            found = self._found_again(letter, token)
            if isinstance(found, Later):
                return found
            there = found
        if there is not None:
            changed = {name: value for name, value in said.items() if not name.startswith("unfurl")}
            outcome, error = self._call("chat.update", token, {**changed, **there})
            if error not in _GONE:
                return outcome
        outcome, _ = self._call("chat.postMessage", token, {"channel": self._target.channel, **said})
        return outcome

    def _mark(self, letter: Letter) -> dict[str, str]:
        return {"incident": letter.heard.id, "target": self._target.name}

    def _found_again(self, letter: Letter, token: str) -> dict[str, str] | Later | None:
        """A message about the incident that was posted without our hearing so. None where we may not read: then it is
        posted once more. Where it can be read later it is looked for later."""
        asked = {"channel": self._target.channel, "limit": str(_LOOKED_AT), "include_all_metadata": "true"}
        reply = self._caller.call(
            "POST", f"{self._target.api}/conversations.history", {**_FORM, "Authorization": f"Bearer {token}"},
            urlencode(asked).encode(), most_bytes=_HISTORY_BYTES,
        )  # fmt: skip
        if reply.status in _BUSY or reply.status >= _SERVER:
            return Later(f"Slack answered {reply.status}", reply.retry_after)
        said = _mapping(_document(reply))
        if said.get("error") in _BRIEFLY:
            return Later(f"Slack says {said['error']}", reply.retry_after)
        for each in _list(said.get("messages")):
            metadata = _mapping(_mapping(each).get("metadata"))
            if metadata.get("event_type") == EVENT_TYPE and metadata.get("event_payload") == self._mark(letter):
                return {"channel": self._target.channel, "ts": str(each["ts"])}
        return None

    def _call(self, method: str, token: str, body: dict[str, Any]) -> tuple[Outcome, str]:
        """What becomes of it, and Slack's word for what failed."""
        headers = {**_JSON, "Authorization": f"Bearer {token}"}
        reply = self._caller.call("POST", f"{self._target.api}/{method}", headers, orjson.dumps(body))
        if (bad := judged(reply, "Slack")) is not None:
            return bad, ""
        found = _mapping(_document(reply))
        if found.get("ok") is True:
            channel, ts = str(found.get("channel") or body["channel"]), found.get("ts") or body.get("ts")
            return Sent(None if ts is None else {"channel": channel, "ts": str(ts)}), ""
        error = found.get("error")
        if not isinstance(error, str):
            return Later("what answered is not Slack's API", unsent=False), ""
        reason = f"Slack says {error[:100]}"
        if error in _MESSAGE:
            return Refused(reason), error
        return Later(reason, reply.retry_after, unsent=error not in _UNKNOWN), error


class SlackWebhookSender:
    """With an incoming webhook."""

    def __init__(self, target: SlackWebhookTarget, caller: Caller, links: Links) -> None:
        self._target = target
        self._caller = caller
        self._links = links

    def send(self, letter: Letter) -> Outcome:
        """Post the message."""
        message = incident_message(letter.heard.document, self._links, letter.owners)
        body = orjson.dumps({"text": slack_text(message), "blocks": slack_blocks(message)})
        try:
            url = self._target.url.read(f"notifications: target {self._target.name}: url")
            reply = self._caller.call("POST", url, _JSON, body)
        except SettingsError as error:
            return Later(error.message)
        except (NoReply, AddressRefused) as error:
            return failed(error)
        return judged(reply, "Slack") or Sent()


def _document(reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None


def _mapping(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []

"""Does what a hook says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import orjson

from stream_lineage.errors import SettingsError
from stream_lineage.notify.address import AddressRefused
from stream_lineage.notify.hook_command import run_command
from stream_lineage.notify.hook_connect import ask_connect
from stream_lineage.notify.hook_desk import Act, Done
from stream_lineage.notify.hook_rules import CommandAction, ConnectAction, WebhookAction
from stream_lineage.notify.links import Links, step_name
from stream_lineage.notify.post import Caller, NoReply
from stream_lineage.notify.sending import Later, judged
from stream_lineage.notify.strict_yaml import Secret
from stream_lineage.notify.webhook import CONTENT_TYPE, SCHEMA, signature

EVENT_TYPE = "io.stream-lineage.hook.v1"


class HookRunner:
    """``caller`` is for webhooks, ``connect_caller`` for Kafka Connect at ``connect_urls``."""

    def __init__(
        self,
        caller: Caller,
        connect_caller: Caller,
        connect_urls: Sequence[str],
        credentials: tuple[str, str] | None,
        links: Links,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._caller = caller
        self._connect_caller = connect_caller
        self._connect_urls = connect_urls
        self._credentials = credentials
        self._links = links
        self._clock = clock

    def run(self, act: Act) -> Done:
        """Do it."""
        action, began = act.hook.action, time.monotonic()
        try:
            if isinstance(action, ConnectAction):
                found = ask_connect(action, self._connect_urls, self._credentials, self._connect_caller)
            elif isinstance(action, CommandAction):
                return self._command(act, action)
            else:
                found = self._webhook(act, action)
        except SettingsError as error:
            return Done(ok=False, result=error.message)
        except NoReply as error:
            found = Done(ok=False, result=error.message, again=True, unsure=not error.unsent)
        except AddressRefused as error:
            found = Done(ok=False, result=error.message)
        return Done(found.ok, found.result, time.monotonic() - began, found.again, found.unsure, found.wait_seconds)

    def _webhook(self, act: Act, action: WebhookAction) -> Done:
        what = f"hooks: {act.hook.name}"
        body = hook_event(act, self._links)
        url = action.url if isinstance(action.url, str) else action.url.read(f"{what}: url")
        headers = {"Content-Type": CONTENT_TYPE}
        headers.update({name: secret.read(f"{what}: {name}") for name, secret in action.headers.items()})
        headers.update(signature(action.secret, what, act.record.id, int(self._clock()), body))
        reply = self._caller.call("POST", url, headers, body)
        bad = judged(reply, "the receiver")
        if bad is None:
            return Done(ok=True, result=f"the receiver answered {reply.status}")
        again = (isinstance(bad, Later) and reply.status in (408, 425, 429)) or reply.status >= 500
        return Done(ok=False, result=bad.reason, again=again, wait_seconds=reply.retry_after)

    def _command(self, act: Act, action: CommandAction) -> Done:
        env = {name: _read(secret, act.hook.name, name) for name, secret in action.env.items()}
        env.update(facts(act, self._links))
        body = hook_event(act, self._links)
        return run_command(action.arguments, env, body, action.timeout_seconds, keep_output=action.keep_output)


def facts(act: Act, links: Links) -> dict[str, str]:
    """An incident as variables of a program."""
    found, document = act.found, act.heard.document
    return {
        "HOOK_NAME": act.hook.name,
        "HOOK_ID": act.record.id,
        "INCIDENT_ID": act.heard.id,
        "INCIDENT_CHANGE": found.event,
        "INCIDENT_STATE": str(document["state"]),
        "INCIDENT_SEVERITY": found.severity,
        "INCIDENT_NODE": found.nodes[0],
        "INCIDENT_NAME": step_name(found.nodes[0]),
        "INCIDENT_KINDS": ",".join(found.kinds),
        "INCIDENT_OWNERS": ",".join(found.owners),
        "INCIDENT_CONFIDENCE": f"{found.confidence:.3f}",
        "INCIDENT_LINK": links.of_incident(document),
        "INCIDENT_STEP_LINK": links.of_step(document),
    }


def hook_event(act: Act, links: Links) -> bytes:
    """The event as JSON: what a webhook is sent, and a program reads from its input. Its id is that of the action:
    whoever has seen it has nothing to do."""
    document = act.heard.document
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": act.record.id,
            "source": act.heard.source,
            "type": EVENT_TYPE,
            "subject": act.heard.id,
            "time": document["updated_at"],
            "datacontenttype": "application/json",
            "dataschema": SCHEMA,
            "hook": act.hook.name,
            "change": act.found.event,
            "confidence": f"{act.found.confidence:.3f}",
            "steplink": links.of_step(document),
            "incidentlink": links.of_incident(document),
            "data": document,
        }
    )


def _read(secret: Secret, hook: str, name: str) -> str:
    return secret.read(f"hooks: {hook}: {name}")

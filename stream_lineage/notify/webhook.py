"""Any receiver over HTTP: CloudEvents 1.0 in structured JSON, signed as Standard Webhooks says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from stream_lineage.errors import SettingsError
from stream_lineage.notify.address import AddressRefused
from stream_lineage.notify.endpoint import key_of
from stream_lineage.notify.links import Links
from stream_lineage.notify.post import Caller, NoReply
from stream_lineage.notify.sending import Heard, Later, Letter, Outcome, Sent, failed, judged
from stream_lineage.notify.signature import signed
from stream_lineage.notify.strict_yaml import Secret
from stream_lineage.notify.targets import WebhookTarget

EVENT_TYPE = "io.stream-lineage.incident.v1"
SCHEMA = "https://stream-lineage.io/schemas/incident.schema.json"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class WebhookSender:
    """``clock``: seconds since the epoch."""

    def __init__(
        self, target: WebhookTarget, caller: Caller, links: Links, clock: Callable[[], float] = time.time
    ) -> None:
        self._target = target
        self._caller = caller
        self._links = links
        self._clock = clock

    def send(self, letter: Letter) -> Outcome:
        """Send the event. Sent again it has the same id."""
        heard, what = letter.heard, f"notifications: target {self._target.name}"
        body = cloud_event(heard, letter.event, letter.owners, self._links)
        headers = {"Content-Type": CONTENT_TYPE}
        try:
            url = self._target.url if isinstance(self._target.url, str) else self._target.url.read(f"{what}: url")
            for name, secret in self._target.headers.items():
                headers[name] = secret.read(f"{what}: {name}")
            headers.update(signature(self._target.secret, what, heard.event_id, int(self._clock()), body))
            reply = self._caller.call("POST", url, headers, body)
        except SettingsError as error:
            return Later(error.message)
        except (NoReply, AddressRefused) as error:
            return failed(error)
        return judged(reply, "the receiver") or Sent()


def signature(secret: Secret | None, what: str, event_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers of Standard Webhooks; without a secret those without the signature.

    Raises:
        SettingsError: the secret is not there, or is none.
    """
    if secret is None:
        return {"webhook-id": event_id, "webhook-timestamp": str(at)}
    return signed(key_of(secret, f"{what}: secret"), event_id, at, body)


def cloud_event(heard: Heard, event: str, owners: Sequence[str], links: Links) -> bytes:
    """The event as JSON. ``data`` is exactly the body of the message on ``lineage.incidents``, and the id is that
    message's: who reads both knows that they are the same."""
    document = heard.document
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": heard.event_id,
            "source": heard.source,
            "type": EVENT_TYPE,
            "subject": heard.id,
            "time": document["updated_at"],
            "datacontenttype": "application/json",
            "dataschema": SCHEMA,
            "change": event,
            **({"owners": ", ".join(owners)} if owners else {}),
            "steplink": links.of_step(document),
            "incidentlink": links.of_incident(document),
            "data": document,
        }
    )

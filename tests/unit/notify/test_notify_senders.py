"""If this failed, Slack or a receiver would be sent what they do not take, or a failure be taken for a success."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import jsonschema  # type: ignore[import-untyped]
import pytest

from stream_lineage.model.schema_files import schema_text
from stream_lineage.notify.address import Policy, network
from stream_lineage.notify.links import Links
from stream_lineage.notify.post import Caller
from stream_lineage.notify.senders import sender
from stream_lineage.notify.sending import Heard, Later, Letter, Outcome, Refused, Sender, Sent
from stream_lineage.notify.targets import Notifications
from stream_lineage.testing.receiver import Received, Receiver, answer, nobody

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
LINKS = Links("https://ui.example")
LOCAL = Policy((network("127.0.0.0/8"),), http=True)
ALERT = {
    "fingerprint": "f", "event_id": "e", "kind": "null-ratio", "severity": "critical", "topic": "scores",
    "field_path": None, "job": None, "node": "dataset:kafka://b/scores", "summary": "scores: null",
    "first_at": "2026-11-02T10:00:00.000Z", "last_at": "2026-11-02T10:00:00.000Z", "once": False, "over_at": None,
}  # fmt: skip
DOCUMENT = {
    "id": "a" * 32, "state": "open", "revision": 1, "severity": "critical", "opened_at": "2026-11-02T10:00:00.000Z",
    "updated_at": "2026-11-02T10:00:00.000Z", "resolved_at": None, "reopened": 0, "summary": "scores: null",
    "breach": {"node": ALERT["node"], "metric": None, "field": None, "at": "2026-11-02T10:00:00.000Z"}, "cause": None,
    "cause_after_seconds": None, "related": [], "alerts": [ALERT], "url": "https://ui.example/incidents/x",
}  # fmt: skip
HEARD = Heard(DOCUMENT, "event-1", "kafka://b")


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "xoxb-geheim")
    monkeypatch.setenv("SIGNING", SECRET)


def made(seconds: float = 60.0, **target: Any) -> Sender:
    [found] = Notifications.model_validate({"targets": [{"name": "t", **target}]}).targets
    return sender(found, Caller(LOCAL, seconds=seconds), LINKS)


def slack(receiver: Receiver) -> Sender:
    return made(kind="slack", channel="C1", token={"env": "TOKEN"}, api=f"{receiver.url}/api/")


def web_api(**said: Mapping[str, Any] | bytes) -> Callable[[Received], bytes]:
    """Slack's, as documented: what each method answers."""

    def script(request: Received) -> bytes:
        found = said[request.path.removeprefix("/api/").replace(".", "_")]
        return found if isinstance(found, bytes) else answer(200, json.dumps(found).encode())

    return script


POSTED = {"ok": True, "channel": "C0123", "ts": "1503435956.000247", "message": {"text": "x"}}


def test_slack_is_posted_one_message_that_is_changed_then() -> None:
    with Receiver(web_api(chat_postMessage=POSTED, chat_update=POSTED)) as receiver:
        first = slack(receiver).send(Letter(HEARD, "opened", ("payments",)))
        assert first == Sent({"channel": "C0123", "ts": "1503435956.000247"})
        assert slack(receiver).send(Letter(HEARD, "cause", reference=first.reference)) == first
        post, update = receiver.received
    assert (post.path, update.path) == ("/api/chat.postMessage", "/api/chat.update")
    assert post.headers["authorization"] == update.headers["authorization"] == "Bearer xoxb-geheim"
    assert post.headers["content-type"] == "application/json; charset=utf-8"
    body, changed = json.loads(post.body), json.loads(update.body)
    assert (body["channel"], body["unfurl_links"]) == ("C1", False)
    assert body["metadata"]["event_payload"] == {"incident": "a" * 32, "target": "t"}
    assert "payments" in post.body.decode()
    assert (changed["channel"], changed["ts"]) == ("C0123", "1503435956.000247")
    assert "xoxb" not in post.body.decode()


def test_a_message_that_is_gone_is_posted_anew() -> None:
    gone = {"ok": False, "error": "message_not_found"}
    with Receiver(web_api(chat_postMessage=POSTED, chat_update=gone)) as receiver:
        outcome = slack(receiver).send(Letter(HEARD, "cause", reference={"channel": "C", "ts": "1"}))
    assert outcome == Sent({"channel": "C0123", "ts": "1503435956.000247"})


def test_a_message_that_may_be_there_is_found_by_its_mark_and_not_posted_twice() -> None:
    mark = {"event_type": "stream_lineage_incident", "event_payload": {"incident": "a" * 32, "target": "t"}}
    other = {"event_type": "stream_lineage_incident", "event_payload": {"incident": "b" * 32, "target": "t"}}
    history = {"ok": True, "messages": [{"ts": "9"}, {"ts": "8", "metadata": other}, {"ts": "7", "metadata": mark}]}
    with Receiver(web_api(conversations_history=history, chat_update=POSTED)) as receiver:
        assert isinstance(slack(receiver).send(Letter(HEARD, "opened", again=True)), Sent)
        asked, changed = receiver.received
    assert parse_qs(asked.body.decode())["include_all_metadata"] == ["true"]
    assert json.loads(changed.body)["ts"] == "7"


def test_it_is_found_among_messages_that_are_long() -> None:
    mark = {"event_type": "stream_lineage_incident", "event_payload": {"incident": "a" * 32, "target": "t"}}
    others = [{"ts": "9", "blocks": [{"text": "x" * 4000}]} for _ in range(99)]
    history = {"ok": True, "messages": [*others, {"ts": "7", "metadata": mark}]}
    with Receiver(web_api(conversations_history=history, chat_update=POSTED)) as receiver:
        assert isinstance(slack(receiver).send(Letter(HEARD, "opened", again=True)), Sent)
        assert receiver.received[-1].path == "/api/chat.update"


@pytest.mark.parametrize("history", [{"ok": False, "error": "ratelimited"}, answer(429, b""), answer(503, b"")])
def test_where_it_may_be_found_later_it_is_not_posted_twice(history: Any) -> None:
    with Receiver(web_api(conversations_history=history, chat_postMessage=POSTED)) as receiver:
        assert isinstance(slack(receiver).send(Letter(HEARD, "opened", again=True)), Later)
        assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "history", [{"ok": False, "error": "missing_scope"}, {"ok": True, "messages": []}, answer(200, b"[]")]
)
def test_where_it_cannot_be_found_it_is_posted_once_more(history: Any) -> None:
    with Receiver(web_api(conversations_history=history, chat_postMessage=POSTED)) as receiver:
        assert isinstance(slack(receiver).send(Letter(HEARD, "opened", again=True)), Sent)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(429, b'{"ok":false,"error":"ratelimited"}', Retry_After="30"), Later("Slack answered 429", 30.0)),
        (answer(500), Later("Slack answered 500", unsent=False)),
        (answer(302, Location="http://127.0.0.1:1/"), Later("Slack answered 302, a redirect, which is not followed")),
        ({"ok": False, "error": "invalid_auth"}, Later("Slack says invalid_auth")),
        ({"ok": False, "error": "channel_not_found"}, Later("Slack says channel_not_found")),
        ({"ok": False, "error": "fatal_error"}, Later("Slack says fatal_error", unsent=False)),
        ({"ok": False, "error": "invalid_blocks"}, Refused("Slack says invalid_blocks")),
        (answer(200, b"<html>login"), Later("what answered is not Slack's API", unsent=False)),
        (answer(200, b"[]"), Later("what answered is not Slack's API", unsent=False)),
    ],
)
def test_what_slack_says_when_it_does_not_take_it(said: Any, expected: Outcome) -> None:
    with Receiver(web_api(chat_postMessage=said)) as receiver:
        assert slack(receiver).send(Letter(HEARD, "opened")) == expected


def test_an_incoming_webhook_is_posted_text_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as receiver:
        monkeypatch.setenv("INCOMING", f"{receiver.url}/services/T0/B0/geheim")
        outcome = made(kind="slack-webhook", url={"env": "INCOMING"}).send(Letter(HEARD, "opened"))
        [got] = receiver.received
    assert outcome == Sent()
    assert got.path == "/services/T0/B0/geheim"
    assert set(json.loads(got.body)) == {"text", "blocks"}


def test_a_webhook_is_a_cloud_event_whose_data_are_the_message_and_whose_signature_a_receiver_can_check() -> None:
    with Receiver(lambda _: answer(204)) as receiver:
        secrets: dict[str, Any] = {"secret": {"env": "SIGNING"}, "headers": {"X-Api-Key": {"env": "TOKEN"}}}
        target = made(kind="webhook", url=f"{receiver.url}/in", **secrets)
        assert target.send(Letter(HEARD, "opened", ("payments", "growth"))) == Sent()
        [got] = receiver.received
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = json.loads(got.body)
    for name in ("id", "source", "specversion", "type"):
        assert event[name]
        assert isinstance(event[name], str)
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in event)
    assert (event["specversion"], event["id"], event["subject"]) == ("1.0", "event-1", "a" * 32)
    assert event["owners"] == "payments, growth"
    jsonschema.Draft202012Validator(json.loads(schema_text("incident.schema.json"))).validate(event["data"])
    # What the specification says a receiver does.
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == wanted
    assert got.headers["webhook-id"] == event["id"]
    assert got.headers["x-api-key"] == "xoxb-geheim"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(200), Sent()),
        (answer(202), Sent()),
        (answer(429, Retry_After="7"), Later("the receiver answered 429", 7.0)),
        (answer(503, Retry_After="9"), Later("the receiver answered 503", 9.0, unsent=False)),
        (answer(500), Later("the receiver answered 500", unsent=False)),
        (answer(401), Later("the receiver answered 401")),
        (answer(404), Later("the receiver answered 404")),
        (answer(400), Refused("the receiver answered 400")),
        (answer(410), Refused("the receiver answered 410")),
        (answer(413), Refused("the receiver answered 413")),
        (
            answer(307, Location="http://169.254.169.254/"),
            Later("the receiver answered 307, a redirect, which is not followed"),
        ),
    ],
)  # fmt: skip
def test_what_a_receiver_answers(said: bytes, expected: Outcome) -> None:
    with Receiver(lambda _: said) as receiver:
        assert made(kind="webhook", url=receiver.url).send(Letter(HEARD, "opened")) == expected


def test_one_that_hangs_or_is_away_is_tried_later() -> None:
    with Receiver(lambda _: None) as receiver:
        hung = made(0.3, kind="webhook", url=receiver.url).send(Letter(HEARD, "opened"))
    assert isinstance(hung, Later)
    assert not hung.unsent
    with nobody() as url:
        away = made(kind="webhook", url=url).send(Letter(HEARD, "opened"))
    assert isinstance(away, Later)
    assert away.unsent


@pytest.mark.parametrize(
    "url", ["http://10.1.2.3/", "http://169.254.169.254/latest", "ftp://a/", "http://u:p@127.0.0.1/"]
)
def test_an_address_that_may_not_be_called_is_refused_and_said(url: str) -> None:
    outcome = made(kind="webhook", url=url).send(Letter(HEARD, "opened"))
    assert isinstance(outcome, Later)
    assert outcome.refused


def test_a_secret_that_is_gone_is_said_by_its_place() -> None:
    target = made(kind="slack", channel="C1", token={"env": "NOT_SET_ANYWHERE"})
    outcome = target.send(Letter(HEARD, "opened"))
    assert isinstance(outcome, Later)
    assert "NOT_SET_ANYWHERE" in outcome.reason

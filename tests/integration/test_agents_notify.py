"""If this failed, people would not hear of an incident, or hear of it again from the next worker."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerting import Deployment, alerts, deployed, wait_for
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from patience import patient

from stream_lineage.agents.incident_watch import incident_message
from stream_lineage.cli.main import run
from stream_lineage.graph.codec import encode_event, message_key
from stream_lineage.model.finding import Severity
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEvent, Node, NodeKind
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.sandbox.ports import free_port
from stream_lineage.testing.receiver import Received, Receiver, answer

pytestmark = pytest.mark.kafka
NODE = "dataset:kafka://test/scores"
NOW = datetime.now(UTC)


def incident(name: str) -> Incident:
    """One that opened just now."""
    member = Member(
        "f", f"event-{name}", "null-ratio", Severity.CRITICAL, "scores", "amount", None, NODE, "scores: null", NOW, NOW,
        once=False,
    )  # fmt: skip
    breach = IncidentBreach(NODE, "null_ratio", "amount", NOW)
    return Incident(name * 32, IncidentState.OPEN, 1, Severity.CRITICAL, NOW, NOW, breach, (member,))


def resolved(opened: Incident) -> Incident:
    over = datetime.now(UTC)
    return replace(opened, state=IncidentState.RESOLVED, revision=2, updated_at=over, resolved_at=over)


def owned(deployment: Deployment) -> None:
    """The topics, with a graph that says whose the node is."""
    admin = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    topics = [NewTopic(deployment.topic(name), num_partitions=1) for name in ("graph", "incidents")]
    for future in admin.create_topics(topics).values():
        future.result(30)
    known = Evidence(EvidenceClass.OPENLINEAGE, "test", NOW, NOW, 1.0, detail=(("owner", "payments"),))
    event = GraphEvent(Node(NodeKind.DATASET, "kafka://test", "scores"), known)
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
    producer.produce(deployment.topic("graph"), encode_event(event), message_key(event))
    assert producer.flush(30) == 0


def noted(messages: list[Message]) -> dict[str, tuple[str, int]]:
    """By target and incident: how it stands, and the revision that has arrived."""
    found = {(each.key() or b"").decode(): json.loads(each.value() or b"{}") for each in messages}
    return {key: (each["state"], each["revision"]) for key, each in found.items()}


def outcomes(messages: list[Message]) -> dict[str, str]:
    """What came of each action."""
    return {(each.key() or b"").decode(): json.loads(each.value() or b"{}")["state"] for each in messages}


def ended(messages: list[Message]) -> set[str]:
    """The actions that were done."""
    return {name for name, state in outcomes(messages).items() if state == "done"}


def told_of(revision: int, *incidents: Incident) -> dict[str, tuple[str, int]]:
    """As ``noted``, where both targets have heard of all."""
    return {f"{name}/{each.id}": ("sent", revision) for name in ("chat", "hook") for each in incidents}


def publish(deployment: Deployment, *incidents: Incident) -> None:
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
    for each in incidents:
        made = incident_message(each, "test", "http://ui")
        producer.produce(deployment.topic("incidents"), made.value, made.key, headers=list(made.headers))
    assert producer.flush(30) == 0


class Chat:
    """Slack's web API, as far as it is used: keeps messages by their time stamps."""

    def __init__(self) -> None:
        self.messages: dict[str, str] = {}
        self.calls: list[str] = []

    def script(self, request: Received) -> bytes:
        method, body = request.path.rpartition("/")[2], json.loads(request.body)
        self.calls.append(method)
        ts = str(body.get("ts", f"{len(self.messages)}.0"))
        self.messages[ts] = body["text"]
        return answer(200, json.dumps({"ok": True, "channel": "C1", "ts": ts}).encode())


def metric(port: int, wanted: str) -> float:
    """A sample of /metrics."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as said:
            lines = said.read().decode().splitlines()
    except OSError:
        return -1.0
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted)), -1.0)


def test_one_message_that_is_changed_when_it_is_over_and_none_from_the_next_worker(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAT_TOKEN", "xoxb-geheim")
    deployment, chat = deployed(cluster, tmp_path, "notify"), Chat()
    owned(deployment)
    first, second = incident("a"), incident("b")
    long_ago = NOW - timedelta(days=1)
    over_before = replace(resolved(incident("c")), opened_at=long_ago, updated_at=long_ago, resolved_at=long_ago)
    publish(deployment, over_before, first)
    busy = iter([answer(429, Retry_After="1"), answer(500)])
    with Receiver(chat.script) as slack, Receiver(lambda _: next(busy, answer(204))) as hook, Receiver() as others:
        file = {
            "targets": [
                {"name": "chat", "kind": "slack", "channel": "#x", "token": {"env": "CHAT_TOKEN"}, "api": slack.url},
                {"name": "hook", "kind": "webhook", "url": f"{hook.url}/in"},
                {"name": "others", "kind": "webhook", "url": others.url},
            ],
            "routes": [{"owners": ["payments"], "severity": "critical", "targets": ["chat", "hook"]}],
            "otherwise": ["others"],
        }
        (tmp_path / "notifications.yaml").write_text(yaml.safe_dump(file))
        ran = tmp_path / "ran"
        script = "import os, sys; open(sys.argv[1], 'a').write(os.environ['HOOK_ID'] + ' ')"
        command = {"arguments": [sys.executable, "-c", script, str(ran)]}
        hooks = [
            {"name": "run", "mode": "live", "on": ["resolved"], "when": {"owners": ["payments"]}, "command": command},
            {"name": "dry", "on": ["opened"], "command": command},
        ]
        (tmp_path / "hooks.yaml").write_text(yaml.safe_dump({"hooks": hooks}))
        port = free_port()
        settings = (
            "--graph-poll-seconds", "1",
            "--notifications", str(tmp_path / "notifications.yaml"), "--hooks", str(tmp_path / "hooks.yaml"),
            "--notify-private-networks", "127.0.0.0/8", "--notify-http",
        )  # fmt: skip

        def came(receiver: Receiver, wanted: Callable[[list[Received]], bool]) -> None:
            wait_for(lambda: wanted(receiver.received), deployment_logs)

        def deployment_logs() -> str:
            logs = [path.read_text(errors="replace")[-4000:] for path in sorted(tmp_path.glob("*.log"))]
            return "\n".join([f"chat {chat.calls}, hook {len(hook.received)}", *logs])

        with deployment.agents("one", settings=(*settings, "--telemetry-listen", f"127.0.0.1:{port}")) as worker:
            came(slack, lambda found: len(found) >= 1)
            came(hook, lambda found: len(found) >= 3)
            # What is not noted when a worker ends is sent again, and here it must not be.
            alerts(deployment, "deliveries", lambda found: noted(found) == told_of(1, first))
            sent = 'stream_lineage_notify_attempts_total{outcome="sent",target="hook"}'
            assert metric(port, sent) == 1.0
            assert metric(port, sent.replace("sent", "failed")) == 2.0
            dry = f"dry/{first.id}/opened/0"
            alerts(deployment, "actions", lambda found: outcomes(found).get(dry) == "dry-run")
            worker.terminate()
            worker.wait(timeout=patient(60))
        with deployment.agents("two", settings=settings):
            publish(deployment, resolved(first), second)
            came(hook, lambda found: len(found) >= 5)
            wait_for(lambda: len(chat.calls) >= 3, deployment_logs)
            publish(deployment, resolved(second))  # as soon as this has come, all that came before it has been decided
            came(hook, lambda found: len(found) >= 6)
            alerts(deployment, "deliveries", lambda found: noted(found) == told_of(2, first, second))
            done = {f"run/{each.id}/resolved/0" for each in (first, second)}
            alerts(deployment, "actions", lambda found: ended(found) == done)
        events = [json.loads(each.body) for each in hook.received]
        told = [(each["subject"][0], each["change"]) for each in events]
    assert sorted(ran.read_text().split()) == sorted(done)
    given = ["--bootstrap-servers", cluster.bootstrap_servers, "--topic-prefix", deployment.prefix]
    assert run(["notify", "list", "--target", "chat", "--output", "json", *given]) == 0
    listed = {each["incident"][0]: (each["state"], each["revision"]) for each in json.loads(capsys.readouterr().out)}
    assert listed == {"a": ("sent", 2), "b": ("sent", 2)}
    assert run(["hooks", "log", "--hook", "dry", "--output", "json", *given]) == 0
    assert {each["id"] for each in json.loads(capsys.readouterr().out)} >= {dry}
    file_of_hooks = str(tmp_path / "hooks.yaml")
    assert run(["hooks", "try", first.id[:6], "--hooks", file_of_hooks, "--cluster", "test", *given]) == 0
    said = capsys.readouterr().out
    assert "run (live): would run" in said
    assert "INCIDENT_OWNERS=payments" in said
    assert run(["notify", "show", first.id[:6], *given]) == 0
    assert "Resolved: scores" in capsys.readouterr().out
    assert told[:3] == [("a", "opened")] * 3  # asked to wait, failed, taken: the same event
    assert len({each["id"] for each in events[:3]}) == 1
    assert sorted(told[2:]) == [("a", "opened"), ("a", "resolved"), ("b", "opened"), ("b", "resolved")]
    assert {each["owners"] for each in events} == {"payments"}
    assert sorted(chat.calls) == ["chat.postMessage", "chat.postMessage", "chat.update", "chat.update"]
    assert len(chat.messages) == 2
    assert all("Resolved" in text for text in chat.messages.values())
    assert others.received == []
    assert "xoxb-geheim" not in "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.log"))

"""If this failed, a worker that stood still while another one took over would run a hook's command a second time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from patience import patient

from stream_lineage.agents.own_log import OwnLog
from stream_lineage.notify.hook_record import ActionState, action_from
from stream_lineage.provenance.topics import ACTIONS
from stream_lineage.wire.settings import KafkaSettings

pytestmark = pytest.mark.kafka

WORKER = """
import os, signal, sys
from datetime import UTC, datetime
from stream_lineage.agents.hooking import Hooking
from stream_lineage.agents.own_log import OwnLog
from stream_lineage.notify.hook_desk import Done, HookDesk
from stream_lineage.notify.hook_record import action_from
from stream_lineage.notify.hook_rules import Hooks
from stream_lineage.notify.sending import Heard
from stream_lineage.wire.settings import KafkaSettings

address, prefix, ran, freezes = sys.argv[1:]
now = datetime.now(UTC).isoformat()
alert = {"kind": "k", "severity": "critical", "node": "dataset:kafka://b/t", "summary": "s"}
told = Heard({
    "id": "i", "state": "open", "revision": 1, "severity": "critical", "updated_at": now, "reopened": 0,
    "breach": {"node": alert["node"]}, "cause": None, "related": [], "alerts": [alert],
}, "event", "kafka://b")
command = {"name": "run", "mode": "live", "on": ["opened"], "command": {"arguments": ["/bin/true"]}}
hooks = Hooks.model_validate({"hooks": [command]})

class Told:
    def end(self):
        return 1
    def read(self, start):
        return ([(0, told)] if start == 0 else []), 1

class Actions(OwnLog):
    def write(self, key, value):
        if freezes == "freezes":
            os.kill(os.getpid(), signal.SIGSTOP)
        super().write(key, value)

def run(act):
    with open(ran, "a") as file:
        file.write("once ")
    return Done(ok=True, result="fine")

kafka = KafkaSettings(bootstrap_servers=address, topic_prefix=prefix)
hooking = Hooking(lambda: HookDesk(hooks, lambda _: ()), run, Told(), Actions(kafka, "test", "actions", action_from),
                  here=lambda: True, ready=lambda: True)
over = False
while not over:
    hooking.turn()
    states = [record.state for _, record in OwnLog(kafka, "test", "actions", action_from).records()]
    over = any(each in ("done", "unknown") for each in states)
hooking.turn()
"""


def worker(settings: KafkaSettings, ran: Path, freezes: str) -> subprocess.Popen[bytes]:
    """One that believes that the first partition is its own, and may stand still before it notes what it begins."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, settings.bootstrap_servers, settings.topic_prefix, str(ran), freezes],
        env={**os.environ, "PYTHONPATH": "."},
    )


def test_a_worker_that_was_frozen_does_not_do_it_again(cluster: Any, tmp_path: Path) -> None:
    prefix, ran = f"t{uuid.uuid4().hex[:8]}.", tmp_path / "ran"
    settings = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, topic_prefix=prefix)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    for made in admin.create_topics([NewTopic(settings.topic(ACTIONS), num_partitions=1)]).values():
        made.result(patient(30))
    frozen = worker(settings, ran, "freezes")
    try:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        other = worker(settings, ran, "goes on")
        try:
            assert other.wait(patient(30)) == 0
        finally:
            other.kill()
            other.wait()
        os.kill(frozen.pid, signal.SIGCONT)
        assert frozen.wait(patient(30)) == 0
    finally:
        frozen.kill()
        frozen.wait()
    records = [record for _, record in OwnLog(settings, "test", ACTIONS, action_from).records() if record is not None]
    assert ran.read_text().split() == ["once"]
    assert [each.state for each in records] == [ActionState.BEGUN, ActionState.DONE, ActionState.BEGUN]
    assert records[0].by == records[1].by != records[2].by

"""If this failed, a hook's program could hang, or get our secrets or a shell, or Kafka Connect be asked otherwise."""

from __future__ import annotations

import json
import stat
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import yaml

from stream_lineage.errors import SettingsError
from stream_lineage.notify import hook_command
from stream_lineage.notify.address import Policy, network
from stream_lineage.notify.hook_command import run_command
from stream_lineage.notify.hook_connect import ANYWHERE
from stream_lineage.notify.hook_desk import Act, Done, HookDesk
from stream_lineage.notify.hook_rules import Hooks, read_hooks
from stream_lineage.notify.hook_run import HookRunner
from stream_lineage.notify.links import Links
from stream_lineage.notify.post import Caller
from stream_lineage.notify.sending import Heard
from stream_lineage.testing.receiver import Receiver, answer, nobody

NODE = "dataset:kafka://b/orders%20%24%28touch%20x%29"
DOCUMENT: dict[str, Any] = {
    "id": "i" * 32, "state": "open", "revision": 1, "severity": "critical", "updated_at": "2026-11-02T10:00:00+00:00",
    "resolved_at": None, "reopened": 0, "breach": {"node": NODE}, "cause": None, "related": [],
    "alerts": [{"kind": "null-ratio", "severity": "critical", "node": NODE, "summary": "s"}],
}  # fmt: skip
LOCAL = Policy((network("127.0.0.0/8"),), http=True)
LONG = 60.0


def act(**action: Any) -> Act:
    hooks = Hooks.model_validate({"hooks": [{"name": "h", "mode": "live", "on": ["opened"], **action}]})
    made = HookDesk(hooks, lambda _: ("payments",))
    made.take(Heard(DOCUMENT, "event-1", "kafka://b"))
    [found] = made.due(datetime(2026, 11, 2, 10, 1, tzinfo=UTC))
    return found


def runner(*connect: str, credentials: tuple[str, str] | None = None) -> HookRunner:
    calls = Caller(LOCAL, seconds=LONG)
    return HookRunner(calls, Caller(ANYWHERE, seconds=LONG), connect, credentials, Links("https://ui.example"))


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def ran(text: str, seconds: float = LONG, **more: Any) -> Done:
    return run_command(python(text), {}, b"", seconds, **more)


def test_a_program_has_the_incident_in_its_environment_and_its_input_and_none_of_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_LINEAGE_INFLUX_TOKEN", "geheim")
    monkeypatch.setenv("JOB_TOKEN", "for the job")
    file = str(tmp_path / "o")
    text = f"import json,os,sys; json.dump([dict(os.environ), json.load(sys.stdin), sys.argv], open({file!r}, 'w'))"
    done = runner().run(
        act(command={"arguments": [*python(text), "$(touch x)", "; ls"], "env": {"TOKEN": {"env": "JOB_TOKEN"}}})
    )
    assert (done.ok, done.result) == (True, "exit code 0, 0 bytes of output")
    environment, event, arguments = json.loads((tmp_path / "o").read_text())
    assert arguments[1:] == ["$(touch x)", "; ls"]  # as they are
    assert "geheim" not in json.dumps([environment, event])
    assert environment["TOKEN"] == "for the job"
    assert environment["INCIDENT_NAME"] == "orders $(touch x)"
    assert environment["INCIDENT_SEVERITY"] == "critical"
    assert environment["INCIDENT_OWNERS"] == "payments"
    assert environment["HOOK_ID"] == event["id"] == f"h/{'i' * 32}/opened/0"
    assert event["data"] == DOCUMENT
    others = {name for name in environment if not name.startswith(("INCIDENT_", "HOOK_"))}
    assert others <= {"PATH", "HOME", "LANG", "TZ", "TOKEN", "LC_CTYPE"}


def test_a_program_that_fails_says_so_and_its_output_is_counted_and_not_kept() -> None:
    done = ran("import sys; print('a card number'); sys.exit(3)")
    assert (done.ok, done.result) == (False, "exit code 3, 14 bytes of output")
    kept = ran("print('a' * 5000)", keep_output=True)
    assert kept.result == f"exit code 0, 5001 bytes of output: {'a' * 1000}"


def test_a_program_that_writes_without_end_is_not_held_up_and_not_kept() -> None:
    done = ran("import sys; [sys.stdout.write('x' * 1_000_000) for _ in range(20)]")
    assert done.result == "exit code 0, 20000000 bytes of output"


def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_command, "GRACE_SECONDS", 0.1)
    pids = tmp_path / "pids"
    text = (
        "import os,signal,subprocess,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(pids)!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}');"
        f"os.rename({str(pids)!r} + '.new', {str(pids)!r}); time.sleep(600)"
    )
    seconds = 0.5
    while True:  # so long that it has begun in any case
        done = ran(text, seconds)
        assert not done.ok
        assert "ended after" in done.result
        if pids.exists():
            break
        seconds *= 2
    deadline = time.monotonic() + 60
    for pid in map(int, pids.read_text().split()):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_program_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    done = runner().run(act(command={"arguments": [str(tmp_path / "plain")]}))
    assert not done.ok
    assert "cannot be started" in done.result


CONNECT = [
    ("pause", 202, b"", True, False, "PUT", "/pause"),
    ("resume", 202, b"", True, False, "PUT", "/resume"),
    ("stop", 204, b"", True, False, "PUT", "/stop"),
    ("restart", 202, b"{}", True, False, "POST", "/restart?includeTasks=true&onlyFailed=false"),
    ("pause", 404, b'{"error_code":404,"message":"Connector my/sink not found"}', False, False, "PUT", "/pause"),
    ("pause", 409, b'{"error_code":409,"message":"Cannot complete request momentarily due to stale configuration '
     b'(typically caused by a concurrent config change)"}', False, True, "PUT", "/pause"),
    ("pause", 500, b'{"error_code":500,"message":"Request timed out"}', False, True, "PUT", "/pause"),
    ("pause", 401, b"", False, False, "PUT", "/pause"),
    ("pause", 200, b"<html>", True, False, "PUT", "/pause"),
]  # fmt: skip


@pytest.mark.parametrize(("do", "status", "body", "ok", "again", "method", "path"), CONNECT)
def test_kafka_connect_is_asked_as_its_rest_api_says(
    do: str, status: int, body: bytes, ok: bool, again: bool, method: str, path: str
) -> None:
    with Receiver(lambda _: answer(status, body)) as worker:
        done = runner(worker.url, credentials=("me", "pw")).run(act(connect={"connector": "my/sink", "do": do}))
        [got] = worker.received
    assert (done.ok, done.again) == (ok, again)
    assert (got.method, got.path) == (method, f"/connectors/my%2Fsink{path}")
    assert got.headers["authorization"] == "Basic bWU6cHc="
    if status == 404:
        assert "Connector my/sink not found" in done.result


def test_of_several_workers_one_that_answers_is_enough() -> None:
    with nobody() as gone, Receiver(lambda _: answer(409)) as busy, Receiver(lambda _: answer(202)) as fine:
        assert runner(gone, busy.url, fine.url).run(act(connect={"connector": "sink"})).ok


def test_without_an_address_of_kafka_connect_it_is_said() -> None:
    assert runner().run(act(connect={"connector": "sink"})).result == "connect_url is not set"


@pytest.mark.parametrize(
    ("said", "ok", "again"),
    [
        (answer(200), True, False), (answer(204), True, False), (answer(400), False, False),
        (answer(404), False, False),
        (answer(429, Retry_After="3"), False, True), (answer(503), False, True),
        (answer(302, Location="http://127.0.0.1/"), False, False),
    ],
)  # fmt: skip
def test_what_a_webhook_answers(said: bytes, ok: bool, again: bool) -> None:
    with Receiver(lambda _: said) as receiver:
        done = runner().run(act(webhook={"url": receiver.url}))
        [got] = receiver.received
    assert (done.ok, done.again) == (ok, again)
    event = json.loads(got.body)
    assert (event["type"], event["hook"], event["id"]) == ("io.stream-lineage.hook.v1", "h", got.headers["webhook-id"])


def test_a_webhook_may_not_be_led_inward() -> None:
    done = runner().run(act(webhook={"url": "http://169.254.169.254/latest"}))
    assert (done.ok, done.again) == (False, False)
    assert "169.254.169.254" in done.result


def written(directory: Path, hook: dict[str, Any]) -> Path:
    path = directory / "hooks.yaml"
    path.write_text(yaml.safe_dump({"hooks": [{"name": "h", **hook}]}))
    return path


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ({}, "say one of"),
        ({"connect": {"connector": "a"}, "webhook": {"url": "https://a/"}}, "say one of"),
        ({"connect": {"connector": "a", "do": "delete"}}, "do"),
        ({"command": {"arguments": "rm -rf /"}}, "arguments"),
        ({"command": {"arguments": ["rm"]}}, "absolute path"),
        ({"command": {"arguments": ["/no/such/program"]}}, "no program /no/such/program"),
        (
            {"command": {"arguments": ["/bin/sh"], "env": {"INCIDENT_ID": {"env": "HOME"}}}},
            "no variable that can be set",
        ),
        ({"command": {"arguments": ["/bin/sh"], "env": {"A": {"env": "NOT_SET_ANYWHERE"}}}}, "NOT_SET_ANYWHERE"),
        ({"webhook": {"url": "https://a/", "headers": {"Host": {"env": "HOME"}}}}, "cannot be set"),
        ({"webhook": {"url": "https://a/", "headers": {"webhook-id": {"env": "HOME"}}}}, "cannot be set"),
        ({"connect": {"connector": "a"}, "mode": "wet"}, "mode"),
        ({"connect": {"connector": "a"}, "when": {"node": ["x"]}}, "node"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, hook: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_hooks(written(tmp_path, hook))
    assert problem in raised.value.message


def test_a_hook_that_is_only_named_is_a_dry_run(tmp_path: Path) -> None:
    program = tmp_path / "p"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    [hook] = read_hooks(written(tmp_path, {"command": {"arguments": [str(program), "a", "b"]}})).hooks
    assert (hook.mode, hook.on, hook.said()) == ("dry-run", ("cause",), f"run {program} with 2 arguments")
    assert read_hooks(None).hooks == ()


def test_the_audit_log_says_no_key_of_an_address(tmp_path: Path) -> None:
    [hook] = read_hooks(written(tmp_path, {"webhook": {"url": "https://a.example/hold?key=geheim"}})).hooks
    assert hook.said() == "call https://a.example/hold"

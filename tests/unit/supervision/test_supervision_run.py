"""If this failed, `run` would leave a role dead, leave one behind, or keep to itself why one cannot be started."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_lineage.cli.main import run as run_command_line
from stream_lineage.errors import SettingsError
from stream_lineage.sandbox.identity import ProcessIdentity
from stream_lineage.settings import load_settings
from stream_lineage.supervision.restarts import Restarts
from stream_lineage.supervision.role import Role, RoleFailed
from stream_lineage.supervision.run import Lines, Stop, keep_running, run_roles

SECONDS = 20.0
SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("ending", flush=True), sys.exit(0)))
print("ready", flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
print("ready", flush=True)
while True:
    time.sleep(60)
"""


class Heard:
    """What roles said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, role: str, line: str) -> None:
        self.lines.append((role, line))

    def count(self, role: str, line: str) -> int:
        return self.lines.count((role, line))


def role(name: str, code: str, heard: Heard, *, stop_seconds: float = SECONDS, environ: Mapping[str, str] = {}) -> Role:
    return Role(
        name,
        [sys.executable, "-c", code],
        heard,
        environment={**os.environ, **environ},
        stop_seconds=stop_seconds,
        restarts=Restarts(most_seconds=0.1),
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def running(roles: list[Role], stop: Stop) -> Iterator[list[BaseException]]:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            keep_running(roles, stop)
        except RoleFailed as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield errors
    finally:
        stop.request()
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_a_role_that_dies_is_started_again_and_both_end_in_order() -> None:
    heard, stop = Heard(), Stop()
    one, two = role("one", SLEEPER, heard), role("two", SLEEPER, heard)
    with running([one, two], stop) as errors:
        wait_for(lambda: heard.count("one", "ready") == 1 and heard.count("two", "ready") == 1)
        first = one.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: heard.count("one", "ready") == 2)
        assert one.pid not in (None, first)
        assert heard.count("two", "ready") == 1
    assert errors == []
    assert [line for line in heard.lines if line[1] == "ending"] == [("one", "ending"), ("two", "ending")]
    assert [each.pid for each in (one, two)] == [None, None]


def test_a_role_that_cannot_be_started_ends_all_with_its_error() -> None:
    heard, stop = Heard(), Stop()
    code = "import sys; print('starting'); print('error: no such broker\\n  at all\\nhint: name another'); sys.exit(1)"
    with running([role("one", SLEEPER, heard), role("two", code, heard)], stop) as errors:
        wait_for(lambda: errors)
    [error] = errors
    assert isinstance(error, RoleFailed)
    assert error.message == "two cannot be started: no such broker\n  at all"
    assert error.hint == "name another"


def test_a_role_that_crashes_at_once_is_given_up_with_what_it_said() -> None:
    heard, stop = Heard(), Stop()
    with running([role("one", "print('boom', flush=True); import os; os.abort()", heard)], stop) as errors:
        wait_for(lambda: errors)
    assert heard.count("one", "boom") == 3
    assert "one ended with exit code 134\nboom" in str(errors[0])


def test_a_role_that_does_not_end_is_killed_when_its_time_is_over() -> None:
    heard, stop = Heard(), Stop()
    stubborn = role("one", STUBBORN, heard, stop_seconds=0.3)
    with running([stubborn], stop):
        wait_for(lambda: heard.count("one", "ready"))
        assert stubborn.pid is not None
        identity = ProcessIdentity.of(stubborn.pid)
    assert heard.count("one", "not yet") == 1
    assert identity is not None
    assert not identity.running


def test_asked_twice_nobody_is_waited_for() -> None:
    heard, stop = Heard(), Stop()
    with running([role("one", STUBBORN, heard, stop_seconds=600)], stop):
        wait_for(lambda: heard.count("one", "ready"))
        stop.request()
        wait_for(lambda: heard.count("one", "not yet"))
    assert stop.hurried()


def test_signals_ask_to_stop() -> None:
    with Stop() as stop:
        assert not stop.wait(0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(SECONDS)
        assert not stop.hurried()
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(stop.hurried)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_is_to_be_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_lines_name_their_role() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.write("collect", '{"event": "observing", "records": 7}')
    lines.write("agents", "2026-11-22 [info] ready")
    lines.write("agents", "{not json")
    first, *others = out.getvalue().splitlines()
    assert json.loads(first) == {"role": "collect", "event": "observing", "records": 7}
    assert others == ["agents  | 2026-11-22 [info] ready", "agents  | {not json"]
    out.close()
    lines.write("agents", "nobody reads this")


def test_until_end_is_for_the_collector_alone() -> None:
    with pytest.raises(SettingsError, match="until_end"):
        run_roles(load_settings({"until_end": True}, {}), Stop())


def test_the_error_of_a_role_is_the_error_of_the_command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_LINEAGE_KAFKA_SASL_PASSWORD", "correct-horse")
    # Valid for us, refused by the Kafka client that the roles make.
    arguments = ["run", "--kafka", "security.protocol=NONSENSE", "--state-dir", str(tmp_path)]
    assert run_command_line(arguments) == 1
    written = capfd.readouterr().err
    assert re.search(r"^(collect|agents ) \| error: ", written, re.MULTILINE)
    assert "cannot be started: " in written.splitlines()[-2]
    assert "security.protocol" in written.splitlines()[-2]
    assert "correct-horse" not in written

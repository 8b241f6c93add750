"""If this fails, servers outlive the process that wanted them, or `kill` and `pause` do something else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.child import module_environment
from stream_lineage.sandbox.identity import ProcessIdentity
from stream_lineage.sandbox.process import ServerProcess

_SERVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
_PARENT = """
import os, sys, time
from pathlib import Path
from stream_lineage.sandbox.process import ServerProcess
directory = Path(sys.argv[1])
server = ServerProcess("it", [sys.executable, "-c", "import time; time.sleep(600)"],
                       log_path=directory / "server.log", remove_when_orphaned=directory)
fork = os.fork() if sys.argv[2] == "fork" else None
if fork == 0:
    time.sleep(600)
print(server.pid, fork or 0, flush=True)
sys.stdin.read()
"""
_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _identity(pid: int) -> ProcessIdentity:
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    return identity


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def test_it_ends_in_order(log: Path) -> None:
    server = ServerProcess("it", _SERVER, log_path=log)
    identity = _identity(server.pid)
    _eventually(lambda: server.log_tail() == "up")
    assert server.running
    server.terminate()
    assert server.wait(20)
    assert not identity.running
    assert server.exit_code == 128 + signal.SIGTERM
    server.kill()
    server.pause()


def test_one_that_does_not_want_to_end_is_killed(log: Path) -> None:
    server = ServerProcess("it", _STUBBORN, log_path=log)
    identity = _identity(server.pid)
    _eventually(lambda: server.log_tail() == "up")
    server.terminate()
    assert not server.wait(0.1)
    assert not identity.running
    assert server.exit_code == 128 + signal.SIGKILL


def test_killing_leaves_its_directory(log: Path) -> None:
    server = ServerProcess("it", _SERVER, log_path=log, remove_when_orphaned=log.parent)
    server.kill()
    assert server.exit_code == 128 + signal.SIGKILL
    assert log.exists()


@_linux
def test_pausing_has_happened_when_it_returns(log: Path) -> None:
    server = ServerProcess("it", _SERVER, log_path=log)
    _eventually(lambda: server.log_tail() == "up")
    server.pause()
    _eventually(lambda: _state(server.pid) == "T")
    server.resume()
    _eventually(lambda: _state(server.pid) == "S")
    server.pause()
    server.terminate()
    assert server.wait(20)


def test_what_it_said_before_it_ended(log: Path) -> None:
    log.write_text("of an earlier run\n")
    script = "import sys; print('\\n'.join(map(str, range(100)))); sys.exit(3)"
    server = ServerProcess("it", [sys.executable, "-c", script], log_path=log)
    _eventually(lambda: not server.running)
    assert server.exit_code == 3
    assert server.log_tail(2) == "98\n99"
    assert "earlier" not in server.log_tail(1_000)
    server.kill()


def test_what_cannot_be_executed_is_said(log: Path) -> None:
    with pytest.raises(SandboxError, match="it could not be executed"):
        ServerProcess("it", [str(log.parent / "missing")], log_path=log)


@pytest.mark.parametrize("fork", ["fork", "no-fork"])
def test_it_ends_with_its_parent(tmp_path: Path, fork: str) -> None:
    """Also when a process that the parent forked holds the parent's end of the pipe open."""
    directory = tmp_path / "sandbox" / "server"
    directory.mkdir(parents=True)
    command = [sys.executable, "-c", _PARENT, str(directory), fork]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=module_environment()) as parent:
        assert parent.stdout is not None
        server, forked = map(int, parent.stdout.readline().split())
        identity = _identity(server)
        parent.kill()
        parent.wait()
        _eventually(lambda: not identity.running)
        _eventually(lambda: not directory.parent.exists())
        if forked:
            os.kill(forked, signal.SIGKILL)


@_linux
def test_it_ends_with_its_supervisor(log: Path) -> None:
    server = ServerProcess("it", _SERVER, log_path=log)
    identity = _identity(server.pid)
    os.kill(server.supervisor_pid, signal.SIGKILL)
    _eventually(lambda: not identity.running)
    server.kill()


def test_ending_the_supervisor_ends_the_server(log: Path) -> None:
    server = ServerProcess("it", _STUBBORN, log_path=log, grace_seconds=0.1)
    identity = _identity(server.pid)
    _eventually(lambda: server.log_tail() == "up")
    os.kill(server.supervisor_pid, signal.SIGTERM)
    _eventually(lambda: not identity.running)
    assert server.wait(20)

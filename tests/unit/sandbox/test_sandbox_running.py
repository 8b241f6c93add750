"""If this fails, `sandbox status` tells of sandboxes that are gone, or `sandbox stop` ends the wrong process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_lineage.errors import NotFound, SandboxError
from stream_lineage.sandbox.identity import ProcessIdentity
from stream_lineage.sandbox.running import RunningSandbox, running_sandboxes, the_running_sandbox

_SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)",
]


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "stream_lineage" / "sandboxes"


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        child.kill()
        child.communicate()


def _running(children: list[subprocess.Popen[bytes]], directory: Path, command: list[str] = _SLEEP) -> RunningSandbox:
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    children.append(child)
    assert child.stdout is not None
    child.stdout.readline()
    process = ProcessIdentity.of(child.pid)
    assert process is not None
    running = RunningSandbox(
        process=process,
        servers=(),
        bootstrap_servers="127.0.0.1:1",
        schema_registry_url=None,
        directory=directory,
        temporary=False,
    )
    running.write()
    return running


def test_none() -> None:
    with pytest.raises(NotFound, match="No sandbox is running"):
        the_running_sandbox()


def test_the_only_one_needs_no_name(children: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    running = _running(children, tmp_path)
    assert running_sandboxes() == [the_running_sandbox()] == [running]
    running.forget()
    assert running_sandboxes() == []


def test_of_several_one_is_chosen_by_its_directory(children: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    one, two = (_running(children, tmp_path / name) for name in ("one", "two"))
    with pytest.raises(SandboxError, match=f"{one.process.pid}.*{tmp_path / 'one'}") as failure:
        the_running_sandbox()
    assert failure.value.hint == "Choose one with --data-dir."
    assert the_running_sandbox(tmp_path / "two") == two
    with pytest.raises(NotFound, match="three"):
        the_running_sandbox(tmp_path / "three")


def test_one_that_was_killed_is_forgotten(children: list[subprocess.Popen[bytes]], notes: Path, tmp_path: Path) -> None:
    _running(children, tmp_path)
    children[0].kill()
    children[0].wait()
    assert running_sandboxes() == []
    assert list(notes.iterdir()) == []


def test_a_process_that_was_given_the_pid_is_left_alone(
    children: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    running = _running(children, tmp_path)
    mistaken = running.model_copy(update={"process": ProcessIdentity(running.process.pid, "earlier")})
    mistaken.write()
    assert running_sandboxes() == []
    mistaken.stop(1)
    assert children[0].poll() is None


def test_a_note_that_cannot_be_read_counts_for_nothing(notes: Path) -> None:
    notes.mkdir(parents=True)
    (notes / "1.json").write_text("{}")
    assert running_sandboxes() == []


@pytest.mark.parametrize("command", [_SLEEP, _STUBBORN])
def test_stopping(children: list[subprocess.Popen[bytes]], tmp_path: Path, command: list[str]) -> None:
    running = _running(children, tmp_path, command)
    running.stop(0.3)
    assert children[0].wait(20) < 0
    assert running_sandboxes() == []

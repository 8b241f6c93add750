"""If this failed, a process would outlive whoever started it, or what it said would be lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_lineage.sandbox.identity import ProcessIdentity
from stream_lineage.sandbox.output_process import OutputProcess

SECONDS = 20.0


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_of_its_output_has_come_when_it_has_ended() -> None:
    lines: list[str] = []
    code = "import sys; print('out', flush=True); print('err \\xff', file=sys.stderr); print('last'); sys.exit(3)"
    process = OutputProcess("test", python(code), lines.append)
    assert process.wait(SECONDS)
    assert process.exit_code == 3
    assert sorted(lines) == ["err \xff", "last", "out"]


def test_it_gets_the_environment_that_was_named() -> None:
    lines: list[str] = []
    code = "import os; print(os.environ.get('MARK'), 'HOME' in os.environ)"
    process = OutputProcess("test", python(code), lines.append, environment={"MARK": "x"})
    assert process.wait(SECONDS)
    assert lines == ["x False"]


def test_it_ends_in_order_when_asked_and_by_force_when_it_does_not() -> None:
    lines: list[str] = []
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), {end}))
        print("ready", flush=True)
        time.sleep(60)
    """
    polite = OutputProcess("polite", python(code.replace("{end}", "sys.exit(0)")), lines.append)
    wait_for(lambda: "ready" in lines)
    assert not polite.wait(0)
    polite.terminate()
    assert polite.wait(SECONDS)
    assert polite.exit_code == 0
    assert lines == ["ready", "asked"]
    lines.clear()
    stubborn = OutputProcess("stubborn", python(code.replace("{end}", "None")), lines.append)
    wait_for(lambda: "ready" in lines)
    stubborn.terminate()
    wait_for(lambda: "asked" in lines)
    assert stubborn.running
    stubborn.kill()
    assert stubborn.exit_code == 128 + signal.SIGKILL
    stubborn.terminate()  # there is nobody left to be asked


def test_a_command_that_does_not_exist_is_an_error() -> None:
    lines: list[str] = []
    with pytest.raises(Exception, match="could not be executed"):
        OutputProcess("nothing", ["/no/such/program"], lines.append)
    assert any("/no/such/program" in line for line in lines)


def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "file").touch()
    parent = subprocess.Popen(
        python(
            f"""
            import time, sys
            from pathlib import Path
            from stream_lineage.sandbox.output_process import OutputProcess
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            process = OutputProcess("child", command, print, remove_when_orphaned=Path({str(directory)!r}))
            print(process.pid, flush=True)
            time.sleep(60)
            """
        ),
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        assert child is not None
        os.kill(parent.pid, signal.SIGKILL)
        wait_for(lambda: not child.running and not directory.exists())
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()

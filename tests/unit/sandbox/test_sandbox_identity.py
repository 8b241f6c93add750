"""If this fails, `sandbox stop` ends a process that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from stream_lineage.sandbox.identity import ProcessIdentity


def test_this_process_is_running() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    assert me.running


def test_a_later_process_with_the_same_pid_is_another() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me is not None
    assert not ProcessIdentity(me.pid, "another start").running


def test_a_process_that_ended_is_not_running_even_before_its_parent_asks() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    assert identity.running
    assert child.stdin is not None
    child.stdin.close()
    deadline = time.monotonic() + 20
    while identity.running:  # it becomes a zombie: nobody has waited for it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.wait()
    assert not identity.running


def test_no_process_no_identity() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert ProcessIdentity.of(child.pid) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names a Linux process")
def test_a_name_with_parentheses_and_spaces_does_not_confuse_it() -> None:
    script = "import pathlib, sys; pathlib.Path('/proc/self/comm').write_text(') Z (1 2'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        identity = ProcessIdentity.of(child.pid)
        assert identity is not None
        assert identity.running
        child.communicate(b"\n")

"""A sandbox as a program of its own: in the foreground until a signal, or in the background.

``python -m stream_lineage.sandbox.service`` is the background process. It reads its settings as JSON from standard
input and writes one line to standard output: a RunningSandbox when both servers answer, or an error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import IO, cast

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.child import module_command, module_environment
from stream_lineage.sandbox.cluster import Sandbox
from stream_lineage.sandbox.progress import Reporter
from stream_lineage.sandbox.running import RunningSandbox
from stream_lineage.sandbox.settings import SandboxSettings

_CHECK_SECONDS = 0.5
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _EndRequested(BaseException):
    """A signal came while the servers were started."""


class _EndSignals:
    """Ends the start with an exception, and what comes after it by an event: nothing interrupts the clean-up."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.interrupts = True
        ignored = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else []  # by nohup
        self._before = {number: signal.signal(number, self._handle) for number in _END_SIGNALS if number not in ignored}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested.set()
        if self.interrupts:
            self.interrupts = False
            raise _EndRequested

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def run_until_signalled(
    settings: SandboxSettings, reporter: Reporter, on_ready: Callable[[RunningSandbox], None]
) -> None:
    """Run a sandbox until SIGINT, SIGTERM or SIGHUP; for the main thread. Leaves nothing behind.

    Raises SandboxError if it cannot be started or a server ends by itself.
    """
    signals = _EndSignals()
    sandbox = Sandbox(settings, reporter=reporter)
    failed = False
    try:
        sandbox.start()
        signals.interrupts = False
        running = RunningSandbox.of(sandbox)
        running.write()
        try:
            on_ready(running)
            while not signals.requested.wait(_CHECK_SECONDS):
                if sandbox.revive():
                    RunningSandbox.of(sandbox).write()
                sandbox.check()
            reporter.say("Stopping ...")
        finally:
            running.forget()
    except _EndRequested:
        raise SandboxError("the sandbox was asked to end while it started") from None
    except SandboxError:
        failed = True
        raise
    finally:
        signals.interrupts = False
        sandbox.close(keep_logs=failed)
        signals.restore()


def start_in_background(settings: SandboxSettings) -> RunningSandbox:
    """Start a process that runs a sandbox, return when both servers answer. Raises SandboxError."""
    service = subprocess.Popen(
        module_command("stream_lineage.sandbox.service"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=module_environment(),
        cwd="/",
        start_new_session=True,
    )
    try:
        with cast(IO[str], service.stdin) as question, cast(IO[str], service.stdout) as answer:
            question.write(settings.model_dump_json())
            question.close()
            line = answer.readline()
    except BaseException:  # Ctrl-C: nobody will know of it
        service.terminate()
        service.wait()
        raise
    if not line:
        raise SandboxError(f"the sandbox's process ended with exit code {service.wait()}")
    report = json.loads(line)
    if "error" in report:
        service.wait()
        raise SandboxError(report["error"], hint=report["hint"])
    service.returncode = 0  # it is not ours any more: it outlives us, and Popen must not complain about that
    return RunningSandbox.model_validate(report)


def _announce(running: RunningSandbox) -> None:
    """Tell who started us, then let go of its terminal."""
    print(running.model_dump_json(), flush=True)
    path = running.directory / "kafka" / "service.log"  # which goes where the broker's goes
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _main() -> int:
    settings = SandboxSettings.model_validate_json(sys.stdin.read())
    announced = False

    def announce(running: RunningSandbox) -> None:
        nonlocal announced
        _announce(running)
        announced = True

    try:
        run_until_signalled(settings, Reporter(), announce)
    except SandboxError as error:
        report = {"error": error.message, "hint": error.hint}
        print(report if announced else json.dumps(report), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())

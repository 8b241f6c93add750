"""All roles of one deployment as processes of this machine, until they are told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Self, TextIO

from stream_lineage.errors import SettingsError
from stream_lineage.logs import LogSettings
from stream_lineage.sandbox.child import module_command, module_environment
from stream_lineage.serve.endpoint import answering
from stream_lineage.settings import Settings
from stream_lineage.supervision.environment import settings_environment
from stream_lineage.supervision.role import Role
from stream_lineage.supervision.telemetry import RolesTelemetry

_WATCH_SECONDS = 0.2
_AGENTS_STOP_SECONDS = 5.0
_COMMAND_LINE = "stream_lineage.cli.main"


def run_roles(settings: Settings, stop: Stop, output: TextIO | None = None) -> None:
    """Run a collector and the agents until ``stop``, then end them in this order.

    Raises:
        SettingsError: a setting that makes no sense for all roles together.
        RoleFailed: one cannot be started; the other one has been ended.
    """
    if settings.collect.until_end:
        raise SettingsError(
            "until_end cannot be set for all roles together", hint="Use `stream-lineage collect --until-end`."
        )
    lines = Lines(sys.stderr if output is None else output)
    settings = _with_log_format(settings, lines.is_terminal)

    def role(name: str, place: int, stop_seconds: float) -> Role:
        own = settings.model_copy(update={"telemetry": settings.telemetry.moved(place)})
        return Role(
            name,
            [*module_command(_COMMAND_LINE), name],
            lines.write,
            environment=settings_environment(own, module_environment()),
            stop_seconds=stop_seconds,
        )

    # The collector first, because it must be ended first: what it has read is written then.
    roles = [
        role("collect", 1, settings.collect.shutdown_timeout_seconds + 2.0),
        role("agents", 2, _AGENTS_STOP_SECONDS),
    ]
    with answering(settings.telemetry, RolesTelemetry(roles), "run"):
        keep_running(roles, stop)


def keep_running(roles: Sequence[Role], stop: Stop) -> None:
    """Keep roles running until ``stop``, then end them one after the other.

    Raises:
        RoleFailed: one cannot be kept running.
    """
    try:
        for role in roles:
            role.start()
        while not stop.wait(_WATCH_SECONDS):
            for role in roles:
                role.watch()
    finally:
        for role in roles:
            role.stop(stop.hurried)


class Stop:
    """Whether a signal (SIGINT, SIGTERM, SIGHUP) has asked us to end, and whether one has asked again."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._asked_again = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether to end."""
        return self._asked.wait(seconds)

    def hurried(self) -> bool:
        """Whether to end at once."""
        return self._asked_again

    def request(self) -> None:
        """End; when called again, at once."""
        self._asked_again = self._asked.is_set()
        self._asked.set()

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # whoever started us wants it ignored: nohup, a shell's &
                self._before[number] = signal.signal(number, lambda *_: self.request())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Lines:
    """What the roles write, as one stream: readable lines start with the role's name, JSON lines have it as a member
    ``role``. Nobody reading any more is no reason to end."""

    _WIDTH = len("collect")

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._lock = threading.Lock()

    @property
    def is_terminal(self) -> bool:
        return self._output.isatty()

    def write(self, role: str, line: str) -> None:
        is_json = line.startswith('{"') and line.endswith("}")
        text = f'{{"role": "{role}", {line[1:]}' if is_json else f"{role:<{self._WIDTH}} | {line}"
        with self._lock:
            try:
                self._output.write(text + os.linesep)
                self._output.flush()
            except (OSError, ValueError):
                pass


def _with_log_format(settings: Settings, terminal: bool) -> Settings:
    """The roles write into pipes; what format is wanted depends on where the lines end up."""
    if settings.logs.log_format != "auto":
        return settings
    logs = LogSettings(log_level=settings.logs.log_level, log_format="console" if terminal else "json")
    return settings.model_copy(update={"logs": logs})

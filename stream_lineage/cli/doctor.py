"""``stream-lineage doctor``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator

import click
from rich.text import Text

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, console, output_option, print_json
from stream_lineage.doctor.check import Check, Status, failed_by
from stream_lineage.doctor.examination import examine
from stream_lineage.errors import SettingsError
from stream_lineage.settings import Settings

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIPPED: "dim"}
_NAME_WIDTH = 16


@click.command()
@settings_options("kafka", "registry", "collect", "agents", "store", defer=True)
@click.option(
    "--timeout-seconds", type=click.FloatRange(0.5, 120), default=10.0, show_default=True, help="For each answer."
)
@output_option
def doctor(load: Callable[[], Settings], timeout_seconds: float, output: str) -> int:
    """Check each hop, from settings to stores, and say how to mend what fails.

    Writes nothing anywhere. Exit code 0 when nothing fails, else 1.
    """
    checks = _checks(load, timeout_seconds)
    done = list(checks) if output == JSON else list(_printed(checks))
    healthy = not any(check.status is Status.FAIL for check in done)
    if output == JSON:
        print_json({"ok": healthy, "checks": done})
    return 0 if healthy else 1


def _checks(load: Callable[[], Settings], timeout_seconds: float) -> Iterator[Check]:
    try:
        settings = load()
    except SettingsError as error:
        yield failed_by("settings", error)
        return
    with contextlib.nullcontext() if settings.logs.log_level == "debug" else _silenced():
        yield from examine(settings, timeout_seconds=timeout_seconds)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """No logs of ours meanwhile: the checks say the same, and better."""
    logger = logging.getLogger("stream_lineage")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _printed(checks: Iterable[Check]) -> Iterator[Check]:
    """Prints each as it comes: one may take its time."""
    screen = console()
    for check in checks:
        line = Text(f"{check.status.value:<8}", style=_STYLES[check.status])
        line.append(f"{check.name:<{_NAME_WIDTH}}", style="bold not dim")
        line.append(check.detail, style="default not bold not dim")
        screen.print(line, soft_wrap=True)
        if check.mend:
            screen.print(Text(f"{'':<8}{'':<{_NAME_WIDTH}}-> {check.mend}", style="cyan"), soft_wrap=True)
        yield check

"""``stream-lineage doctor``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict

import click
from rich.text import Text

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, console, output_option, print_json
from stream_lineage.doctor.acls import ROLES, Role, commands, grants
from stream_lineage.doctor.check import Check, Status, failed_by
from stream_lineage.doctor.examination import examine
from stream_lineage.doctor.permissions import DEFAULT_ROLES
from stream_lineage.errors import SettingsError
from stream_lineage.settings import Settings

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIPPED: "dim"}
_NAME_WIDTH = 16


@click.command()
@settings_options("kafka", "registry", "collect", "agents", "notify", "store", defer=True)
@click.option(
    "--timeout-seconds", type=click.FloatRange(0.5, 120), default=10.0, show_default=True, help="For each answer."
)
@click.option(
    "--role",
    "roles",
    type=click.Choice(list(ROLES)),
    multiple=True,
    help="Whose permissions to look at or to print; may be repeated.  [default: collector and agents; printed: all]",
)
@click.option("--print-acls", is_flag=True, help="Print the ACLs that are needed, as commands, and ask nobody.")
@click.option(
    "--principal",
    default="User:stream-lineage",
    show_default=True,
    metavar="TYPE:NAME",
    help="Who is to be granted them.",
)
@output_option
def doctor(
    load: Callable[[], Settings],
    timeout_seconds: float,
    roles: tuple[Role, ...],
    print_acls: bool,
    principal: str,
    output: str,
) -> int:
    """Check each hop, from settings to stores, and say how to mend what fails.

    Writes no record anywhere. Exit code 0 when nothing fails, else 1.

    \b
    stream-lineage doctor --print-acls --role collector --include orders --principal User:lineage
    """
    if print_acls:
        _print_acls(load(), roles, principal, output)
        return 0
    checks = _checks(load, roles or DEFAULT_ROLES, timeout_seconds)
    done = list(checks) if output == JSON else list(_printed(checks))
    healthy = not any(check.status is Status.FAIL for check in done)
    if output == JSON:
        print_json({"ok": healthy, "checks": done})
    return 0 if healthy else 1


def _print_acls(settings: Settings, roles: tuple[Role, ...], principal: str, output: str) -> None:
    unwanted = () if settings.collect.tap else ("tap",)
    found = [grant for grant in grants(settings) if grant.role in (roles or ROLES) and grant.role not in unwanted]
    lines = commands(found, principal=principal, bootstrap_servers=settings.kafka.bootstrap_servers)
    if output == JSON:
        print_json({"acls": [{**asdict(grant), "command": line} for grant, line in zip(found, lines, strict=True)]})
        return
    told = None
    for grant, line in zip(found, lines, strict=True):
        if grant.role != told:
            told = grant.role
            click.echo(f"# {told}: {ROLES[told]}")
        click.echo(f"# {'optional: ' if grant.optional else ''}{grant.why}\n{line}")


def _checks(load: Callable[[], Settings], roles: Collection[Role], timeout_seconds: float) -> Iterator[Check]:
    try:
        settings = load()
    except SettingsError as error:
        yield failed_by("settings", error)
        return
    with contextlib.nullcontext() if settings.logs.log_level == "debug" else _silenced():
        yield from examine(settings, roles=roles, timeout_seconds=timeout_seconds)


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

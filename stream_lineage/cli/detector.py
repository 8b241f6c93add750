"""``stream-lineage detector``."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

import click

from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.errors import SettingsError


@click.group()
def detector() -> None:
    """Detectors: what there is, and a package to start one of your own with (docs/detectors.md)."""


@detector.command("list")
@output_option
def list_(output: str) -> int:
    """List the detectors that agents run here, ours and those of installed packages. Exits with 1 where a plugin is
    left out, and says why."""
    from stream_lineage.detect.plugins import plugins
    from stream_lineage.detect.registry import RESERVED, detectors

    ours = detectors()
    others, refused = plugins((*ours, *RESERVED), quiet=True)
    rows = [
        *((name, "built in", each.channel) for name, each in ours.items()),
        *((name, "plugin", each.channel) for name, each in others.items()),
    ]
    if output == JSON:
        print_json(
            {
                "detectors": [{"name": name, "from": origin, "channel": channel} for name, origin, channel in rows],
                "left_out": [{"plugin": plugin, "why": why} for plugin, why in refused.items()],
            }
        )
    else:
        print_table(["detector", "from", "alerts on"], rows)
        for plugin, why in refused.items():
            click.echo(f"{click.style('left out', fg='red')} {plugin}: {why}")
    return 1 if refused else 0


@detector.command()
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where its directory is made.  [default: here]",
)
def new(name: str, directory: Path) -> None:
    """Write a package with a detector NAME (lower case letters, digits, hyphens), its entry point and its tests.

    \b
    stream-lineage detector new late-orders
    cd late-orders && pip install -e . && pytest
    """
    from stream_lineage.cli.detector_package import package
    from stream_lineage.detect.plugins import NAME
    from stream_lineage.detect.registry import RESERVED, detectors

    if NAME.fullmatch(name) is None:
        raise click.UsageError(f"{name} is no name: lower case letters, digits and hyphens, a letter first.")
    if name in (*detectors(), *RESERVED):
        raise SettingsError(f"there is a detector {name} already")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise SettingsError(f"{module} means something else in Python: the package needs another name")
    target = directory / name
    if target.exists():
        raise SettingsError(f"{target} is there already")
    for file, text in package(name).items():
        path = target / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(str(path))
    click.echo(f"\nNow: cd {target} && pip install -e . && pytest")

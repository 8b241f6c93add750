"""If this failed, what we ship for deployment would name settings, commands, metrics or files that do not exist."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from stream_lineage.cli.main import COMMANDS, cli
from stream_lineage.collect.settings import CollectSettings
from stream_lineage.settings.composed import KNOWN

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
VARIABLES = {setting.environment for setting in KNOWN.values()}


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's, with continued lines joined."""
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def options_of(command: str) -> set[str]:
    with click.Context(cli) as context:
        found = cli.get_command(context, command)
        assert found is not None
        return {option for parameter in found.params for option in parameter.opts}


def test_the_image_is_small_and_not_root_and_has_what_it_copies() -> None:
    steps = instructions(DOCKERFILE.read_text())
    images = [rest.split()[0] for word, rest in steps if word == "FROM"]
    assert len(images) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", image) for image in images)
    copied = [rest.split()[:-1] for word, rest in steps if word == "COPY" and not rest.startswith("--from")]
    names = [name for group in copied for name in group]
    assert names
    assert all((ROOT / name).exists() for name in names)
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().split()
    assert {name.removeprefix("!") for name in ignored if name.startswith("!")} == set(names)
    assert ignored[0] == "*"
    last = len(steps) - 1 - [word for word, _ in reversed(steps)].index("FROM")
    final = dict(steps[last:])
    assert final["USER"] == "10001:10001"
    assert final["ENTRYPOINT"] == '["stream-lineage"]'
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "stream-lineage" in scripts
    assert yaml.safe_load(final["CMD"])[0] in COMMANDS
    assert "/healthz" in final["HEALTHCHECK"]


def test_the_image_sets_what_exists() -> None:
    [(_, environment)] = [step for step in instructions(DOCKERFILE.read_text()) if step[0] == "ENV"]
    given = dict(each.split("=", 1) for each in shlex.split(environment))
    ours = {name for name in given if name.startswith("STREAM_LINEAGE_")}
    assert ours
    assert ours <= VARIABLES
    port = given["STREAM_LINEAGE_TELEMETRY_LISTEN"].rpartition(":")[2]
    assert ("EXPOSE", port) in instructions(DOCKERFILE.read_text())
    assert f"127.0.0.1:{port}/healthz" in DOCKERFILE.read_text()


def unit(path: Path) -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string(path.read_text())
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_what_exists_and_stop_it_in_time(path: Path) -> None:
    service = unit(path)["Service"]
    program, command, *flags = shlex.split(service["ExecStart"])
    assert Path(program).name == "stream-lineage"
    assert command in COMMANDS
    assert {flag for flag in flags if flag.startswith("--")} <= options_of(command)
    environment = dict(each.split("=", 1) for each in shlex.split(service["Environment"]))
    assert set(environment) <= VARIABLES
    assert environment["STREAM_LINEAGE_STATE_DIR"] == f"/var/lib/{service['StateDirectory']}"
    assert int(service["TimeoutStopSec"]) > KNOWN["shutdown_timeout_seconds"].field.default + 10
    assert service["DynamicUser"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze to check units with")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "stream-lineage"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS:
        name = path.name.replace("@.", "@1.")
        (tmp_path / name).write_text(path.read_text().replace("/opt/stream-lineage/bin/stream-lineage", str(program)))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],  # noqa: S607 - the system's own
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if name in line]
        assert said == []


def test_rules_ask_for_metrics_that_are_there() -> None:
    document = (ROOT / "docs" / "telemetry.md").read_text()
    known = set(re.findall(r"^\| \w+ \| `(stream_lineage_\w+)` \|", document, re.MULTILINE))
    rules: list[dict[str, Any]] = [
        rule
        for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        asked = set(re.findall(r"stream_lineage_\w+", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= known, rule["alert"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_a_collector_helps_itself_before_it_is_killed() -> None:
    """What it is given is more than what it may hold with its decoder: only then it looks for what is to blame."""
    held = (CollectSettings().memory_limit_mb + CollectSettings().worker_memory_mb) * 2**20
    values = yaml.safe_load((ROOT / "deploy" / "helm" / "stream-lineage" / "values.yaml").read_text())
    assert bytes_of(values["collector"]["resources"]["limits"]["memory"].removesuffix("i")) > held
    for unit in ("stream-lineage.service", "stream-lineage-collect@.service"):
        text = (ROOT / "deploy" / "systemd" / unit).read_text()
        assert bytes_of(re.findall(r"^MemoryMax=(\w+)$", text, re.MULTILINE)[0]) > held


def bytes_of(text: str) -> int:
    """``2G``, in powers of 1024, as systemd and Kubernetes' Gi mean it."""
    return int(text[:-1]) * {"M": 2**20, "G": 2**30}[text[-1]]

"""If this failed, the package that a new detector starts from would not be found, or fail its own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream_lineage.cli.main import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["detector", *arguments])


def test_the_new_package_passes_its_tests_and_is_found(tmp_path: Path) -> None:
    made = run("new", "late-orders", "--directory", str(tmp_path))
    assert made.exit_code == 0, made.output
    package = tmp_path / "late-orders"
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["stream_lineage.detectors"]
    assert points == {"late-orders": "late_orders:LateOrders"}
    # As an installer leaves it: the package on the path, with metadata that name its entry point.
    info = package / "late_orders-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late-orders\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        "[stream_lineage.detectors]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(Path.cwd())))}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(package)],
        cwd=package, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "7 passed" in tests.stdout

    listed = subprocess.run(
        [sys.executable, "-m", "stream_lineage.cli.main", "detector", "list", "--output", "json"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(listed.stdout)
    assert {"name": "late-orders", "from": "plugin", "channel": "anomaly"} in found["detectors"]
    assert found["left_out"] == []
    assert {each["from"] for each in found["detectors"] if each["name"] == "schema-drift"} == {"built in"}


@pytest.mark.parametrize("name", ["Late", "late orders", "../late", "-x", "schema-drift", "window", "import", "json"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    assert run("new", "--directory", str(tmp_path), "--", name).exit_code != 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    assert run("new", "mine", "--directory", str(tmp_path)).exit_code != 0
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_list_for_people() -> None:
    listed = run("list")

    assert listed.exit_code == 0
    assert "payload-structure" in listed.output

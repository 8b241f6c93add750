"""If this failed, modules could be left out of the measurement of coverage without a reason, or tests not be run."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
LEFT_OUT = sorted(SETTINGS["omit"])
OUTSIDE = {"confluent_kafka", "httpx", "socket", "ssl", "subprocess"}
"""Who imports one of these speaks to somebody, or to what does."""
OWN_PROCESS = {"stream_lineage/wire/protobuf_compiler.py", "stream_lineage/wire/protobuf_declarations.py"}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


@pytest.mark.parametrize("path", LEFT_OUT)
def test_what_is_left_out_speaks_to_somebody_or_runs_elsewhere(path: str) -> None:
    names = imported(ROOT / path)
    if path not in OWN_PROCESS:
        assert names & OUTSIDE or names & set(map(module, LEFT_OUT))
        return
    by = {
        str(each.relative_to(ROOT))
        for each in (ROOT / "stream_lineage").rglob("*.py")
        if module(path) in imported(each)
    }
    assert by <= OWN_PROCESS, "it is imported by what runs here"


def test_what_is_measured_is_what_make_runs_by_itself() -> None:
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("MEASURED :=")]
    folders = line.partition("tests/unit/,")[2].rstrip(")").split()
    conftest = ast.parse((ROOT / "tests" / "conftest.py").read_text())
    [marked] = [
        ast.literal_eval(node.value)
        for node in conftest.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MEASURED"
    ]
    assert set(folders) == marked
    assert all((ROOT / "tests" / "unit" / folder).is_dir() for folder in folders)
    packages = {name.rpartition(".")[2] for name in SETTINGS["source_pkgs"]}
    assert packages <= set(folders)

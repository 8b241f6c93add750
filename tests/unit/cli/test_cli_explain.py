"""If this failed, `stream-lineage explain` would answer in another form, or hide what is wrong with a bundle."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_lineage.cli.main import run


@pytest.fixture
def bundle() -> dict[str, Any]:
    random = np.random.default_rng(2)
    names = ["raw", "job", "clean", "model", "aside"]
    series = []
    for name, since in (("raw", 50), ("clean", 52), ("model", 54), ("aside", 45)):
        values = 100 + random.normal(size=70)
        values[since:] += 500 if name == "aside" else 20
        series.append({"node": name, "metric": "m", "points": [[60 * t, float(v)] for t, v in enumerate(values)]})
    edges = [{"from": "raw", "to": "job", "evidence": "group"}, {"from": "job", "to": "clean", "evidence": "declared"}]
    edges += [{"from": "clean", "to": "model", "evidence": "header"}]
    return {
        "graph": {
            "nodes": [{"id": name, "kind": "job" if name == "job" else "dataset"} for name in names],
            "edges": edges,
        },
        "series": series,
        "breach": {"node": "model", "metric": "m", "at": 3600},
    }


@pytest.fixture
def path(tmp_path: Path, bundle: dict[str, Any]) -> Path:
    file = tmp_path / "incident.json"
    file.write_text(json.dumps(bundle), encoding="utf-8")
    return file


def test_the_answer_as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", str(path), "--output", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "root-cause"
    cause = answer["ranking"][0]
    assert (cause["node"], cause["metric"], cause["path"]) == ("raw", "m", ["raw", "job", "clean", "model"])
    assert cause["onset"] == 3000
    assert cause["confidence"] >= 0.5
    assert any("job has no metrics" in each for each in cause["evidence"])
    assert [each["node"] for each in answer["rejected"]] == ["aside"]
    assert answer["blast_radius"] == ["job", "clean", "model"]
    assert answer["affected"][0] == {"node": "job", "kind": "job", "hops": 1}


def test_the_answer_for_people(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("m of model broke because of raw 3 hops upstream: m of raw is at 120")
    [row] = [line for line in lines if "clean" in line and "declared" in line and "│" in line]
    trend = row.split("│")[-2].strip()
    before, _, after = trend.partition("|")
    assert set(after) <= set("▆▇█")
    assert set(before) <= set("▁▂▃")
    assert any("aside" in line and "No path leads from it to model" in line for line in lines)


def test_inconclusive_is_an_answer(tmp_path: Path, bundle: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    bundle["series"] = [each for each in bundle["series"] if each["node"] == "model"]
    file = tmp_path / "incident.json"
    file.write_text(json.dumps(bundle), encoding="utf-8")
    assert run(["explain", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "cannot be told" in shown
    assert "What would settle it" in shown


def test_stdin_and_what_other_systems_put_before_json(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + path.read_bytes())))
    assert run(["explain", "-", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"][0]["node"] == "raw"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("", "is empty"),
        ("{", "the bundle is no JSON"),
        ("{}", "graph is missing"),
        (" " * 2_000_000, "is larger than 1 MB"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    content: str | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("stream_lineage.cli.bundle_file.MOST_BYTES", 1_000_000)
    file = tmp_path / "incident.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert run(["explain", str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert str(file) in shown.err


def test_a_directory_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_fault_of_the_search_is_no_traceback(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise IndexError("out of bounds")

    monkeypatch.setattr("stream_lineage.explain.root_cause.explain", fails)
    assert run(["explain", str(path)]) == 1
    told = capsys.readouterr()
    assert "IndexError: out of bounds" in told.err
    assert "Traceback" not in told.err + told.out

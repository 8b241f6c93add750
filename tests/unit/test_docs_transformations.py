"""If this failed, what docs/transformations.md shows would not work, or it would not say all that there is."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from stream_lineage import sdk
from stream_lineage.sdk import destinations, run_sender, runs, telling, transform
from stream_lineage.sdk.run_sender import RunSender

PAGE = Path(__file__).parents[2] / "docs" / "transformations.md"


def test_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENLINEAGE_P", "OPENLINEAGE_R", "OPENLINEAGE_N", "OPENLINEAGE_D", "LINEAGE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(destinations, "CHOSEN", destinations.Chosen())
    sender = RunSender()
    for module in (run_sender, runs, telling, transform):
        monkeypatch.setattr(module, "RUNS", sender)
    names: dict[str, Any] = {"__name__": "pipeline"}
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        exec(compile(example.replace("=10)", "=60)"), str(PAGE), "exec"), names)  # noqa: S102  (our own page)
    assert sender.wait(60)
    assert sender.counts.failed == 0
    events = [json.loads(line) for line in Path("runs.ndjson").read_text(encoding="utf-8").splitlines()]
    ended = {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}
    assert set(ended) == {"nightly", "features", "export", "check", "train"}
    [written] = ended["features"]["outputs"]
    assert (written["name"], written["outputFacets"]["outputStatistics"]["rowCount"]) == ("features", 1)
    assert ended["features"]["run"]["facets"]["parent"]["job"]["name"] == "nightly"
    assert "dataQualityAssertions" in ended["check"]["inputs"][0]["inputFacets"]
    assert capsys.readouterr().out == "as the model was trained\n"


def test_what_applications_may_import_is_there_and_described() -> None:
    for name in sdk.__all__:
        if name != "AUTOMATIC":
            assert (getattr(sdk, name).__doc__ or "").strip(), name
    text = PAGE.read_text(encoding="utf-8") + (PAGE.parent / "sdk.md").read_text(encoding="utf-8")
    described = {"Run", "run", "current_run", "send_runs", "run_counts", "track_lineage", "transform_lineage"}
    described |= {"lineage_manifest", "log_to_mlflow", "verify_input", "Manifest"}
    assert described <= set(sdk.__all__)
    assert {name for name in described if name.lower() not in text.lower()} == set()

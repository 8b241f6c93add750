"""If this failed, one could not see what hooks would do before they are live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from stream_lineage.cli.main import run

NODE = "dataset:kafka://b/orders"
ALERT = {
    "fingerprint": "f", "event_id": "e", "kind": "null-ratio", "severity": "critical", "topic": "orders",
    "field_path": None, "job": None, "node": NODE, "summary": "orders: null", "first_at": "2026-11-02T10:00:00Z",
    "last_at": "2026-11-02T10:00:00Z", "once": False, "over_at": None,
}  # fmt: skip
DOCUMENT = {
    "id": "a" * 32, "state": "open", "revision": 1, "severity": "critical", "opened_at": "2026-11-02T10:00:00Z",
    "updated_at": "2026-11-02T10:00:00Z", "resolved_at": None, "reopened": 0, "summary": "orders: null",
    "breach": {"node": NODE, "metric": None, "field": None, "at": "2026-11-02T10:00:00Z"}, "cause": None,
    "cause_after_seconds": None, "related": [], "alerts": [ALERT], "url": "http://ui",
}  # fmt: skip


def test_what_hooks_would_do_is_shown_and_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    command = {"arguments": ["/bin/sh", "-c", f"touch {ran}"]}
    hooks = [
        {"name": "rerun", "mode": "live", "on": ["opened"], "when": {"nodes": ["orders"]}, "command": command},
        {"name": "pause", "when": {"nodes": ["other"]}, "connect": {"connector": "sink"}},
    ]
    (tmp_path / "hooks.yaml").write_text(yaml.safe_dump({"hooks": hooks}))
    (tmp_path / "incident.json").write_text(json.dumps(DOCUMENT))
    given = ["hooks", "try", str(tmp_path / "incident.json"), "--hooks", str(tmp_path / "hooks.yaml")]
    assert run(given) == 0
    said = capsys.readouterr().out
    assert "rerun (live): would run /bin/sh with 2 arguments" in said
    assert "INCIDENT_NAME=orders" in said
    assert "pause (dry-run): nothing" in said
    assert run([*given, "--hook", "rerun", "--change", "resolved", "--output", "json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["hook"], found["fits"]) == ("rerun", False)
    assert run([*given, "--hook", "no-such"]) == 1
    assert not ran.exists()


def test_a_file_that_is_no_incident_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert run(["hooks", "try", str(tmp_path / "x.json")]) == 1
    assert "no incident" in capsys.readouterr().err

"""If this failed, `metric push` would push what is no point, or only some of a file."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream_lineage import pushing
from stream_lineage.cli.main import run
from stream_lineage.doctor import preflight
from stream_lineage.model.pushed import PushedPoint


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[PushedPoint]:
    """What would be written, were there a Kafka."""
    found: list[PushedPoint] = []
    monkeypatch.setattr(pushing, "push", lambda settings, points: found.extend(points))
    monkeypatch.setattr(preflight, "preflight", lambda *_, **__: None)
    return found


def test_one_point(pushed: list[PushedPoint], capsys: pytest.CaptureFixture[str]) -> None:
    line = ("metric", "push", "churn", "accuracy", "0.93", "--kind", "count", "--every", "3600")
    assert run([*line, "--at", "2026-03-01T12:00", "--tag", "region=eu", "--output", "json"]) == 0
    assert capsys.readouterr().out.split() == ["{", '"pushed":', "1", "}"]
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert pushed == [PushedPoint("churn", "accuracy", 0.93, at, {"region": "eu"}, "count", 3600.0)]


def test_files(pushed: list[PushedPoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    table.write_text("node,metric,value,at,region\nm,ctr,0.5,2026-03-01,eu\nm,ctr,0.6,2026-03-02,\n")
    assert run(["metric", "push", "--file", str(table), "--kind", "count"]) == 0
    first = PushedPoint("m", "ctr", 0.5, datetime(2026, 3, 1, tzinfo=UTC), {"region": "eu"}, "count")
    second = PushedPoint("m", "ctr", 0.6, datetime(2026, 3, 2, tzinfo=UTC), {}, "count")
    assert pushed == [first, second]
    pushed.clear()
    text = '{"node":"m","metric":"ctr","value":0.5,"at":"2026-03-01","tags":{"region":"eu"}}\n\n'
    lines.write_text(text)
    assert run(["metric", "push", "--file", str(lines), "--kind", "count"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run(["metric", "push", "--file", "-", "--kind", "count"]) == 0
    assert pushed == [first, first]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        ((), "NODE, METRIC and VALUE", 2),
        (("m", "a"), "NODE, METRIC and VALUE", 2),
        (("m", "a", "much"), "not a valid float", 2),
        (("m", "a b", "1"), "is no name", 1),
        (("m", "a", "nan"), "finite", 1),
        (("m", "a", "1", "--at", "soon"), "the point is none", 1),
        (("m", "a", "1", "--at", "2099-01-01"), "not in the future", 1),
        (("m", "a", "1", "--tag", "x"), "NAME=VALUE", 2),
        (("m", "a", "--kind", "count", "--", "-2"), "not below 0", 1),
        (("--file", "nowhere.csv"), "cannot be read", 1),
        (("--file", "bad.csv"), "line 3: 'c d' is no name", 1),
        (("--file", "wide.csv"), "more columns", 1),
        (("--file", "short.csv"), "line 2: value is missing", 1),
        (("--file", "bad.jsonl"), "line 2 is no JSON object", 1),
        (("--file", "binary.csv"), "not text", 1),
        (("m", "--file", "bad.csv"), "themselves", 2),
    ],
)
def test_what_is_no_point_is_said_and_nothing_is_pushed(
    arguments: tuple[str, ...], said: str, code: int, pushed: list[PushedPoint], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("node,metric,value\nm,ctr,1\nm,c d,1\n")
    (tmp_path / "wide.csv").write_text("node,metric,value\nm,ctr,1,2\n")
    (tmp_path / "short.csv").write_text("node,metric\nm,ctr\n")
    (tmp_path / "bad.jsonl").write_text('{"node":"m","metric":"ctr","value":1}\n[1]\n')
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert run(["metric", "push", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in " ".join(captured.err.split())
    assert pushed == []

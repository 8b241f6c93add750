"""If this failed, `stream-lineage trend` would draw nothing, or something else than what was measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lineage.cli.chart import HEIGHT, draw, legend
from stream_lineage.cli.main import run
from stream_lineage.explain.trend import Mark, Trend, TrendWindow
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def drawn(trend: Trend) -> list[str]:
    return [line.plain for line in draw(trend)]


def test_each_window_is_a_column() -> None:
    values = [0.0, 5.0, 10.0, None, 13.0]
    windows = tuple(TrendWindow(at(n), value, 0.0, 10.0) for n, value in enumerate(values))
    trend = Trend("orders", "records", "lineage_topic", 3600, "sum", "windows before", windows)
    rows = drawn(trend)[:HEIGHT]
    columns = ["".join(row.partition("|")[2][n] for row in reversed(rows)) for n in range(5)]
    assert columns[0] == "o" + "░" * 10 + "   "
    assert columns[1] == "░" * 5 + "o" + "░" * 5 + "   "
    assert columns[2] == "░" * 10 + "o" + "   "
    assert columns[3] == "░" * 11 + "   "
    assert columns[4] == "░" * 11 + "  X"
    assert "13" in rows[0]
    assert rows[-1].split()[0] == "0"


def test_marks_stand_below_their_windows() -> None:
    windows = tuple(TrendWindow(at(n), 1.0) for n in range(6))
    trend = Trend("orders", "records", "lineage_topic", 3600, "sum", None, windows).with_marks(
        [
            Mark(at(4) + timedelta(minutes=59), "alert", "warning: fewer records"),
            Mark(at(1), "schema", "schema version 2"),
            Mark(at(1), "deploy", "release 7", at(2)),
        ]
    )
    [marks] = [line for line in drawn(trend) if "S" in line or "*" in line]
    assert marks[13:] == " *D A "
    assert [line.plain.split("  ")[-1] for line in legend(trend)] == [
        "release 7", "schema version 2", "warning: fewer records",
    ]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "metrics.sqlite")
    now = datetime.now(UTC)
    tags = {"cluster": "c", "topic": "orders", "partition": "0", "schema_version": "1"}
    store.write(
        Point("lineage_topic", tags, {"records": 100 if n > 30 else 3}, now - timedelta(seconds=10 * n))
        for n in range(360)
    )
    store.close()
    return tmp_path


def test_the_command_draws(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = path / "rules.yaml"
    now = datetime.now(UTC)
    since, until = (f"{now - timedelta(minutes=m):%Y-%m-%dT%H:%M:%SZ}" for m in (20, 10))
    rules.write_text(f"deploys: [{{topic: 'ord*', from: {since}, to: {until}, reason: release 7}}]")
    given = ["--sqlite-path", str(path / "metrics.sqlite")]
    command = ["trend", "orders", "records", "--since", "1h", "--no-alerts", "--alert-rules", str(rules), *given]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert "records of orders, sum of each 1 min" in text
    assert "X" in text
    assert "release 7" in text
    assert run([*command, "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["target"], document["window_seconds"], document["alerts_read"]) == ("orders", 60, False)
    values = [window["value"] for window in document["windows"] if window["value"] is not None]
    assert 595 <= max(values) <= 605
    assert any(window["outside"] for window in document["windows"])
    assert [mark["kind"] for mark in document["marks"]] == ["deploy"]


def test_what_is_not_there_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--no-alerts", "--sqlite-path", str(path / "metrics.sqlite")]
    assert run(["trend", "orders", "latency", *given]) == 1
    assert "records" in capsys.readouterr().err
    assert run(["trend", "orders", "records", "--since", "1h", "--until", "2h", *given]) == 2

"""If this failed, `backtest` would lose rows, misread times, look ahead, or judge otherwise than the agents do."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from stream_lineage.cli.main import run
from stream_lineage.cli.timestamps import TimestampReader
from stream_lineage.detect.series.audit import Alarm, Incident, audited
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

START = datetime(2026, 1, 5, tzinfo=UTC)
FAULT = 2_500


def faulty(count: int = 3_000) -> list[float]:
    values = 50 + np.random.default_rng(31).normal(0, 2, count)
    values[FAULT : FAULT + 30] += 30
    return [round(float(each), 4) for each in values]


def written(path: Path, values: list[float]) -> Path:
    rows = [f"{START + timedelta(minutes=5 * index):%Y-%m-%d %H:%M:%S},{value}" for index, value in enumerate(values)]
    path.write_text("\n".join(["timestamp,value", *rows, ""]))
    return path


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAM_LINEAGE_CONFIG", raising=False)
    return written(tmp_path / "series.csv", faulty())


def scores(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_for_each_row_as_the_production_detector_says(series: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    assert run(["backtest", str(series), "--time", "timestamp", "--value", "value", "--output", str(output)]) == 0
    rows = scores(output)
    assert list(rows[0]) == ["timestamp", "value", "score", "alert"]
    detector = SeriesDetector(SeriesKind.LEVEL, window_seconds=300.0)
    state = detector.initial()
    for index, (row, value) in enumerate(zip(rows, faulty(), strict=True)):
        at = START + timedelta(minutes=5 * index)
        assert row["timestamp"] == f"{at:%Y-%m-%d %H:%M:%S}"
        assert float(row["value"]) == value
        if index < 1_500:
            state, verdict = detector.observe(state, at.timestamp(), value)
            assert float(row["score"]) == pytest.approx(verdict.score, abs=1e-6)
            assert row["alert"] == str(int(verdict.alert))
    alerts = [index for index, row in enumerate(rows) if row["alert"] == "1"]
    assert FAULT <= alerts[0] <= FAULT + 2
    assert alerts[-1] < FAULT + 60
    highest = max(range(300, len(rows)), key=lambda index: float(rows[index]["score"]))
    assert FAULT <= highest < FAULT + 30


def test_nothing_ahead_is_looked_at(series: Path, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.csv", tmp_path / "half.csv"
    cut = written(tmp_path / "cut.csv", faulty()[:2_000])
    assert run(["backtest", str(series), "--output", str(whole)]) == 0
    assert run(["backtest", str(cut), "--output", str(half)]) == 0
    assert scores(whole)[:2_000] == scores(half)


def test_bad_cells_are_counted_and_their_rows_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "ignored;when;n\nx;10;1\nx;bad;2\nx;20;oops\nx;20;3\nx;15;4\nx;30;\nx;40;NaN\nx;50;1e999\nx;60\n\nx;;\n"
    Path("odd.csv").write_text(text)
    assert run(["backtest", "odd.csv", "--time", "When", "--value", "n", "--output", "-"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.reader(io.StringIO(captured.out)))[1:]
    assert [row[:2] for row in rows] == [
        ["10", "1"], ["bad", "2"], ["20", "oops"], ["20", "3"], ["15", "4"], ["30", ""], ["40", "NaN"], ["50", "1e999"],
        ["60", ""], ["", ""],
    ]  # fmt: skip
    assert all(0 <= float(row[2]) <= 1 and row[3] in "01" for row in rows)
    assert run(["backtest", "odd.csv", "--time", "when", "--value", "n", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    counts = {name: told[name] for name in told if isinstance(told[name], int)}
    assert counts == {
        "rows": 10, "bad_times": 2, "bad_values": 1, "missing_values": 4, "duplicate_times": 1, "earlier_times": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "1772362800", "1772362800.0", "1772362800000", "1772362800000000", "1772362800000000000", "1.7723628e9",
        "2026-03-01T11:00:00Z", "2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00", "2026-03-01 11:00:00",
        "2026-03-01 11:00", "2026-03-01 11:00:00 UTC", "2026-03-01 11:00:00.000", "20260301T110000Z",
        "2026/03/01 11:00:00", "03/01/2026 11:00", "03/01/2026 11:00:00 AM", "01.03.2026 11:00",
        "Sun, 01 Mar 2026 11:00:00 +0000", "01/Mar/2026:11:00:00 +0000", " 2026-03-01 12:00:00 +0100 ",
    ],
)  # fmt: skip
def test_times_of_every_common_form_are_read(text: str) -> None:
    assert TimestampReader().read(text) == 1_772_362_800


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "1_000", "2026-13-01", "--", "\x00"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert TimestampReader().read(text) is None


def test_a_column_of_days_first_is_told_by_what_it_shows() -> None:
    reader = TimestampReader()
    assert reader.read("25/03/2026 11:00") == datetime(2026, 3, 25, 11, tzinfo=UTC).timestamp()
    assert reader.read("04/03/2026 11:00") == datetime(2026, 3, 4, 11, tzinfo=UTC).timestamp()


def test_packed_files_and_stdin(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "series.csv.gz"
    packed.write_bytes(gzip.compress(series.read_bytes()))
    assert run(["backtest", str(series), "--output", "plain.csv"]) == 0
    assert run(["backtest", str(packed), "--output", "packed.csv"]) == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + series.read_bytes())))
    assert run(["backtest", "-", "--output", "piped.csv"]) == 0
    assert scores(tmp_path / "plain.csv") == scores(tmp_path / "packed.csv") == scores(tmp_path / "piped.csv")


def test_the_audit_counts_what_was_found(series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = (START + timedelta(minutes=5 * (FAULT + each)) for each in (0, 29))
    quiet = START + timedelta(days=8)
    known = tmp_path / "incidents.csv"
    known.write_text(f"name,start,end\nreal,{first.isoformat()},{last.isoformat()}\nnone,{quiet.isoformat()},\n")
    plot = tmp_path / "audit.svg"
    arguments = ["backtest", str(series), "--incidents", str(known), "--plot", str(plot)]
    assert run([*arguments, "--output", "json"]) == 0
    audits = {each["sensitivity"]: each for each in json.loads(capsys.readouterr().out)["audit"]}
    assert {0.005, 0.05, 0.5, 5.0, 50.0} == set(audits)
    usual = audits[0.05]
    assert (usual["incidents"], usual["found"], usual["recall"]) == (2, 1, 0.5)
    assert (usual["alerts"], usual["precision"]) == (1, 1.0)
    assert usual["median_delay_seconds"] <= 600
    drawn = ET.fromstring(plot.read_text())  # noqa: S314  (we wrote it)
    assert drawn.tag.endswith("svg")
    assert len([each for each in drawn.iter() if each.tag.endswith("circle")]) == 15
    assert run([*arguments, "--output", "table"]) == 0
    assert "1 of 2" in capsys.readouterr().out


def test_an_audit_by_hand() -> None:
    alarms = [Alarm(10, 20), Alarm(95, 130), Alarm(300, 310), Alarm(400, 410)]
    incidents = [Incident(100, 200), Incident(305, 306), Incident(390, 405), Incident(700, 800), Incident(5_000, 5_001)]
    found = audited(alarms, incidents, 0, 1_000)
    assert (found.alarms, found.right, found.incidents, found.found) == (4, 3, 4, 3)
    assert sorted(found.delays) == [0, 0, 10]
    assert found.false_per_month == pytest.approx(2_592)
    assert (found + found).precision == 0.75


def test_series_of_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metrics.sqlite"
    store = SqliteStore(path)
    for topic, values in (("clicks", faulty()), ("orders", faulty()[:FAULT] + [50.0] * 500)):
        store.write(
            Point("topic", {"topic": topic}, {"size": value}, START + timedelta(minutes=5 * index))
            for index, value in enumerate(values)
        )
    store.close()
    end = (START + timedelta(days=11)).isoformat()
    arguments = ["backtest", "--sqlite-path", str(path), "--measurement", "topic", "--field", "size", "--window", "300"]
    assert run([*arguments, "--to", end, "--tag", "topic=clicks", "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 3_000
    (only,) = told["series"]
    assert only["name"] == "topic,topic=clicks"
    opened = datetime.fromisoformat(only["alerts"][0]["start"])
    assert START + timedelta(minutes=5 * FAULT) <= opened <= START + timedelta(minutes=5 * (FAULT + 2))
    assert run([*arguments, "--to", end, "--output", str(tmp_path / "all.csv")]) == 0
    assert {row["series"] for row in scores(tmp_path / "all.csv")} == {"topic,topic=clicks", "topic,topic=orders"}
    assert run([*arguments, "--to", "2020-01-01"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["series.csv", "--value", "cpu"], 2, "timestamp, value"),
        (["nothing.csv"], 1, "no file"),
        ([], 2, "FILE"),
        (["series.csv", "--measurement", "m"], 2, "FILE"),
        (["series.csv", "--plot", "x.svg"], 2, "--incidents"),
        (["series.csv", "--output", "series.csv"], 2, "overwrite"),
        (["empty.csv"], 1, "empty"),
        (["binary.csv"], 2, "column"),
        (["series.csv", "--incidents", "empty.csv"], 1, "no incident"),
        (["series.csv", "--incidents", "series.csv"], 1, "start and end"),
        (["series.csv", "--output", "nowhere/scores.csv"], 1, "cannot be written"),
    ],
)
def test_wrong_use_is_told(
    series: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    series.with_name("empty.csv").write_text("")
    series.with_name("binary.csv").write_bytes(bytes(range(256)) * 4)
    before = series.read_bytes()
    assert run(["backtest", *arguments]) == code
    assert said in capsys.readouterr().err
    assert series.read_bytes() == before


def test_a_file_of_a_header_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.csv"
    path.write_text("timestamp,value\n")
    assert run(["backtest", str(path), "--output", "-"]) == 0
    assert capsys.readouterr().out == "timestamp,value,score,alert\n"
    assert run(["backtest", str(path)]) == 0


def test_hostile_cells_do_not_reach_the_svg(series: Path, tmp_path: Path) -> None:
    named = tmp_path / "a<script>&.csv"
    named.write_text(series.read_text())
    known = tmp_path / "incidents.csv"
    known.write_text("start,end\n2026-01-13,2026-01-14\n")
    plot = tmp_path / "audit.svg"
    assert run(["backtest", str(named), "--incidents", str(known), "--plot", str(plot), "--output", "s.csv"]) == 0
    found: Any = ET.fromstring(plot.read_text())  # noqa: S314  (we wrote it)
    assert not [each for each in found.iter() if "script" in each.tag]

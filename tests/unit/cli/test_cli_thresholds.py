"""If this failed, `stream-lineage thresholds audit` would hold sensitivities against other history, or other incidents,
than what is stored and was labelled."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from stream_lineage import incidents as of_incidents
from stream_lineage.auditing import labelled
from stream_lineage.cli.main import run
from stream_lineage.cli.thresholds import advice, tradeoff
from stream_lineage.detect.series.audit import MONTH_SECONDS
from stream_lineage.detect.series.labelled import Caught, Outcome, SeriesName
from stream_lineage.incidents import Label, Told
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

START = datetime(2026, 3, 1, tzinfo=UTC)
WIDTH = 300
WINDOWS = 6 * 288
FAULT, QUIET = 1500, 1200
Ask = Callable[..., int]


def at(window: int) -> datetime:
    return START + timedelta(seconds=WIDTH * window)


def told(number: int, window: int, label: Label | None) -> Told:
    member = Member(
        f"{number}" * 32, "e", "null-ratio", Severity.WARNING, "orders", "amount", None, "dataset:kafka://lab/orders",
        "nulls", at(window), at(window), once=False, over_at=at(window + 6),
    )  # fmt: skip
    incident = Incident(
        f"{number}" * 32, IncidentState.RESOLVED, 2, Severity.WARNING, at(window), at(window + 6),
        IncidentBreach("dataset:kafka://lab/orders", "null_ratio", "amount", at(window)), (member,),
        resolved_at=at(window + 6),
    )  # fmt: skip
    return Told(incident, {}, label)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Six days of ``orders``, half of whose amounts are null for half an hour on the sixth."""
    random = np.random.default_rng(8)
    store = SqliteStore(tmp_path / "metrics.sqlite")
    points = []
    for window in range(WINDOWS):
        broken = FAULT <= window < FAULT + 6
        tags = {"cluster": "lab", "topic": "orders"}
        points.append(
            Point("lineage_topic", {**tags, "partition": "0", "schema_version": "1"},
                  {"records": int(1000 + random.integers(0, 40))}, at(window))
        )  # fmt: skip
        ratio = random.binomial(1000, 0.5 if broken else 0.02) / 1000
        points.append(Point("lineage_field", {**tags, "field": "amount"}, {"null_ratio": ratio}, at(window)))
    store.write(points)
    store.close()

    def asked(known: list[Told], *arguments: str) -> int:
        monkeypatch.setattr(of_incidents, "incidents", lambda settings, progress=None: known)
        return run([
            "thresholds", "audit", "--sqlite-path", str(tmp_path / "metrics.sqlite"), "--cluster", "lab",
            "--bootstrap-servers", "127.0.0.1:1", "--from", "2026-03-01", "--to", "2026-03-07", "--window", str(WIDTH),
            *arguments,
        ])  # fmt: skip

    return asked


def test_the_planted_fault_is_caught_by_its_own_series(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    known = [
        told(1, FAULT, Label(True, "orders", at(WINDOWS))),
        told(2, QUIET, Label(False, None, at(WINDOWS))),
        told(3, 200, None),
        told(4, WINDOWS + 5000, Label(True, None, at(WINDOWS))),
    ]
    part = told(5, FAULT, known[0].label)  # of the first, whose label it has: it counts once
    known.append(replace(part, incident=replace(part.incident, merged_into="1" * 32)))
    assert ask(known, "--output", "json", "--sensitivity", "0.01") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in answer["incidents"]] == [True, False, None], "one is of another time"
    assert [each["sensitivity"] for each in answer["sensitivities"]] == [0.01, 0.05], "the one that is set, too"
    assert answer["series"] == 2
    for each in answer["sensitivities"]:
        [caught] = each["caught"]
        assert caught["incident"] == "1" * 32
        assert caught["by"] == "orders null_ratio of amount"
        assert 0 <= caught["delay_seconds"] <= 3 * WIDTH
        assert (each["missed"], each["told_again"]) == ([], [])
        assert each["false_alarms"] == sum(each["false_by_metric"].values())
    assert answer["suggested"] in (0.01, 0.05)
    assert any("1 incidents are not labelled" in note for note in answer["notes"])


def test_for_people_with_a_plot(ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.svg"
    assert ask([told(1, FAULT, Label(True, None, at(9)))], "--sensitivity", "0.05", "--plot", str(plot)) == 0
    out = capsys.readouterr().out
    assert "1 real, 0 false alarms, 0 not labelled" in out
    assert "1 of 1" in out
    assert "metric_sensitivity is right as it is: 0.05" in out
    assert ET.fromstring(plot.read_text()).tag.endswith("svg")  # noqa: S314  (our own)


def test_without_labels_there_is_nothing_to_hold_it_against(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask([told(1, FAULT, None)]) == 1
    assert "incident label ID true" in capsys.readouterr().err


def test_what_is_stored_of_nothing_is_said(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = told(1, FAULT, Label(True, None, at(9)))
    assert ask([elsewhere], "--from", "2027-01-01", "--to", "2027-01-02") == 1
    assert "no incident of that time" in capsys.readouterr().err
    assert ask([elsewhere], "--from", "2026-03-07", "--to", "2026-03-01") == 2


def of(sensitivity: float, caught: int, false: int) -> Outcome:
    found = tuple(Caught(str(number), SeriesName("orders", "records"), 1.0) for number in range(caught))
    return Outcome(sensitivity, found, (), (), false, {}, MONTH_SECONDS, MONTH_SECONDS)


def test_the_trade_off_is_drawn() -> None:
    lines = [line.plain for line in tradeoff([of(0.05, 1, 0), of(0.5, 2, 1), of(5, 4, 20)], 4)]
    assert [line.count("█") for line in lines[1:]] == [5, 10 + 1, 20 + 20]
    assert [line.split()[-1] for line in lines[1:]] == ["0", "1", "20"]


def test_the_advice_says_what_to_do() -> None:
    assert "right as it is: 0.05" in advice(of(0.05, 1, 0), 0.05, 10)
    assert "metric_sensitivity 0.5 (it is 0.05)" in advice(of(0.5, 1, 0), 0.05, 10)
    assert "more than 10 false alarms" in advice(None, 0.05, 10)


def test_an_incident_lasts_until_it_is_over() -> None:
    over = told(1, FAULT, None)
    lead = timedelta(minutes=2).total_seconds()
    assert labelled(over, at(WINDOWS)).end == at(FAULT + 6).timestamp() + lead
    going_on = replace(over.incident.members[0], over_at=None)
    lasting = replace(over, incident=replace(over.incident, members=(going_on,), resolved_at=None))
    assert labelled(lasting, at(WINDOWS)).end == at(WINDOWS).timestamp() + lead
    moment = replace(lasting, incident=replace(lasting.incident, members=(replace(going_on, once=True),)))
    assert labelled(moment, at(WINDOWS)).end == at(FAULT).timestamp() + lead
    assert labelled(lasting, at(WINDOWS)).nodes == {"orders"}

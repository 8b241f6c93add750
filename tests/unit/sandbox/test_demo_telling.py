"""If this failed, the demo would show a wrong alert, or commands that do not work."""

from __future__ import annotations

import io
import json
import re
import shlex
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from stream_lineage.agents.alerts import alert as alert_of
from stream_lineage.cli.main import LazyGroup, cli
from stream_lineage.cli.main import run as run_command_line
from stream_lineage.model.finding import Compatibility, Finding, SchemaChange, Severity
from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.narrator import Narrator
from stream_lineage.sandbox.demo.picture import alert_lines, effects_line, result_line, summary, table
from stream_lineage.sandbox.demo.planted import judge
from stream_lineage.sandbox.demo.questions import Found, questions
from stream_lineage.sandbox.demo.scenarios import SCHEMA
from stream_lineage.sandbox.demo.show import Show
from stream_lineage.sandbox.demo.topics import CUSTOMERS
from stream_lineage.sandbox.demo.watch import Effects, TopicState
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.observations import avro_reference, observation, span


class Message:
    """What a consumer gives, as far as it is read."""

    def __init__(self, headers: Any, value: bytes) -> None:
        self._headers, self._value = headers, value

    def headers(self) -> Any:
        return self._headers

    def value(self) -> bytes:
        return self._value


def drift(first_offsets: dict[int, int]) -> Alert:
    """As the agents write it, as the demo reads it."""
    finding = Finding(
        kind="schema-drift",
        severity=Severity.CRITICAL,
        topic="customers",
        field_path="age",
        summary="customers: age changed",
        fingerprint="0" * 32,
        first_offsets=first_offsets,
        before=avro_reference(1),
        after=avro_reference(2),
        compatibility=Compatibility(backward=False, forward=False),
        changes=(SchemaChange("type-changed", "age", "int", "string", ("backward", "forward")),),
    )
    sent = alert_of(finding, "drift", observation(avro_reference(2), span(0, 5, 9), topic="customers"), "http://ui")
    message: Any = Message(list(sent.headers), sent.value)
    read = Alert.from_message(message)
    assert read.id == sent.event_id
    return read


def test_an_alert_of_the_agents_is_read_and_shown_beside_what_was_acknowledged() -> None:
    bad = {0: 5, 1: 7, 2: 11}
    alert = drift({0: 5, 1: 8, 2: 11})
    verdict = judge(SCHEMA, bad, [alert])
    lines = [line.plain for line in alert_lines(verdict, alert, bad)]
    assert "critical  schema-drift on customers" in lines
    assert any("age" in line and "int -> string" in line for line in lines)
    places = [re.sub(r"\s+", " ", line).strip() for line in lines if line.startswith("  partition")]
    assert places == [
        "partition 0 5 acknowledged to the producer at 5 the same",
        "partition 1 8 acknowledged to the producer at 7 DIFFERENT",
        "partition 2 11 acknowledged to the producer at 11 the same",
    ]
    assert result_line(verdict, True) == "Found, but not as planted, and its cause: customers [0]@5, [1]@8, [2]@11."
    exact = judge(SCHEMA, bad, [drift(bad)])
    assert result_line(exact, True) == "Found, and its cause: customers [0]@5, [1]@7, [2]@11."
    assert result_line(exact, False) == "Found, but not its cause: customers [0]@5, [1]@7, [2]@11."
    assert result_line(judge(SCHEMA, bad, []), False) == "The fault was not found."


def test_the_commands_are_accepted_by_the_command_line(tmp_path: Path) -> None:
    first_bad = {1: 4711, 2: 3}
    asked = questions(
        "stream-lineage", "127.0.0.1:9092", Found("customers", first_bad, "3fa9" * 8), tmp_path / "my index",
        tmp_path / "metrics.sqlite",
    )  # fmt: skip
    ours = [shlex.split(question.command)[1:] for question in asked if question.command.startswith("stream-lineage ")]
    assert " ".join(name for name, *_ in ours) == "incident replay record record trace trace graph spans verify"
    assert ours[1][1:4] == ["customers", "1:4711", "2:3"]
    assert [arguments[2:4] for arguments in ours[2:4]] == [["1", "4711"], ["1", "4710"]]
    group = cli
    assert isinstance(group, LazyGroup)
    for name, *arguments in ours:
        with group.make_context("stream-lineage", [name, *arguments]) as context:
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                name, *arguments = arguments
                command = command.get_command(context, name)
            assert command is not None
            with command.make_context(name, arguments, parent=context) as parsed:
                assert parsed.params["setting_bootstrap_servers"] == "127.0.0.1:9092"


def test_nobody_is_asked_for_the_record_before_the_first(tmp_path: Path) -> None:
    asked = questions("x", "b", Found("customers", {0: 0}), tmp_path / "i", tmp_path / "m")
    assert [question.command.split()[1] for question in asked][:3] == ["replay", "record", "trace"]


def test_the_query_finds_the_null_ages_in_the_metric_store(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    store = SqliteStore(path)
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    tags = {"cluster": "127.0.0.1:9092", "topic": "features"}
    store.write(
        [
            Point("lineage_field", {**tags, "field": "age"}, {"null_ratio": 0.25}, at),
            Point("lineage_field", {**tags, "field": "country"}, {"null_ratio": 0.5}, at),
            Point("lineage_field", {**tags, "topic": "customers", "field": "age"}, {"null_ratio": 0.75}, at),
        ]
    )
    store.close()
    program, file, query = shlex.split(
        questions("x", "b", Found("customers", {0: 1}), tmp_path / "i", path)[-1].command
    )
    assert (program, file) == ("sqlite3", str(path))
    connection = sqlite3.connect(path)
    assert connection.execute(query).fetchall() == [("2026-03-01 12:00:00", 0.25)]
    connection.close()


def state(**changed: Any) -> TopicState:
    return TopicState(
        **{
            "topic": CUSTOMERS,
            "records": 1_200,
            "per_second": 29.6,
            "observed": 1_180,
            "spans": 1,
            "versions": (1, 2),
            **changed,
        }
    )


def test_a_terminal_has_a_table_and_a_log_has_lines() -> None:
    effects = Effects(0.384, ("view", "scroll"))
    console = Console(file=io.StringIO(), width=100)
    console.print(table([state()], effects, phase=console.render_str("now")))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"customers +3 +1,200 +30 +1,180 +1 +v1 v2", shown)
    assert "features.age: 38% null  ·  clicks.event_type: view, scroll" in shown
    assert summary([state(), state(spans=6)]).count("customers 1,200 (30/s, 1,180 observed, ") == 2
    assert effects_line(Effects(None, ())) == ""
    out = io.StringIO()
    narrator = Narrator(Console(file=out, width=40))
    with narrator.table(lambda: "never"):
        narrator.say("a line that is longer than forty characters, and stays whole")
        narrator.pulse(lambda: "a pulse")
        narrator.pulse(lambda: "too soon")
    lines = out.getvalue().splitlines()
    assert [re.sub(r"^ *\d+\.\d s  ", "", line) for line in lines] == [
        "a line that is longer than forty characters, and stays whole",
        "a pulse",
    ]


@pytest.mark.parametrize(("arguments", "found", "status"), [
    (["--exit"], True, 0),
    (["--exit"], False, 1),
    ([], False, 0),
])  # fmt: skip
def test_the_exit_status_says_whether_the_fault_was_found(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], found: bool, status: int
) -> None:
    closed = []
    monkeypatch.setattr(Show, "start_sandbox", lambda self: None)
    monkeypatch.setattr(Show, "play", lambda self: found)
    monkeypatch.setattr(Show, "close", lambda self: closed.append(True))
    assert run_command_line(["demo", *arguments]) == status
    assert closed


def test_wrong_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["demo", "--kafka-port", "0"]) == 2
    assert run_command_line(["demo", "--seconds", "-1"]) == 2
    assert json.dumps("--seconds")[1:-1] in capsys.readouterr().err

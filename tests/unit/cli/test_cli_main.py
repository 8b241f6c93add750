"""If this failed, a command would be missing, slow to start, or would greet an error of ours with a traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest

from stream_lineage.cli import main as cli_main
from stream_lineage.cli.main import COMMANDS, cli, run
from stream_lineage.errors import KafkaUnavailable


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a function in the place of every command."""

    def install(function: Any) -> None:
        made = click.command()(function)
        monkeypatch.setattr(cli_main.LazyGroup, "get_command", lambda *_: made)

    return install


def test_commands_that_are_there_load_and_document_themselves() -> None:
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert "doctor" in names
    for name in names:
        found = cli.get_command(context, name)
        assert found is not None, name
        assert found.help, name
        undocumented = [p.name for p in found.params if isinstance(p, click.Option) and not p.help and not p.hidden]
        assert undocumented == [], name


def test_help_imports_no_command_and_no_settings() -> None:
    program = (
        "import sys; from stream_lineage.cli.main import run; code = run(['--help']);"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('pydantic', 'numpy', 'confluent_kafka', 'faust', 'httpx', 'structlog', 'rich', 'fastavro')], code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert COMMANDS["doctor"] in done.stdout


def test_an_error_of_ours_is_a_message(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise KafkaUnavailable("no broker answered", hint="Start one.")

    command(fails)
    assert run(["x"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: no broker answered\nhint: Start one.\n"
    with pytest.raises(KafkaUnavailable):
        run(["--debug", "x"])


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 130)])
def test_exit_codes(raised: BaseException, code: int, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise raised

    command(fails)
    assert run(["x"]) == code
    assert capsys.readouterr().err == ""


def test_a_command_decides_its_exit_code(command: Any) -> None:
    def decides(context: click.Context) -> None:
        context.exit(7)

    command(click.pass_context(decides))
    assert run(["x"]) == 7
    command(lambda: 3)
    assert run(["x"]) == 3
    command(lambda: None)
    assert run(["x"]) == 0


@pytest.mark.parametrize(
    "arguments", [["doctr"], ["--nonsense"], ["doctor", "--nonsense"], ["doctor", "--output", "xml"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err
    if arguments == ["doctr"]:
        assert "Did you mean doctor?" in captured.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("stream-lineage ")


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = (
        "import sys; from stream_lineage.cli import main; import click;"
        "many = lambda: [print('x' * 1000) for _ in range(10000)] and None;"
        "main.LazyGroup.get_command = lambda *_: click.command()(many);"
        "sys.argv[1:] = ['x']; main.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1

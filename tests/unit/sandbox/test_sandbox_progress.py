"""If this fails, people wait for a download that shows nothing, or a log fills with bars."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stream_lineage.sandbox.progress import Reporter, StderrReporter


def test_a_log_gets_two_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = StderrReporter()
    with reporter.download("[Kafka]") as download:
        download.expect(3_000_000)
        download.advance(2_000_000)
        download.advance(1_000_000)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "Downloading [Kafka] ...\nDownloaded [Kafka]: 3 MB in 0 s\n"


def test_a_failed_download_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), StderrReporter().download("Kafka"):
        raise RuntimeError
    assert capsys.readouterr().err == "Downloading Kafka ...\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    reporter = StderrReporter()
    monkeypatch.setattr(reporter, "_console", Console(file=screen, force_terminal=True, width=100, color_system=None))
    with reporter.download("Kafka") as download:
        download.expect(2_000_000)
        download.advance(2_000_000)
    assert "2.0/2.0 MB" in screen.getvalue()
    assert "Downloading" not in screen.getvalue()


def test_nobody_need_listen(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    reporter.say("something")
    with reporter.download("Kafka") as download:
        download.expect(1)
        download.advance(1)
    output = capsys.readouterr()
    assert output.out == output.err == ""

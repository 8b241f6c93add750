"""If this failed, a target could not be tried before there is an incident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from stream_lineage.cli.main import run
from stream_lineage.testing.receiver import Receiver, answer


def tried(directory: Path, *urls: str, more: tuple[str, ...] = ()) -> int:
    targets = [{"name": f"hook-{number}", "kind": "webhook", "url": url} for number, url in enumerate(urls)]
    (directory / "n.yaml").write_text(yaml.safe_dump({"targets": targets}))
    allowed = ("--notify-private-networks", "127.0.0.0/8", "--notify-http")
    return run(["notify", "test", "--notifications", str(directory / "n.yaml"), *allowed, *more])


def test_each_target_is_sent_a_message_that_says_it_is_a_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Receiver() as good, Receiver(lambda _: answer(403)) as bad:
        assert tried(tmp_path, good.url, bad.url) == 1
        assert "This is a test" in json.loads(good.received[0].body)["data"]["summary"]
        said = capsys.readouterr().out
        assert "hook-0 (webhook): taken" in said
        assert "hook-1 (webhook): the receiver answered 403" in said
        assert tried(tmp_path, good.url, bad.url, more=("--target", "hook-0", "--output", "json")) == 0
        [found] = json.loads(capsys.readouterr().out)
        assert (found["target"], found["taken"]) == ("hook-0", True)
        assert len(bad.received) == 1


def test_a_target_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(tmp_path, "https://a.example/", more=("--target", "other")) == 1
    assert "there is no target other" in capsys.readouterr().err
    assert run(["notify", "test"]) == 1
    assert "there are no targets" in capsys.readouterr().err

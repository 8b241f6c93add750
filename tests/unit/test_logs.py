"""If this failed, passwords would stand in the logs, or one broken broker would fill a disk with them."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from stream_lineage.logs import MASK, LogSettings, RepeatLimit, SecretMask, configure_logging, get_logger


def configured(secrets: tuple[str, ...] = (), **settings: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogSettings(**settings), secrets=secrets, stream=stream)
    return stream


def test_json_where_nobody_reads_and_levels_hold() -> None:
    stream = configured(log_level="warning")
    log = get_logger("stream_lineage.test")
    log.info("not this")
    log.warning("flush late", topic="clicks", seconds=3)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "flush late",
        "level": "warning",
        "logger": "stream_lineage.test",
        "topic": "clicks",
        "seconds": 3,
    }


def test_console_when_asked() -> None:
    stream = configured(log_format="console")
    get_logger("x").info("flush committed", records=5)
    assert "flush committed" in stream.getvalue()
    assert "records=5" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_comes_out(form: str) -> None:
    stream = configured(("hunter22", "abcdefg"), log_format=form)
    log = get_logger("x")
    log.info("said hunter22", url="https://u:abcdefg@host/x", nested={"sasl.password": "zzzz9", "list": ["hunter22"]})
    log.info("object", value=SecretStr("qqqq1"), token="qqqq2", thing=ValueError("hunter22"), authorization="qqqq3")
    logging.getLogger("another").warning("GET %s", "http://me:qqqq4@host")

    def fail(password: str) -> None:
        raise ValueError("wrong hunter22")

    try:
        fail("qqqq" + str(5))
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    secrets = ("hunter22", "abcdefg", "zzzz9", "qqqq1", "qqqq2", "qqqq3", "qqqq4", "qqqq5")
    assert [secret for secret in secrets if secret in text] == []
    assert MASK in text
    assert "failed" in text
    assert "ValueError" in text


def test_numbers_under_secret_names_are_kept() -> None:
    assert SecretMask()(None, "info", {"tokens": 5, "secret": None})["tokens"] == 5


def test_one_event_repeated() -> None:
    now = [0.0]
    limit = RepeatLimit(burst=3, window_seconds=10, clock=lambda: now[0])

    def passes(**event: Any) -> dict[str, Any] | None:
        try:
            return dict(limit(None, "error", {"level": "error", "event": "e", **event}))
        except structlog.DropEvent:
            return None

    assert [passes() is not None for _ in range(7)] == [True] * 3 + [False] * 4
    assert passes(topic="other") is not None
    assert passes(event="f") is not None
    assert passes(level="info") is not None
    now[0] = 10.0
    again = passes()
    assert again is not None
    assert again["suppressed"] == 4
    assert "suppressed" not in (passes() or {})


def test_what_is_remembered_is_bounded() -> None:
    limit = RepeatLimit(remembered=10)
    for number in range(1_000):
        limit(None, "error", {"level": "error", "event": f"e{number}"})
    assert len(limit._seen) == 10


def test_other_libraries_are_limited_too() -> None:
    stream = configured()
    for number in range(50):
        logging.getLogger("aiokafka").error("connection %d lost", number)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [f"connection {number} lost" for number in range(5)]


def test_in_a_process_of_others_events_go_to_its_logging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    get_logger("stream_lineage.sdk").warning("lineage lost", password="hunter22")
    assert [record.message for record in caplog.records] == ["lineage lost"]
    assert capsys.readouterr().out == ""

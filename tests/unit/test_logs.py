"""If this failed, passwords would stand in the logs, or one broken broker would fill a disk with them."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from stream_lineage.logs import MASK, LogSettings, SecretMask, configure_logging, get_logger
from stream_lineage.repeat_limit import Repeated, RepeatLimit


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


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_told() -> None:
    limit = RepeatLimit(remembered=10, burst=1, most=3)
    for number in range(1_000):
        for topic in range(5):
            with contextlib.suppress(structlog.DropEvent):
                limit(None, "error", {"level": "error", "event": f"e{number}", "topic": topic})
    assert len(limit._seen) == len(limit._hot) == 10
    assert max(len(window.topics) for window in limit._seen.values()) == 3
    told = limit.over()
    assert [each.left_out for each in told] == [2] * 990
    assert limit.over() == []
    assert len(limit.over(at_once=True)) == 10


def test_an_event_of_many_topics_is_one_event_and_its_first_is_never_left_out() -> None:
    now = [0.0]
    limit = RepeatLimit(clock=lambda: now[0])
    passed = []
    for topic in range(10_000):
        with contextlib.suppress(structlog.DropEvent):
            passed.append(limit(None, "error", {"level": "error", "event": "e", "topic": topic})["topic"])
    assert passed == list(range(50))
    assert limit(None, "error", {"level": "error", "event": "new", "topic": 7})
    assert limit.over() == []
    now[0] = 60.0
    assert limit.over() == [Repeated("None", "error", "e", 9_950)]
    assert "suppressed" not in limit(None, "error", {"level": "error", "event": "e"})


def test_how_often_it_came_is_told_when_its_window_is_over_and_at_the_end() -> None:
    stream, now = io.StringIO(), [0.0]
    configure_logging(LogSettings(), stream=stream, clock=lambda: now[0])
    for _ in range(1_000):
        get_logger("stream_lineage.test").error("flush failed", topic="clicks", secret="s")
        logging.getLogger("aiokafka").warning("connection lost")
    now[0] = 61.0
    get_logger("stream_lineage.test").info("something else")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 13
    told = {line["event"]: line for line in lines[11:]}
    assert {name: line["suppressed"] for name, line in told.items()} == {"flush failed": 995, "connection lost": 995}
    assert told["flush failed"].keys() == {"event", "level", "logger", "suppressed", "timestamp"}
    assert told["connection lost"]["logger"] == "aiokafka"
    for _ in range(7):
        get_logger("stream_lineage.test").error("again")
    [handler] = logging.getLogger().handlers
    handler.close()
    last = json.loads(stream.getvalue().splitlines()[-1])
    assert (last["event"], last["suppressed"]) == ("again", 2)


def test_a_terminal_gets_text() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging(LogSettings(), stream=stream)
    get_logger("stream_lineage.test").warning("flush late", topic="clicks")
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(stream.getvalue())
    assert "flush late" in stream.getvalue()
    assert "clicks" in stream.getvalue()


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

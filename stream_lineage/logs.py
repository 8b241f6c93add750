"""Logs: structured, on stderr, without secrets, and quiet when one thing goes wrong a thousand times.

JSON lines when stderr is no terminal or when asked, readable text otherwise. Records of the standard library's logging
(httpx, faust, ...) take the same way out.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr

MASK = "**********"
_SECRET_NAME = re.compile(
    r"passw|secret|token|credential|authorization|basic_auth|hash_key|api_key|private_key", re.IGNORECASE
)
_USERINFO = re.compile(r"(?<=://)\S+(?=@)")
_SHOWN_FRAMES = 12
_SHORTEST_SECRET = 4  # masking every "a" because somebody's password is "a" would help nobody
_LOUD_LIBRARIES = ("httpx", "httpcore", "aiokafka", "kafka", "faust", "mode", "asyncio")

Event = MutableMapping[str, Any]


class LogSettings(BaseModel):
    """How much is logged, and in which form."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe events that are logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="JSON lines or readable text; auto is text in a terminal and JSON elsewhere."
    )


def configure_logging(settings: LogSettings, *, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Send all logs of this process to ``stream`` (stderr). ``secrets`` are cut out of everything that is logged."""
    stream = sys.stderr if stream is None else stream
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    limit = RepeatLimit()
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info]
    last.append(SecretMask(secrets))
    if as_json:
        last.append(structlog.processors.JSONRenderer())
    else:
        # Rich tracebacks would show local variables, which may hold payloads and passwords.
        last.append(
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()], processors=last
        )
    )
    handler.addFilter(limit.admits)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LOUD_LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
    _processors[:] = [
        structlog.stdlib.filter_by_level,
        *shared,
        limit,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger: ``log.info("flush committed", records=n)``. The event is a fixed phrase, what varies is a keyword.

    In a process that is not ours, where nobody calls ``configure_logging``, events go to its own ``logging``.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), processors=_processors, wrapper_class=structlog.stdlib.BoundLogger
    )
    return logger


def trail(error: BaseException) -> str:
    """What an error is and where it comes from, without its text, which may hold a value that was being read."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-_SHOWN_FRAMES:])
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    return " < ".join([type(error).__name__, *places])


class SecretMask:
    """A structlog processor that hides secrets: by the name they stand under, by their form, and by their text."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        known = sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        return {name: self._masked(name, value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """``text`` without what is known or looks to be secret."""
        text = _USERINFO.sub(MASK, text)
        return self._known.sub(MASK, text) if self._known else text

    def _masked(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, SecretStr) or _SECRET_NAME.search(name):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._masked(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._masked("", inner) for inner in value]
        return self.text(str(value))


class RepeatLimit:
    """A structlog processor that lets a warning or error through ``burst`` times per ``window_seconds``.

    Events are the same when logger, level, text and topic are. The first one of the next window says in ``suppressed``
    how many were left out. Larger ``burst``: more repetition; larger ``window_seconds``: longer silence.
    """

    _LIMITED = frozenset({"warning", "error", "critical"})

    def __init__(
        self,
        *,
        burst: int = 5,
        window_seconds: float = 60.0,
        remembered: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._window_seconds = window_seconds
        self._remembered = remembered
        self._clock = clock
        self._seen: OrderedDict[tuple[Any, ...], tuple[float, int]] = OrderedDict()

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        level = event.get("level", method)
        if level not in self._LIMITED:
            return event
        key = (event.get("logger"), level, str(event.get("event")), str(event.get("topic")))
        count, suppressed = self._counted(key)
        if suppressed:
            event["suppressed"] = suppressed
        if count > self._burst:
            raise structlog.DropEvent
        return event

    def admits(self, record: logging.LogRecord) -> bool:
        """The same for records of other libraries, as a filter of the standard library."""
        if isinstance(record.msg, dict) or record.levelname.lower() not in self._LIMITED:
            return True  # an event of ours has passed already
        return self._counted((record.name, record.levelname, str(record.msg)))[0] <= self._burst

    def _counted(self, key: tuple[Any, ...]) -> tuple[int, int]:
        """How often ``key`` has come in this window, this time included, and how often too much in the one before."""
        now = self._clock()
        since, count = self._seen.pop(key, (now, 0))
        suppressed = 0
        if now - since >= self._window_seconds:
            suppressed = max(0, count - self._burst)
            since, count = now, 0
        self._seen[key] = (since, count + 1)
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return count + 1, suppressed


# Shared by all of our loggers, and replaced in place by ``configure_logging``.
_processors: list[Any] = [structlog.stdlib.filter_by_level, SecretMask(), structlog.stdlib.render_to_log_kwargs]

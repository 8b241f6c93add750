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
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stream_lineage.repeat_limit import Repeated, RepeatLimit

MASK = "**********"
_SECRET_NAME = re.compile(
    r"passw|secret|token|credential|authorization|basic_auth|hash_key|api_key|private_key", re.IGNORECASE
)
_USERINFO = re.compile(r"(?<=://)\S+(?=@)")
_SHOWN_FRAMES = 12
_SHORTEST_SECRET = 4  # masking every "a" because somebody's password is "a" would help nobody
_LOUD_LIBRARIES = ("httpx", "httpcore", "aiokafka", "kafka", "faust", "mode", "asyncio")

_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)

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


def configure_logging(
    settings: LogSettings,
    *,
    secrets: Collection[str] = (),
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send all logs of this process to ``stream`` (stderr). ``secrets`` are cut out of everything that is logged.
    ``clock`` is that of ``RepeatLimit``."""
    stream = sys.stderr if stream is None else stream
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _STAMP,
    ]
    limit = RepeatLimit(clock=clock)
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info]
    last.append(SecretMask(secrets))
    if as_json:
        last.append(structlog.processors.JSONRenderer())
    else:
        # Rich tracebacks would show local variables, which may hold payloads and passwords.
        last.append(
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        )
    handler = _Handler(stream, limit)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()], processors=last
        )
    )
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


class _Handler(logging.StreamHandler[TextIO]):
    """Also tells how often what was left out came, once its window is over, and at the end of the process."""

    def __init__(self, stream: TextIO, limit: RepeatLimit) -> None:
        super().__init__(stream)
        self._limit = limit
        self.addFilter(limit.admits)

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        self._tell(self._limit.over())

    def close(self) -> None:
        if not self.stream.closed:
            self._tell(self._limit.over(at_once=True))
        super().close()

    def _tell(self, repeated: Iterable[Repeated]) -> None:
        for each in repeated:
            event = {"event": each.event, "level": each.level, "logger": each.logger, "suppressed": each.left_out}
            level = logging.getLevelNamesMapping()[each.level.upper()]
            record = logging.LogRecord(each.logger, level, "", 0, _STAMP(None, "", event), None, None)
            record.__dict__.update(_logger=None, _name=each.level)  # what makes it an event of structlog's
            super().emit(record)


# Shared by all of our loggers, and replaced in place by ``configure_logging``.
_processors: list[Any] = [structlog.stdlib.filter_by_level, SecretMask(), structlog.stdlib.render_to_log_kwargs]

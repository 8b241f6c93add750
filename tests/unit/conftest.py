"""Fixtures of the unit tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from stream_lineage import logs


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands that are run inside a test configure this process's logging: no test after it shall notice."""
    root = logging.getLogger()
    handlers, level, processors = root.handlers[:], root.level, logs._processors[:]
    yield
    root.handlers[:], logs._processors[:] = handlers, processors
    root.setLevel(level)
    structlog.reset_defaults()

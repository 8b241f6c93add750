"""If this failed, `--since` would ask for another time than was said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from stream_lineage.cli.times import moment_before

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("7d", timedelta(days=7)), ("1d12h", timedelta(hours=36)), ("90m", timedelta(minutes=90)),
        ("1.5h ago", timedelta(minutes=90)), ("2w", timedelta(days=14)), ("30s", timedelta(seconds=30)),
        ("2026-03-01T12:00Z", timedelta(days=7)), ("2026-03-08T13:00+01:00", timedelta(0)),
    ],
)  # fmt: skip
def test_what_is_a_time(text: str, before: timedelta) -> None:
    assert moment_before(text, NOW) == NOW - before


@pytest.mark.parametrize("text", ["", "soon", "d7", "7y", "9999999999999w", "nan"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(click.UsageError, match="no time"):
        moment_before(text, NOW)

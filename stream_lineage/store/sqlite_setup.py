"""The embedded store made ready: its file, and its coarser copies of a time of one's choice."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from stream_lineage.store.setup import Done
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.store.tiers import Tier
from stream_lineage.store.windows import window_start


class SqliteSetup:
    """There are no tokens: who may read the file may read what is in it. Writers make the copies themselves."""

    def __init__(self, path: Path, retention: timedelta, tiers: tuple[Tier, ...]) -> None:
        self._path = path
        self._retention = retention
        self._tiers = tiers

    def run(self, *, renew: Collection[str] = ()) -> Iterator[Done]:
        """
        Raises:
            ConnectionFailed: the file cannot be made, opened or read.
            SettingsError: a later version of stream_lineage wrote the file.
        """
        change = "unchanged" if self._path.exists() else "created"
        SqliteStore(self._path, tiers=self._tiers).close()
        yield Done("file", str(self._path), change)

    def copy_again(self, start: datetime, end: datetime) -> Iterator[Done]:
        """Raises as ``run`` does."""
        with closing(SqliteStore(self._path, retention=self._retention, tiers=self._tiers)) as store:
            for tier in self._tiers:
                first, last = window_start(start, tier.window_seconds), window_start(end, tier.window_seconds)
                store.copy(tier, first, last)
                yield Done("copy", tier.name, f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}")

"""The table that the agents keep their states in, and its recovery from the changelog.

Rows are bytes: JSON with ``position`` (partition and offset of the observation log up to which it holds) and ``at_ms``.
Measured in faust-streaming 0.15.3: changelog records that cannot be sent are logged and forgotten, so each write is
awaited here. What is fetched between a seek and the end of a recovery is dropped, so nothing is fetched in between. A
late write by a worker that was taken for dead ends up last in the changelog, so the row that is further along in the
log wins over the one that was written last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import faust
import orjson
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery

from stream_lineage.agents.detection import RECREATED_AFTER


class StateTable(faust.Table):  # type: ignore[misc]
    """Rows by key, in memory: they are few and small, and are read back from the changelog."""

    logger = logging.getLogger("faust.table")

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put rows into the changelog, and into memory when the brokers have acknowledged all of them."""
        rows = list(rows)
        for sent in [self.send_changelog(partition, key, value) for key, value in rows]:
            await sent
        for key, value in rows:
            self.data[key] = value

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        newest: dict[bytes, bytes] = {}
        kept = []
        for event in batch:
            key, value = event.message.key, event.message.value
            known = newest.get(key, self.data.get(key))
            if value is None or known is None or not behind(value, known):
                newest[key] = value
                kept.append(event)
        super().apply_changelog_batch(kept)


class StateTables(TableManager):  # type: ignore[misc]
    """Faust's table manager with a recovery of ours."""

    logger = logging.getLogger("faust.table")
    _recovery: Any

    @property
    def recovery(self) -> Any:
        if self._recovery is None:
            self._recovery = _Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class _Recovery(Recovery):  # type: ignore[misc]
    logger = logging.getLogger("faust.table")

    async def _resume_streams(self, generation_id: int = 0) -> None:
        await self.app.consumer.park()
        await super()._resume_streams(generation_id)


def behind(value: bytes, known: bytes) -> bool:
    """Whether a row is of an earlier position of the log than the known one. One that is much younger is of a log that
    was made anew."""
    one, other = orjson.loads(value), orjson.loads(known)
    recreated = one["at_ms"] > other["at_ms"] + RECREATED_AFTER.total_seconds() * 1000
    return bool(
        not recreated and one["position"][0] == other["position"][0] and one["position"][1] < other["position"][1]
    )

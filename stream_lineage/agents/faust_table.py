"""The table that the agents keep their states in, and its recovery from the changelog.

Rows are bytes: JSON with ``position`` (partition and offset of the observation log up to which it holds) and ``at_ms``.
Measured in faust-streaming 0.15.3: changelog records that cannot be sent are logged and forgotten, so each write is
awaited here. What is fetched between a seek and the end of a recovery is dropped, so nothing is fetched in between. A
late write by a worker that was taken for dead ends up last in the changelog, so the row that is further along in the
log wins over the one that was written last. Recoveries can wait for ever, so the changelog is read by ours.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Any

import faust
import orjson
from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped

from stream_lineage.agents.changelog import Row
from stream_lineage.agents.detection import RECREATED_AFTER


class StateTable(faust.Table):  # type: ignore[misc]
    """Rows by key, in memory: they are few and small, and are read back from the changelog."""

    logger = logging.getLogger("faust.table")

    async def keep(self, partition: int, rows: Iterable[Row]) -> None:
        """Put rows into the changelog, and into memory when the brokers have acknowledged all of them."""
        rows = list(rows)
        for sent in [self.send_changelog(partition, key, value) for key, value in rows]:
            await sent
        for key, value in rows:
            self._take(key, value)

    def restore(self, rows: Iterable[Row]) -> None:
        """Take rows over from the changelog, the one that is further along of each key."""
        for key, value in rows:
            known = self.data.get(key)
            if value is None or known is None or not behind(value, known):
                self._take(key, value)

    def _take(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value


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
    """After each rebalance: nothing is fetched, the changelog is read, the streams go on from what is committed."""

    logger = logging.getLogger("faust.table")

    @faust.Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                self._set_recovery_started()
                await self.app.consumer.park()
                for table, partitions in list(self.actives_for_table.items()):
                    await self._wait(self._restore(table, {tp.partition for tp in partitions}))
                await self.on_recovery_completed(generation)
            except (RebalanceAgain, IllegalStateError):
                continue
            except ServiceStopped:
                break

    async def _restore(self, table: StateTable, partitions: set[int]) -> None:
        stop = threading.Event()
        try:
            rows = await asyncio.to_thread(lambda: list(self.app.changelog.rows(partitions, stop)))
        finally:
            stop.set()  # of a recovery that was called off
        table.restore(rows)
        self.log.info("%s rows restored", len(rows))

    @faust.Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """What Faust fetches of the changelog before it is told not to leads to nothing."""
        while not self.should_stop:
            await self.tables.changelog_queue.get()


def behind(value: bytes, known: bytes) -> bool:
    """Whether a row is of an earlier position of the log than the known one. One that is much younger is of a log that
    was made anew."""
    one, other = orjson.loads(value), orjson.loads(known)
    recreated = one["at_ms"] > other["at_ms"] + RECREATED_AFTER.total_seconds() * 1000
    return bool(
        not recreated and one["position"][0] == other["position"][0] and one["position"][1] < other["position"][1]
    )

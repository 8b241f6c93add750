"""All that the lineage graph is kept up to date with, looked at in turn by the worker that does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from stream_lineage.agents.application_feed import ApplicationFeed
from stream_lineage.agents.connect_poll import ConnectPoll
from stream_lineage.agents.edge_feed import EdgeFeed
from stream_lineage.agents.graph_watch import REFRESH, GraphWatch
from stream_lineage.agents.group_offsets import GroupOffsets
from stream_lineage.agents.silence import Silence
from stream_lineage.agents.transactions import TransactionLook
from stream_lineage.agents.value_look import ValueLook
from stream_lineage.errors import StreamLineageError
from stream_lineage.graph.from_headers import UNKNOWN_PATIENCE, HeaderFlows, read_since
from stream_lineage.graph.graph import Graph
from stream_lineage.logs import get_logger
from stream_lineage.model.graph import GraphEvent

READ_SECONDS = 20.0
"""How long record edges are read in one look, at most."""
_log = get_logger("stream_lineage.agents")


class GraphEvidence:
    """``look``, then ``events``. ``offsets`` and ``transactions`` are null where nobody looks at groups,
    ``connect`` where there is no Kafka Connect, ``applications`` where nobody asks what they declare,
    ``values`` where they are not compared."""

    def __init__(
        self,
        watch: GraphWatch,
        headers: HeaderFlows,
        records: EdgeFeed,
        silence: Silence,
        offsets: GroupOffsets | None,
        transactions: TransactionLook | None,
        connect: ConnectPoll | None,
        applications: ApplicationFeed | None = None,
        values: ValueLook | None = None,
    ) -> None:
        self._watch = watch
        self._headers = headers
        self._records = records
        self._silence = silence
        self._offsets = offsets
        self._transactions = transactions
        self._connect = connect
        self._applications = applications
        self._values = values
        self._reads = False
        self.whole = False
        """Whether the last look read all record edges that there were."""
        self._said: set[str] = set()

    async def look(self, graph: Graph, topics: Collection[str], watched: Iterable[str]) -> None:
        """Ask for all that is to be asked for. ``topics`` are all that there are, ``watched`` those that are watched.

        Raises:
            KafkaUnavailable: record edges cannot be read.
        """
        until = time.monotonic() + READ_SECONDS
        self.whole = await asyncio.to_thread(self._read_headers, graph, topics)
        while not self.whole and self._reads and time.monotonic() < until:
            self.whole = await asyncio.to_thread(self._read_headers, graph, topics)
        self._say_left_out()
        if self._applications is not None and (jobs := await asyncio.to_thread(self._applications.look)) is not None:
            self._watch.applications(jobs)
        if self._offsets is not None:
            self._watch.members(await self._offsets.members(self._watch.reading))
        if self._transactions is not None and (seen := await self._transactions.ask(watched)) is not None:
            self._watch.transactions(seen)
        if self._connect is not None and (found := await self._connect.ask()) is not None:
            self._watch.connectors(found.listed, found.found)
        values = self._values
        if values is not None and (claims := await asyncio.to_thread(values.look, graph, set(watched))) is not None:
            self._watch.values(claims, whole=values.whole)

    def events(self, graph: Graph, topics: Iterable[str]) -> list[GraphEvent]:
        """What the graph does not know yet, or no longer rightly. ``topics`` are all that there are."""
        now = datetime.now(UTC)
        of_headers = self._headers.events(graph, now, whole=self.whole, records=self._had_records)
        return [*self._watch.events(graph, topics), *of_headers]

    def drop(self) -> None:
        """Another worker may look now."""
        self._watch.drop()
        if self._values is not None:
            self._values.drop()
        self._reads = self.whole = False

    async def close(self) -> None:
        if self._transactions is not None:
            await self._transactions.close()

    def _read_headers(self, graph: Graph, topics: Iterable[str]) -> bool:
        if not self._reads:
            self._headers.drop()
        self._headers.know(graph, topics)
        if not self._reads:
            self._records.start(read_since(graph, REFRESH) or datetime.now(UTC) - UNKNOWN_PATIENCE)
            self._reads = True
        return self._records.read(self._headers.wants, self._headers.take)

    def _had_records(self, topic: str, start: datetime, end: datetime) -> bool:
        """False where it cannot be seen: then nothing is gone."""
        try:
            return self._silence.records(topic, start, end)
        except StreamLineageError:
            return False

    def _say_left_out(self) -> None:
        for topic in self._headers.left_out.keys() - self._said:
            self._said.add(topic)
            _log.warning("records name parents that are left out of the lineage graph", topic=topic,
                         hint="there are no such topics, or more of them than one topic is believed to be made of",
                         )  # fmt: skip

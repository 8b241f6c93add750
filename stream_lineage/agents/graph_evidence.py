"""All that the lineage graph is kept up to date with, looked at in turn by the worker that does it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from stream_lineage.agents.connect_poll import ConnectPoll
from stream_lineage.agents.edge_feed import EdgeFeed
from stream_lineage.agents.graph_watch import REFRESH, GraphWatch
from stream_lineage.agents.group_offsets import GroupOffsets
from stream_lineage.agents.transactions import TransactionLook
from stream_lineage.graph.from_headers import UNKNOWN_PATIENCE, HeaderFlows, read_since
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import GraphEvent


class GraphEvidence:
    """``look``, then ``events``. ``offsets`` and ``transactions`` are null where nobody looks at groups,
    ``connect`` where there is no Kafka Connect."""

    def __init__(
        self,
        watch: GraphWatch,
        headers: HeaderFlows,
        records: EdgeFeed,
        offsets: GroupOffsets | None,
        transactions: TransactionLook | None,
        connect: ConnectPoll | None,
    ) -> None:
        self._watch = watch
        self._headers = headers
        self._records = records
        self._offsets = offsets
        self._transactions = transactions
        self._connect = connect
        self._reads = False
        self._whole = False

    async def look(self, graph: Graph, topics: Iterable[str]) -> None:
        """Ask for all that is to be asked for. ``topics`` are those that are watched.

        Raises:
            KafkaUnavailable: record edges cannot be read.
        """
        self._whole = await asyncio.to_thread(self._read_headers, graph)
        if self._offsets is not None:
            self._watch.members(await self._offsets.members(self._watch.reading))
        if self._transactions is not None and (seen := await self._transactions.ask(topics)) is not None:
            self._watch.transactions(seen)
        if self._connect is not None and (found := await self._connect.ask()) is not None:
            self._watch.connectors(found)

    def events(self, graph: Graph, topics: Iterable[str]) -> list[GraphEvent]:
        """What the graph does not know yet, or no longer rightly. ``topics`` are all that there are."""
        now = datetime.now(UTC)
        return [*self._watch.events(graph, topics), *self._headers.events(graph, now, whole=self._whole)]

    def drop(self) -> None:
        """Another worker may look now."""
        self._watch.drop()
        self._reads = self._whole = False

    async def close(self) -> None:
        if self._transactions is not None:
            await self._transactions.close()

    def _read_headers(self, graph: Graph) -> bool:
        if not self._reads:
            self._headers.drop()
            self._records.start(read_since(graph, REFRESH) or datetime.now(UTC) - UNKNOWN_PATIENCE)
            self._reads = True
        return self._records.read(self._headers.wants, self._headers.take)

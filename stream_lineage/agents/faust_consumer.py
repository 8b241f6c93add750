"""Faust's Kafka consumer, made to read what is committed and to lose nothing over a rebalance.

Measured in faust-streaming 0.15.3: without ``exactly_once`` it reads uncommitted records, so that a collector's aborted
flush would be counted; and a partition without a committed offset is not sought after a rebalance, so that what was
fetched before is skipped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

PARK_SECONDS = 5.0
"""A fetch under way ends within a second."""
END_SECONDS = 3.0
"""Brokers say where a partition ends with every fetch, twice a second where there is nothing to fetch. What they said
longer ago does not count."""


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that fetches. ``app.observations`` is the topic that is watched over by ``app.deliveries``."""

    logger = logging.getLogger("faust.consumer")

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        subscription = consumer._subscription
        seek = subscription.seek

        def noted(tp: Any, offset: int) -> None:
            if tp.topic == self.app.observations:
                self.app.deliveries.restarted(tp.partition)
            seek(tp, offset)

        subscription.seek = noted
        return consumer

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        self.app.deliveries.restarted_all()
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        fetched = await super()._fetch_records(*args, **kwargs)
        for tp, records in fetched.items():
            if tp.topic == self.app.observations:
                self.app.deliveries.fetched(tp.partition, [record.offset for record in records])
        return fetched

    def at_end(self, tp: Any) -> bool:
        """Whether a partition was fetched to where brokers have said just now that it ends. From any thread."""
        state = None if self._consumer is None else _state(self._consumer, tp)
        if state is None or state.highwater is None or not state.has_valid_position:
            return False
        said_lately = time.time() - state.timestamp / 1000 < END_SECONDS
        return bool(said_lately and state.position >= state.highwater)

    async def seek_to_committed(self) -> Any:
        return await self.call_thread(self._seek_to_committed)

    async def _seek_to_committed(self) -> dict[Any, int | None]:
        consumer = self._ensure_consumer()
        found: dict[Any, int | None] = {}
        for tp in consumer.assignment():
            committed = found[tp] = await consumer.committed(tp)
            if committed is not None:
                consumer.seek(tp, committed)
            elif tp.topic == self.app.observations:
                consumer.seek(tp, (await consumer.beginning_offsets([tp]))[tp])
        return found


def _state(consumer: Any, tp: Any) -> Any:
    assignment = consumer._subscription.subscription and consumer._subscription.subscription.assignment
    return assignment and assignment.state_value(tp)


class _Consumer(driver.Consumer):  # type: ignore[misc]
    logger = logging.getLogger("faust.consumer")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parked = asyncio.Event()

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> Any:
        if not self.flow_active:
            self._parked.set()
            await self.wait(self.can_resume_flow)
            self._parked.clear()
        return await super()._wait_next_records(timeout)

    def at_end(self, partition: int) -> bool:
        """Whether a partition of the observation log has been read to its end, and all of it has arrived."""
        topic = self.app.observations
        return bool(self._thread.at_end(TP(topic, partition)) and self.app.deliveries.all_arrived(partition))

    async def park(self) -> None:
        """Stop fetching, and wait until nothing that was fetched is on its way to the streams.

        A record that is handed on while its partition is sought moves Faust's own mark of what has been read, which
        then keeps the records before it from arriving.
        """
        self.stop_flow()
        if self.app._fetcher.started:
            with suppress(TimeoutError):  # it has stopped: then nothing is on its way
                await asyncio.wait_for(self._parked.wait(), PARK_SECONDS)

    async def rewind(self) -> None:
        """Read again from the committed offsets."""
        await self.park()
        await self.perform_seek()
        self.resume_flow()


class CommittedTransport(driver.Transport):  # type: ignore[misc]
    """The transport of our app."""

    Consumer = _Consumer

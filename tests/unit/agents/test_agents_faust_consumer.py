"""If this failed, topics would be called silent while there is more of their observations to be read."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from aiokafka.structs import TopicPartition
from faust.types import TP

from stream_lineage.agents.deliveries import Deliveries
from stream_lineage.agents.faust_consumer import _Consumer, _Thread

LOG = "lineage.observations"


@pytest.fixture
def state() -> TopicPartitionState:
    """Of a partition that ends at 10 and was read to there, as aiokafka keeps it."""

    async def made() -> TopicPartitionState:
        return Assignment([TopicPartition(LOG, 0)]).state_value(TopicPartition(LOG, 0))

    state = asyncio.run(made())
    state._position = 10
    state.highwater, state.timestamp = 10, int(time.time() * 1000)
    return state


def ended(state: TopicPartitionState | None, deliveries: Deliveries) -> bool:
    """What our consumer says of the partition; null: it is not assigned."""
    assignment = None if state is None else SimpleNamespace(state_value={TP(LOG, 0): state}.get)
    subscription = SubscriptionState.__new__(SubscriptionState)
    subscription._subscription = SimpleNamespace(assignment=assignment)
    thread: Any = _Thread.__new__(_Thread)
    thread._consumer = SimpleNamespace(_subscription=subscription)
    consumer: Any = _Consumer.__new__(_Consumer)
    consumer._thread = thread
    consumer.app = SimpleNamespace(observations=LOG, deliveries=deliveries)
    return bool(consumer.at_end(0))


def test_read_to_its_end(state: TopicPartitionState) -> None:
    assert ended(state, Deliveries())


def test_more_to_be_fetched(state: TopicPartitionState) -> None:
    state.highwater = 11
    assert not ended(state, Deliveries())


def test_no_broker_has_said_lately_where_it_ends(state: TopicPartitionState) -> None:
    state.timestamp -= 60_000
    assert not ended(state, Deliveries())
    state.highwater = state.timestamp = None
    assert not ended(state, Deliveries())


def test_not_assigned_or_not_yet_sought(state: TopicPartitionState) -> None:
    assert not ended(None, Deliveries())
    state._position = None
    assert not ended(state, Deliveries())


def test_what_was_fetched_has_not_arrived(state: TopicPartitionState) -> None:
    deliveries = Deliveries()
    deliveries.fetched(0, [8, 9])
    deliveries.arrived(0, 8)
    assert not ended(state, deliveries)
    deliveries.arrived(0, 9)
    assert ended(state, deliveries)

"""If this failed, a collector of thousands of partitions could not commit where it stands."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_lineage.collect.transaction import CommittedOffset, Transactions, portions
from stream_lineage.errors import KafkaUnavailable


def test_offsets_are_sent_in_portions_that_fit_a_message() -> None:
    offsets = [CommittedOffset("t" * 249, number, number, "m" * 150) for number in range(20_000)]
    found = list(portions(offsets))
    assert [(where.topic, where.partition, where.offset, where.metadata) for part in found for where in part] == [
        (offset.topic, offset.partition, offset.offset, offset.metadata) for offset in offsets
    ]
    for part in found:  # with the group's name in each key
        assert sum(len(where.topic) + len(where.metadata) + 249 for where in part) < 1_000_000
    assert len(found) < 40


def test_one_that_is_too_large_goes_alone() -> None:
    large = CommittedOffset("large", 0, 1, "m" * 700_000)
    found = list(portions([CommittedOffset("small", 0, 1, ""), large, CommittedOffset("small", 1, 1, "")]))
    assert [len(part) for part in found] == [1, 1, 1]


def test_no_offsets_make_no_portion() -> None:
    assert list(portions([])) == []


class Client:
    """A producer and a consumer that write down what they are told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)


def test_the_consumer_is_asked_once_and_before_a_transaction_is_open() -> None:
    client = Client()
    transactions = Transactions(lambda: client, client, 5.0)  # type: ignore[arg-type, return-value]
    transactions.commit([], [CommittedOffset("t" * 249, number, number, "m" * 150) for number in range(5_000)])
    before, after = client.calls.index("begin_transaction"), client.calls.index("commit_transaction")
    assert client.calls.index("consumer_group_metadata") < before
    assert client.calls.count("consumer_group_metadata") == 1
    assert set(client.calls[before + 1 : after]) == {"send_offsets_to_transaction"}


class Failing(Client):
    """A message fails while the offsets are sent, as librdkafka 2.12 tells it."""

    def __init__(self, failures: list[KafkaError]) -> None:
        super().__init__()
        self.failures = failures

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self.calls.append("send_offsets_to_transaction")
        if self.failures:
            raise KafkaException(self.failures.pop(0))


STATE = KafkaError(KafkaError._STATE, "Failed to commit offsets to transaction: Local: Erroneous state")
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "orders.traced takes no such records")


def test_it_is_told_what_failed_while_the_offsets_were_sent() -> None:
    client = Failing([STATE, TOO_LARGE])
    transactions = Transactions(lambda: client, client, 5.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(KafkaUnavailable, match="orders\\.traced"):
        transactions.commit([], [CommittedOffset("orders", 0, 1, "")])
    assert client.calls[-1] == "abort_transaction"
    assert "commit_transaction" not in client.calls


def test_a_state_that_stays_wrong_ends_the_flush() -> None:
    client = Failing([STATE, STATE])
    transactions = Transactions(lambda: client, client, 5.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(KafkaUnavailable, match="Erroneous state"):
        transactions.commit([], [CommittedOffset("orders", 0, 1, "")])
    assert client.calls[-1] == "abort_transaction"

"""If this failed, a collector would be put out of its group while it computes who reads what, or fetch without end."""

from __future__ import annotations

from typing import Any

import pytest

from stream_lineage.collect.group_member import member_config, session_seconds
from stream_lineage.collect.settings import CollectSettings


def config(partitions: int = 10, given: tuple[str, ...] = (), static: bool = False, **settings: Any) -> dict[str, Any]:
    return dict(member_config(CollectSettings(**settings), given, "here-0", static=static, partitions=partitions))


@pytest.mark.parametrize(
    ("partitions", "setting", "expected"), [(10, 10, 10), (3_000, 10, 10), (20_000, 10, 60), (20_000, 90, 90)]
)
def test_a_member_may_be_silent_while_it_computes_who_reads_what(partitions: int, setting: int, expected: int) -> None:
    found = config(partitions, session_timeout_seconds=setting)
    assert found["session.timeout.ms"] == expected * 1000
    assert found["heartbeat.interval.ms"] <= found["session.timeout.ms"] / 3
    assert session_seconds(CollectSettings(session_timeout_seconds=setting), partitions) == expected


def test_brokers_decide_under_the_newer_protocol() -> None:
    found = config(group_protocol="consumer")
    assert found["group.protocol"] == "consumer"
    # librdkafka refuses these with it.
    assert not found.keys() & {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}


def test_only_a_static_member_is_known_by_name() -> None:
    assert "group.instance.id" not in config()
    assert config(static=True)["group.instance.id"] == "here-0"


def test_fetches_of_many_partitions_wait_until_they_are_worth_it() -> None:
    assert "fetch.min.bytes" not in config(partitions=1_000)
    assert config(partitions=20_000)["fetch.min.bytes"] > 1
    assert config(partitions=2_500)["fetch.wait.max.ms"] == 500
    assert config(partitions=20_000)["fetch.wait.max.ms"] == 2_500
    assert config(partitions=1_000_000)["fetch.wait.max.ms"] == 5_000
    assert "fetch.min.bytes" not in config(partitions=20_000, given=("fetch.min.bytes",))


def test_what_the_user_gives_is_left_alone() -> None:
    assert "fetch.max.bytes" not in config(given=("fetch.max.bytes",))
    assert "receive.message.max.bytes" not in config(given=("receive.message.max.bytes",))


def test_metadata_is_asked_for_less_often_the_larger_it_is() -> None:
    assert config(topic_refresh_seconds=2)["topic.metadata.refresh.interval.ms"] == 2_000
    assert config(partitions=20_000, topic_refresh_seconds=2)["topic.metadata.refresh.interval.ms"] == 20_000
    assert config(partitions=20_000, topic_refresh_seconds=60)["topic.metadata.refresh.interval.ms"] == 60_000

"""If this failed, the lag of consumer groups could not be watched on a secured cluster, or would need to be."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from collecting import Acknowledged, eventually
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AclBinding
from securing import SecuredLab, acls_of

from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka


def documented(lab: SecuredLab, principal: str) -> tuple[list[AclBinding], list[AclBinding]]:
    """What the agents need, and what they may have beside it."""
    command = ("doctor", "--print-acls", "--principal", principal, "--include", rf"{lab.name}\..*")
    lines = lab.run(*command, "--role", "setup", "--role", "agents").out.splitlines()
    optional = {at + 1 for at, line in enumerate(lines) if line.startswith("# optional: ")}
    found: tuple[list[AclBinding], list[AclBinding]] = ([], [])
    for at, line in enumerate(lines):
        if not line.startswith("#"):
            found[at in optional].extend(acls_of(line))
    return found


def test_groups_are_watched_once_they_may_be_described_and_nothing_fails_before(secured_lab: SecuredLab) -> None:
    lab = secured_lab
    principal, settings = lab.user()
    lab.come_in(settings, group_poll_seconds="0.5")
    topic, group = lab.topic("orders"), f"{lab.name}-billing"
    lab.send(topic, [(b"{}", None)] * 5, Acknowledged())
    with closing(lab.consumer(group_id=group)) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    needed, optional = documented(lab, principal)
    lab.grant(needed)
    agents = lab.agents()
    unseen = '"no consumer group to be watched can be seen"'
    eventually(lambda: unseen in agents.log(), 60, "nothing can be seen yet")

    lab.grant(optional)
    path = lab.directory / "metrics.sqlite"

    def points() -> list[Point]:
        with closing(SqliteStore(path)) as store:
            now, hour = datetime.now(UTC), timedelta(hours=1)
            return store.range("lineage_group", now - hour, now + hour, {"group": group, "partition": "0"})

    found = eventually(points, 60, f"a lag\n{agents.log()[-3000:]}")
    assert {point.tags["topic"] for point in found} == {topic}
    assert {point.fields["committed"] for point in found} == {3}
    assert {point.fields["lag"] for point in found} == {2}
    assert agents.terminate() == 0
    assert "error" not in {line.partition('"level": "')[2][:5] for line in agents.log().splitlines()}

"""Replay plans for the cluster as it is, and carrying them out."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from stream_lineage.agents.group_offsets import group_client
from stream_lineage.agents.group_reset import GroupReset
from stream_lineage.agents.group_stands import group_stands, group_states
from stream_lineage.agents.replay_groups import Outcome, carried_out
from stream_lineage.agents.security import security
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.connections import log_reader
from stream_lineage.errors import NotFound
from stream_lineage.explain.replay import (
    GroupPlan,
    LeftOut,
    Means,
    PartitionId,
    Plan,
    Start,
    group_plans,
    put_back,
)
from stream_lineage.explain.reset_file import Row
from stream_lineage.graph.graph import Graph
from stream_lineage.index.alert_onset import Onset
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.provenance.next_records import next_records
from stream_lineage.replay_survey import Question, Survey, did_you_mean, partition_name, require_within
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka

_HIDDEN = (
    "Groups that may not be described count as none: `stream-lineage doctor --print-acls --role replay` prints what is "
    "needed."
)


def question_of(onset: Onset) -> Question:
    """What an alert asks for.

    Raises:
        NotFound: it is not about offsets of a topic.
    """
    if not onset.first:
        raise NotFound(
            f"the alert {onset.kind} of {onset.topic} says no offsets",
            hint="Say TOPIC --since TIME instead.",
        )
    return Question(
        f"{onset.kind}: {onset.summary}", onset.topic, onset.first, onset.last, observed_at=onset.observed_at
    )


def plan_replay(
    settings: Settings,
    question: Question,
    *,
    index: ProvenanceIndex | None = None,
    graph: Graph | None = None,
) -> Plan:
    """Where each group that reads the topic has to go back to. Asks only.

    Args:
        settings: of the cluster.
        question: what is to be read again.
        index: finds what was made of the records, where records say so.
        graph: says what else is downstream, and who reads.

    Raises:
        NotFound: there is no such topic, partition, offset or group, or the time is not known.
        KafkaUnavailable: no broker answered.
    """
    asked = Survey(settings, index, graph)
    states = group_states(asked.admin)
    _known_groups(question.groups, states)
    asked.starts_of(question)
    if question.downstream:
        asked.add_downstream(question)
    own = (settings.collect.group_id, settings.agents.agents_id)
    topics = {each.topic for each in asked.starts}
    stands, silent = group_stands(asked.admin, _client(settings), states, topics, groups=question.groups, own=own)
    groups = group_plans(stands, asked.starts)
    asked.left_out += silent
    asked.tell_readers(question, stands)
    asked.tell_partitions(groups)
    return Plan(
        question.reason, datetime.now(UTC), tuple(asked.starts), tuple(groups), tuple(asked.left_out),
        tuple(dict.fromkeys(asked.notes)),
    )  # fmt: skip


def plan_back(settings: Settings, rows: Sequence[Row], reason: str) -> Plan:
    """Put groups to the offsets of a file, be that back or forward.

    Raises:
        NotFound: a topic, partition or group of the file is not there, or an offset is beyond the log's end.
        KafkaUnavailable: no broker answered.
    """
    asked = Survey(settings, None, None)
    states = group_states(asked.admin)
    names = sorted({row.group for row in rows})
    _known_groups(names, states)
    for topic in sorted({row.topic for row in rows}):
        asked.check_topic(topic, {row.partition for row in rows if row.topic == topic})
    bounds = asked.bounds({(row.topic, row.partition) for row in rows})
    topics = {row.topic for row in rows}
    stands, left_out = group_stands(asked.admin, _client(settings), states, topics, groups=names)
    committed = {(stand.group, *key): offset for stand in stands for key, offset in stand.committed.items()}
    by_group: dict[str, list[Any]] = {}
    starts = []
    for row in rows:
        key = (row.topic, row.partition)
        require_within(row.topic, row.partition, row.offset, bounds[key])
        start = Start(*key, row.offset, Means.GIVEN, bounds[key])
        starts.append(start)
        now = committed.get((row.group, *key))
        if now is None:
            left_out.append(
                LeftOut(f"{row.group}: {partition_name(key)}", "has committed nothing there, or does not answer")
            )
        else:
            by_group.setdefault(row.group, []).append(put_back(start, now))
    stopped = {stand.group: stand.stopped for stand in stands}
    groups = [GroupPlan(name, states[name], stopped[name], tuple(each)) for name, each in sorted(by_group.items())]
    asked.tell_partitions(groups)
    for group in groups:
        for each in group.resets:
            if each.lost:
                asked.notes.append(
                    f"{partition_name((each.topic, each.partition))} begins at {each.start.bounds.start} by now"
                )
    return Plan(
        reason, datetime.now(UTC), tuple(starts), tuple(groups), tuple(left_out), tuple(dict.fromkeys(asked.notes))
    )


def execute(settings: Settings, plan: Plan) -> list[Outcome]:
    """Commit the plan's offsets for the groups without members, one after the other. A group that has members, or
    whose offsets are no longer those of the plan, is left as it is, and so is one whose brokers do not answer."""
    return asyncio.run(carried_out(GroupReset(_client(settings)), plan))


def record_times(settings: Settings, wanted: Mapping[PartitionId, int]) -> dict[PartitionId, datetime | None]:
    """When the records at these offsets were written; those that Kafka no longer has are left out.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    facts = ClusterFacts(kafka.admin(settings.kafka))
    begins = facts.log_starts(wanted)
    there = {key: offset for key, offset in wanted.items() if key in begins and begins[key] <= offset}
    with closing(log_reader(settings)) as consumer:
        found = next_records(consumer, there)
    return {key: record.timestamp for key, record in found.items() if record.offset == there[key]}


def _client(settings: Settings) -> Callable[[], Any]:
    addresses = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in settings.kafka.addresses]
    return group_client(addresses, security(settings.kafka.client_config()))


def _known_groups(groups: Iterable[str], states: Mapping[str, str]) -> None:
    for group in groups:
        if group not in states:
            near = did_you_mean(difflib.get_close_matches(group, states, n=3))
            hint = f"{near} {_HIDDEN}" if near else _HIDDEN
            raise NotFound(f"there is no consumer group {group[:300]}", hint=hint)

"""What is found out of the cluster for one replay plan: where the records to be read again begin, in their topic and in
what is made of it, and who reads that."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime

from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.connections import log_reader
from stream_lineage.errors import NotFound
from stream_lineage.explain.replay import (
    Bounds,
    GroupPlan,
    GroupStand,
    LeftOut,
    Means,
    PartitionId,
    Start,
)
from stream_lineage.explain.replay_notes import log_notes
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.naming import Naming, naming
from stream_lineage.graph.walk import reach
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.walk import walk
from stream_lineage.model.graph import EvidenceClass, NodeKind
from stream_lineage.provenance.next_records import next_records
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka
from stream_lineage.wire.log_offsets import listed_offsets

_ANSWER_SECONDS = 10.0
_GROUP = "group/"
_UNSEEN = "What we may not describe counts as absent: `stream-lineage doctor --print-acls` prints what is needed."


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be read again of one topic. ``offsets`` are the first bad ones by partition; where there are none, or
    ``by_time`` says so, all partitions from a time on, which is ``since`` or that of the first bad record.

    ``observed_at`` is when an alert was told, null for what somebody says; ``topic_id`` is Kafka's of the topic whose
    offsets they are, where that is known.
    """

    reason: str
    topic: str
    offsets: Mapping[int, int] = field(default_factory=dict)
    lasts: Mapping[int, int] = field(default_factory=dict)
    since: datetime | None = None
    by_time: bool = False
    downstream: bool = False
    groups: Sequence[str] = ()
    observed_at: datetime | None = None
    topic_id: str | None = None


class Survey:
    """``starts_of`` the question first, then ``add_downstream``; ``starts``, ``left_out`` and ``notes`` are what is
    known by then. Whatever asks the cluster may raise NotFound and KafkaUnavailable."""

    def __init__(self, settings: Settings, index: ProvenanceIndex | None, graph: Graph | None) -> None:
        self._settings, self._index, self._graph = settings, index, graph
        self.admin: AdminClient = kafka.admin(settings.kafka)
        self._facts = ClusterFacts(self.admin)
        self._topics = self._facts.topics()
        self._names: Naming = naming(settings.kafka.cluster_name, settings.kafka.addresses)
        self._since: datetime | None = None
        self.starts: list[Start] = []
        self.left_out: list[LeftOut] = []
        self.notes: list[str] = []

    def check_topic(self, topic: str, partitions: Collection[int] = ()) -> None:
        """Raises NotFound."""
        count = self._topics.get(topic)
        if count is None:
            near = difflib.get_close_matches(topic, self._topics, n=3)
            raise NotFound(
                f"there is no topic {topic[:300]}",
                hint=did_you_mean(near) or _UNSEEN,
            )
        beyond = sorted(partition for partition in partitions if partition >= count)
        if beyond:
            raise NotFound(f"{topic} has no partition {beyond[0]}: it has {count}, from 0 to {count - 1}")

    def bounds(self, partitions: Collection[PartitionId]) -> dict[PartitionId, Bounds]:
        begins, ends = self._facts.log_starts(partitions), self._facts.log_ends(partitions)
        missing = next((key for key in partitions if key not in begins or key not in ends), None)
        if missing is not None:
            raise NotFound(f"the brokers know no {partition_name(missing)}")
        return {key: Bounds(begins[key], max(ends[key], begins[key])) for key in partitions}

    def starts_of(self, question: Question) -> None:
        """The partitions of the topic itself."""
        topic = question.topic
        self.check_topic(topic, question.offsets)
        self._same_life(question)
        bounds = self.bounds(self._partitions(topic))
        starts = []
        means = Means.GIVEN if question.observed_at is None else Means.ALERT
        for partition, offset in sorted(question.offsets.items()):
            here = bounds[(topic, partition)]
            require_within(topic, partition, offset, here)
            starts.append(Start(topic, partition, offset, means, here, question.lasts.get(partition)))
        starts = self._timed(starts)
        times = [each.timestamp for each in starts if not each.lost and each.offset < each.bounds.end]
        self._since = question.since
        if self._since is None and times and all(times) and not any(each.lost for each in starts):
            self._since = min(each for each in times if each is not None)
        by_time = {} if self._since is None else self._first_since(topic, self._since, bounds)
        if starts and not question.by_time:
            self.starts = [replace(each, by_time=by_time.get((each.topic, each.partition))) for each in starts]
            others = [str(number) for _, number in bounds if number not in question.offsets]
            if others:
                kind = "partition" if len(others) == 1 else "partitions"
                self.notes.append(f"{topic}: nothing is said of {kind} {_some(others)}; --by time takes all of them")
        elif self._since is None:
            raise NotFound(
                f"it is not known any more when the first bad record of {topic} was written",
                hint="--since TIME says it.",
            )
        else:
            self.starts = self._timed(self._starts_by_time(topic, bounds, by_time))
            if not self.starts:
                self.notes.append(f"{topic} has no record that is as late as {self._since.isoformat()}")

    def add_downstream(self, question: Question) -> None:
        """The topics that are made of it."""
        first = list(self.starts)
        reached, cut = self._made_of(first)
        topics = {topic for topic, _ in reached} | self._downstream_topics(question.topic)
        for topic in sorted(topics - {question.topic}):
            bounds = self.bounds(self._partitions(topic))
            mine = {key: found for key, found in reached.items() if key[0] == topic and key in bounds}
            if mine and not cut:
                self.starts += self._timed(
                    Start(*key, min(offset, bounds[key].end), Means.EDGES, bounds[key], last, uncertain)
                    for key, (offset, last, uncertain) in sorted(mine.items())
                )
                self.notes.append(f"{topic}: by its records that say what they were made of; others are not counted")
            elif self._since is not None:
                by_time = self._first_since(topic, self._since, bounds)
                self.starts += self._timed(self._starts_by_time(topic, bounds, by_time))
                self.notes.append(f"{topic}: by time alone, from {self._since.isoformat()} on")
            else:
                self.left_out.append(
                    LeftOut(topic, "when the first bad record was written is not known any more; --since TIME says it")
                )

    def tell_readers(self, question: Question, stands: Sequence[GroupStand]) -> None:
        """Names whom the graph has as readers and who has committed nothing."""
        wanted = set(question.groups)
        read = {(stand.group, topic) for stand in stands for topic, _ in stand.committed}
        for group in sorted(wanted - {stand.group for stand in stands} - {each.what for each in self.left_out}):
            self.left_out.append(LeftOut(group, "has committed no offset of these topics"))
        if self._graph is None or wanted:
            return
        topics = {each.topic for each in self.starts} | {question.topic}
        for view in self._graph.edges(LOW):
            source, target = view.edge.source, view.edge.target
            if target.kind is not NodeKind.JOB or source.kind is not NodeKind.DATASET or source.name not in topics:
                continue
            if source.namespace != self._names.namespace:
                continue
            said = [each.source for each in view.evidence if each.holds and each.by is EvidenceClass.GROUP]
            names = [each.removeprefix(_GROUP) for each in said] or [target.name]
            if not any((name, source.name) in read for name in (*names, target.name)):
                reason = f"reads {source.name} by the lineage graph, and has committed no offset of it"
                self.left_out.append(LeftOut(names[0], reason))

    def tell_partitions(self, groups: Sequence[GroupPlan]) -> None:
        """Retention, compaction, and groups that stand where the log is not."""
        topics = {each.topic for each in self.starts} or {each.topic for group in groups for each in group.partitions}
        policies = {topic: self._facts.cleanup_policy(topic) for topic in sorted(topics)}
        self.notes += log_notes(self.starts, groups, policies)

    def _partitions(self, topic: str) -> list[PartitionId]:
        return [(topic, number) for number in range(self._topics[topic])]

    def _same_life(self, question: Question) -> None:
        told_of = question.topic_id
        if told_of is None and question.observed_at is not None and self._index is not None:
            told_of = self._index.logs.life_at(question.topic, int(question.observed_at.timestamp() * 1000))
        if told_of is None:
            return
        now = self._facts.topic_ids([question.topic]).get(question.topic)
        if now is not None and told_of != now:
            raise NotFound(
                f"this is about an earlier topic {question.topic}: it has been deleted and created again since",
                hint="Offsets of the earlier one mean nothing in this one.",
            )

    def _timed(self, starts: Iterable[Start]) -> list[Start]:
        """With the times of those records that Kafka still has."""
        starts = list(starts)
        there = {
            (each.topic, each.partition): each.offset
            for each in starts
            if each.bounds.start <= each.offset < each.bounds.end
        }
        if not there:
            return starts
        with closing(log_reader(self._settings)) as consumer:
            found = next_records(consumer, there)
        return [
            replace(each, timestamp=found[key].timestamp) if (key := (each.topic, each.partition)) in found else each
            for each in starts
        ]

    def _first_since(self, topic: str, since: datetime, bounds: Mapping[PartitionId, Bounds]) -> dict[PartitionId, int]:
        """The first offset of each partition whose record is no older; the log's end where there is none."""
        milliseconds = max(0, int(since.timestamp() * 1000))
        spec = OffsetSpec.for_timestamp(milliseconds)
        found = listed_offsets(self.admin, self._partitions(topic), spec, timeout_seconds=_ANSWER_SECONDS)
        return {key: offset if offset >= 0 else bounds[key].end for key, offset in found.items() if key in bounds}

    def _starts_by_time(
        self, topic: str, bounds: Mapping[PartitionId, Bounds], by_time: Mapping[PartitionId, int]
    ) -> list[Start]:
        return [
            Start(*key, offset, Means.TIME, bounds[key], by_time=offset)
            for key, offset in sorted(by_time.items())
            if offset < bounds[key].end
        ]

    def _made_of(self, starts: Sequence[Start]) -> tuple[dict[PartitionId, tuple[int, int | None, bool]], bool]:
        """By partition of other topics, the first and the last offset of what was made of the bad records, and whether
        the first may lie too early; and whether not everything was looked at."""
        index = self._index
        if index is None:
            return {}, False
        origin: dict[int, Ranges] = {}
        for each in starts:
            number = index.logs.current(each.topic, each.partition)
            last = each.last if each.last is not None else max(each.bounds.end - 1, each.offset)
            if number is not None:
                origin[number] = Ranges.single(each.offset, max(last, each.offset))
        found = walk(index, origin, "downstream")
        logs = {number: index.logs[number] for number in found.reached}
        topics = {log.topic for log in logs.values() if log.cluster is None} & set(self._topics)
        ids = self._facts.topic_ids(topics)
        over = all(each.last is not None for each in starts)
        out: dict[PartitionId, tuple[int, int | None, bool]] = {}
        for number, ranges in found.reached.items():
            log = logs[number]
            now = ids.get(log.topic)
            if log.cluster is not None or log.topic not in topics or (now and log.topic_id and now != log.topic_id):
                continue
            first = int(ranges.firsts[0])
            uncertain = number in found.uncertain and found.uncertain[number].contains(first)
            known = out.get((log.topic, log.partition))
            if known is None or first < known[0]:
                out[(log.topic, log.partition)] = (first, int(ranges.lasts[-1]) if over else None, uncertain)
        return out, found.cut

    def _downstream_topics(self, topic: str) -> set[str]:
        if self._graph is None:
            return set()
        found = reach(self._graph, self._names.topic(topic), "downstream")
        nodes = [self._graph.nodes[number] for number in found.nodes]
        return {
            node.name
            for node in nodes
            if node.kind is NodeKind.DATASET and node.namespace == self._names.namespace and node.name in self._topics
        }


def require_within(topic: str, partition: int, offset: int, bounds: Bounds) -> None:
    """Raises NotFound."""
    if offset > bounds.end:
        raise NotFound(
            f"offset {offset} of {partition_name((topic, partition))} is beyond the end of its log, {bounds.end}",
            hint="If the topic was deleted and created again, offsets of the earlier one mean nothing in this one.",
        )


def did_you_mean(names: Sequence[str]) -> str | None:
    """A hint; null where there is none."""
    return f"Did you mean {' or '.join(names)}?" if names else None


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def partition_name(key: PartitionId) -> str:
    """As people write it."""
    return f"{key[0]}[{key[1]}]"

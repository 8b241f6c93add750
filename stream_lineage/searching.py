"""Finding records by a value that is in them: by the index where the field is declared, else by reading a range."""

from __future__ import annotations

import difflib
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime

from confluent_kafka.admin import OffsetSpec

from stream_lineage import connections
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.range_bounds import At, Ranges, chosen_ranges
from stream_lineage.collect.range_reader import Progress, RangeReader
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.value_search import Search, ValueSearch
from stream_lineage.errors import NotFound, StreamLineageError
from stream_lineage.index.key_rows import KeysFound, find_keys
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.profile.key_hashes import KeyHasher
from stream_lineage.settings import Settings
from stream_lineage.wire import acknowledged, kafka
from stream_lineage.wire.log_offsets import listed_offsets

MOST_FOUND = 20


@dataclass(frozen=True, slots=True)
class Hits:
    """Records with a value, of one topic. ``unreadable`` ones could not be looked into."""

    topic: str
    found: tuple[tuple[int, int], ...]
    records: int
    unreadable: int
    cut: bool


def find_indexed(settings: Settings, index: ProvenanceIndex, topic: str, path: str, value: str) -> KeysFound:
    """The records of a topic that have a value in a key field, as far as the index has its hashes. Kafka is asked for
    the cluster's id where no ``hash_key`` is set.

    Raises:
        IndexUnusable: it is damaged.
        KafkaUnavailable: nobody answered.
    """
    known = settings.collect.hash_key is not None
    cluster_id = None if known else ClusterFacts(kafka.admin(settings.kafka)).cluster_id()
    hasher = KeyHasher(connections.hash_key_of(settings, cluster_id), topic, path)
    return find_keys(index, topic, path, hasher.check, hasher.wanted(value))


def find_value(
    settings: Settings,
    topic: str,
    path: str,
    value: str,
    since: datetime | None,
    until: datetime | None,
    progress: Progress | None = None,
) -> Hits:
    """The records of a topic, of a time, that have a value in a field: ``MOST_FOUND`` of them at most.

    Raises:
        NotFound: there is no such topic.
        KafkaUnavailable, RegistryUnavailable: nobody answered.
    """
    admin = kafka.admin(settings.kafka)
    facts = ClusterFacts(admin)
    topics = facts.topics()
    if topic not in topics:
        near = difflib.get_close_matches(topic, topics, n=1)
        raise NotFound(f"there is no topic {topic}", hint=f"Did you mean {near[0]}?" if near else None)
    partitions = [(topic, number) for number in range(topics[topic])]

    def first_at(time: datetime) -> dict[int, int]:
        spec = OffsetSpec.for_timestamp(max(0, int(time.timestamp() * 1000)))
        found = listed_offsets(admin, partitions, spec, timeout_seconds=acknowledged.ANSWER_SECONDS)
        return {number: offset for (_, number), offset in found.items()}

    starts = {number: offset for (_, number), offset in facts.log_starts(partitions).items()}
    ends = {number: offset for (_, number), offset in facts.log_ends(partitions).items()}
    try:
        ranges = chosen_ranges(
            topic, None if since is None else At(since), None if until is None else At(until), starts, ends, first_at
        )
    except NotFound:
        return Hits(topic, (), 0, 0, False)  # nothing came in this time
    done = _search(settings, topic, path, value, ranges, MOST_FOUND, progress)
    return Hits(topic, tuple(sorted(done.found)), done.records, done.unreadable, done.cut)


def has_value(
    settings: Settings, topic: str, topic_id: str | None, partition: int, offset: int, path: str, value: str
) -> bool | None:
    """Whether a record that the index names really has the value, as Kafka has it; null where that is not to be found
    out: it is gone, or cannot be read or decoded. Never fails."""
    try:
        facts = ClusterFacts(kafka.admin(settings.kafka))
        now = facts.topic_ids([topic])
        if topic not in now or (topic_id and now[topic] and now[topic] != topic_id):
            return None
        place = (topic, partition)
        start, end = facts.log_starts([place]).get(place), facts.log_ends([place]).get(place)
        if start is None or end is None or not start <= offset < end:
            return None
        done = _search(settings, topic, path, value, {partition: (offset, offset + 1)}, 1)
    except StreamLineageError:
        return None
    if done.found:
        return True
    return False if done.records and not done.unreadable else None


def _search(
    settings: Settings, topic: str, path: str, value: str, ranges: Ranges, most: int, progress: Progress | None = None
) -> Search:
    with ExitStack() as stack:
        registry = connections.registry_of(settings)
        if registry is not None:
            stack.callback(registry.close)
        resolver = connections.resolver_of(settings, registry)
        stack.callback(resolver.close)
        consumer = stack.enter_context(closing(connections.range_reader(settings)))
        search = ValueSearch(
            codes=SchemaCodes(resolver), resolver=resolver, asks_registry=registry is not None, path=path, wanted=value,
            most=most,
        )  # fmt: skip
        return search.search(RangeReader(consumer, topic, ranges, progress=progress))

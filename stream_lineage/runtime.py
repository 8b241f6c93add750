"""The only place that wires parts together: settings in, running roles out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from stream_lineage.collect import memory
from stream_lineage.collect.caution import Caution
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.collector import Collector
from stream_lineage.collect.decode_process import DecodeProcess, WorkerOptions
from stream_lineage.collect.decode_stage import DecodeStage
from stream_lineage.collect.end_offsets import EndOffsets
from stream_lineage.collect.flush import Flush
from stream_lineage.collect.gaps import GapClassifier
from stream_lineage.collect.group_member import bounds_of_answers, member_config, session_seconds
from stream_lineage.collect.instance import InstanceName
from stream_lineage.collect.key_messages import KeyMessages
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.memory import MEBIBYTE, MemoryWatch
from stream_lineage.collect.open_flush import FlushBounds
from stream_lineage.collect.outsider import Outsider, member_count
from stream_lineage.collect.pipeline import Pipeline, Totals
from stream_lineage.collect.places import Places
from stream_lineage.collect.quarantine import Quarantine
from stream_lineage.collect.read_probe import ReadProbe, Trial
from stream_lineage.collect.recorder import Recorder, Recording
from stream_lineage.collect.rival import has_rival
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.tap import Tap
from stream_lineage.collect.topic_watcher import TopicWatcher
from stream_lineage.collect.traced_topics import TracedTopics
from stream_lineage.collect.transaction import Transactions
from stream_lineage.collect.watch import Mirrored, TopicFilter
from stream_lineage.connections import AT_THE_END_MS, hash_key_of, log_reader, registry_of, resolver_of
from stream_lineage.errors import ConnectionFailed, SchemaError
from stream_lineage.logs import get_logger
from stream_lineage.model.schema import SchemaType
from stream_lineage.model.schema_files import schema_text
from stream_lineage.provenance.chain import Head
from stream_lineage.provenance.heads import EpochPartition, last_links
from stream_lineage.provenance.lookup import hash_key_bytes
from stream_lineage.provenance.topics import (
    ANOMALY_ALERTS,
    DEAD_LETTERS,
    DECLARATIONS,
    DRIFT_ALERTS,
    EDGES,
    GRAPH,
    INCIDENTS,
    KEYS,
    OBSERVATIONS,
    ensure_topics,
)
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka
from stream_lineage.wire.registry import SchemaRegistry

_log = get_logger("stream_lineage")

_OWN_SCHEMAS: tuple[tuple[str, str, SchemaType], ...] = (
    (OBSERVATIONS, "observation.avsc", SchemaType.AVRO),
    (DRIFT_ALERTS, "alert.schema.json", SchemaType.JSON),
    (ANOMALY_ALERTS, "alert.schema.json", SchemaType.JSON),
    (INCIDENTS, "incident.schema.json", SchemaType.JSON),
    (DEAD_LETTERS, "dead-letter.schema.json", SchemaType.JSON),
    (GRAPH, "graph.schema.json", SchemaType.JSON),
    (EDGES, "edge.avsc", SchemaType.AVRO),
    (KEYS, "key.avsc", SchemaType.AVRO),
    (DECLARATIONS, "declaration.schema.json", SchemaType.JSON),
)


_SESSION_SLACK_SECONDS = 3.0
_LARGEST_COPY = 1_000_000_000
"""Bytes, the most that the client allows."""


def register_own_schemas(registry: SchemaRegistry | None, settings: Settings) -> dict[str, int]:
    """Register the schemas of our topics; their ids by topic, as far as the registry answers."""
    if registry is None:
        return {}
    ids = {}
    for topic, file, kind in _OWN_SCHEMAS:
        try:
            ids[topic] = registry.register(f"{settings.kafka.topic(topic)}-value", schema_text(file), kind)
        except (ConnectionFailed, SchemaError) as error:
            _log.warning("our schema is not registered; the log can be read all the same", file=file, error=str(error))
    return ids


@contextmanager
def collector(
    settings: Settings,
    *,
    on_tick: Callable[[Totals], None] | None = None,
    on_committed: Callable[[Recording, Flush], None] | None = None,
    own_process: bool = False,
) -> Iterator[Collector]:
    """A collector that is ready to ``run``; everything that it holds is closed at the end. Where this process is the
    collector's alone, ``own_process``, it is replaced by a fresh one when it takes too much memory.

    Raises:
        ConnectionFailed, SettingsError: Kafka cannot be used as configured.
    """
    collect = settings.collect
    if own_process:
        memory.no_core_dumps()
    with ExitStack() as stack:
        admin = kafka.admin(settings.kafka)
        facts = ClusterFacts(admin, lambda: _uncommitted_reader(settings))
        stack.callback(facts.close)
        hash_key = hash_key_of(settings, facts.cluster_id())
        ensure_topics(admin, settings.kafka)
        registry = registry_of(settings)
        if registry is not None:
            stack.callback(registry.close)
        instance = stack.enter_context(InstanceName(collect.instance_id, collect.state_dir, collect.group_id))
        resolver = resolver_of(settings, registry)
        stack.callback(resolver.close)
        options = WorkerOptions(
            hash_key=hash_key,
            max_fields=collect.max_fields,
            reveal_fields=collect.reveal_fields,
            memory_mb=collect.worker_memory_mb,
            deadline_seconds=collect.worker_deadline_seconds,
            key_fields=settings.index.key_fields,
        )
        process = DecodeProcess(options)
        stack.callback(process.close)
        process.start()
        ledger, codes = Ledger(), SchemaCodes(resolver)
        careful = memory.restarts()
        counts, topics = facts.topics(), TopicFilter.configured(collect, settings.kafka.topic_prefix)
        watched = {topic: counts[topic] for topic in topics.watched(counts)}
        member = member_config(
            collect,
            settings.kafka.kafka,
            instance.value,
            static=instance.static,
            partitions=sum(watched.values()),
            careful=careful > 0,
        )
        consumer = kafka.consumer(settings.kafka, collect.group_id, member)
        transactions = Transactions(
            lambda: _transactional_producer(settings, instance), consumer, collect.transaction_timeout_seconds
        )
        stack.callback(transactions.close)
        transactions.prepare()
        schema_ids = register_own_schemas(registry, settings)
        recorder = Recorder(
            cluster=settings.kafka.cluster_name,
            collector=instance.value,
            observations_topic=settings.kafka.topic(OBSERVATIONS),
            dead_letters_topic=settings.kafka.topic(DEAD_LETTERS),
            dead_letter_limit=collect.dead_letter_limit,
            gaps=GapClassifier(facts.cleanup_policy, facts.visible_offsets),
            ledger=ledger,
            schema_id=schema_ids.get(OBSERVATIONS),
            edges_topic=settings.kafka.topic(EDGES),
            edge_schema_id=schema_ids.get(EDGES),
            keys=_key_messages(settings, hash_key, instance.value, schema_ids.get(KEYS)),
        )
        tap = _tap(settings, admin, facts, hash_key) if collect.tap else None
        pipeline = Pipeline(
            codes=codes,
            resolver=resolver,
            stage=DecodeStage(process, recovery_seconds=60.0),
            recorder=recorder,
            ledger=ledger,
            transactions=transactions,
            facts=facts,
            observation_bytes=collect.observation_max_bytes,
            tap=tap,
            on_committed=on_committed,
        )
        if tap is not None:
            tap.prepare(watched)
        yield Collector(
            consumer=consumer,
            pipeline=pipeline,
            places=Places(consumer, facts, lambda keys: _find_links(settings, keys), collect.start_from == "end"),
            ledger=ledger,
            quarantine=Quarantine(retry_seconds=collect.unreadable_retry_seconds),
            caution=_caution(settings, careful),
            memory=MemoryWatch(collect.memory_limit_mb, partial(_on_memory_exceeded, process, own_process)),
            watcher=TopicWatcher(facts, topics, refresh_seconds=collect.topic_refresh_seconds),
            outsider=_outsider(settings),
            end_offsets=EndOffsets(admin) if collect.until_end else None,
            codes=codes,
            bounds=FlushBounds(
                collect.flush_interval_seconds,
                collect.flush_max_records,
                collect.flush_max_bytes,
                collect.flush_max_spans,
                collect.edges_max_bytes,
            ),
            producer_headers=collect.producer_headers,
            copied_from=Mirrored(collect.mirrored).copied_from,
            shutdown_seconds=collect.shutdown_timeout_seconds * 0.8,
            on_tick=on_tick,
        )


def _outsider(settings: Settings) -> Outsider | None:
    collect = settings.collect
    if collect.group_protocol != "classic":  # whose members alone are told by what we ask with
        return None
    return Outsider(lambda: member_count(lambda: kafka.admin(settings.kafka), collect.group_id))


def _tap(settings: Settings, admin: AdminClient, facts: ClusterFacts, secret: bytes) -> Tap:
    return Tap(
        settings.collect.tap,
        settings.collect.tap_suffix,
        cluster=settings.kafka.cluster_name,
        key_hash=lambda key: hash_key_bytes(key, secret),
        topics=lambda name: TracedTopics(admin, facts, name, replication_factor=settings.kafka.replication_factor),
    )


def _key_messages(settings: Settings, hash_key: bytes, collector: str, schema_id: int | None) -> KeyMessages | None:
    if not settings.index.key_fields:
        return None
    cluster, topic = settings.kafka.cluster_name, settings.kafka.topic(KEYS)
    return KeyMessages(hash_key, cluster=cluster, collector=collector, topic=topic, schema_id=schema_id)


def _find_links(settings: Settings, keys: Iterable[EpochPartition]) -> dict[EpochPartition, Head]:
    return last_links(lambda: log_reader(settings), settings.kafka.topic(OBSERVATIONS), keys)


def _caution(settings: Settings, restarts: int) -> Caution:
    collect = settings.collect
    prefetch = collect.prefetch_kilobytes * 1024
    # What a reader survives with a third of the memory, the collector survives too: it holds a value four times.
    limit = max(64, collect.memory_limit_mb // 3)
    probe = ReadProbe(settings.kafka, collect.group_id, limit, bounds_of_answers(settings.kafka.kafka))
    return Caution(probe, Trial(probe, most_bytes=2 * prefetch), prefetch, restarts)


def _on_memory_exceeded(process: DecodeProcess, own_process: bool, held: int) -> None:
    if not own_process:
        _log.error("the collector takes more memory than it may", held_mb=held // MEBIBYTE)
        return
    _log.error("the collector takes more memory than it may and starts again", held_mb=held // MEBIBYTE)
    process.kill()
    memory.start_again()


def run_again_if_alone(settings: Settings, collector: Collector) -> None:
    """Replace this process by a fresh one unless another has taken its name in the group. Returns if one has.

    For a collector that was put out of its group and whose process is its own.
    """
    collect = settings.collect
    if collect.instance_id is None:
        return
    _log.warning(
        "put out of the group; looking whether anybody else goes by this name", instance_id=collect.instance_id
    )
    most = sum(ClusterFacts(kafka.admin(settings.kafka)).topics().values())
    if not has_rival(
        lambda: kafka.admin(settings.kafka),
        collect.group_id,
        collect.instance_id,
        session_seconds=session_seconds(collect, most) + _SESSION_SLACK_SECONDS,
        stopping=collector.stopping,
    ):
        _log.warning("nobody else goes by this name: starting again", instance_id=collect.instance_id)
        memory.start_again(for_memory=False)


def _transactional_producer(settings: Settings, instance: InstanceName) -> Producer:
    collect = settings.collect
    return kafka.producer(
        settings.kafka,
        {
            "client.id": f"stream-lineage-{instance.value}",
            "transactional.id": f"{collect.group_id}-{instance.value}",
            "transaction.timeout.ms": int(collect.transaction_timeout_seconds * 1000),
            "linger.ms": 5 if collect.tap else 0,
            "compression.type": "lz4",
            # What the tap republishes is judged by its topic, not by us.
            **({"message.max.bytes": _LARGEST_COPY} if collect.tap else {}),
        },
    )


def _uncommitted_reader(settings: Settings) -> Consumer:
    """Sees aborted records too: the only reader of ours that may."""
    return kafka.consumer(
        settings.kafka,
        f"{settings.collect.group_id}.probe",
        {
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": "true",
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 1024,
            "fetch.wait.max.ms": AT_THE_END_MS,
        },
    )

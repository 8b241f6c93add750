"""Our own topics: which there are, and how they must be configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from stream_lineage.logs import get_logger
from stream_lineage.wire import job_declarations
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.settings import KafkaSettings

_log = get_logger("stream_lineage.topics")
OBSERVATIONS = "observations"
DRIFT_ALERTS = "drift-alerts"
ANOMALY_ALERTS = "anomaly-alerts"
INCIDENTS = "incidents"
GRAPH = "graph"
EDGES = "edges"
KEYS = "keys"
DELIVERIES = "deliveries"
ACTIONS = "actions"
STATE = "state"
TOKENS = "tokens"
DEAD_LETTERS = "dead-letters"
BASELINES = "baselines"
METRICS = "metrics"
WINDOWS = "windows"
DECLARATIONS = job_declarations.TOPIC
OPENLINEAGE = "openlineage"

_DAY = 24 * 60 * 60 * 1000
_YEAR = 365 * _DAY
_FOREVER = -1


@dataclass(frozen=True, slots=True)
class OwnTopic:
    """A topic that we write. ``partitions`` null stands for the setting ``observation_partitions``."""

    name: str
    partitions: int | None
    cleanup_policy: str
    retention_ms: int
    purpose: str

    def config(self, settings: KafkaSettings) -> dict[str, str]:
        """How it is created."""
        own = {"cleanup.policy": self.cleanup_policy, "retention.ms": str(self.retention_ms)}
        if self.name == OPENLINEAGE:
            # Clients of others write it, with any time, and it is read on from a time.
            own["message.timestamp.type"] = "LogAppendTime"
        if self.name in (EDGES, KEYS):
            own["retention.ms"] = str(int(settings.edges_retention_days * _DAY))
            if settings.edges_retention_bytes >= 0:
                own["retention.bytes"] = str(settings.edges_retention_bytes // settings.observation_partitions)
        return own


OWN_TOPICS: tuple[OwnTopic, ...] = (
    OwnTopic(OBSERVATIONS, None, "delete", _YEAR, "the provenance log: spans, schemas, profiles, hash chain"),
    OwnTopic(DRIFT_ALERTS, 1, "delete", 90 * _DAY, "schema drift"),
    OwnTopic(ANOMALY_ALERTS, 1, "delete", 90 * _DAY, "metric anomalies and data loss"),
    OwnTopic(INCIDENTS, 1, "compact", _FOREVER, "incidents, the newest state of each"),
    OwnTopic(DELIVERIES, 1, "compact", _FOREVER, "how far each target was told of each incident"),
    OwnTopic(ACTIONS, 1, "delete", _YEAR, "what hooks did for incidents, and what they left: the audit log"),
    OwnTopic(GRAPH, 1, "delete", _FOREVER, "evidence for nodes and edges of the lineage graph"),
    OwnTopic(EDGES, None, "delete", _YEAR, "record edges from headers, for as long and as many bytes as settings say"),
    OwnTopic(KEYS, None, "delete", _YEAR, "hashes of declared key fields, for as long and as many bytes as edges"),
    OwnTopic(STATE, 1, "compact", _FOREVER, "mutes, labels, checkpoints"),
    OwnTopic(TOKENS, 1, "compact", _FOREVER, "hashes of the API's tokens"),
    OwnTopic(BASELINES, 1, "compact", _FOREVER, "training baselines, the newest of each name"),
    OwnTopic(METRICS, 1, "delete", 90 * _DAY, "metrics that others measure and push"),
    OwnTopic(WINDOWS, 1, "delete", 7 * _DAY, "counts of windows of topics that declared jobs read or write"),
    OwnTopic(DECLARATIONS, 1, "compact", _FOREVER, "what applications declare of their jobs, the newest of each"),
    OwnTopic(OPENLINEAGE, 1, "delete", _YEAR, "OpenLineage's events, as they were sent"),
    OwnTopic(DEAD_LETTERS, 1, "delete", 90 * _DAY, "records that could not be decoded: where and why"),
)


@dataclass(frozen=True, slots=True)
class TopicState:
    """How one of our topics stands: ``problems`` is empty when it is as it must be."""

    name: str
    exists: bool
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class TopicReport:
    """All of our topics."""

    topics: list[TopicState] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        return [topic.name for topic in self.topics if not topic.exists]


def ensure_topics(admin: AdminClient, settings: KafkaSettings, *, timeout_seconds: float = 30.0) -> list[str]:
    """Create those of our topics that do not exist; the names of the ones created.

    Raises:
        KafkaUnavailable: no broker answered.
        SettingsError: we may not create topics; the message says which are missing.
    """
    existing = _existing(admin, timeout_seconds)
    wanted = [topic for topic in OWN_TOPICS if settings.topic(topic.name) not in existing]
    if not wanted:
        return []
    requests = [
        NewTopic(
            settings.topic(topic.name),
            num_partitions=topic.partitions or settings.observation_partitions,
            replication_factor=settings.replication_factor,
            config=topic.config(settings),
        )
        for topic in wanted
    ]
    created = []
    try:
        futures = admin.create_topics(requests, request_timeout=timeout_seconds)
        for name, future in futures.items():
            try:
                future.result(timeout=timeout_seconds + 1)
                created.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    except KafkaException as error:
        missing = ", ".join(settings.topic(topic.name) for topic in wanted)
        raise translated(error, f"create our own topics ({missing})") from error
    _log.info("topics created", topics=created)
    return created


def check_topics(admin: AdminClient, settings: KafkaSettings, *, timeout_seconds: float = 10.0) -> TopicReport:
    """How our topics stand against how they must be.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    existing = _existing(admin, timeout_seconds)
    names = {topic.name: settings.topic(topic.name) for topic in OWN_TOPICS}
    configs = _configs(admin, [name for name in names.values() if name in existing], timeout_seconds)
    report = TopicReport()
    for topic in OWN_TOPICS:
        name = names[topic.name]
        if name not in existing:
            report.topics.append(TopicState(name, exists=False, problems=("does not exist",)))
            continue
        problems = []
        if topic.partitions is not None and existing[name] != topic.partitions:
            problems.append(f"has {existing[name]} partitions instead of {topic.partitions}")
        policy = configs.get(name, {}).get("cleanup.policy")
        if policy is not None and policy != topic.cleanup_policy:
            problems.append(f"cleanup.policy is {policy} instead of {topic.cleanup_policy}")
        report.topics.append(TopicState(name, exists=True, problems=tuple(problems)))
    return report


def _existing(admin: AdminClient, timeout_seconds: float) -> dict[str, int]:
    try:
        metadata = admin.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        raise translated(error, "list the topics") from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def _configs(admin: AdminClient, names: Iterable[str], timeout_seconds: float) -> Mapping[str, Mapping[str, str]]:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    if not resources:
        return {}
    out: dict[str, dict[str, str]] = {}
    try:
        for resource, future in admin.describe_configs(resources, request_timeout=timeout_seconds).items():
            entries = future.result(timeout=timeout_seconds + 1)
            out[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
    except KafkaException as error:
        _log.debug("cannot read topic configurations", error=error.args[0].str())
    return out

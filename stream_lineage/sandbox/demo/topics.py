"""The pipeline's topics and their schemas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.demo.clients import admin

_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of the pipeline."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """Its values' subject in the registry."""
        return f"{self.name}-value"


CUSTOMERS = Topic("customers", 3, {"cleanup.policy": "compact"})
CLICKS = Topic("clicks", 6)
FEATURES = Topic("features", 6)
PREDICTIONS = Topic("predictions", 3)
TOPICS = (CUSTOMERS, CLICKS, FEATURES, PREDICTIONS)


def schema(name: str) -> str:
    """The text of an Avro schema of the pipeline, such as ``click``."""
    return (files(__package__) / "schemas" / f"{name}.avsc").read_text(encoding="utf-8")


def create_topics(bootstrap_servers: str, topics: Iterable[Topic] = TOPICS) -> None:
    """Those that are there already are left as they are. Raises SandboxError."""
    wanted = [NewTopic(topic.name, num_partitions=topic.partitions, config=topic.config) for topic in topics]
    try:
        client = admin(bootstrap_servers)  # which must live until the answers are there
        for future in client.create_topics(wanted, request_timeout=_TIMEOUT_SECONDS).values():
            try:
                future.result(_TIMEOUT_SECONDS + 1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    except KafkaException as error:
        raise SandboxError(f"the demo's topics could not be created: {error.args[0].str()}") from error

"""What tests of secured clusters share: commands that come in by one listener as one user, and what users may do."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from collecting import Answer, Lab, Running, eventually
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from stream_lineage.sandbox import Sandbox
from stream_lineage.wire.cluster_probe import ClusterProbe
from stream_lineage.wire.settings import KafkaSettings

OPERATIONS = {
    "Read": AclOperation.READ, "Write": AclOperation.WRITE, "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE, "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS, "Alter": AclOperation.ALTER,
}  # fmt: skip
RESOURCES = {
    "topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}  # fmt: skip


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """librdkafka settings as variables of ours: what is secret in them is in no list of processes."""
    found = {f"STREAM_LINEAGE_KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}
    bootstrap = found.pop("STREAM_LINEAGE_KAFKA_BOOTSTRAP_SERVERS", None)
    return found | ({"STREAM_LINEAGE_BOOTSTRAP_SERVERS": bootstrap} if bootstrap else {})


def acls_of(command: str) -> list[AclBinding]:
    """What a ``kafka-acls.sh`` line grants."""
    words = shlex.split(command)
    options = [(word, words[at + 1]) for at, word in enumerate(words[:-1]) if word.startswith("--")]
    principal = next(value for name, value in options if name == "--allow-principal")
    [(resource, name)] = [(RESOURCES[n[2:]], value) for n, value in options if n[2:] in RESOURCES]
    prefixed = ("--resource-pattern-type", "prefixed") in options
    pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
    return [
        AclBinding(resource, name, pattern, principal, "*", OPERATIONS[value], AclPermissionType.ALLOW)
        for option, value in options
        if option == "--operation"
    ]


def warmed_up(sandbox: Sandbox) -> Sandbox:
    """Groups can be asked for: a new broker takes a moment for its first.

    ``list_consumer_group_offsets`` of confluent-kafka 2.12.2 ends the process when it is asked before.
    """
    ClusterProbe(KafkaSettings(bootstrap_servers=sandbox.bootstrap_servers), timeout_seconds=30).group("anybody")
    return sandbox


class SecuredLab(Lab):
    """A lab whose commands come in by one listener, as one user; its own hands are the cluster's owner's."""

    def __init__(self, sandbox: Sandbox, registry_url: str, directory: Path) -> None:
        super().__init__(sandbox.bootstrap_servers, registry_url, directory)
        self.sandbox = sandbox
        self.registry_at_home = registry_url  # where tests register schemas, whatever the commands go through
        self.agents_id = f"{self.name}-agents"
        self.granted: list[AclBinding] = []
        self.agent_flags: tuple[str, ...] = ()

    def come_in(self, settings: Mapping[str, str], **others: str) -> None:
        """Use these librdkafka settings, and these settings of ours, from now on."""
        kept = {name: text for name, text in self.environment.items() if not name.startswith("STREAM_LINEAGE_")}
        own = {"group_id": self.group, "agents_id": self.agents_id, "cluster": "secured", **others}
        own |= {"state_dir": str(self.directory / "state"), "topic_prefix": self.prefix}
        ours = {f"STREAM_LINEAGE_{name.upper()}": value for name, value in own.items()}
        self.environment = kept | ours | variables(settings)

    def user(self) -> tuple[str, dict[str, str]]:
        """Somebody new who may do nothing: the principal, and how to come in."""
        name, password = self.name, f"{self.name}-password"
        told = UserScramCredentialUpsertion(name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
                                            password.encode())  # fmt: skip
        self._settled(self.admin.alter_user_scram_credentials([told]))
        settings = self.sandbox.security.settings("sasl-scram")
        return f"User:{name}", {**settings, "sasl.username": name, "sasl.password": password}

    def grant(self, wanted: Iterable[AclBinding]) -> None:
        new = [binding for binding in dict.fromkeys(wanted) if binding not in self.granted]
        if new:
            self._settled(self.admin.create_acls(new))
        self.granted += new

    def revoke(self, unwanted: Sequence[AclBinding]) -> None:
        filters = [
            AclBindingFilter(
                b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type
            )
            for b in unwanted
        ]
        if filters:
            self._settled(self.admin.delete_acls(filters))
        self.granted = [binding for binding in self.granted if binding not in unwanted]

    # Commands

    def flags(self) -> list[str]:
        return []

    def schema(self, topic: str, schema: Mapping[str, Any]) -> int:
        shown, self.registry_url = self.registry_url, self.registry_at_home
        try:
            return super().schema(topic, schema)
        finally:
            self.registry_url = shown

    def agents_command(self) -> list[str]:
        return [
            sys.executable, "-m", "stream_lineage.cli.main", "agents",
            "--schema-registry-url", self.registry_url,
            "--observation-partitions", "2",
            "--agents-state-dir", str(self.directory / "agents"),
            "--sqlite-path", str(self.directory / "metrics.sqlite"),
        ]  # fmt: skip

    def agents(self, name: str = "agents") -> Running:
        made = Running(self.agents_command(), self.directory / f"{name}.log", self.environment)
        self._collectors.append(made)
        return made

    def doctor(self, *flags: str) -> tuple[int, dict[str, dict[str, str]]]:
        """Exit code, and checks by name."""
        answer = self.doctor_says("--output", "json", *flags)
        return answer.code, {check["name"]: check for check in answer.json["checks"]}

    def doctor_says(self, *flags: str) -> Answer:
        registry = ("--schema-registry-url", self.registry_url) if self.registry_url else ()
        return self.run("doctor", *registry, "--include", rf"{self.name}\..*", *flags)

    def drift_alerts(self) -> list[dict[str, Any]]:
        """All that are there, read as the cluster's owner."""
        topic = f"{self.prefix}drift-alerts"
        if topic not in self.admin.list_topics(timeout=10).topics:
            return []
        reader = self.consumer(enable_partition_eof=True, auto_offset_reset="earliest")
        found: list[dict[str, Any]] = []
        try:
            reader.assign([TopicPartition(topic, 0, 0)])
            while True:
                message = reader.poll(20)
                assert message is not None
                if message.error() is None:
                    found.append(json.loads(message.value() or b""))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return found
        finally:
            reader.close()

    def alerted(self) -> dict[str, Any]:
        """The first alert, once it is there."""
        found = eventually(self.drift_alerts, 40, lambda: f"an alert\n{self._tails()}")
        first: dict[str, Any] = found[0]
        return first

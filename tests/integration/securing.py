"""What tests of secured clusters share: a broker with every listener, users of one test's own, the whole service."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collecting import Lab, Running
from confluent_kafka import KafkaError

from stream_lineage.sandbox import Sandbox
from stream_lineage.wire.cluster_probe import ClusterProbe
from stream_lineage.wire.settings import KafkaSettings

AGENTS_FLAGS = ("--agents-id", "--agents-state-dir", "--sqlite-path", "--cluster")


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """librdkafka settings as variables of ours: what is secret in them is in no list of processes."""
    found = {f"STREAM_LINEAGE_KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}
    bootstrap = found.pop("STREAM_LINEAGE_KAFKA_BOOTSTRAP_SERVERS", None)
    return found | ({"STREAM_LINEAGE_BOOTSTRAP_SERVERS": bootstrap} if bootstrap else {})


def warmed_up(sandbox: Sandbox) -> Sandbox:
    """Groups can be asked for: a new broker takes a moment for its first.

    ``list_consumer_group_offsets`` of confluent-kafka 2.12.2 ends the process when it is asked before.
    """
    ClusterProbe(KafkaSettings(bootstrap_servers=sandbox.bootstrap_servers), timeout_seconds=30).group("anybody")
    return sandbox


class SecuredLab(Lab):
    """A lab whose commands come in by one listener, as one user; its own hands are the cluster's owner's."""

    def __init__(self, sandbox: Sandbox, registry_url: str, directory: Path, settings: Mapping[str, str]) -> None:
        super().__init__(sandbox.bootstrap_servers, registry_url, directory)
        self.sandbox = sandbox
        self.agents_id = f"{self.name}-agents"
        self.come_in(settings)

    def come_in(self, settings: Mapping[str, str]) -> None:
        """Use these librdkafka settings from now on."""
        kept = {name: text for name, text in self.environment.items() if not name.startswith("STREAM_LINEAGE_")}
        self.environment = kept | variables(settings)

    def flags(self) -> list[str]:
        return ["--topic-prefix", self.prefix, "--cluster", "secured"]

    def agents(self, *flags: str, name: str = "agents") -> Running:
        command = [
            sys.executable, "-m", "stream_lineage.cli.main", "agents", *self.flags(),
            "--schema-registry-url", self.registry_url,
            "--observation-partitions", "2",
            "--agents-id", self.agents_id,
            "--agents-state-dir", str(self.directory / "agents"),
            "--sqlite-path", str(self.directory / "metrics.sqlite"),
            *flags,
        ]  # fmt: skip
        made = Running(command, self.directory / f"{name}.log", self.environment)
        self._collectors.append(made)
        return made

    def doctor(self, *flags: str, output: str = "json") -> tuple[int, dict[str, dict[str, str]]]:
        """Exit code and checks by name."""
        answer = self.run(
            "doctor", *self.flags(), "--schema-registry-url", self.registry_url, "--group-id", self.group,
            "--agents-id", self.agents_id, "--include", rf"{self.name}\..*", "--state-dir", str(self.directory / "s"),
            "--output", output, *flags,
        )  # fmt: skip
        assert output == "json", answer.out
        return answer.code, {check["name"]: check for check in answer.json["checks"]}

    def drift_alerts(self) -> list[dict[str, Any]]:
        """All that are there, read as the cluster's owner."""
        topic = f"{self.prefix}drift-alerts"
        if topic not in self.admin.list_topics(timeout=10).topics:
            return []
        reader = self.consumer(enable_partition_eof=True, auto_offset_reset="earliest")
        found: list[dict[str, Any]] = []
        try:
            from confluent_kafka import TopicPartition

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

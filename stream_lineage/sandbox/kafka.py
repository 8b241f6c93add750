"""An Apache Kafka broker, which is a KRaft controller too."""

from __future__ import annotations

import base64
import logging
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox import properties
from stream_lineage.sandbox.java import java_command
from stream_lineage.sandbox.java_program import JavaProgram
from stream_lineage.sandbox.ports import LOOPBACK
from stream_lineage.sandbox.security import Security
from stream_lineage.sandbox.server import Server
from stream_lineage.sandbox.settings import SandboxSettings

_FORMAT_TIMEOUT_SECONDS = 120
_PROBE_SECONDS = 5.0
_MOST_REPLICAS = 3
_SMALL_CLUSTER = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # Groups of the newer protocol may be configured to miss their members sooner than after 45 s.
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",  # a test need not wait for members that do not come
    # A killed broker is let in again when its old session has timed out; the default of 9 s is all waiting.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.backoff.ms": "1000",  # compaction becomes visible in seconds
}
_LOG4J = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
"""


def random_cluster_id() -> str:
    """A UUID as Kafka writes them; as there, none that begins with a dash, which would look like an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


@dataclass(frozen=True, slots=True)
class Quorum:
    """The brokers of one cluster: its id, and each one's controller port by node id."""

    cluster_id: str
    controllers: Mapping[int, int]

    @property
    def voters(self) -> str:
        return ",".join(f"{node_id}@{LOOPBACK}:{port}" for node_id, port in self.controllers.items())

    def replication(self) -> dict[str, str]:
        """Three replicas where there are three brokers, of which one may be missing."""
        replicas = str(min(len(self.controllers), _MOST_REPLICAS))
        in_sync = "2" if len(self.controllers) >= _MOST_REPLICAS else "1"
        return {
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
        }


class KafkaBroker(Server):
    """One broker. Topics outlive ``stop`` and ``kill``: the next ``start`` finds them in the directory."""

    name = "Kafka"

    def __init__(
        self,
        settings: SandboxSettings,
        program: JavaProgram,
        directory: Path,
        port: int,
        held: int | None = None,
        *,
        node_id: int,
        quorum: Quorum,
        security: Security | None = None,
    ) -> None:
        super().__init__(settings, program, directory, port, held)
        self.node_id = node_id
        self._quorum = quorum
        self._security = security
        if len(quorum.controllers) > 1:
            self.name = f"Kafka's broker {node_id}"

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """A directory that is new is formatted."""
        self._write_configuration()
        if not (self._data / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        # Unusual options would make an archive that fits nobody else; of several brokers, one that records will do.
        record = None if self.settings.jvm_options or self.node_id != 1 else self.recorded_classes
        return self._java(self.program.archive_options(record), "kafka.Kafka", str(self._configuration))

    def answers(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1.0).close()
        except OSError:
            return False  # the client library would log what is no fault yet
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        quiet = logging.getLogger(f"{__name__}.probe")
        quiet.disabled = True
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers}, logger=quiet)
        try:
            found = admin.describe_cluster(request_timeout=_PROBE_SECONDS).result(_PROBE_SECONDS + 1)
            return any(node.id == self.node_id for node in found.nodes)
        except (KafkaException, TimeoutError):
            return False

    @property
    def _controller(self) -> str:
        return f"CONTROLLER://{LOOPBACK}:{self._quorum.controllers[self.node_id]}"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _configuration(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _log4j(self) -> Path:
        return self.directory / "log4j2.properties"

    def _write_configuration(self) -> None:
        plain, controller = f"PLAINTEXT://{LOOPBACK}:{self.port}", self._controller
        secured = self._security
        public = ",".join([plain, *(secured.addresses if secured else ())])
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **(secured.protocols if secured else {})}
        configuration = {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "listeners": f"{public},{controller}",
            "advertised.listeners": public,
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": self._quorum.voters,
            "log.dirs": str(self._data),
            **_SMALL_CLUSTER,
            **self._quorum.replication(),
            **(secured.broker_config() if secured else {}),
            **self.settings.broker_config,
        }
        self._configuration.write_text(properties.render(configuration), encoding="ascii")
        self._log4j.write_text(_LOG4J, encoding="ascii")

    def _format(self) -> None:
        users = self._security.format_arguments if self._security else ()
        arguments = ("format", "-t", self._quorum.cluster_id, "-c", str(self._configuration), *users)
        command = self._java(self.program.archive_options(), "kafka.tools.StorageTool", *arguments)
        with self.log_path.open("ab") as log:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=_FORMAT_TIMEOUT_SECONDS, check=False
            ).returncode
        if code != 0:
            tail = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
            raise SandboxError(
                "\n".join([f"Kafka's storage could not be formatted in {self._data}", *tail]),
                hint=f"Its log is kept at {self.log_path}",
            )

    def _java(self, options: Sequence[str], main_class: str, *arguments: str) -> list[str]:
        secured = self._security.java_options if self._security else ()
        options = (f"-Dlog4j2.configurationFile={self._log4j}", *options, *secured, *self.settings.jvm_options)
        class_path = ":".join(map(str, self.program.class_path))
        java = java_command(self.settings.broker_heap, options, directory=self.scratch)
        return [*java, "-cp", class_path, main_class, *arguments]

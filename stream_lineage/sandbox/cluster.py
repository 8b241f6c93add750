"""A real Kafka and a real schema registry on this machine, for as long as it takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.artifacts import Artifacts
from stream_lineage.sandbox.brokers import launch, make_brokers, stop
from stream_lineage.sandbox.health import StartFailed
from stream_lineage.sandbox.java import java_executable
from stream_lineage.sandbox.java_program import JavaProgram
from stream_lineage.sandbox.kafka import KafkaBroker
from stream_lineage.sandbox.lock import FileLock
from stream_lineage.sandbox.ports import free_port, is_free
from stream_lineage.sandbox.progress import Reporter
from stream_lineage.sandbox.registry import SchemaRegistry
from stream_lineage.sandbox.security import Security
from stream_lineage.sandbox.settings import SandboxSettings
from stream_lineage.sandbox.tree import remove_tree

_LOGS = ("server.log", "service.log", "java-error.log")  # not "*.log": that is what Kafka calls its data
_PORT_ATTEMPTS = 3
_ORPHANS_SECONDS = 10.0
_POLL_SECONDS = 0.1


class Sandbox:
    """One broker or several and, if wanted, a schema registry. Everything listens on the loopback interface only.

        with Sandbox(SandboxSettings()) as sandbox:
            sandbox.bootstrap_servers, sandbox.schema_registry_url
            sandbox.kafka.kill(); sandbox.kafka.start()

        with Sandbox(SandboxSettings(brokers=3)) as sandbox:
            sandbox.brokers[2].kill()  # the other two go on

    With a ``data_dir``, Kafka's topics are there again next time; the registry's schemas are not: it keeps them in
    memory. Without one, nothing is left when the sandbox ends, also when this process is killed. Logs are kept if the
    start fails.
    """

    def __init__(self, settings: SandboxSettings | None = None, *, reporter: Reporter | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self._reporter = reporter or Reporter()
        self._directory: Path | None = None
        self._lock: FileLock | None = None
        self._brokers: tuple[KafkaBroker, ...] = ()
        self._registry: SchemaRegistry | None = None
        self._security: Security | None = None

    @property
    def kafka(self) -> KafkaBroker:
        """The broker, to be stopped and started by itself; the first of several."""
        return self.brokers[0]

    @property
    def brokers(self) -> tuple[KafkaBroker, ...]:
        """All of them, by node id, which begins at 1."""
        if not self._brokers:
            raise SandboxError("the sandbox is not running")
        return self._brokers

    @property
    def registry(self) -> SchemaRegistry:
        """The schema registry, to be stopped and started by itself."""
        if self._registry is None:
            raise SandboxError("the sandbox is not running, or has no schema registry")
        return self._registry

    @property
    def security(self) -> Security:
        """The listeners that want to be convinced, and what convinces them."""
        if self._security is None:
            raise SandboxError("the sandbox is not running, or has no such listeners")
        return self._security

    @property
    def bootstrap_servers(self) -> str:
        """All brokers, whether they run or not."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    @property
    def schema_registry_url(self) -> str | None:
        """Confluent's API; None without a registry."""
        return self.registry.url if self.settings.registry else None

    def download(self) -> tuple[JavaProgram, JavaProgram | None]:
        """Fetch what the cache lacks of Kafka and, if wanted, of the registry. Raises SandboxError."""
        java_executable()
        artifacts = Artifacts(self._reporter)
        kafka = artifacts.kafka(self.settings.kafka_version)
        return kafka, artifacts.registry(self.settings.apicurio_version) if self.settings.registry else None

    @property
    def directory(self) -> Path:
        """Where its data and logs are."""
        if self._directory is None:
            raise SandboxError("the sandbox is not running")
        return self._directory

    def start(self) -> None:
        """Download what is missing, start the servers side by side, wait until both answer. Raises SandboxError."""
        if self._directory is not None:
            raise SandboxError("the sandbox is already running")
        kafka, registry = self.download()
        directory = self._open_directory()
        try:
            self._reporter.say("Starting ...")
            if self.settings.security:
                # Below the broker's directory, which is deleted with it even if this process is killed.
                self._security = Security(directory / "kafka" / "security", self.settings.security)
            for attempt in range(_PORT_ATTEMPTS):
                try:
                    self._start_on_ports(kafka, registry, directory)
                    return
                except StartFailed as error:
                    if not error.port_taken or attempt == _PORT_ATTEMPTS - 1:
                        raise
                    self._stop_servers()
        except BaseException as error:
            self.close(keep_logs=isinstance(error, SandboxError))
            raise

    def revive(self) -> bool:
        """Start those of several brokers again that were killed from outside; whether there were any."""
        killed = [broker for broker in self._brokers if broker.killed] if len(self._brokers) > 1 else []
        for broker in killed:
            self._reporter.say(f"{broker.name} was killed and is started again ...")
            broker.launch()
        return bool(killed)

    def check(self) -> None:
        """Raises SandboxError if a server ended by itself."""
        for server in (*self._brokers, self._registry):
            if server is not None:
                server.check()

    def close(self, *, keep_logs: bool = False) -> None:
        """Stop what runs and remove temporary data. May be called more than once."""
        self._stop_servers()
        if self._security is not None:
            self._security.close()
            self._security = None
        if self._directory is not None and self.settings.data_dir is None:
            remove_tree(self._directory, keep=_LOGS if keep_logs else ())
        self._directory = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_on_ports(self, kafka: JavaProgram, registry: JavaProgram | None, directory: Path) -> None:
        taken: set[int] = set()

        def port(wanted: int | None = None, server: str = "") -> int:
            taken.add(found := _port(wanted, server, taken=frozenset(taken)))
            return found

        node_ids = range(1, self.settings.brokers + 1)
        ports = {1: port(self.settings.kafka_port, "Kafka")}
        registry_port = port(self.settings.registry_port, "the schema registry")
        ports |= {node_id: port() for node_id in node_ids[1:]}
        controller_ports = {node_id: port() for node_id in node_ids}
        held = self._lock.descriptor if self._lock is not None else None
        deadline = time.monotonic() + self.settings.start_timeout_seconds
        if registry is not None:  # first, because it takes longest
            self._registry = SchemaRegistry(self.settings, registry, directory / "registry", registry_port, held)
            self._registry.launch()
        if self._security is not None:
            self._security.listen({listener: port() for listener in self.settings.security})
        self._brokers = make_brokers(self.settings, kafka, directory, ports, controller_ports, held, self._security)
        launch(self._brokers)
        for broker in self._brokers:
            broker.wait(deadline)
        self._reporter.say(f"Kafka answers at {self.bootstrap_servers}")
        if self._registry is not None:
            self._registry.wait(deadline)
            self._reporter.say(f"The schema registry answers at {self._registry.url}")

    def _stop_servers(self) -> None:
        servers = [server for server in (self._registry, *self._brokers) if server is not None]
        if any(server.pid is not None and not server.program.archived for server in servers):
            self._reporter.say(
                "The first end takes some seconds longer: Java archives its classes for faster starts ..."
            )
        if self._registry is not None:
            self._registry.begin_stop()
        stop(self._brokers)
        if self._registry is not None:
            self._registry.stop()
        self._registry, self._brokers = None, ()

    def _open_directory(self) -> Path:
        directory = self.settings.data_dir
        try:
            if directory is None:
                directory = Path(tempfile.mkdtemp(prefix="stream-lineage-sandbox-"))
            else:
                self._lock = _locked(directory)
                for name in _LOGS:
                    for log in directory.glob(f"*/{name}"):
                        log.unlink()  # of the run before
        except OSError as error:
            raise SandboxError(f"the data directory {directory} cannot be used: {error}") from error
        self._directory = directory
        return directory


def _locked(directory: Path) -> FileLock:
    lock = FileLock(directory / "sandbox.lock")
    deadline = time.monotonic() + _ORPHANS_SECONDS
    while not lock.try_acquire():
        holder = lock.holder()
        if (holder is not None and holder.running) or time.monotonic() > deadline:
            pid = "" if holder is None else f" (pid {holder.pid})"
            raise SandboxError(
                f"another sandbox{pid} is running on {directory}",
                hint=f"Use it, end it with `stream-lineage sandbox stop --data-dir {directory}`, or name another.",
            )
        time.sleep(_POLL_SECONDS)  # its process was killed, and its servers are ending
    return lock


def _port(wanted: int | None, server: str, *, taken: frozenset[int]) -> int:
    if wanted is None:
        return free_port(taken=taken)
    if wanted in taken or not is_free(wanted):
        raise SandboxError(
            f"port {wanted}, wanted for {server}, is taken",
            hint="End what listens there, name another port, or name none to have a free one chosen.",
        )
    return wanted

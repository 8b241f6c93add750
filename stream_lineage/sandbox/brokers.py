"""The brokers of one sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.java_program import JavaProgram
from stream_lineage.sandbox.kafka import KafkaBroker, Quorum, random_cluster_id
from stream_lineage.sandbox.security import Security
from stream_lineage.sandbox.settings import SandboxSettings

_WITHOUT_MAJORITY_SECONDS = 2.0
_FORMATTED = "data/meta.properties"


def make_brokers(
    settings: SandboxSettings,
    program: JavaProgram,
    directory: Path,
    ports: Mapping[int, int],
    controller_ports: Mapping[int, int],
    held: int | None,
    security: Security | None,
) -> tuple[KafkaBroker, ...]:
    """One for each node id in ``ports``, on a directory of its own below ``directory``: ``kafka``, ``kafka-2`` ...

    Raises:
        SandboxError: the directory holds the data of another number of brokers.
    """
    homes = {node_id: directory / ("kafka" if node_id == 1 else f"kafka-{node_id}") for node_id in ports}
    formatted = sorted(path.parents[1] for path in directory.glob(f"kafka*/{_FORMATTED}"))
    if formatted and formatted != sorted(homes.values()):
        raise SandboxError(
            f"the data directory {directory} holds the data of {len(formatted)} brokers, not of {len(homes)}",
            hint=f"Start as many (--brokers {len(formatted)}), or name another directory.",
        )
    cluster_id = _cluster_id(homes[1] / _FORMATTED) or random_cluster_id()
    quorum = Quorum(cluster_id, controller_ports)
    return tuple(
        KafkaBroker(settings, program, homes[node_id], port, held, node_id=node_id, quorum=quorum, security=security)
        for node_id, port in ports.items()
    )


def launch(servers: tuple[KafkaBroker, ...]) -> None:
    """Start them side by side, and do not wait. Raises SandboxError."""
    with ThreadPoolExecutor(len(servers)) as pool:  # a new one has to be formatted first, by a program of its own
        for done in [pool.submit(server.launch) for server in servers]:
            done.result()


def stop(servers: tuple[KafkaBroker, ...]) -> None:
    """End them. An orderly end needs a majority: those that are left without one are killed."""
    for server in servers:
        server.begin_stop()
    ended = len([server for server in servers if server.pid is None])
    for server in sorted(servers, key=lambda server: server.pid is not None):
        server.stop(None if 2 * ended < len(servers) else _WITHOUT_MAJORITY_SECONDS)
        ended += 1


def _cluster_id(path: Path) -> str | None:
    """As Kafka has written it where a broker was formatted."""
    if not path.exists():
        return None
    lines = path.read_text(encoding="ascii").splitlines()
    return next((line.partition("=")[2].strip() for line in lines if line.startswith("cluster.id=")), None)

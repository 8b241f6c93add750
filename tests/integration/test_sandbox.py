"""If this fails, whoever tries the product or runs its tests has no Kafka, or is left with stray Java processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from patience import deadline_in

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sandbox.child import module_command, module_environment
from stream_lineage.sandbox.identity import ProcessIdentity

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("sandbox_artifacts")]

_CLI = [*module_command("stream_lineage.cli.main"), "sandbox"]
_OWNER = """
import sys
from stream_lineage.sandbox import Sandbox, SandboxSettings
sandbox = Sandbox(SandboxSettings())
sandbox.start()
print(sandbox.kafka.pid, sandbox.registry.pid, sandbox.directory, flush=True)
sys.stdin.read()
"""
_DEADLINE_SECONDS = 120


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = deadline_in(30)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _identity(pid: int | None) -> ProcessIdentity:
    assert pid is not None
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    return identity


def _produce(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def _consume(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": str(uuid.uuid4())})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        values: list[bytes] = []
        deadline = deadline_in(30)
        while len(values) < count:
            assert time.monotonic() < deadline
            values += [message.value() for message in consumer.consume(count, timeout=1.0) if not message.error()]
        return values
    finally:
        consumer.close()


class _CommandLine:
    """The commands, with a list of running sandboxes of their own."""

    def __init__(self, directory: Path) -> None:
        self._environment = module_environment(XDG_STATE_HOME=str(directory / "state"), TMPDIR=str(directory))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_CLI, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_CLI, *arguments], env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[_CommandLine]:
    command_line = _CommandLine(tmp_path)
    yield command_line
    command_line.run("stop")


@pytest.fixture(scope="module")
def broker() -> Iterator[Sandbox]:
    with Sandbox(SandboxSettings(registry=False)) as sandbox:
        yield sandbox


def test_the_session_cluster_answers(cluster: Any) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    assert admin.list_topics(timeout=10).brokers
    assert httpx.get(f"{cluster.schema_registry_url}/subjects").status_code == 200


def test_start_status_stop(command_line: _CommandLine, tmp_path: Path) -> None:
    nothing = command_line.run("status", "--output", "json")
    assert nothing.returncode == 1
    assert json.loads(nothing.stdout) == {"bootstrap_servers": None, "schema_registry_url": None, "pid": None}
    assert "No sandbox is running" in nothing.stderr
    assert command_line.run("stop").returncode == 1

    started = command_line.run("start", "--detach", "--output", "json")
    assert started.returncode == 0, started.stderr
    report = json.loads(started.stdout)
    assert set(report) == {"bootstrap_servers", "schema_registry_url", "pid"}
    service = _identity(report["pid"])
    _produce(report["bootstrap_servers"], "made-on-first-use", [b"x"])
    assert httpx.get(f"{report['schema_registry_url']}/subjects").json() == []
    assert json.loads(command_line.run("status", "--output", "json").stdout) == report
    assert report["bootstrap_servers"] in command_line.run("status").stdout

    stopped = command_line.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not service.running
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(report["bootstrap_servers"].rpartition(":")[2])), timeout=5)
    assert list(tmp_path.glob("stream-lineage-sandbox-*")) == []
    assert command_line.run("status").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_a_signal_ends_everything(
    command_line: _CommandLine, tmp_path: Path, number: signal.Signals
) -> None:
    with command_line.begin("start", "--no-registry", "--output", "json") as service:
        assert service.stdout is not None
        line = service.stdout.readline()
        assert line, service.communicate()[1]
        report = json.loads(line)
        assert report["pid"] == service.pid
        assert report["schema_registry_url"] is None
        assert json.loads(command_line.run("status", "--output", "json").stdout) == report
        service.send_signal(number)
        stdout, _ = service.communicate(timeout=_DEADLINE_SECONDS)
    assert service.returncode == 0
    assert stdout == ""
    assert list(tmp_path.glob("stream-lineage-sandbox-*")) == []
    assert command_line.run("status").returncode == 1


def test_a_signal_while_it_starts_ends_everything(command_line: _CommandLine, tmp_path: Path) -> None:
    with command_line.begin("start", "--output", "json") as service:
        _eventually(lambda: any(tmp_path.glob("stream-lineage-sandbox-*/kafka/server.log")))
        service.send_signal(signal.SIGTERM)
        stdout, stderr = service.communicate(timeout=_DEADLINE_SECONDS)
    assert service.returncode == 1
    assert stdout == ""
    assert "asked to end" in stderr
    assert list(tmp_path.glob("stream-lineage-sandbox-*")) == []


def test_killing_the_owner_ends_the_servers_and_leaves_no_data() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=module_environment(),
    )
    with owner:
        assert owner.stdout is not None
        kafka, registry, directory = owner.stdout.readline().split()
        servers = [_identity(int(kafka)), _identity(int(registry))]
        owner.kill()
        owner.wait()
        _eventually(lambda: not any(server.running for server in servers))
        _eventually(lambda: not Path(directory).exists())


def test_data_is_there_after_the_service_was_killed(command_line: _CommandLine, tmp_path: Path) -> None:
    start = ("start", "--no-registry", "--detach", "--output", "json", "--data-dir", str(tmp_path / "data"))
    first = json.loads(command_line.run(*start).stdout)
    _produce(first["bootstrap_servers"], "kept", [b"one", b"two"])

    twice = command_line.run(*start)
    assert twice.returncode == 1
    assert f"another sandbox (pid {first['pid']}) is running on" in twice.stderr
    assert "sandbox stop" in twice.stderr

    os.kill(first["pid"], signal.SIGKILL)
    second = command_line.run(*start)  # waits until the old broker has let go of its data
    assert second.returncode == 0, second.stderr
    bootstrap_servers = json.loads(second.stdout)["bootstrap_servers"]
    assert _consume(bootstrap_servers, "kept", 2) == [b"one", b"two"]
    stopped = command_line.run("stop", "--data-dir", str(tmp_path / "data"))
    assert stopped.returncode == 0
    assert f"kept in {tmp_path / 'data'}" in stopped.stderr


def test_a_restarted_broker_has_its_port_and_its_data(broker: Sandbox) -> None:
    address, port = broker.bootstrap_servers, broker.kafka.port
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic("restarts", 1, 1)])["restarts"].result(30)
    for round_trip, end in enumerate([broker.kafka.stop, broker.kafka.kill]):
        _produce(address, "restarts", [f"{round_trip}".encode()])
        end()
        assert broker.kafka.pid is None
        broker.kafka.start()
        assert (broker.bootstrap_servers, broker.kafka.port) == (address, port)
    assert _consume(address, "restarts", 2) == [b"0", b"1"]


def test_a_running_server_is_not_started_twice(broker: Sandbox) -> None:
    with pytest.raises(SandboxError, match="already running"):
        broker.kafka.launch()
    with pytest.raises(SandboxError, match="already running"):
        broker.start()
    with pytest.raises(SandboxError, match="no schema registry"):
        broker.registry.stop()


def test_a_broker_that_ended_by_itself_is_noticed(broker: Sandbox) -> None:
    broker.check()
    pid = broker.kafka.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    _eventually(lambda: broker.kafka.pid is None)
    with pytest.raises(SandboxError, match="ended with exit code 137"):
        broker.check()
    broker.kafka.start()
    broker.check()


def test_a_paused_registry_accepts_and_does_not_answer(cluster: Any) -> None:
    if cluster.sandbox is None:
        pytest.skip("the registry is the user's own")
    registry = cluster.sandbox.registry
    registry.pause()
    try:
        socket.create_connection(("127.0.0.1", registry.port), timeout=5).close()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{registry.url}/subjects", timeout=1.0)
    finally:
        registry.resume()
    _eventually(registry.answers)


@pytest.mark.parametrize("server", ["kafka_port", "registry_port"])
def test_a_port_that_is_taken_is_named(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"port {port}") as failure:
            Sandbox(SandboxSettings.model_validate({server: port})).start()
        assert failure.value.hint


def test_a_port_that_is_taken_in_the_meantime_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_lineage.sandbox import cluster as module

    with socket.create_server(("127.0.0.1", 0)) as taken:
        free_port, offers = module.free_port, [taken.getsockname()[1]]
        monkeypatch.setattr(module, "free_port", lambda **given: offers.pop() if offers else free_port(**given))
        with Sandbox(SandboxSettings(registry=False)) as sandbox:
            assert sandbox.kafka.port != taken.getsockname()[1]


@pytest.mark.parametrize("option", ["log.retention.ms", "socket.send.buffer.bytes"])
def test_a_start_that_fails_says_why_and_keeps_the_log(option: str) -> None:
    sandbox = Sandbox(SandboxSettings(registry=False, broker_config={option: "many"}))
    with pytest.raises(SandboxError, match=f"Invalid value many for configuration {option}") as failure:
        sandbox.start()
    log = Path((failure.value.hint or "").rpartition(" ")[2])
    assert "Invalid value many" in log.read_text()
    assert [path.name for path in log.parent.iterdir()] == [log.name]
    log.unlink()
    log.parent.rmdir()
    log.parent.parent.rmdir()


def test_a_start_that_takes_too_long_says_so() -> None:
    sandbox = Sandbox(SandboxSettings(registry=False, start_timeout_seconds=0.01))
    with pytest.raises(SandboxError, match="did not answer within") as failure:
        sandbox.start()
    log = Path((failure.value.hint or "").rpartition(" ")[2])
    assert log.exists()
    log.unlink()
    log.parent.rmdir()
    log.parent.parent.rmdir()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")
def test_everything_listens_on_loopback_only(cluster: Any) -> None:
    if cluster.sandbox is None:
        pytest.skip("the cluster is the user's own")
    listening = set()
    for pid in (cluster.sandbox.kafka.pid, cluster.sandbox.registry.pid):
        links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in links:
                    listening.add(fields[1].rpartition(":")[0])
    assert listening <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert listening

"""If this failed, the doctor would misjudge a real cluster: healthy, locked, or spoken to in the wrong protocol."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from patience import deadline_in

from stream_lineage.cli.main import run
from stream_lineage.doctor.check import Check, Status
from stream_lineage.doctor.examination import examine
from stream_lineage.provenance.topics import OWN_TOPICS
from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sandbox.ports import free_port
from stream_lineage.settings import load_settings

OURS = len(OWN_TOPICS) + 1
"""With the changelog of the agents."""
pytestmark = pytest.mark.kafka


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAM_LINEAGE_STATE_DIR", str(tmp_path))
    return tmp_path


def found(**flags: Any) -> dict[str, Check]:
    return {check.name: check for check in examine(load_settings(flags), timeout_seconds=15)}


@pytest.fixture
def topic(cluster: Any) -> str:
    name = f"doctor-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(30)
    return name


def test_a_healthy_cluster(cluster: Any, topic: str, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["doctor", "--bootstrap-servers", cluster.bootstrap_servers]
    arguments += ["--schema-registry-url", cluster.schema_registry_url, "--include", topic, "--output", "json"]
    arguments += ["--topic-prefix", f"{topic}-own.", "--registry-timeout-seconds", "20"]
    code = run(arguments)
    answer = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in answer["checks"]}
    assert (code, answer["ok"]) == (0, True), answer
    assert {name for name, check in checks.items() if check["status"] != "ok"} == set(), answer
    assert "3 partitions" in checks["watched topics"]["detail"]
    assert checks["own topics"]["detail"] == f"{OURS} will be created at the start"
    existing = AdminClient({"bootstrap.servers": cluster.bootstrap_servers}).list_topics(timeout=20).topics
    assert not any(name.startswith(f"{topic}-own.") for name in existing)


def test_own_topics_of_the_wrong_shape(cluster: Any, topic: str, state: Path) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    names = [f"{topic}-own.{name}" for name in ("drift-alerts", "incidents")]
    for future in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        future.result(30)
    deadline = deadline_in(30)
    while not set(names) <= set(admin.list_topics(timeout=20).topics):  # created, but not yet known to all brokers
        assert time.monotonic() < deadline
    own = found(bootstrap_servers=cluster.bootstrap_servers, topic_prefix=f"{topic}-own.")["own topics"]
    assert own.status is Status.WARN
    for name in names:
        assert f"{name} has 2 partitions instead of 1" in own.detail
    assert "cleanup.policy is delete instead of compact" in own.detail
    assert f"{OURS - len(names)} will be created" in own.detail


def test_own_topics_that_cannot_be_replicated(cluster: Any, state: Path) -> None:
    prefix = f"doctor-{uuid.uuid4()}."
    own = found(bootstrap_servers=cluster.bootstrap_servers, topic_prefix=prefix, replication_factor=3000)["own topics"]
    assert own.status is Status.FAIL
    assert "replic" in own.detail


def test_records_of_the_future(cluster: Any, topic: str, state: Path) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    errors: list[Any] = []
    # Brokers refuse what is more than an hour ahead.
    ahead = int((time.time() + 1_800) * 1_000)
    producer.produce(topic, b"x", timestamp=ahead, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(30) == 0
    assert errors == [None]
    clock = found(bootstrap_servers=cluster.bootstrap_servers, include=(topic,))["clock"]
    assert clock.status is Status.WARN
    assert topic in clock.detail


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT"])
def test_a_plain_listener_spoken_to_in_another_protocol(protocol: str, cluster: Any, state: Path) -> None:
    kafka = (f"security.protocol={protocol}", "sasl.mechanisms=PLAIN", "sasl.username=a", "sasl.password=bbbbbbbb")
    checks = found(bootstrap_servers=cluster.bootstrap_servers, kafka=kafka)
    assert checks["addresses"].status is Status.OK
    assert checks["security"].status is Status.FAIL
    assert "security.protocol" in checks["security"].mend
    assert checks["watched topics"].status is Status.SKIPPED
    assert "bbbbbbbb" not in str(checks)


@pytest.fixture(scope="module")
def locked(sandbox_artifacts: None) -> Iterator[str]:
    """The address of a broker that wants a password, and lets user ``limited`` do nothing."""
    plain = free_port()
    sasl = free_port(taken=frozenset({plain}))
    controller = free_port(taken=frozenset({plain, sasl}))
    listeners = f"PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl}"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    config = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{login} user_limited="limited-password";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    settings = SandboxSettings(kafka_port=plain, broker_config=config, registry=False)
    with closing(Sandbox(settings)) as sandbox:
        sandbox.start()
        yield f"127.0.0.1:{sasl}"


def credentials(password: str) -> tuple[str, ...]:
    return (
        *("security.protocol=SASL_PLAINTEXT", "sasl.mechanisms=PLAIN"),
        *("sasl.username=limited", f"sasl.password={password}"),
    )


def test_a_wrong_password(locked: str, state: Path) -> None:
    checks = found(bootstrap_servers=locked, kafka=credentials("wrong-password"))
    assert checks["addresses"].status is Status.OK
    assert checks["security"].status is Status.FAIL
    assert "Authentication failed" in checks["security"].detail
    assert "sasl.password" in checks["security"].mend
    assert "wrong-password" not in str(checks)


def test_a_user_who_may_do_nothing(locked: str, state: Path) -> None:
    checks = found(bootstrap_servers=locked, kafka=credentials("limited-password"))
    assert checks["security"].status is Status.OK
    assert "as limited" in checks["security"].detail
    assert checks["own topics"].status is Status.FAIL
    assert checks["permissions"].status is Status.FAIL
    assert "ACL" in checks["own topics"].mend
    assert "ACL" in checks["permissions"].mend


def test_a_locked_listener_spoken_to_in_the_open(locked: str, state: Path) -> None:
    checks = found(bootstrap_servers=locked)
    assert checks["brokers"].status is Status.FAIL
    assert checks["security"].detail == f"Kafka at {locked} wants a login, and we do not offer one"
    assert "security.protocol" in checks["security"].mend

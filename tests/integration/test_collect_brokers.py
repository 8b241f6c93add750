"""If this failed, a broker that goes away would need somebody to act, or would cost records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from collecting import Acknowledged, Lab, Offline, Traffic, eventually

from stream_lineage.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def broker(sandbox_artifacts: None) -> Iterator[Sandbox]:
    """A broker of this file's own, to be stopped and killed."""
    with Sandbox(SandboxSettings(registry=False)) as sandbox:
        yield sandbox


@pytest.fixture
def lab(broker: Sandbox, cluster: Any, tmp_path: Path) -> Iterator[Lab]:
    if broker.kafka.pid is None:
        broker.kafka.start()
    made = Lab(broker.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_collection_goes_on_when_the_broker_is_back(lab: Lab, broker: Sandbox) -> None:
    topic = lab.topic("clicks", partitions=4)
    known = Acknowledged()
    ways: tuple[Callable[[], None], ...] = (broker.kafka.stop, broker.kafka.kill)
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=2_000):
        collector = lab.collect("--flush-interval-seconds", "0.1")
        collector.owns()
        for go_away in ways:
            time.sleep(1.0)
            go_away()
            time.sleep(2.0)
            broker.kafka.start()
            before = len(known)
            eventually(lambda before=before: len(known) > before, 60, "records arrive again")  # type: ignore[misc]
            lab.caught_up(known, 90)
    lab.caught_up(known)
    assert collector.process.poll() is None
    assert collector.terminate() == 0
    lab.check(known, topic)


def test_ending_does_not_wait_for_a_broker_that_is_away(lab: Lab, broker: Sandbox) -> None:
    topic = lab.topic("clicks", partitions=4)
    known = Acknowledged()
    payloads = lab.clicks(topic)
    collector = lab.collect("--flush-interval-seconds", "30")
    collector.owns()
    lab.send(topic, payloads, known)
    lab.caught_up(known)  # a schema that is new is written early
    lab.send(topic, payloads, known)
    broker.kafka.kill()
    family = collector.family()
    collector.terminate(20)
    assert not [process for process in family if process.is_running()]
    broker.kafka.start()
    lab.collect_until_end()
    lab.check(known, topic)


def test_a_broker_that_is_not_there_is_named(offline: Offline) -> None:
    commands: dict[str, tuple[str, ...]] = {
        "collect": (), "spans": ("clicks",), "record": ("clicks", "0", "0"), "verify": ()
    }  # fmt: skip
    nowhere = ("--bootstrap-servers", "127.0.0.1:9")  # the discard port: nobody listens there
    with ThreadPoolExecutor() as pool:
        asked = {name: pool.submit(offline.run, name, *own, *nowhere, seconds=40) for name, own in commands.items()}
        answers = {name: answer.result() for name, answer in asked.items()}
    for name, answer in answers.items():
        assert (answer.code, answer.out) == (1, ""), name
        assert "error: could not" in answer.err, name
        assert "hint: Check bootstrap_servers" in answer.err, name
        assert "Traceback" not in answer.err, name

"""If this failed, a metric that jumps on a real Kafka would raise no alert, or others after a crash."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alerting import NOW, Deployment, alerts, body, deployed, headers, produce, wait_for
from confluent_kafka import Message
from patience import patient

from stream_lineage.model.observation import Observation
from stream_lineage.model.profile import Decoder, FieldProfile, Profile, TypeCount
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.observations import avro_reference, observation, span

pytestmark = pytest.mark.kafka

WINDOW = 10
RECORDS = 500


@pytest.fixture
def deployment(cluster: Any, tmp_path: Any, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


def steady(
    topic: str, windows: range, *, jump: range = range(0), drift_at: int = 1_000_000, seed: int = 1, ago: int = 600
) -> Iterator[Observation]:
    """One observation in each window, of windows that begin ``ago`` seconds before now. Nulls of
    ``user`` jump from 2 to 40 percent in ``jump``; from ``drift_at`` on there is another schema."""
    chance = random.Random(f"{topic}{seed}")
    start = NOW.timestamp() // WINDOW * WINDOW - ago
    first = 0
    for number in range(windows.stop):
        records = RECORDS + chance.randrange(-50, 51)
        share = 0.4 if number in jump else 0.02
        nulls = sum(chance.random() < share for _ in range(records))
        first += records
        if number not in windows:
            continue
        field = FieldProfile("user", (TypeCount("string", records - nulls),), records, nulls, 0)
        profile = Profile(Decoder.COLUMNAR, Decoder.OPAQUE, records, 0, None, (field,), ())
        at = NOW + timedelta(seconds=start + number * WINDOW + 5 - NOW.timestamp())
        yield observation(
            avro_reference(1 + (number >= drift_at)), span(0, first - records, first - 1), topic=topic, at=at,
            profile=profile, observation_id=f"{topic}/{number}",
        )  # fmt: skip


def lost(after: Observation) -> Observation:
    """An observation that is an alert at once: what comes of the windows before it has come by then."""
    first, at = after.spans[-1].last_offset + 1, after.observed_at + timedelta(seconds=WINDOW)
    lost = span(0, first, first + 9, lost=[(first + 2, first + 4)])
    name = f"{after.observation_id}/lost"
    return observation(after.value_schema, lost, topic=after.topic, at=at, observation_id=name)


def kinds(found: list[Message]) -> list[tuple[str, str | None]]:
    """Kind and phase of each alert, each once, in order."""
    by_id = {headers(message)["ce_id"]: body(message) for message in found}
    return [(document["kind"], document["phase"]) for document in by_id.values()]


@pytest.mark.parametrize("killed", [False, True])
def test_a_jump_is_one_alert_that_opens_and_closes(deployment: Deployment, killed: bool) -> None:
    topic, jump = f"{deployment.prefix}clicks", range(120, 140)
    log = list(steady(topic, range(170), jump=jump))
    with deployment.agents() as process:
        produce(deployment, log[:135])
        alerts(deployment, "anomaly-alerts", lambda seen: ("null-ratio", "open") in kinds(seen))
        if killed:
            process.send_signal(signal.SIGKILL)
            process.wait()
    with deployment.agents():
        produce(deployment, [*log[135:], lost(log[-1])])
        found = alerts(deployment, "anomaly-alerts", lambda seen: ("data-loss", None) in kinds(seen))

    assert kinds(found) == [("null-ratio", "open"), ("null-ratio", "close"), ("data-loss", None)]
    opened = body(found[0])
    assert (opened["severity"], opened["field_path"]) == ("critical", "user")
    assert opened["first_offsets"] == {"0": log[120].spans[0].first_offset}
    assert opened["last_offsets"] == {"0": log[120].spans[0].last_offset}
    [change] = opened["changes"]
    assert (change["kind"], change["path"]) == ("null-ratio", "user")
    assert 0 < float(change["old"].rstrip("%")) < 5
    assert 30 < float(change["new"].rstrip("%")) < 50
    closed = next(body(message) for message in found if body(message)["phase"] == "close")
    assert closed["fingerprint"] == opened["fingerprint"]
    assert len({json.dumps(body(message)) for message in found}) == 3
    with closing(SqliteStore(deployment.directory / "metrics.sqlite")) as store:
        points = store.range("lineage_topic", NOW - timedelta(hours=1), NOW + timedelta(hours=1))
        warm = [point.fields["baselines_warming_up"] for point in points if point.tags["partition"] == "all"]
    assert 0 in warm
    assert max(int(each) for each in warm) > 0


def test_a_topic_that_falls_silent_is_told(deployment: Deployment) -> None:
    """By what else comes in the same partition of the log, whatever the clock on the wall says."""
    steady_topic, silent = f"{deployment.prefix}a", f"{deployment.prefix}b"
    quiet = list(steady(silent, range(110)))
    both = sorted([*steady(steady_topic, range(140)), *quiet], key=lambda item: item.observed_at)
    with deployment.agents():
        produce(deployment, both, partition=0)
        [opened] = alerts(deployment, "anomaly-alerts", lambda seen: len(seen) >= 1)

    document = body(opened)
    assert (document["topic"], document["kind"], document["phase"]) == (silent, "freshness", "open")
    assert document["severity"] == "critical"
    assert document["first_offsets"] == {"0": quiet[-1].spans[0].last_offset + 1}
    assert document["last_offsets"] == {}


def test_a_topic_that_is_alone_in_its_partition_falls_silent(deployment: Deployment) -> None:
    """By the clock on the wall, once the agents have read the partition to its end: which is the mark of a
    transaction, not an observation."""
    silent = f"{deployment.prefix}alone"
    quiet = list(steady(silent, range(110), ago=1700))
    with deployment.agents():
        produce(deployment, quiet)
        [opened] = alerts(deployment, "anomaly-alerts", lambda seen: len(seen) >= 1)

    document = body(opened)
    assert (document["topic"], document["kind"], document["phase"]) == (silent, "freshness", "open")
    assert document["first_offsets"] == {"0": quiet[-1].spans[0].last_offset + 1}


def command(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [
        sys.executable, "-m", "stream_lineage.cli.main", *arguments,
        "--bootstrap-servers", deployment.bootstrap_servers, "--topic-prefix", deployment.prefix,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": "."}
    return subprocess.run(whole, capture_output=True, text=True, timeout=patient(60), check=False, env=environment)


def test_a_mute_is_known_to_a_worker_that_runs(deployment: Deployment) -> None:
    topic = f"{deployment.prefix}orders"
    lengths = count(5)

    def longer() -> Observation:
        """The same problem, further on each time."""
        lost = span(0, 0, 999, lost=[(0, next(lengths))])
        return observation(avro_reference(1), lost, topic=topic, at=NOW)

    mark = f"{deployment.prefix}mark"
    with deployment.agents():
        produce(deployment, [longer()])
        [first] = alerts(deployment, "anomaly-alerts", lambda seen: len(seen) >= 1)
        fingerprint = body(first)["fingerprint"]
        assert command(deployment, "mute", fingerprint, "--for", "2h", "--reason", "known").returncode == 0
        [listed] = json.loads(command(deployment, "mute", "--list", "--output", "json").stdout)
        assert (listed["fingerprint"], listed["reason"]) == (fingerprint, "known")

        def muted() -> bool:
            produce(deployment, [longer()])
            return '"alert muted"' in deployment.log()

        wait_for(muted, deployment.log)
        produce(deployment, [observation(avro_reference(1), span(0, 0, 9, lost=[(0, 1)]), topic=mark, at=NOW)])
        found = alerts(deployment, "anomaly-alerts", lambda seen: body(seen[-1])["topic"] == mark if seen else False)
        assert body(found[-1])["topic"] == mark
        assert command(deployment, "mute", fingerprint, "--lift").returncode == 0
    assert json.loads(command(deployment, "mute", "--list", "--output", "json").stdout) == []
    again = command(deployment, "mute", fingerprint, "--lift")
    assert (again.returncode, "is not muted" in again.stderr) == (1, True)


def everything(deployment: Deployment, last: int) -> set[tuple[str, str]]:
    """Id and body of every alert, once the ``last`` ones, of data loss, have come."""

    def all_lost(seen: list[Message]) -> bool:
        return len({headers(each)["ce_id"] for each in seen if b'"kind":"data-loss"' in (each.value() or b"")}) >= last

    found = alerts(deployment, "anomaly-alerts", all_lost, 120)
    drifted = alerts(deployment, "drift-alerts", lambda seen: len({headers(each)["ce_id"] for each in seen}) >= last)
    return {(headers(message)["ce_id"], json.dumps(body(message))) for message in found + drifted}


@pytest.mark.slow
def test_one_of_two_workers_killed_thirty_times_tells_the_same_as_one_that_lives(
    deployment: Deployment, cluster: Any, tmp_path: Path
) -> None:
    """The oracle is a second deployment, in which the same observations meet a worker that nothing happens to."""
    chance = random.Random(30)
    topics = [f"{deployment.prefix}{name}" for name in "abcdef"]
    logs = [
        list(steady(topic, range(170), jump=range(110 + n, 130), drift_at=60 + 10 * n, seed=n))
        for n, topic in enumerate(topics)
    ]
    flushes = [[log[number] for log in logs] for number in range(170)] + [[lost(log[-1]) for log in logs]]
    (tmp_path / "calm").mkdir()
    calm = deployed(cluster, tmp_path / "calm", "calm")
    with calm.agents():
        for flush in flushes:
            produce(calm, flush, transactional=False)
        expected = everything(calm, len(topics))

    sent, kills = 0, 0
    with ExitStack() as stack:
        workers = [stack.enter_context(deployment.agents(name)) for name in ("first", "second")]
        while kills < 30:
            until = time.monotonic() + chance.uniform(0.5, 3.0)
            while time.monotonic() < until:
                if sent < len(flushes) - 1:
                    produce(deployment, flushes[sent], transactional=False)
                    sent += 1
                time.sleep(0.3)
            which = chance.randrange(2)
            workers[which].send_signal(signal.SIGKILL)
            workers[which].wait()
            workers[which] = stack.enter_context(deployment.agents(("first", "second")[which]))
            kills += 1
        for flush in flushes[sent:]:
            produce(deployment, flush, transactional=False)
        found = everything(deployment, len(topics))

    assert (found - expected, expected - found) == (set(), set())
    told = [json.loads(text)["kind"] for _, text in found]
    assert told.count("data-loss") == told.count("schema-drift") == len(topics)
    assert told.count("null-ratio") == 2 * len(topics)

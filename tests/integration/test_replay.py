"""If this failed, following a replay plan would set consumer groups to wrong offsets, or Kafka's own tool refuse it."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from collecting import Answer, Lab, eventually
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from stream_lineage.agents.group_offsets import group_client
from stream_lineage.agents.group_reset import GroupReset
from stream_lineage.agents.security import security
from stream_lineage.cli.main import run
from stream_lineage.errors import GroupBusy, SandboxError
from stream_lineage.graph.codec import encode_event
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.sandbox.artifacts import Artifacts, cache_directory
from stream_lineage.sandbox.java import SMALL_MACHINE, java_executable
from stream_lineage.sandbox.java_program import archive_runtime
from stream_lineage.sandbox.progress import StderrReporter
from stream_lineage.sandbox.settings import KAFKA_VERSION

pytestmark = pytest.mark.kafka

Where = tuple[str, int]
HOSTILE = ('comma,"quoted"', "#hash", "tab\there", "$(false)`false`'; false", "back\\slash", "ümläut", "-dash ")
"""Names of groups that files and shells may take for something else."""
CUT = "line\nend's $(false)"


@dataclass(frozen=True, slots=True)
class Tool:
    """Kafka's own ``kafka-consumer-groups``."""

    path: Path
    servers: str

    def reset(self, groups: Sequence[str], file: Path, how: str) -> str:
        named = [f"--group={group}" for group in groups]
        done = subprocess.run(
            [self.path, "--bootstrap-server", self.servers, "--reset-offsets", *named, "--from-file", file, how],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        assert "Error" not in done.stdout, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def tool(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    try:
        jars = Artifacts(StderrReporter()).kafka_command_line(KAFKA_VERSION)
    except SandboxError as error:
        pytest.skip(f"no tools of Kafka's to test with: {error}")
    path = tmp_path_factory.mktemp("tool") / "kafka-consumer-groups.sh"
    archive = archive_runtime(cache_directory())
    faster = () if archive is None else (f"-XX:SharedArchiveFile={archive}",)
    command = [
        java_executable(), "-Xmx128m", *SMALL_MACHINE, *faster, "-cp",
        ":".join(map(str, jars)), "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ]  # fmt: skip
    path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
    path.chmod(0o755)
    return Tool(path, cluster.bootstrap_servers)


def asked(lab: Lab, *arguments: str) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    state = ("--state-dir", str(lab.directory / "state"))
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["replay", *arguments, *lab.flags(), *state])
    return Answer(code, out.getvalue(), err.getvalue())


def fill(lab: Lab, topic: str, partitions: int, count: int, *, at: int = -1) -> None:
    producer = lab.producer()
    failed: list[Any] = []

    def refused(error: Any, _: Any) -> None:
        failed.extend([error] if error is not None else [])

    for number in range(count):
        for partition in range(partitions):
            where = {} if at < 0 else {"timestamp": at + number}
            producer.produce(topic, b"{}", key=b"%d" % number, partition=partition, on_delivery=refused, **where)
    assert producer.flush(30) == 0
    assert not failed


def client(lab: Lab, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": lab.bootstrap_servers, "group.id": group, "auto.offset.reset": "earliest"})


def stand(lab: Lab, group: str, at: Mapping[Where, int]) -> None:
    """Commit as a group that has no members. A coordinator that has just started may have to read its log first."""
    consumer = client(lab, group)
    offsets = [TopicPartition(*key, offset) for key, offset in at.items()]

    def committed() -> bool:
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            return False
        return True

    eventually(committed, 60, f"{group} has committed")
    consumer.close()


def stands(lab: Lab, group: str, *keys: Where) -> dict[Where, int]:
    consumer = client(lab, group)
    found = consumer.committed([TopicPartition(*key) for key in keys], timeout=30)
    consumer.close()
    return {(each.topic, each.partition): each.offset for each in found}


def member(lab: Lab, group: str, topic: str) -> Consumer:
    """One that has joined, and has committed all."""
    consumer = client(lab, group)
    consumer.subscribe([topic])
    eventually(lambda: consumer.poll(0.2) or consumer.assignment(), 60, f"{group} is assigned {topic}")
    ends = [TopicPartition(each.topic, each.partition, 100) for each in consumer.assignment()]
    consumer.commit(offsets=ends, asynchronous=False)
    return consumer


def test_kafkas_own_tool_takes_the_files_whatever_the_groups_are_called(lab: Lab, tool: Tool, tmp_path: Path) -> None:
    topic = lab.topic("orders", 2)
    fill(lab, topic, 2, 100)
    groups = [f"{lab.name}{each}" for each in HOSTILE]
    cut = f"{lab.name}{CUT}"
    for group in (*groups, cut):
        stand(lab, group, {(topic, 0): 90, (topic, 1): 95})
    several, script = tmp_path / "several.csv", tmp_path / "replay.sh"

    several.write_text(asked(lab, topic, "0:50", "1:60", *_only(groups), "--output", "csv").out)
    before = tool.reset(groups, several, "--dry-run")
    assert before.count(f"{topic} ") == 2 * len(groups)
    assert stands(lab, groups[0], (topic, 0)) == {(topic, 0): 90}
    tool.reset(groups, several, "--execute")
    for group in groups:
        assert stands(lab, group, (topic, 0), (topic, 1)) == {(topic, 0): 50, (topic, 1): 60}

    refused = asked(lab, topic, "0:1", *_only((cut, groups[3])), "--output", "csv")
    assert refused.code == 1
    assert "line end" in refused.err
    one = asked(lab, topic, "0:1", "1:60", *_only([cut]), "--output", "csv")
    assert one.out == f"{topic},0,1\n{topic},1,60\n"  # as the script hands it over, too
    script.write_text(asked(lab, topic, "0:1", *_only([cut]), "--output", "script").out)
    environment = {"KAFKA_CONSUMER_GROUPS": str(tool.path), "PATH": "/usr/bin:/bin"}
    subprocess.run(["/bin/sh", script, "--execute"], env=environment, check=True, capture_output=True, timeout=120)
    assert stands(lab, cut, (topic, 0)) == {(topic, 0): 1}


def _only(groups: Sequence[str]) -> list[str]:
    return [f"--group={group}" for group in groups]


async def committing(lab: Lab, group: str, offsets: Mapping[Where, int]) -> None:
    reset = GroupReset(group_client([lab.bootstrap_servers], security({})))
    try:
        await reset.commit(group, offsets)
    finally:
        await reset.close()


def test_only_stopped_groups_that_have_read_so_far_are_reset_and_come_back(lab: Lab, tmp_path: Path) -> None:
    topic = lab.topic("orders", 2)
    fill(lab, topic, 2, 100)
    ahead, behind, active = (f"{lab.name}-{each}" for each in ("ahead", "behind", "active"))
    stand(lab, ahead, {(topic, 0): 90, (topic, 1): 55})
    stand(lab, behind, {(topic, 0): 10})
    lab.delete_records(topic, 0, 70)
    joined = member(lab, active, topic)
    went_from = tmp_path / "went-from.csv"
    try:
        shown = asked(lab, topic, "0:50", "1:60", "--output", "json")
        assert stands(lab, ahead, (topic, 0)) == {(topic, 0): 90}
        with pytest.raises(GroupBusy):  # as it would be for a group that somebody starts in the last moment
            asyncio.run(committing(lab, active, {(topic, 0): 1}))
        flags = ("--execute", "--yes", "--go-back", str(went_from), "--output", "json")
        done = asked(lab, topic, "0:50", "1:60", *flags)
        assert stands(lab, active, (topic, 0), (topic, 1)) == {(topic, 0): 100, (topic, 1): 100}
    finally:
        joined.close()
    plan = {each["group"]: each["partitions"] for each in shown.json["groups"]}
    assert {name: [each["verdict"] for each in parts] for name, parts in plan.items()} == {
        active: ["reset", "reset"], ahead: ["reset", "not-reached"], behind: ["not-reached"],
    }  # fmt: skip
    assert [(each["target"], each["again"], each["lost"]) for each in plan[ahead]] == [(70, 20, 20), (None, 0, 0)]
    assert any("20 offsets can no longer be read again (50 to 69)" in note for note in shown.json["notes"])
    assert done.code == 1  # one group could not be reset
    assert {each["group"]: each["done"] for each in done.json["outcomes"]} == {active: False, ahead: True}
    assert stands(lab, ahead, (topic, 0), (topic, 1)) == {(topic, 0): 70, (topic, 1): 55}
    assert stands(lab, behind, (topic, 0)) == {(topic, 0): 10}

    assert went_from.read_text() == f"{ahead},{topic},0,90\n"
    back = asked(lab, "--back", str(went_from), "--execute", "--yes", "--go-back", str(tmp_path / "b.csv"))
    assert back.code == 0, back.err
    assert stands(lab, ahead, (topic, 0)) == {(topic, 0): 90}


def test_an_alert_is_followed_downstream_by_the_records_that_were_made_of_bad_ones(lab: Lab) -> None:
    raw, made, later = lab.topic("raw"), lab.topic("made"), lab.topic("later", cleanup_policy="compact")
    for own in ("observations", "edges", "anomaly-alerts", "graph"):
        lab.admin.create_topics([NewTopic(f"{lab.prefix}{own}", 1)])[f"{lab.prefix}{own}"].result(30)
    fill(lab, raw, 1, 100, at=1_700_000_000_000)
    fill(lab, made, 1, 50, at=1_700_000_100_000)
    fill(lab, later, 1, 30, at=1_700_000_000_035)
    for topic, end in ((raw, 100), (made, 50), (later, 30)):
        stand(lab, f"{lab.name}-reads-{topic}", {(topic, 0): end})
    edges = [RecordEdge(0, n, (ParentRange(raw, 0, 2 * n, 2 * n + 1),)) for n in range(50)]
    batch = EdgeBatch("b", lab.bootstrap_servers, made, None, "c", datetime.now(UTC), tuple(edges))
    alert = {
        "kind": "mean", "severity": "critical", "phase": "open", "summary": "far off", "topic": raw,
        "field_path": "amount", "fingerprint": "f" * 32, "first_offsets": {"0": 41}, "last_offsets": {},
        "observed_at": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    names = naming(lab.bootstrap_servers, [])
    seen = Evidence(EvidenceClass.DECLARED, "file", datetime.now(UTC), datetime.now(UTC), 1.0)
    drawn = [(names.topic(raw), names.topic(later)), (names.topic(raw), names.job("elsewhere"))]
    producer = lab.producer()
    producer.produce(f"{lab.prefix}edges", encode_edges(batch), key=made.encode())
    producer.produce(f"{lab.prefix}anomaly-alerts", json.dumps(alert).encode(), headers={"ce_id": "a" * 32})
    for source, target in drawn:
        event = GraphEvent(GraphEdge(source, target), seen)
        producer.produce(f"{lab.prefix}graph", encode_event(event), key=event.subject.id.encode())
    assert producer.flush(30) == 0

    found = asked(lab, "a" * 32, "--downstream", "--output", "json")
    assert found.code == 0, found.err
    starts = {each["topic"]: (each["offset"], each["by"]) for each in found.json["starts"]}
    # 41 is one of the parents of 20; of ``later`` record 6 is the first that is no older than record 41 of ``raw``.
    assert starts == {raw: (41, "alert"), made: (20, "edges"), later: (6, "time")}
    targets = {each["group"]: each["partitions"][0]["target"] for each in found.json["groups"]}
    assert targets == {f"{lab.name}-reads-{topic}": offset for topic, (offset, _) in starts.items()}
    assert [each["what"] for each in found.json["left_out"]] == ["elsewhere"]
    assert any("compacted" in note and later in note for note in found.json["notes"])

"""If this failed, what the real registry holds would go unannounced, a plugin could stop the agents, or the subscriber
in the docs would not print."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from patience import deadline_in, patient

from stream_lineage.cli.main import cli
from stream_lineage.model.observation import Observation
from stream_lineage.model.profile import Decoder, FieldProfile, Profile, TypeCount
from stream_lineage.model.schema import PLAIN_JSON, SchemaReference
from stream_lineage.model.schema_files import schema_text
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.testing.observations import observation, span, unresolved_reference
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

pytestmark = pytest.mark.kafka

NOW = datetime.now(UTC).replace(microsecond=0)
DOCS = Path(__file__).parents[2] / "docs"
ALERT = jsonschema.Draft202012Validator(json.loads(schema_text("alert.schema.json")))
PLUGIN = """
class Broken:
    name, channel = "broken", "anomaly"
    def initial(self):
        return {}
    def observe(self, state, observation, now, schemas):
        raise RuntimeError("not this time")
"""


@dataclass
class Place:
    """One topic prefix, and the files of its agents."""

    bootstrap_servers: str
    registry_url: str
    prefix: str
    directory: Path

    def topic(self, name: str) -> str:
        return self.prefix + name

    def post(self, path: str, document: Any) -> Any:
        answer = httpx.post(f"{self.registry_url}{path}", json=document, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def level(self, topic: str, level: str) -> None:
        url = f"{self.registry_url}/config/{topic}-value"
        httpx.put(url, json={"compatibility": level}, timeout=30).raise_for_status()

    def register(self, topic: str, *fields: str) -> SchemaReference:
        """A version of the topic's subject with these optional fields, as the collector refers to it."""
        rows = [{"name": name, "type": ["null", "int"], "default": None} for name in fields]
        schema = json.dumps({"type": "record", "name": f"R{self.prefix.strip('.')}", "fields": rows})
        id_ = self.post(f"/subjects/{topic}-value/versions", {"schema": schema})["id"]
        registry = SchemaRegistry(RegistrySettings(schema_registry_url=self.registry_url, registry_timeout_seconds=20))
        try:
            return registry.by_id(id_, topic=topic, role="value").reference
        finally:
            registry.close()

    def produce(self, *observations: Observation) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "partitioner": "murmur2_random"})
        for item in observations:
            producer.produce(self.topic("observations"), encode_observation(item), key=item.topic.encode())
        assert producer.flush(30) == 0

    @contextmanager
    def agents(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [
            sys.executable, "-m", "stream_lineage.cli.main", "agents",
            "--bootstrap-servers", self.bootstrap_servers, "--schema-registry-url", self.registry_url,
            "--topic-prefix", self.prefix, "--observation-partitions", "2", "--agents-id", f"{self.prefix}agents",
            "--agents-state-dir", str(self.directory / name), "--sqlite-path", str(self.directory / f"{name}.sqlite"),
            "--cluster", "test", "--registry-poll-seconds", "0.5", "--registry-negative-ttl-seconds", "1",
        ]  # fmt: skip
        path = os.pathsep.join((str(Path.cwd()), str(self.directory / "plugins")))
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path})
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-5000:] for path in sorted(self.directory.glob("*.log")))


@pytest.fixture
def place(cluster: Any, tmp_path: Path) -> Place:
    made = Place(cluster.bootstrap_servers, cluster.schema_registry_url, f"w{uuid.uuid4().hex[:8]}.", tmp_path)
    topics = [NewTopic(made.topic(name), num_partitions=1) for name in ("drift-alerts", "anomaly-alerts")]
    topics.append(NewTopic(made.topic("observations"), num_partitions=2))
    admin = AdminClient({"bootstrap.servers": made.bootstrap_servers})
    for future in admin.create_topics(topics).values():
        future.result(30)
    return made


@dataclass
class Alerts:
    """What is on the drift alerts, read as it comes."""

    place: Place
    consumer: Consumer
    seen: list[tuple[str, dict[str, Any]]]

    def until(self, condition: Callable[[list[dict[str, Any]]], bool], seconds: float = 40) -> list[dict[str, Any]]:
        deadline = deadline_in(seconds)
        while not condition(found := [body for _, body in self.seen]):
            assert time.monotonic() < deadline, f"{[(b['kind'], b['topic']) for b in found]}\n{self.place.log()}"
            message = self.consumer.poll(0.2)
            if message is not None and not message.error():
                body = json.loads(message.value() or b"")
                ALERT.validate(body)
                self.seen.append((dict(message.headers() or [])["ce_id"].decode(), body))  # type: ignore[union-attr]
        return found

    def one(self, kind: str, topic: str) -> dict[str, Any]:
        found = self.until(lambda bodies: any((b["kind"], b["topic"]) == (kind, topic) for b in bodies))
        return next(b for b in found if (b["kind"], b["topic"]) == (kind, topic))


@pytest.fixture
def alerts(place: Place) -> Iterator[Alerts]:
    consumer = Consumer(
        {"bootstrap.servers": place.bootstrap_servers, "group.id": place.prefix, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([place.topic("drift-alerts")])
    yield Alerts(place, consumer, [])
    consumer.close()


def eventually(condition: Callable[[], bool], place: Place, seconds: float = 40) -> None:
    deadline = deadline_in(seconds)
    while not condition():
        assert time.monotonic() < deadline, place.log()
        time.sleep(0.1)


def json_flush(topic: str, first: int, type_: str, at: datetime) -> Observation:
    field = FieldProfile("age", (TypeCount(type_, 200),), 200, 0, 0)
    profile = Profile(Decoder.JSON, Decoder.OPAQUE, 200, 0, None, (field,), ())
    return observation(PLAIN_JSON, span(0, first, first + 199), topic=topic, cluster="test", at=at, profile=profile)


def test_the_registry_is_watched_and_a_worker_that_dies_changes_nothing(place: Place, alerts: Alerts) -> None:
    package = place.directory / "plugins" / "broken-1.dist-info"
    package.mkdir(parents=True)
    (package.parent / "broken_detector.py").write_text(PLUGIN)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[stream_lineage.detectors]\nbroken = broken_detector:Broken\n")
    topics = [f"{place.prefix}{name}" for name in ("clicks", "orders", "users")]
    clicks, orders, users = topics
    flush = {"cluster": "test", "at": NOW}
    with place.agents("one") as one:
        for topic in topics:
            place.produce(observation(place.register(topic, "a", topic[-3:]), span(0, 0, 9), topic=topic, **flush))
        place.produce(
            json_flush("plain", 0, "integer", NOW),
            json_flush("plain", 200, "integer", NOW + timedelta(minutes=2)),
            json_flush("plain", 400, "string", NOW + timedelta(minutes=3)),
            observation(unresolved_reference(2_000_000_000), span(0, 10, 19), topic=users, **flush),
        )
        structure = alerts.one("structure-drift", "plain")
        assert structure["first_offsets"] == {"0": 400}
        assert [(c["kind"], c["path"], c["old"], c["new"]) for c in structure["changes"]] == [
            ("type-changed", "age", "integer", "string")
        ]
        assert structure["severity"] == "critical"
        unknown = alerts.one("unknown-schema", users)
        assert (unknown["severity"], unknown["first_offsets"]) == ("critical", {"0": 10})
        log = (place.directory / "one.log").read_text()
        assert log.count("detector plugin switched off") == 1
        assert "not this time" in log

        # What is known of a subject is in the changelog once its first look is told.
        eventually(lambda: looked_at(place) >= set(topics), place)
        place.register(clicks, "a", "cks", "added")
        upcoming = alerts.one("upcoming-schema", clicks)
        assert (upcoming["severity"], upcoming["first_offsets"]) == ("info", {})
        assert [(c["kind"], c["path"]) for c in upcoming["changes"]] == [("field-added", "added")]
        place.level(orders, "FULL")
        assert alerts.one("compatibility-changed", orders)["severity"] == "info"
        one.send_signal(signal.SIGKILL)
    httpx.delete(f"{place.registry_url}/subjects/{users}-value", timeout=30).raise_for_status()
    with place.agents("two") as two:
        assert alerts.one("subject-deleted", users)["severity"] in ("warning", "critical")
        # On the wire now: what was announced comes, as information.
        known = place.register(clicks, "a", "cks", "added")
        place.produce(observation(known, span(0, 10, 19), topic=clicks, **flush))
        assert alerts.one("schema-drift", clicks)["severity"] == "info"
        two.send_signal(signal.SIGTERM)
        assert two.wait(patient(20)) == 0, place.log()

    # What the first worker told and did not come to keep is told once more, and is the same alert.
    told = {id_: (body["kind"], body["topic"]) for id_, body in alerts.seen}
    assert sorted(told.values()) == sorted(
        [
            ("structure-drift", "plain"),
            ("unknown-schema", users),
            ("upcoming-schema", clicks),
            ("compatibility-changed", orders),
            ("subject-deleted", users),
            ("schema-drift", clicks),
        ]
    )
    assert len({event_id for event_id, _ in alerts.seen}) == len(told)
    assert printed(place, len(told)) >= {f"{body['severity']}: {body['summary']}" for _, body in alerts.seen}


def looked_at(place: Place) -> set[str]:
    """Topics whose registry state is in the changelog."""
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap_servers,
            "group.id": f"{place.prefix}changelog{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    topic = f"{place.prefix}agents-state-changelog"
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(2)])
    found, ends = set(), 0
    try:
        while ends < 2:
            message = consumer.poll(5)
            if message is None:
                break
            if message.error():
                ends += 1
            elif (message.key() or b"").startswith(b"registry-watch/"):
                found.add((message.key() or b"").decode().partition("/")[2])
    finally:
        consumer.close()
    return found


def printed(place: Place, count: int) -> set[str]:
    """What the subscriber in the docs prints."""
    [code] = re.findall(
        r"```python\n(import json\n.*?)```", (DOCS / "alerts.md").read_text(encoding="utf-8"), re.DOTALL
    )
    code = code.replace("localhost:9092", place.bootstrap_servers).replace("lineage.", place.prefix)
    code = code.replace('"printer"', f'"{place.prefix}printer"')
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            return {process.stdout.readline().rstrip("\n") for _ in range(count)}
        finally:
            process.kill()


TEXTS = {
    "AVRO": (
        '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}',
        '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}',
        {"backward": False, "forward": True, "full": False},
        ("field-added", "b", ["backward"]),
    ),
    "JSON": (
        '{"type":"object","properties":{"a":{"type":"integer"}}}',
        '{"type":"object","properties":{"a":{"type":"string"}}}',
        {"backward": False, "forward": False, "full": False},
        ("type-changed", "a", ["backward", "forward"]),
    ),
    "PROTOBUF": (
        'syntax = "proto3"; message M { int32 a = 1; }',
        'syntax = "proto3"; message M { int64 a = 1; string b = 2; }',
        {"backward": True, "forward": True, "full": True},
        ("field-added", "b", []),
    ),
}


def test_versions_in_the_registry_are_compared(cluster: Any) -> None:
    for type_, (old, new, verdict, change) in TEXTS.items():
        topic = f"diff-{uuid.uuid4().hex}"
        place = Place(cluster.bootstrap_servers, cluster.schema_registry_url, "", Path())
        place.post(f"/subjects/{topic}-value/versions", {"schema": old, "schemaType": type_})
        place.level(topic, "NONE")
        place.post(f"/subjects/{topic}-value/versions", {"schema": new, "schemaType": type_})
        arguments = ["schema", "diff", f"{topic}-value:1", f"{topic}-value:latest", "--output", "json"]
        options = ["--schema-registry-url", place.registry_url, "--registry-timeout-seconds", "20"]
        answer = CliRunner().invoke(cli, [*arguments, *options])

        assert answer.exit_code == 0, answer.output
        document = json.loads(answer.stdout)
        assert document["compatibility"] == verdict
        assert change in [(one["kind"], one["path"], one["breaks"]) for one in document["changes"]]

"""What tests of the collector share: its command line, producers that remember what was acknowledged, comparisons.

The oracle is the producer's own delivery reports: (topic, partition, offset), with the schema id that was written.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import httpx
import psutil  # type: ignore[import-untyped]
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Where
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from patience import deadline_in, patient

CLICK: dict[str, Any] = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "user", "type": "long"},
        {"name": "amount", "type": "double"},
        {"name": "country", "type": "string"},
    ],
}
AGE = {"name": "age", "type": ["null", "int"], "default": None}
CLICK_2: dict[str, Any] = {**CLICK, "fields": [*CLICK["fields"], AGE]}
COUNTRIES = ("DE", "FR", "US", "JP")


def click(number: int) -> dict[str, Any]:
    return {"user": number % 997, "amount": number / 7, "country": COUNTRIES[number % 4], "age": number % 90}


def avro(schema: Mapping[str, Any], record: Mapping[str, Any], schema_id: int) -> bytes:
    """A record as Confluent's serializer writes it."""
    out = io.BytesIO()
    out.write(b"\x00" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), dict(record))
    return out.getvalue()


def eventually(condition: Callable[[], Any], seconds: float, what: str | Callable[[], str]) -> Any:
    """The condition's value once it is true. ``what`` is asked for when it is too late, so that it tells of then."""
    deadline = deadline_in(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.1)


@dataclass(slots=True)
class Acknowledged:
    """What the brokers have acknowledged: schema ids by topic, partition and offset. Null stands for no schema.

    ``unplaced`` counts those of a partition that are there and nobody knows where: a record that was sent again since
    its first acknowledgement was lost with the broker is acknowledged as a duplicate, without an offset.
    """

    ids: dict[tuple[str, int], dict[int, int | None]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    unplaced: Counter[tuple[str, int]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        with self.lock:
            return sum(len(offsets) for offsets in self.ids.values()) + self.unplaced.total()

    def callback(self, schema_id: int | None) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            with self.lock:
                if error is not None:
                    self.failed.append(error.str())
                    return
                where = (str(message.topic()), int(message.partition() or 0))
                if message.offset() is None or message.offset() < 0:
                    self.unplaced[where] += 1
                    return
                self.ids.setdefault(where, {})[int(message.offset() or 0)] = schema_id

        return delivered

    def of(self, topic: str) -> dict[int, dict[int, int | None]]:
        with self.lock:
            return {partition: dict(ids) for (name, partition), ids in self.ids.items() if name == topic}

    def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last acknowledged one of each partition."""
        return {partition: max(ids) + 1 for partition, ids in self.of(topic).items()}


class Traffic:
    """Records at a steady rate from a thread of its own, until stopped. ``payloads`` are sent in turn."""

    def __init__(
        self,
        lab: Lab,
        topics: Sequence[str],
        payloads: Sequence[tuple[bytes, int]],
        acknowledged: Acknowledged,
        *,
        rate: int,
        partitions: Callable[[], int] | None = None,
    ) -> None:
        self._producer = lab.producer({"linger.ms": 20, "message.timeout.ms": 120_000})
        self._topics, self._payloads, self._rate = topics, payloads, rate
        self._acknowledged, self._partitions = acknowledged, partitions
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; wait for what is under way."""
        self._stopping.set()
        self._thread.join()
        assert self._producer.flush(120) == 0
        assert not self._acknowledged.failed

    def _run(self) -> None:
        started = time.monotonic()
        callbacks = {schema_id: self._acknowledged.callback(schema_id) for _, schema_id in self._payloads}
        while not self._stopping.is_set():
            due = int((time.monotonic() - started) * self._rate)
            while self.sent < due and not self._stopping.is_set():
                value, schema_id = self._payloads[self.sent % len(self._payloads)]
                topic = self._topics[self.sent % len(self._topics)]
                where = {} if self._partitions is None else {"partition": self.sent % self._partitions()}
                callback = callbacks[schema_id]
                try:
                    self._producer.produce(topic, value, key=b"k%d" % self.sent, on_delivery=callback, **where)
                    self.sent += 1
                except BufferError:
                    self._producer.poll(0.05)
            self._producer.poll(0.01)


class Running:
    """A collector of the real command line, as a process."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log_path = log
        self._out = log.with_suffix(".out").open("wb")
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(command, stdout=self._out, stderr=stderr, env=dict(environment))
        self.pid = self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def all_events(self) -> list[dict[str, Any]]:
        """Everything that it has logged so far."""
        lines = self.log().split("\n")[:-1]  # what follows the last line end is not written out yet
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log events of this text."""
        return [event for event in self.all_events() if event.get("event") == name]

    def family(self) -> list[psutil.Process]:
        """The process and its children, as long as they live."""
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def wait_for(self, event: str, seconds: float = 30) -> None:
        def seen() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode}\n{self.log()[-4000:]}"
            return bool(self.events(event))

        eventually(seen, seconds, lambda: f"log event '{event}'\n{self.log()[-4000:]}")

    def owns(self, seconds: float = 30) -> None:
        """Wait until it has got partitions."""
        self.wait_for("partitions assigned", seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds: float = 20) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        try:
            return self.process.wait(patient(seconds))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds:g} s\n{self.log()[-4000:]}") from None

    def summary(self) -> dict[str, Any]:
        """What it printed at its end."""
        document: dict[str, Any] = json.loads(self.log_path.with_suffix(".out").read_text())
        return document

    def close(self) -> None:
        if self.process.poll() is None:
            if self.process.pid:
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self._out.close()


@contextmanager
def paused(collector: Running) -> Iterator[None]:
    """Stopped, as on a machine that swaps or is suspended."""
    collector.process.send_signal(signal.SIGSTOP)
    yield
    collector.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Offline:
    """The command line in an environment without settings of ours."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_LINEAGE_")}
        # A busy machine compiles a schema in more than the two seconds after which records have no profile.
        self.environment["STREAM_LINEAGE_REGISTRY_PATIENCE_SECONDS"] = str(patient(2))

    def run(self, *arguments: str, seconds: float = 120) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "stream_lineage.cli.main", *arguments],
            capture_output=True, text=True, timeout=patient(seconds), check=False, env=self.environment,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)


class Lab(Offline):
    """Topics, a group, a topic prefix and a state directory of one test's own."""

    def __init__(self, bootstrap_servers: str, registry_url: str, directory: Path) -> None:
        super().__init__(directory)
        self.bootstrap_servers, self.registry_url = bootstrap_servers, registry_url
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.group = f"{self.name}-collectors"
        self.prefix = f"{self.name}.lineage."
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._collectors: list[Running] = []
        self._asking: Consumer | None = None
        self._refused = ""

    def close(self) -> None:
        if self._asking is not None:
            self._asking.close()
        for collector in self._collectors:
            collector.close()

    # Topics and schemas

    def topic(self, name: str, partitions: int = 1, **config: object) -> str:
        """Create a topic; its full name. ``cleanup_policy`` stands for ``cleanup.policy``."""
        full = f"{self.name}.{name}"
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        self._settled(self.admin.create_topics([NewTopic(full, num_partitions=partitions, config=settings)]))
        return full

    def delete_topic(self, topic: str) -> None:
        self._settled(self.admin.delete_topics([topic], operation_timeout=30))
        eventually(lambda: topic not in self.admin.list_topics(timeout=10).topics, 30, f"{topic} is deleted")

    def add_partitions(self, topic: str, total: int) -> None:
        self._settled(self.admin.create_partitions([NewPartitions(topic, total)]))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete what lies below an offset, as retention does."""
        self._settled(self.admin.delete_records([Where(topic, partition, before)]))

    def schema(self, topic: str, schema: Mapping[str, Any]) -> int:
        """Register a topic's value schema; its id."""
        httpx.put(f"{self.registry_url}/config/{topic}-value", json={"compatibility": "NONE"}, timeout=30)
        answer = httpx.post(
            f"{self.registry_url}/subjects/{topic}-value/versions", json={"schema": json.dumps(schema)}, timeout=30
        )
        answer.raise_for_status()
        return int(answer.json()["id"])

    def clicks(self, topic: str, schema: Mapping[str, Any] = CLICK, count: int = 500) -> list[tuple[bytes, int]]:
        """Payloads under a schema that is registered for the topic."""
        schema_id = self.schema(topic, schema)
        names = {item["name"] for item in schema["fields"]}
        records = ({k: v for k, v in click(n).items() if k in names} for n in range(count))
        return [(avro(schema, record, schema_id), schema_id) for record in records]

    # Producers and groups

    def producer(self, config: Mapping[str, Any] | None = None) -> Producer:
        return Producer({"bootstrap.servers": self.bootstrap_servers, "enable.idempotence": True, **(config or {})})

    def send(
        self, topic: str, payloads: Iterable[tuple[bytes | None, int | None]], known: Acknowledged, **options: Any
    ) -> None:
        """Produce and wait for the acknowledgements."""
        producer = self.producer({"linger.ms": 5})
        for value, schema_id in payloads:
            producer.produce(topic, value, on_delivery=known.callback(schema_id), **options)
            producer.poll(0)
        assert producer.flush(60) == 0
        assert not known.failed

    def consumer(self, **config: Any) -> Consumer:
        given = {key.replace("_", "."): value for key, value in config.items()}
        own = {"bootstrap.servers": self.bootstrap_servers, "group.id": f"{self.name}-test"}
        return Consumer({**own, "enable.auto.commit": False, **given})

    def visible(self, topic: str, partition: int = 0) -> list[int]:
        """Offsets that a plain consumer sees."""
        reader = self.consumer(enable_partition_eof=True, auto_offset_reset="earliest")
        offsets: list[int] = []
        try:
            reader.assign([Where(topic, partition, 0)])
            while True:
                message = reader.poll(30)
                assert message is not None
                if message.error() is None:
                    offsets.append(int(message.offset() or 0))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return offsets
        finally:
            reader.close()

    def committed(self) -> dict[tuple[str, int], int]:
        """The group's committed offsets for topics of this test.

        Asked by a consumer: the admin client of 2.12 ends the process where the coordinator is not there yet.
        """
        if self._asking is None:
            self._asking = self.consumer(group_id=self.group)
        try:
            topics = self.admin.list_topics(timeout=30).topics
            wanted = [
                Where(name, number)
                for name, topic in topics.items()
                if name.startswith(self.name) and not name.startswith(self.prefix)
                for number in topic.partitions
            ]
            found = self._asking.committed(wanted, timeout=30) if wanted else []
        except KafkaException as error:
            self._refused = str(error)
            return {}  # no coordinator, so nothing committed that it could tell of
        return {(where.topic, where.partition): where.offset for where in found if where.offset >= 0}

    def lag(self, topic: str) -> dict[int, int]:
        """End offset minus committed offset, by partition; -1 where nothing is committed."""
        committed = self.committed()
        reader = self.consumer()
        try:
            partitions = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
            ends = {number: reader.get_watermark_offsets(Where(topic, number), timeout=10)[1] for number in partitions}
        finally:
            reader.close()
        return {n: end - committed[(topic, n)] if (topic, n) in committed else -1 for n, end in ends.items()}

    def caught_up(self, known: Acknowledged, seconds: float = 60) -> None:
        """Wait until everything that is acknowledged by now is committed as observed."""
        with known.lock:
            ends = {where: max(ids) + 1 for where, ids in known.ids.items()}

        def behind() -> dict[tuple[str, int], int]:
            committed = self.committed()
            return {where: end for where, end in ends.items() if committed.get(where, -1) < end}

        def late() -> str:
            return f"all is committed; behind: {dict(list(behind().items())[:20])}; {self._refused}\n{self._tails()}"

        eventually(lambda: not behind(), seconds, late)

    def _tails(self) -> str:
        return "\n".join(collector.log()[-3000:] for collector in self._collectors)

    # Commands

    def flags(self) -> list[str]:
        return ["--bootstrap-servers", self.bootstrap_servers, "--topic-prefix", self.prefix]

    def collect_command(self, *flags: str) -> list[str]:
        return [
            sys.executable, "-m", "stream_lineage.cli.main", "collect", *self.flags(),
            "--schema-registry-url", self.registry_url,
            "--group-id", self.group,
            "--include", rf"{self.name}\..*",
            "--state-dir", str(self.directory / "state"),
            "--topic-refresh-seconds", "1",
            "--session-timeout-seconds", "6",
            "--observation-partitions", "2",
            "--output", "json",
            *flags,
        ]  # fmt: skip

    def collect(self, *flags: str, name: str | None = None) -> Running:
        """Start a collector."""
        name = name or f"collector-{len(self._collectors)}"
        made = Running(self.collect_command(*flags), self.directory / f"{name}.log", self.environment)
        self._collectors.append(made)
        return made

    def collect_until_end(self, *flags: str, seconds: float = 90) -> dict[str, Any]:
        """Run a collector up to the end; its summary."""
        collector = self.collect("--until-end", *flags)
        code = collector.wait(seconds)
        assert code == 0, collector.log()[-6000:]
        return collector.summary()

    def spans(self, topic: str) -> list[dict[str, Any]]:
        answer = self.run("spans", topic, *self.flags(), "--output", "json")
        assert answer.code == 0, answer.err
        rows: list[dict[str, Any]] = answer.json
        return rows

    def verify(self, *flags: str) -> Answer:
        return self.run("verify", *self.flags(), "--group-id", self.group, "--output", "json", *flags)

    def record(self, topic: str, partition: int, offset: int) -> Answer:
        arguments = ("record", topic, str(partition), str(offset), *self.flags(), "--group-id", self.group)
        return self.run(*arguments, "--output", "json")

    # Comparisons

    def check(self, known: Acknowledged, *topics: str) -> dict[str, list[dict[str, Any]]]:
        """Every acknowledged record of these topics is in exactly one span, under its schema, and nothing else is; and
        ``verify`` says that all is well. The spans of each topic."""
        expected = 0
        found: dict[str, list[dict[str, Any]]] = {}
        for topic in topics:
            rows = found[topic] = self.spans(topic)
            observed = observed_offsets(rows)
            acknowledged = known.of(topic)
            for partition in acknowledged.keys() | observed.keys():
                want, have = acknowledged.get(partition, {}), observed.get(partition, Counter())
                where = f"{topic}[{partition}]"
                doubled = [key for key, count in have.items() if count > 1]
                assert not doubled, f"{where}: {len(doubled)} counted twice, such as {sorted(doubled)[:5]}"
                pairs = set(want.items())
                lost, extra = pairs - have.keys(), have.keys() - pairs
                shown = str(rows)[:3000]
                assert not lost, f"{where}: {len(lost)} missing, such as {sorted(lost)[:5]}\n{shown}"
                unplaced = known.unplaced[(topic, partition)]
                told = f"{len(extra)} never written, {unplaced} of them acknowledged without an offset"
                assert len(extra) == unplaced, f"{where}: {told}, such as {sorted(extra)[:5]}\n{shown}"
                expected += unplaced
            expected += sum(map(len, acknowledged.values()))
        answer = self.verify()
        assert answer.code == 0, answer.out + answer.err
        document: dict[str, Any] = answer.json
        assert document["ok"]
        assert document["gaps"] == document["overlaps"] == document["broken_links"] == []
        assert document["records"] == expected
        return found

    @staticmethod
    def _settled(futures: Mapping[Any, Any]) -> None:
        for future in futures.values():
            future.result(30)


def observed_offsets(rows: Iterable[Mapping[str, Any]]) -> dict[int, Counter[tuple[int, int | None]]]:
    """(offset, schema id) of every record that spans hold, by partition, with how often."""
    out: dict[int, Counter[tuple[int, int | None]]] = {}
    for row in rows:
        absent = {n for gap in row["missing"] for n in range(gap["first_offset"], gap["last_offset"] + 1)}
        offsets = [n for n in range(row["first_offset"], row["last_offset"] + 1) if n not in absent]
        assert len(offsets) == row["count"], row
        schema_id = row["schema"]["id"]
        out.setdefault(row["partition"], Counter()).update((offset, schema_id) for offset in offsets)
    return out


def missing(rows: Iterable[Mapping[str, Any]], partition: int = 0) -> list[tuple[int, int, str]]:
    """Missing ranges of a partition, joined over spans."""
    gaps = sorted(
        (gap["first_offset"], gap["last_offset"], gap["reason"])
        for row in rows
        if row["partition"] == partition
        for gap in row["missing"]
    )
    out: list[tuple[int, int, str]] = []
    for first, last, reason in gaps:
        if out and out[-1][2] == reason and out[-1][1] + 1 == first:
            out[-1] = (out[-1][0], last, reason)
        else:
            out.append((first, last, reason))
    return out

"""If this failed, who writes to a topic or to a broker's disk could end the collector, or have it lose records."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil  # type: ignore[import-untyped]
import pytest
from collecting import Acknowledged, Lab, Running, eventually
from evidence import Record, dead_letters, observations, profiles, send
from raw_kafka import RawRecord, batch, bomb, crc32c, produce

from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry

pytestmark = pytest.mark.kafka

TIGHT = ("--flush-interval-seconds", "0.1", "--unreadable-retry-seconds", "1")


@pytest.fixture(scope="module")
def sandbox(cluster: Any) -> Iterator[Sandbox]:
    """A broker whose disk is ours to damage."""
    if cluster.sandbox is not None:
        yield cluster.sandbox
        return
    with Sandbox(SandboxSettings(registry=False)) as made:
        yield made


@pytest.fixture
def lab(sandbox: Sandbox, cluster: Any, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(sandbox.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    yield made
    made.close()


def write(lab: Lab, topic: str, records: list[RawRecord], known: Acknowledged, partition: int = 0, **how: Any) -> int:
    """One batch; the offset of its first record."""
    first = produce(lab.bootstrap_servers, topic, partition, batch(records, **how))
    with known.lock:
        own = known.ids.setdefault((topic, partition), {})
        own.update((first + number, None) for number in range(len(records)))
    return first


@dataclass(slots=True)
class Peak:
    megabytes: float = 0.0


@contextmanager
def peak_memory(collector: Running) -> Iterator[Peak]:
    """The most that the main process of a collector holds."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        process = psutil.Process(collector.pid)
        while not done.wait(0.01):
            with suppress(psutil.Error):
                peak.megabytes = max(peak.megabytes, process.memory_info().rss / 1e6)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield peak
    done.set()
    thread.join()


# Headers


def test_headers_of_any_kind(lab: Lab) -> None:
    """Each record is exact whatever its headers are, and the last GUID header of a name is the one that counts."""
    topic, known = lab.topic("headers", max_message_bytes=4_000_000), Acknowledged()
    name, one, two = b"__value_schema_id", UUID(int=7), UUID(int=8)
    guid = [b"\x01" + number.bytes for number in (one, two)]
    cases: list[tuple[list[tuple[bytes, bytes | None]], UUID | None]] = [
        ([(b"\xff\xfe", b"x")], None),
        ([(name, guid[0]), (b"\xff", b"x")], one),
        ([(b"\xff", b"x"), (name, guid[0]), (b"\xed\xa0\x80", None), (name, guid[1])], two),
        ([(name, guid[0]), (name, guid[1])], two),
        ([(name, guid[0]), (name, None)], None),
        ([(name, guid[0]), (name, b"\x01short")], None),
        ([(name.upper(), guid[0]), (b"", b""), (b"", None)], None),
        ([(b"h%d" % number, b"v") for number in range(10_000)], None),
        ([(b"\xff%d" % number, b"v") for number in range(10_000)], None),
        ([(b"big", bytes(1_000_000)), (name, guid[0])], one),
        ([(bytes([97]) * 1_000_000, b"long name")], None),
        ([], None),
    ]
    for headers, _ in cases * 2:
        write(lab, topic, [RawRecord(b"value", b"key", headers)], known)
    lab.collect_until_end()
    lab.check(known, topic)
    guids: dict[int, str | None] = {}
    for row in lab.spans(topic):
        for offset in range(row["first_offset"], row["last_offset"] + 1):
            guids[offset] = row["schema"]["guid"]
    expected = [None if guid is None else str(guid) for _, guid in cases * 2]
    assert [guids[offset] for offset in range(len(cases) * 2)] == expected


def test_whoever_writes_into_our_log_ends_no_reader_of_it(lab: Lab) -> None:
    topic, known = lab.topic("well"), Acknowledged()
    write(lab, topic, [RawRecord(b"value")] * 5, known)
    lab.collect_until_end()
    name, key = f"{lab.prefix}observations", topic.encode()
    for headers in ([(b"\xff", b"x")], [(b"digest", b"\xff"), (b"\xff\xfe", None)]):
        for partition in range(2):
            produce(
                lab.bootstrap_servers, name, partition, batch([RawRecord(b"\x00\x00\x00\x00\x01junk", key, headers)])
            )
    assert [row["count"] for row in lab.spans(topic)] == [5]
    answer = lab.verify()
    assert answer.code == 1
    assert answer.json["records"] == 5
    assert "Traceback" not in answer.err
    write(lab, topic, [RawRecord(b"value")] * 5, known)
    lab.collect_until_end()
    assert sum(row["count"] for row in lab.spans(topic)) == 10


def test_long_headers_do_not_fill_the_memory(lab: Lab) -> None:
    """The client's prefetch counts values alone; these records have next to none."""
    topic, known = lab.topic("baggage", partitions=2), Acknowledged()
    blob = os.urandom(400_000)
    records = [Record(b"v", None, (("baggage", blob),), partition=number % 2) for number in range(1_200)]
    send(lab, topic, records, known)
    collector = lab.collect("--memory-limit-mb", "300", *TIGHT)
    with peak_memory(collector) as peak:
        lab.caught_up(known, 90)
    assert collector.terminate() == 0
    lab.check(known, topic)
    assert peak.megabytes < 330
    assert not collector.events("the collector takes more memory than it may and starts again")


# Compression


@pytest.mark.slow
def test_bombs_hold_up_their_partitions_alone(lab: Lab) -> None:
    """600 MB in 600 kB of gzip are more than there is memory: the process is replaced, and reads on without them."""
    bombs = {"gzip": 600, "zstd": 500, "snappy": 16, "lz4": 30}
    topic, known = lab.topic("bombs", partitions=len(bombs) + 1), Acknowledged()
    for partition, (codec, megabytes) in enumerate(bombs.items()):
        first = produce(lab.bootstrap_servers, topic, partition, bomb(codec, megabytes * 1_000_000))
        if codec in ("snappy", "lz4"):
            known.ids[(topic, partition)] = {first: None}
        write(
            lab,
            topic,
            [RawRecord(b"behind it")] * 3,
            known if codec in ("snappy", "lz4") else Acknowledged(),
            partition,
        )
    limit = 400
    collector = lab.collect("--memory-limit-mb", str(limit), *TIGHT)
    with peak_memory(collector) as peak:
        well = len(bombs)
        write(lab, topic, [RawRecord(b"well")] * 3, known, well)
        lab.caught_up(known, 120)
        eventually(
            lambda: {letter["partition"] for letter in dead_letters(lab, topic)} == {0, 1},
            60, lambda: f"what cannot be read is told of\n{collector.log()[-3000:]}",
        )  # fmt: skip
        write(lab, topic, [RawRecord(b"more")] * 3, known, well)
        lab.caught_up(known, 30)
    assert peak.megabytes < 2 * limit
    assert len(collector.events("the collector takes more memory than it may and starts again")) >= 1
    assert collector.process.poll() is None
    committed = lab.committed()
    assert {partition: committed.get((topic, partition), 0) for partition in (0, 1)} == {0: 0, 1: 0}
    # What retention deletes does not hold anything up any more.
    for partition in (0, 1):
        lab.delete_records(topic, partition, 1)
        known.ids[(topic, partition)] = dict.fromkeys(range(1, 4))
    lab.caught_up(known, 90)
    assert collector.terminate() == 0
    lab.check(known, topic)


# Damage on a broker's disk


@dataclass(frozen=True, slots=True)
class Segment:
    """The log of one partition, as the broker has it on its disk."""

    path: Path

    def batches(self) -> list[tuple[int, int, int]]:
        """First offset, place in the file and size of each batch."""
        raw, at, out = self.path.read_bytes(), 0, []
        while at < len(raw) and (size := struct.unpack_from(">i", raw, at + 8)[0]) > 0:
            out.append((struct.unpack_from(">q", raw, at)[0], at, size + 12))
            at += size + 12
        return out

    def read(self, offset: int) -> bytes:
        at, size = next((at, size) for first, at, size in self.batches() if first == offset)
        return self.path.read_bytes()[at : at + size]

    def write(self, offset: int, content: bytes) -> None:
        at = next(at for first, at, _ in self.batches() if first == offset)
        with self.path.open("r+b") as file:
            os.pwrite(file.fileno(), content, at)


def segment(sandbox: Sandbox, topic: str, partition: int = 0) -> Segment:
    return Segment(sandbox.directory / "kafka" / "data" / f"{topic}-{partition}" / "00000000000000000000.log")


def checked(content: bytearray) -> bytes:
    """The batch with a checksum that fits."""
    struct.pack_into(">I", content, 17, crc32c(bytes(content[21:])))
    return bytes(content)


def flipped(content: bytearray) -> bytes:
    content[-5] ^= 0xFF
    return bytes(content)


def with_lengths_that_do_not_fit(content: bytearray) -> bytes:
    content[61] = 0x7E
    return checked(content)


def said_to_be_zstd(content: bytearray) -> bytes:
    content[22] = 4
    return checked(content)


def of_version_7(content: bytearray) -> bytes:
    content[16] = 7
    return bytes(content)


DAMAGE: dict[str, Callable[[bytearray], bytes]] = {
    "a flipped byte": flipped,
    "lengths": with_lengths_that_do_not_fit,
    "zstd": said_to_be_zstd,
    "version": of_version_7,
}


def test_a_damaged_batch_holds_up_its_partition_alone(lab: Lab, sandbox: Sandbox) -> None:
    """One partition for each kind of damage, one that is well. Mended, each goes on without a gap."""
    topic, known = lab.topic("damaged", partitions=len(DAMAGE) + 1), Acknowledged()
    well = len(DAMAGE)
    for partition in range(well + 1):
        for number in range(4):
            write(lab, topic, [RawRecord(b"p%d-%d-%d" % (partition, number, n)) for n in range(3)], known, partition)
    logs = [segment(sandbox, topic, partition) for partition in range(well)]
    whole = [log.read(6) for log in logs]
    for log, content, damage in zip(logs, whole, DAMAGE.values(), strict=True):
        log.write(6, damage(bytearray(content)))

    collector = lab.collect(*TIGHT)
    expected = {(topic, partition): 6 for partition in range(well)} | {(topic, well): 12}
    eventually(lambda: lab.committed() == expected, 60, "all that can be read is committed")
    eventually(
        lambda: {letter["partition"] for letter in dead_letters(lab, topic)} == set(range(well)), 90,
        lambda: f"each damaged partition is told of\n{collector.log()[-3000:]}",
    )  # fmt: skip
    write(lab, topic, [RawRecord(b"more")] * 3, known, well)
    lab_end = {(topic, well): 15}
    eventually(lambda: lab.committed().items() >= lab_end.items(), 30, "the others go on")
    assert lab.committed() == expected | lab_end
    for letter in dead_letters(lab, topic):
        assert (letter["kind"], letter["role"], letter["offset"], letter["count"]) == ("unreadable", "record", 6, 1)
        assert letter["error"].startswith("the partition cannot be read on from here: ")
    assert len(collector.events("a partition cannot be read and is set aside")) > 0
    assert collector.process.poll() is None

    for log, content in zip(logs, whole, strict=True):
        log.write(6, content)
    lab.caught_up(known, 60)
    assert collector.terminate() == 0
    lab.check(known, topic)
    assert len(collector.events("a partition can be read again")) == well


def test_up_to_the_end_says_what_could_not_be_read(lab: Lab, sandbox: Sandbox) -> None:
    topic, known = lab.topic("damaged", partitions=2), Acknowledged()
    for partition in range(2):
        for number in range(3):
            write(lab, topic, [RawRecord(b"%d" % number)] * 2, known, partition)
    log = segment(sandbox, topic)
    content = log.read(2)
    log.write(2, flipped(bytearray(content)))
    collector = lab.collect("--until-end", *TIGHT)
    assert collector.wait(60) == 1
    assert f"error: could not be read to their end: {topic}[0] from offset 2" in collector.log()
    assert lab.committed() == {(topic, 0): 2, (topic, 1): 6}
    # What retention deletes is gone, and said to be.
    lab.delete_records(topic, 0, 4)
    lab.collect_until_end(*TIGHT)
    assert lab.committed() == {(topic, 0): 6, (topic, 1): 6}
    gaps = [gap for row in lab.spans(topic) if row["partition"] == 0 for gap in row["missing"]]
    assert gaps == [{"first_offset": 2, "last_offset": 3, "reason": "retention"}]
    assert lab.verify().code == 0


# Registries and schemas


def evil_schemas() -> dict[str, tuple[str, str, tuple[dict[str, Any], ...]]]:
    """Type, text and references, by name. Records under any of them must not end, stop or slow anything."""
    record = '{"type": "record", "name": "A", "fields": %s}'
    fields = [{"name": f"field_{n:07d}", "type": ["null", "string"], "doc": "x" * 40} for n in range(50_000)]
    symbols = [f"s{n}" for n in range(500_000)]
    loop = [{"name": name, "subject": f"loop-{name}", "version": 1} for name in ("a", "b")]
    many = tuple({"name": f"r{n}", "subject": "well", "version": 1} for n in range(1_000))
    return {
        "5 MB of fields": ("AVRO", record % json.dumps(fields), ()),
        "5 MB of symbols": ("AVRO", json.dumps({"type": "enum", "name": "E", "symbols": symbols}), ()),
        "10,000 deep": ("AVRO", '{"type":"array","items":' * 10_000 + '"int"' + "}" * 10_000, ()),
        "brackets": ("AVRO", "[" * 10_000 + "]" * 10_000, ()),
        "itself": ("AVRO", record % '[{"name": "a", "type": "A"}]', ()),
        "itself in arrays": ("AVRO", record % '[{"name": "a", "type": {"type": "array", "items": "A"}}]', ()),
        "no JSON": ("AVRO", "{" * 1_000_000, ()),
        "json of 5 MB": ("JSON", json.dumps({"properties": {f"p{n}": {"type": "string"} for n in range(120_000)}}), ()),
        "json itself": ("JSON", '{"$ref": "#"}', ()),
        "json 10,000 deep": ("JSON", '{"items":' * 10_000 + "{}" + "}" * 10_000, ()),
        "proto of 5 MB": (
            "PROTOBUF",
            'syntax = "proto3"; message M {' + "".join(f"string f{n} = {n + 1};\n" for n in range(150_000)) + "}",
            (),
        ),
        "proto 10,000 deep": ("PROTOBUF", 'syntax = "proto3";' + "message M {" * 10_000 + "}" * 10_000, ()),
        "proto braces": ("PROTOBUF", "{" * 1_000_000, ()),
        "loop-a": ("AVRO", record % "[]", (loop[1],)),
        "loop-b": ("AVRO", record % '[{"name": "b", "type": "int"}]', (loop[0],)),
        "1,000 references": ("AVRO", record % '[{"name": "c", "type": "int"}]', many),
        "unknown type": ("XML", "<schema/>", ()),
    }  # fmt: skip


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


def test_records_under_any_schema_are_recorded(sandbox: Sandbox, registry: FakeRegistry, tmp_path: Path) -> None:
    lab = Lab(sandbox.bootstrap_servers, registry.url, tmp_path)
    try:
        topic, known = lab.topic("evil", partitions=2), Acknowledged()
        ids = {
            name: registry.register(name if name.startswith("loop") else f"{topic}-{name}", text, type_, references)
            for name, (type_, text, references) in evil_schemas().items()
        }
        bodies = (b"\x00" * 40, b"\x02" * 40, b"", b"\x0a\x05hello", b'{"a": [1]}')
        records = [
            Record(b"\x00" + id_.to_bytes(4, "big") + body, schema_id=id_) for id_ in ids.values() for body in bodies
        ]
        good = registry.register(f"{topic}-value", json.dumps({"type": "string"}))
        fine = Record(b"\x00" + good.to_bytes(4, "big") + b"\x04ok", schema_id=good, partition=1)
        records += [fine] * 50
        send(lab, topic, records, known)
        collector = lab.collect("--registry-timeout-seconds", "10", *TIGHT)
        with peak_memory(collector) as peak:
            lab.caught_up(known, 120)

            def good_ones_are_profiled() -> bool:
                if _profiled(lab, topic, good) >= 50:
                    return True
                # Those were observed before the registry had answered for their schema: others come.
                send(lab, topic, [fine] * 50, known)
                lab.caught_up(known, 60)
                return False

            eventually(good_ones_are_profiled, 60, "the good records are profiled")
        assert collector.terminate() == 0
        lab.check(known, topic)
        assert peak.megabytes < 600
        schema_requests = sum(n for path, n in registry.requests.items() if path.startswith("GET /schemas/ids/"))
        assert schema_requests < 10 * len(ids)
    finally:
        lab.close()


def _profiled(lab: Lab, topic: str, schema_id: int) -> int:
    found = [o for o in observations(lab, topic) if o["value_schema"]["id"] == schema_id and o["profile"] is not None]
    return sum(profile["decoded"] for profile in profiles(found))


def test_a_registry_that_says_anything_costs_no_record(
    sandbox: Sandbox, registry: FakeRegistry, tmp_path: Path
) -> None:
    lab = Lab(sandbox.bootstrap_servers, registry.url, tmp_path)
    try:
        topic, known = lab.topic("sick"), Acknowledged()
        quick = ("--registry-timeout-seconds", "1", "--registry-retry-seconds", "1")
        collector = lab.collect(*quick, *TIGHT)
        collector.owns()
        schema_ids = []
        with peak_memory(collector) as peak:
            for behaviour in Behaviour:
                schema_id = registry.register(f"{topic}-value", json.dumps({"type": "string", "doc": behaviour.name}))
                schema_ids.append(schema_id)
                registry.behaviour = behaviour
                before = registry.requests.total()
                record = Record(b"\x00" + schema_id.to_bytes(4, "big") + b"\x04ok", schema_id=schema_id)
                send(lab, topic, [record] * 20, known)
                lab.caught_up(known, 30)
                assert registry.requests.total() - before < 40
                assert "/elsewhere" not in str(registry.requests)
            registry.behaviour = Behaviour.ANSWER
            eventually(lambda: all(row["schema"]["version"] for row in lab.spans(topic)), 60, "spans are completed")
        assert collector.terminate() == 0
        assert peak.megabytes < 400
        lab.check(known, topic)
        versions = {row["schema"]["id"]: row["schema"]["version"] for row in lab.spans(topic)}
        assert versions == {id_: number for number, id_ in enumerate(schema_ids, 1)}
        assert dead_letters(lab, topic) == []
    finally:
        lab.close()

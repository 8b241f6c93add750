"""If this failed, what people write into their records could be read in our logs, topics, stores or crash dumps."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from collecting import Acknowledged, Lab, eventually
from evidence import dead_letters, messages
from patience import patient
from raw_kafka import RawRecord, batch, crc32c, produce

pytestmark = pytest.mark.kafka

CANARY = "Kanarienvogel-7f3a91-ünter"
"""Not ASCII alone, so that it is written differently as UTF-8, as JSON and as UTF-16."""
C = CANARY.encode()
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": "string"},
        {"name": "raw", "type": "bytes"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}},
        {"name": "more", "type": {"type": "map", "values": "string"}},
        {"name": "next", "type": ["null", "Order"], "default": None},
    ],
}
DECLARED = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"const": "x"},
        "state": {"enum": ["NEW"]},
        "more": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["id"],
}
PROTO = 'syntax = "proto3"; message Order { int64 id = 1; string name = 2; repeated Order next = 3; }'


def forms() -> dict[str, bytes]:
    """The ways in which it could be written down. Of base64 what is the same at each of the three alignments."""
    out = {
        "UTF-8": C,
        "its first half": C[:14],
        "its second half": C[14:],
        "UTF-16": CANARY.encode("utf-16-le"),
        "UTF-16, big endian": CANARY.encode("utf-16-be"),
        "UTF-32": CANARY.encode("utf-32-le"),
        "Latin-1": CANARY.encode("latin-1"),
        "JSON": json.dumps(CANARY)[1:-1].encode(),
        "JSON twice": json.dumps(json.dumps(CANARY))[3:-3].encode(),
        "Python's bytes": repr(C)[2:-1].encode(),
        "hexadecimal": C.hex().encode(),
        "hexadecimal, large": C.hex().upper().encode(),
        "a list of numbers": ", ".join(map(str, C[:12])).encode(),
    }
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + C)
        out[f"base64 at {shift}"] = whole[4 : len(whole) - 4]
    return out


def varint(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return out.getvalue()


def order(**given: Any) -> dict[str, Any]:
    return {"id": 7, "name": CANARY, "raw": C, "state": "NEW", "more": {"k": CANARY}, "next": None, **given}


def prefixed(schema_id: int, payload: bytes) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + payload


def avro_payloads() -> list[bytes]:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(ORDER), order(next=order()))
    good = out.getvalue()
    name = varint(7) + varint(len(C)) + C
    return [
        good, good, good[:-3], good + C, name, name[:-1], C, varint(7) + varint(-3) + C, varint(7) + varint(2**40) + C,
        b"\xff" * 10 + C, varint(7) + varint(len(C) + 1) + b"\xff" + C + good[len(name) :],
        good[:-1] + (b"\x02" + good[:-1]) * 1_000, b"\x02" * 5 + C * 400,
    ]  # fmt: skip


def json_payloads() -> list[bytes]:
    whole = json.dumps({"id": 1, "name": CANARY, "state": CANARY, "more": {"k": CANARY}}, ensure_ascii=False).encode()
    escaped = json.dumps({"id": CANARY, "name": [CANARY]}).encode()
    return [
        whole, escaped, whole[:-4], whole + C, b"[" + C, b'{"id": "\xff' + C + b'"}', b'{"id": "\\ud800' + C + b'"}',
        b'{"id": NaN, "n": "' + C + b'"}', b'{"id":' + b"[" * 5_000 + b'"' + C + b'"' + b"]" * 5_000 + b"}",
        json.dumps({"specversion": "1.0", "type": CANARY, "source": CANARY, "id": CANARY, "data": CANARY}).encode(),
        json.dumps({"schema": {"type": "string", "optional": False}, "payload": CANARY}).encode(),
        b'{"schema": {"type": "struct"}, "payload": ' + C,
    ]  # fmt: skip


def proto_payloads() -> list[bytes]:
    name = b"\x12" + bytes([len(C)]) + C
    return [
        b"\x00\x08\x01" + name, b"\x00" + name[:-3], b"\x00\x1a\x7f" + name, b"\x00\x9a\x06" + bytes([len(C)]) + C,
        b"\x07" + C, C, b"\x00" + b"\x12\x03\xff\xfe\xfd" + name, b"\x00" + b"\x1a\x05" * 3_000 + C,
        b"\x00" + b"\xff" * 11 + C,
    ]  # fmt: skip


HEADERS: list[list[tuple[bytes, bytes | None]]] = [
    [(b"trace", C), (C, b"x"), (b"\xff" + C, C)],
    [(b"__value_schema_id", C), (b"__key_schema_id", b"\x01" + C[:9])],
    [(b"content-type", C), (b"ce_specversion", b"1.0"), (b"ce_type", C), (b"ce_id", C), (b"traceparent", C)],
    [(b"lineage-parents", C), (b"lineage-provenance", C)],
]


class Caged:
    """Topics full of canaries, and what ran over them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.known = Acknowledged()
        self.out = lab.directory / "run.out"
        self.err = lab.directory / "run.err"

    def register(self, subject: str, text: str, type_: str) -> int:
        document = {"schema": text} if type_ == "AVRO" else {"schema": text, "schemaType": type_}
        answer = httpx.post(f"{self.lab.registry_url}/subjects/{subject}/versions", json=document, timeout=30)
        answer.raise_for_status()
        return int(answer.json()["id"])

    def write(self, topic: str, values: list[bytes | None], schema_id: int | None = None) -> None:
        """Each value under each kind of headers, with the canary as key and with a key that is broken."""
        for number, value in enumerate(values):
            content = value if value is None or schema_id is None else prefixed(schema_id, value)
            keys = (C, prefixed(schema_id or 77, C), None, b"{" + C)
            records = [RawRecord(content, keys[n % 4], headers) for n, headers in enumerate([*HEADERS, []])]
            first = produce(self.lab.bootstrap_servers, topic, number % 2, batch(records))
            with self.known.lock:
                own = self.known.ids.setdefault((topic, number % 2), {})
                own.update(dict.fromkeys(range(first, first + len(records))))

    def run(self, *flags: str) -> None:
        """Collector and agents, with all that they can be made to say, until everything is observed; then stop them."""
        lab = self.lab
        command = [
            sys.executable, "-X", "faulthandler", "-m", "stream_lineage.cli.main", "run", *lab.flags(),
            "--schema-registry-url", lab.registry_url, "--group-id", lab.group, "--agents-id", f"{lab.name}-agents",
            "--include", rf"{lab.name}\.(?!lineage).*", "--state-dir", str(lab.directory / "state"),
            "--observation-partitions", "2", "--log-level", "debug", "--worker-memory-mb", "64",
            "--flush-interval-seconds", "0.2", *flags,
        ]  # fmt: skip
        environment = {**lab.environment, "PYTHONDEVMODE": "1"}
        with self.out.open("ab") as out, self.err.open("ab") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=lab.directory)
        try:
            # Not before the group is there: asking for it while its coordinator starts has ended this process.
            eventually(lambda: b"partitions assigned" in self.err.read_bytes(), 60, "it collects")
            lab.caught_up(self.known, 150)
            store = [lab.directory / "state"]
            eventually(lambda: any(path.stat().st_size for path in files(*store)), 60, "metrics are stored")
        finally:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.send_signal(signal.SIGTERM)
            process.wait(patient(60))
            psutil.wait_procs(family, 30)


def files(*places: Path) -> Iterator[Path]:
    for place in places:
        yield from (path for path in place.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def caged(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caged]:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path_factory.mktemp("canary"))
    out = Caged(lab)
    for name, text, type_, payloads in (
        ("avro", json.dumps(ORDER), "AVRO", avro_payloads()),
        ("json", json.dumps(DECLARED), "JSON", json_payloads()),
        ("proto", PROTO, "PROTOBUF", proto_payloads()),
    ):
        topic = lab.topic(name, partitions=2, max_message_bytes=8_000_000)
        schema_id = out.register(f"{topic}-value", text, type_)
        out.write(topic, [*payloads, b"", None], schema_id)
        out.write(topic, [C, b"\x01" + C, b"\xc3\x01" + C, b"\x00" + C])
    plain = lab.topic("plain", partitions=2)
    out.write(plain, [*json_payloads(), C, b"\xc3\x01" + C, b"\x00" + C, b"\xff" + C, b""])
    unknown = lab.topic("unknown", partitions=2)
    out.write(unknown, [C, C * 3], 2_000_000_001)
    heavy = lab.topic("heavy", partitions=2, max_message_bytes=60_000_000)
    # More than the decoder may hold: it dies of it.
    produce(lab.bootstrap_servers, heavy, 0, batch([RawRecord(b'{"name": "' + C * 1_000_000 + b'"}')], codec="zstd"))
    out.known.ids[(heavy, 0)] = {0: None}
    out.run()
    yield out
    lab.close()


def check(where: str, content: bytes) -> None:
    for form, written in forms().items():
        at = content.find(written)
        assert at < 0, f"{where} holds the canary, as {form}: ...{content[max(0, at - 200) : at + 50]!r}..."


def test_the_forms_are_found() -> None:
    """The search finds what it looks for."""
    for text in (C, json.dumps(CANARY).encode(), repr(C).encode(), CANARY.encode("utf-16-le"), C.hex().encode()):
        with pytest.raises(AssertionError):
            check("here", b"before " + text + b" behind")
    for shift in range(3):
        with pytest.raises(AssertionError):
            check("here", base64.b64encode(b"x" * shift + C + b"more"))


def test_all_ways_to_fail_were_taken(caged: Caged) -> None:
    """Else this file would prove nothing."""
    kinds = {letter["kind"] for letter in dead_letters(caged.lab)}
    assert {"truncated", "trailing-bytes", "invalid-json", "unknown-schema", "wrong-magic", "worker-lost"} <= kinds
    said = caged.err.read_bytes()
    assert b'"level": "debug"' in said
    assert b"the decode worker was lost and is started again" in said
    assert len(said) > 50_000


def test_logs_say_nothing(caged: Caged) -> None:
    check("stdout", caged.out.read_bytes())
    check("stderr", caged.err.read_bytes())


def test_topics_hold_nothing(caged: Caged) -> None:
    """All of our topics, those that the agents keep their state in too."""
    lab = caged.lab
    names = [name for name in lab.admin.list_topics(timeout=20).topics if name.startswith((lab.prefix, f"{lab.name}-"))]
    assert len(names) >= 8
    counted = 0
    for name in names:
        for message in messages(lab, name):
            counted += 1
            check(name, b"\n".join((message.key() or b"", message.value() or b"")))
            for header, content in message.headers() or ():
                check(f"{name}, header {header}", header.encode() + b"\n" + (content or b""))
    assert counted > 20


def test_files_hold_nothing(caged: Caged) -> None:
    """State, metrics, and core dumps, if there were any."""
    own = {caged.out, caged.err}
    found = [path for path in files(caged.lab.directory) if path not in own]
    assert any(path.suffix in (".sqlite", ".db", ".sqlite3") or "metrics" in path.name for path in found), found
    for path in found:
        check(str(path), path.read_bytes())


def test_commands_show_nothing(caged: Caged) -> None:
    lab = caged.lab
    topic = f"{lab.name}.avro"
    answers = [lab.run("spans", topic, *lab.flags(), "--output", "json"), lab.verify(), lab.record(topic, 0, 1)]
    answers += [lab.record(f"{lab.name}.plain", 0, offset) for offset in (0, 3)]
    for answer in answers:
        check("a command", answer.out.encode() + answer.err.encode())


def test_a_batch_that_cannot_be_read_shows_nothing(cluster: Any, tmp_path: Path) -> None:
    """Its bytes stand where the client looks for lengths, versions and offsets, which it likes to tell."""
    if cluster.sandbox is None:
        pytest.skip("the broker's disk is out of reach")
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    try:
        topic = lab.topic("torn", partitions=3)
        for partition in range(3):
            produce(lab.bootstrap_servers, topic, partition, batch([RawRecord(C * 4)] * 2))
            log = cluster.sandbox.directory / "kafka" / "data" / f"{topic}-{partition}" / "00000000000000000000.log"
            content = bytearray(log.read_bytes())
            if partition == 0:
                content[-5] ^= 0xFF  # the rest is then read from a wrong place on
            elif partition == 1:
                content[22] = 4  # as if it were zstd
            else:
                content[16] = 7  # a version that nobody knows, of which the client tells where it stood
            if partition:
                content[17:21] = crc32c(bytes(content[21:])).to_bytes(4, "big")
            with log.open("r+b") as file:
                file.write(content)
        collector = lab.collect("--until-end", "--unreadable-retry-seconds", "1", "--log-level", "debug")
        assert collector.wait(200) == 1
        check("log", collector.log_path.read_bytes() + collector.log_path.with_suffix(".out").read_bytes())
        letters = messages(lab, f"{lab.prefix}dead-letters")
        assert len(letters) == 3
        for message in letters:
            check("dead letter", (message.value() or b"") + b"".join(v or b"" for _, v in message.headers() or ()))
    finally:
        lab.close()

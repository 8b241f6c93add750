"""If this failed, hostile bytes would end the collector, hold up a partition, or spoil what is said of good records."""

from __future__ import annotations

import io
import json
import math
import random
import struct
from collections.abc import Iterator
from typing import Any

import fastavro
import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
from collecting import Acknowledged, Lab
from evidence import (
    Record,
    check_profile,
    counted,
    counted_json,
    dead_letters,
    everything_written,
    logs_of,
    observations,
    profiles,
    send,
)

from stream_lineage.model.schema_files import schema_text

pytestmark = pytest.mark.kafka

CANARY = b"canary-51ab77-of-a-payload"
HUGE = 10**17
"""Good records hold no number as large as this: bad ones do, where they can."""

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}},
        {"name": "either", "type": ["null", "string", "long"]},
        {"name": "nothing", "type": {"type": "array", "items": "null"}},
    ],
}
CHAIN: dict[str, Any] = {
    "type": "record",
    "name": "Chain",
    "fields": [{"name": "id", "type": "long"}, {"name": "next", "type": ["null", "Chain"]}],
}
WIDE: dict[str, Any] = {
    "type": "record",
    "name": "Wide",
    "fields": [{"name": "block", "type": {"type": "fixed", "name": "Block", "size": 5_000}}],
}


def order(number: int) -> dict[str, Any]:
    amounts = [number / 8, math.nan, math.inf, -math.inf, -number / 3]
    either: list[Any] = [None, ("string", f"e{number}"), ("long", number)]
    return {
        "id": number,
        "name": f"good-{number}" if number % 40 else "y" * 1_000_000 + str(number),
        "amount": amounts[number % 5] if number % 3 else float(number),
        "paid": number % 2 == 0,
        "state": ("NEW", "SENT")[number % 2],
        "either": either[number % 3],
        "nothing": [None] * (number % 3),
    }


def chain(number: int) -> dict[str, Any]:
    return {"id": number, "next": None if number % 2 else ("Chain", {"id": -number, "next": None})}


def binary(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def untagged(value: dict[str, Any]) -> dict[str, Any]:
    return {name: inner[1] if isinstance(inner, tuple) else inner for name, inner in value.items()}


def varint(number: int) -> bytes:
    return binary("long", number)


def text(content: bytes) -> bytes:
    return varint(len(content)) + content


def prefixed(schema_id: int, payload: bytes) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + payload


def bad_orders(schema_id: int, wide_id: int, unknown_id: int) -> list[tuple[bytes, str, int | None]]:
    """Value, kind of dead letter, schema id that the span must have."""
    head = varint(HUGE) + text(CANARY)
    amount = struct.pack("<d", float(HUGE))
    whole = head + amount + b"\x01\x00\x00\x00"
    framed = {
        "truncated": [
            b"",
            head[:-3],
            head + amount[:5],
            whole[:-1],
            varint(HUGE) + varint(2**40) + CANARY,
            varint(HUGE) + varint(2**62) + CANARY,
        ],
        "trailing-bytes": [whole + b"\x00", whole + CANARY * 50, whole + whole],
        "bad-varint": [b"\xff" * 10 + CANARY, b"\x80" * 11 + CANARY],
        "bad-utf8": [varint(HUGE) + text(b"\xff\xfe" + CANARY) + whole[len(head) :]],
        "bad-boolean": [head + amount + b"\x02\x00\x00\x00"],
        "bad-enum-symbol": [head + amount + b"\x01\x0c\x00\x00", head + amount + b"\x01\x01\x00\x00"],
        "bad-union-branch": [head + amount + b"\x01\x00\x0c\x00"],
        "negative-length": [varint(HUGE) + varint(-5) + CANARY],
        "too-many-items": [
            head + amount + b"\x01\x00\x00" + varint(2**31) + b"\x00",
            head + amount + b"\x01\x00\x00" + varint(2**62) + b"\x00",
            head + amount + b"\x01\x00\x00" + (varint(60_000) * 3) + b"\x00",
        ],
    }
    out: list[tuple[bytes, str, int | None]] = [
        (prefixed(schema_id, payload), kind, schema_id) for kind, payloads in framed.items() for payload in payloads
    ]
    out += [
        (b"\x01" + CANARY, "wrong-magic", None),
        (b"", "wrong-magic", None),
        (b"\x00", "wrong-magic", None),
        (b"\x00\x00\x00\x00", "wrong-magic", None),
        (json.dumps({"id": HUGE, "name": CANARY.decode()}).encode(), "wrong-magic", None),
        (whole, "wrong-magic", None),
        (prefixed(unknown_id, CANARY), "unknown-schema", unknown_id),
        (prefixed(wide_id, whole), "truncated", wide_id),
    ]
    return out


def bad_chains(schema_id: int) -> list[tuple[bytes, str, int | None]]:
    link = varint(HUGE) + b"\x02"
    payloads = [
        (link * 100_000 + varint(1) + b"\x00", "too-deep"),
        (link * 100_000, "too-deep"),
        (link * 3 + CANARY, None),
        (varint(1) + b"\x00" + CANARY, "trailing-bytes"),
        (b"", "truncated"),
    ]
    return [(prefixed(schema_id, payload), kind or "", schema_id) for payload, kind in payloads]


def bad_documents() -> list[tuple[bytes, str, int | None]]:
    quoted = b'"' + CANARY + b'"'
    payloads = [
        b'{"id": ' + quoted,
        b"{" + CANARY,
        b'{"id": NaN}',
        b'{"id": 1} ' + quoted,
        b'{"name": "\xff' + CANARY + b'"}',
        b'{"name": "\\ud800' + CANARY + b'"}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ]
    return [(payload, "invalid-json", None) for payload in payloads]


def document(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"good-{number}", "items": [number, None, "x"][: number % 4]}


class Poisoned:
    """One run of the collector over good records with bad ones between them; what was sent, by topic and offset."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.known = Acknowledged()
        self.labels: dict[str, list[Any]] = {}

    def register(self, subject: str, schema: Any) -> int:
        answer = httpx.post(
            f"{self.lab.registry_url}/subjects/{subject}/versions", json={"schema": json.dumps(schema)}, timeout=30
        )
        answer.raise_for_status()
        return int(answer.json()["id"])

    def write(self, topic: str, good: list[Record], bad: list[Record], *, bad_first: bool = False) -> None:
        """Bad records at random places, each with good neighbours. Labels: null, or kind and role and size."""
        chance = random.Random(len(self.labels))
        mixed = list(good)
        for record in bad:
            mixed.insert(chance.randrange(1, len(mixed)), record)
        if bad_first:
            mixed.insert(0, bad[0])
        self.labels[topic] = self.labels.get(topic, []) + send(self.lab, topic, mixed, self.known)[0]

    def expected_letters(self, topic: str) -> dict[int, tuple[str, str, int]]:
        return {offset: label for offset, label in enumerate(self.labels[topic]) if label is not None}


def bad_records(
    rows: list[tuple[bytes, str, int | None]], key: bytes | None = None, label_role: str = "value"
) -> list[Record]:
    return [
        Record(value, key, label=(kind, label_role, len(value)), schema_id=schema_id) for value, kind, schema_id in rows
    ]


@pytest.fixture(scope="module")
def poisoned(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poisoned]:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path_factory.mktemp("poison"))
    out = Poisoned(lab)
    wide_id = out.register(f"{lab.name}-other", WIDE)
    size = {"max.message.bytes": 4_000_000}

    topic = lab.topic("orders", **size)
    order_id = out.register(f"{topic}-value", ORDER)
    good = [Record(prefixed(order_id, binary(ORDER, untagged(order(n)))), schema_id=order_id) for n in range(400)]
    bad = bad_records(bad_orders(order_id, wide_id, 2_000_000_001))
    wrong_magic = next(record for record in bad if record.label[0] == "wrong-magic")
    bad.insert(0, wrong_magic)
    out.write(topic, good, bad, bad_first=True)

    topic = lab.topic("chains", **size)
    chain_id = out.register(f"{topic}-value", CHAIN)
    good = [Record(prefixed(chain_id, binary(CHAIN, untagged(chain(n)))), schema_id=chain_id) for n in range(200)]
    out.write(topic, good, bad_records(bad_chains(chain_id)))

    topic = lab.topic("documents", **size)
    good = [Record(json.dumps(document(n)).encode()) for n in range(200)]
    out.write(topic, good, bad_records(bad_documents()))

    topic = lab.topic("keyed", **size)
    value_id, key_id = out.register(f"{topic}-value", CHAIN), out.register(f"{topic}-key", {"type": "string"})
    value = prefixed(value_id, binary(CHAIN, {"id": 7, "next": None}))
    good = [Record(value, prefixed(key_id, text(b"k%d" % n)), schema_id=value_id) for n in range(100)]
    keys = [(prefixed(key_id, text(CANARY)[:-1]), "truncated"), (b"\x07" + CANARY, "wrong-magic"), (b"", "wrong-magic")]
    rows = [Record(value, key, label=(kind, "key", len(key)), schema_id=value_id) for key, kind in keys]
    out.write(topic, good, rows)

    lab.collect_until_end()
    yield out
    lab.close()


def topics_of(poisoned: Poisoned) -> list[str]:
    return list(poisoned.labels)


def check_letters(poisoned: Poisoned) -> None:
    """One dead letter for each bad record, with its place, kind, role and size, and none for any other."""
    schema = json.loads(schema_text("dead-letter.schema.json"))
    found = dead_letters(poisoned.lab)
    for letter in found:
        jsonschema.validate(letter, schema)
    for topic in topics_of(poisoned):
        own = [letter for letter in found if letter["topic"] == topic]
        expected = poisoned.expected_letters(topic)
        assert sorted(letter["offset"] for letter in own) == sorted(expected), topic
        for letter in own:
            kind, role, size = expected[letter["offset"]]
            assert (letter["partition"], letter["last_offset"], letter["count"]) == (0, letter["offset"], 1)
            assert (letter["role"], letter["size"]) == (role, size)
            assert letter["kind"] == (kind or letter["kind"])


def test_each_bad_record_has_one_dead_letter(poisoned: Poisoned) -> None:
    check_letters(poisoned)


def test_every_record_keeps_its_provenance(poisoned: Poisoned) -> None:
    poisoned.lab.check(poisoned.known, *topics_of(poisoned))


def test_nothing_ended_the_decoder(poisoned: Poisoned) -> None:
    for log in logs_of(poisoned.lab):
        assert b"the decode worker was lost" not in log.read_bytes()


def test_profiles_hold_the_good_records_and_no_others(poisoned: Poisoned) -> None:
    lab = poisoned.lab
    for name, schema, make, count in (("orders", ORDER, order, 400), ("chains", CHAIN, chain, 200)):
        topic = f"{lab.name}.{name}"
        ids = {record for record in poisoned.known.of(topic)[0].values() if record is not None}
        own = [
            observation
            for observation in observations(lab, topic)
            if observation["value_schema"]["subject"] == f"{topic}-value"
        ]
        assert {observation["value_schema"]["id"] for observation in own} <= ids
        check_profile(own, counted(schema, [make(number) for number in range(count)]))
        decoded = sum(profile["decoded"] for profile in profiles(own))
        undecoded = sum(profile["undecoded"] for profile in profiles(own))
        assert (decoded, decoded + undecoded) == (count, sum(observation["records"] for observation in own))
    found = observations(lab, f"{lab.name}.documents")
    check_profile(found, counted_json([document(number) for number in range(200)]))
    keyed = observations(lab, f"{lab.name}.keyed")
    chains = [observation for observation in keyed if observation["key_schema"]["id"] is not None]
    check_profile(chains, counted("string", [f"k{n}" for n in range(100)]), fields="key_fields")


def test_no_byte_of_a_payload_is_written_anywhere(poisoned: Poisoned) -> None:
    stored = everything_written(poisoned.lab, *logs_of(poisoned.lab))
    assert CANARY not in stored
    assert b"canary-51" not in stored
    assert str(HUGE).encode() not in stored


def test_they_do_not_come_back_after_a_restart(poisoned: Poisoned) -> None:
    lab = poisoned.lab
    before = len(dead_letters(lab))
    lab.collect_until_end()
    assert len(dead_letters(lab)) == before
    topic = f"{lab.name}.documents"
    good = [Record(json.dumps(document(n)).encode()) for n in range(200, 220)]
    poisoned.write(topic, good, bad_records(bad_documents()[:2]))
    lab.collect_until_end()
    check_letters(poisoned)
    lab.check(poisoned.known, *topics_of(poisoned))
    check_profile(observations(lab, topic), counted_json([document(number) for number in range(220)]))

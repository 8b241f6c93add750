"""If this failed, records of some format would stand under the wrong schema, or be profiled as what they are not."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import httpx
import orjson
import pytest
from collecting import CLICK, CLICK_2, Acknowledged, Lab, observed_offsets
from evidence import (
    Record,
    check_profile,
    counted,
    counted_json,
    dead_letters,
    everything_written,
    items_of,
    logs_of,
    observations,
    profiles,
    send,
)

from stream_lineage.testing.fake_registry import FakeRegistry

pytestmark = pytest.mark.kafka

SECRET = "canary-9f27c1-do-not-store"
COUNT = 300

KINDS: dict[str, Any] = {
    "type": "record",
    "name": "Kinds",
    "namespace": "shop",
    "fields": [
        {"name": "flag", "type": "boolean"},
        {"name": "small", "type": "int"},
        {"name": "big", "type": "long"},
        {"name": "single", "type": "float"},
        {"name": "ratio", "type": "double"},
        {"name": "note", "type": "string"},
        {"name": "raw", "type": "bytes"},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN", "BLUE"]}},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 4}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "maybe", "type": ["null", "long"]},
        {"name": "last_null", "type": ["string", "null"]},
        {
            "name": "either",
            "type": ["null", "string", "long", "boolean", "double", {"type": "array", "items": "int"}],
        },
        {
            "name": "customer",
            "type": {
                "type": "record",
                "name": "Customer",
                "fields": [
                    {"name": "name", "type": "string"},
                    {
                        "name": "address",
                        "type": {
                            "type": "record",
                            "name": "Address",
                            "fields": [{"name": "zip", "type": ["null", "string"]}],
                        },
                    },
                ],
            },
        },
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [
                        {"name": "sku", "type": "string"},
                        {"name": "counts", "type": {"type": "array", "items": "long"}},
                    ],
                },
            },
        },
        {"name": "attributes", "type": {"type": "map", "values": ["null", "string", "double"]}},
        {"name": "second", "type": ["null", "Customer"]},
    ],
}

TREE: dict[str, Any] = {
    "type": "record",
    "name": "Tree",
    "fields": [{"name": "weight", "type": "long"}, {"name": "left", "type": ["null", "Tree"]}],
}

MONEY: dict[str, Any] = {
    "type": "record",
    "name": "shop.Money",
    "fields": [{"name": "cents", "type": "long"}, {"name": "currency", "type": "string"}],
}
BILL: dict[str, Any] = {
    "type": "record",
    "name": "shop.Bill",
    "fields": [{"name": "total", "type": "shop.Money"}, {"name": "tips", "type": {"type": "array", "items": "long"}}],
}
BILL_WHOLE: dict[str, Any] = {**BILL, "fields": [{"name": "total", "type": MONEY}, BILL["fields"][1]]}

KEY: dict[str, Any] = {
    "type": "record",
    "name": "OrderKey",
    "fields": [{"name": "region", "type": "string"}, {"name": "number", "type": "long"}],
}


def kinds(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    customer = {"name": f"{SECRET}-{number % 7}", "address": {"zip": None if number % 3 else ("string", f"{number}")}}
    either: list[Any] = [
        None,
        ("string", f"s{number % 5}"),
        ("long", number),
        ("boolean", True),
        ("double", 0.5),
        ("array", [1, number]),
    ]
    return {
        "flag": number % 3 == 0,
        "small": number - 100,
        "big": number * 10**12,
        "single": number / 4,
        "ratio": chance.uniform(-1, 1),
        "note": f"{SECRET} {'é' * (number % 4)}{number % 11}",
        "raw": bytes([number % 256]) * (number % 5),
        "colour": ("RED", "GREEN", "BLUE")[number % 3],
        "digest": (number % 9).to_bytes(4, "big"),
        "price": Decimal(number * 7 - 500).scaleb(-2),
        "at": 1_700_000_000_000_000 + number,
        "day": 19_000 + number % 30,
        "maybe": None if number % 2 else ("long", number),
        "last_null": None if number % 5 == 0 else ("string", f"n{number % 3}"),
        "either": either[number % 6],
        "customer": customer,
        "lines": [{"sku": f"sku-{i}", "counts": list(range(i))} for i in range(number % 4)],
        "attributes": {f"name-{i}": [None, ("string", "x"), ("double", 1.5)][i % 3] for i in range(number % 5)},
        "second": None if number % 4 else ("Customer", customer),
    }


def tree(number: int) -> dict[str, Any]:
    node: dict[str, Any] | None = None
    for depth in range(1 + number % 3):
        node = {"weight": number + depth, "left": None if node is None else ("Tree", node)}
    assert node is not None
    return node


def plain(value: Any) -> Any:
    """Without the marks of union branches that the counting wants; those that fastavro needs stay."""
    match value:
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(item) for item in value]
        case (str() as branch, inner):
            return (f"shop.{branch}", plain(inner)) if branch == "Customer" else plain(inner)
    return value


def binary(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def prefixed(schema_id: int, payload: bytes) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + payload


def register(
    lab: Lab, subject: str, schema: Any, kind: str = "AVRO", references: list[dict[str, Any]] | None = None
) -> int:
    body: dict[str, Any] = {"schema": json.dumps(schema)}
    if kind != "AVRO":
        body["schemaType"] = kind
    if references:
        body["references"] = references
    answer = httpx.post(f"{lab.registry_url}/subjects/{subject}/versions", json=body, timeout=30)
    answer.raise_for_status()
    return int(answer.json()["id"])


class Written:
    """One run of the collector over topics of every format, and what was written to each."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ids: dict[str, int] = {}
        self.values: dict[str, list[Any]] = {}
        self.sent: dict[str, int] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def topic(self, name: str) -> str:
        return f"{self.lab.name}.{name}"

    def write(self, name: str, records: list[Record], values: list[Any]) -> None:
        send(self.lab, self.topic(name), records)
        self.sent[name] = len(records)
        self.values[name] = values

    def avro(self, name: str, schema: Any, values: list[Any]) -> None:
        topic = self.lab.topic(name)
        schema_id = self.ids[name] = register(self.lab, f"{topic}-value", schema)
        self.write(name, [Record(prefixed(schema_id, binary(schema, plain(value)))) for value in values], values)

    def observed(self, name: str) -> list[dict[str, Any]]:
        return [observation for observation in self.log if observation["topic"] == self.topic(name)]

    def dead(self, name: str) -> list[dict[str, Any]]:
        return [letter for letter in self.letters if letter["topic"] == self.topic(name)]

    def spans(self, name: str) -> list[dict[str, Any]]:
        if name not in self._rows:
            self._rows[name] = self.lab.spans(self.topic(name))
        return self._rows[name]

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        return observations(self.lab)

    @cached_property
    def letters(self) -> list[dict[str, Any]]:
        return dead_letters(self.lab)


def documents(number: int) -> dict[str, Any]:
    out = {
        "id": number,
        "who": {"name": f"{SECRET}{number % 6}"},
        "tags": ["a", "b"][: number % 3],
        "score": number / 8,
    }
    if number % 4:
        out["extra"] = None if number % 2 else True
    return out


@pytest.fixture(scope="module")
def written(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path_factory.mktemp("formats"))
    out = Written(lab)
    numbers = range(COUNT)
    out.avro("kinds", KINDS, [kinds(number) for number in numbers])
    out.avro("tree", TREE, [tree(number) for number in numbers])
    out.avro("scalar", "string", [f"{SECRET}-{number % 3}" for number in numbers])

    topic = lab.topic("bill")
    register(lab, f"{lab.name}-money", MONEY)
    reference = {"name": "shop.Money", "subject": f"{lab.name}-money", "version": 1}
    out.ids["bill"] = register(lab, f"{topic}-value", BILL, references=[reference])
    bills = [{"total": {"cents": n, "currency": ("EUR", "USD")[n % 2]}, "tips": [n] * (n % 3)} for n in numbers]
    out.write("bill", [Record(prefixed(out.ids["bill"], binary(BILL_WHOLE, bill))) for bill in bills], bills)

    topic = lab.topic("registered-json")
    document_schema = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "title": lab.name}
    out.ids["registered-json"] = register(lab, f"{topic}-value", document_schema, "JSON")
    values = [documents(number) for number in numbers]
    framed = [Record(prefixed(out.ids["registered-json"], orjson.dumps(value))) for value in values]
    out.write("registered-json", framed, values)
    lab.topic("plain-json")
    out.write("plain-json", [Record(b" \n"[: n % 3] + orjson.dumps(v)) for n, v in enumerate(values)], values)

    lab.topic("opaque")
    noise = random.Random(3)
    out.write("opaque", [Record(b"\x07" + noise.randbytes(20 + n % 9)) for n in numbers], list(numbers))

    topic = lab.topic("keys")
    out.ids["keys"] = register(lab, f"{topic}-value", TREE)
    out.ids["keys-key"] = register(lab, f"{topic}-key", KEY)
    keys = [{"region": f"{SECRET}{n % 4}", "number": n} for n in numbers]
    records = [
        Record(prefixed(out.ids["keys"], binary(TREE, plain(tree(n)))), prefixed(out.ids["keys-key"], binary(KEY, key)))
        for n, key in enumerate(keys)
    ]
    out.write("keys", records, keys)

    topic = lab.topic("string-keys")
    out.ids["string-keys"] = register(lab, f"{topic}-value", TREE)
    tombstones = [
        Record(
            None if n % 10 == 4 else prefixed(out.ids["string-keys"], binary(TREE, plain(tree(n)))),
            None if n % 6 == 0 else f"{SECRET}-{n % 50}".encode(),
        )
        for n in numbers
    ]
    out.write("string-keys", tombstones, [tree(n) for n in numbers if n % 10 != 4])

    for name, step in (("long-keys", 2**24 + 1), ("wide-keys", 2**40 + 12_345)):
        topic = lab.topic(name)
        out.ids[name] = register(lab, f"{topic}-value", TREE)
        longs = [
            Record(prefixed(out.ids[name], binary(TREE, plain(tree(n)))), (n * step).to_bytes(8, "big"))
            for n in numbers
        ]
        out.write(name, longs, [tree(n) for n in numbers])

    lab.collect_until_end("--reveal-fields", "currency", "--reveal-fields", f"{lab.name}.registered-json:tags[]")
    yield out
    lab.close()


def reference_of(written: Written, schema_id: int, subject: str) -> dict[str, Any]:
    """What spans must say of a schema, as the registry knows it."""
    answer = httpx.get(f"{written.lab.registry_url}/subjects/{subject}/versions/latest", timeout=30).json()
    assert answer["id"] == schema_id
    return {"id": schema_id, "guid": None, "subject": subject, "version": answer["version"]}


def check_spans(written: Written, name: str, expected: dict[str, Any], schema_type: str) -> dict[str, Any]:
    """One span over all offsets, under this reference; the reference."""
    [row] = written.spans(name)
    assert (row["first_offset"], row["last_offset"], row["count"]) == (0, COUNT - 1, COUNT)
    assert {member: row["schema"][member] for member in expected} == expected
    assert row["schema"]["type"] == schema_type
    found: dict[str, Any] = row["schema"]
    return found


@pytest.mark.parametrize(
    ("name", "schema", "decoder"),
    [
        ("kinds", KINDS, "COLUMNAR"),
        ("tree", TREE, "RECORDS"),
        ("bill", BILL_WHOLE, "COLUMNAR"),
        ("scalar", "string", "COLUMNAR"),
    ],
)
def test_avro(written: Written, name: str, schema: Any, decoder: str) -> None:
    subject = f"{written.topic(name)}-value"
    reference = check_spans(written, name, reference_of(written, written.ids[name], subject), "AVRO")
    assert len(reference["fingerprint"]) == 64
    found = written.observed(name)
    assert {profile["decoder"] for profile in profiles(found)} == {decoder}
    assert sum(profile["decoded"] for profile in profiles(found)) == COUNT
    assert sum(profile["undecoded"] for profile in profiles(found)) == 0
    check_profile(found, counted(schema, written.values[name]))


def test_one_schema_has_one_fingerprint_under_any_id(written: Written) -> None:
    """``keys`` and others have the schema of ``tree`` under subjects of their own."""
    fingerprints = {written.spans(name)[0]["schema"]["fingerprint"] for name in ("tree", "keys", "long-keys")}
    other = written.spans("kinds")[0]["schema"]["fingerprint"]
    assert len(fingerprints) == 1
    assert other not in fingerprints


@pytest.mark.parametrize(("name", "framing"), [("registered-json", "CONFLUENT_PREFIX"), ("plain-json", "PLAIN_JSON")])
def test_json(written: Written, name: str, framing: str) -> None:
    if name == "registered-json":
        subject = f"{written.topic(name)}-value"
        check_spans(written, name, reference_of(written, written.ids[name], subject), "JSON")
    else:
        nothing = {"id": None, "guid": None, "subject": None, "version": None, "fingerprint": None}
        check_spans(written, name, nothing, "JSON")
    found = written.observed(name)
    assert {observation["value_schema"]["framing"] for observation in found} == {framing}
    assert {profile["decoder"] for profile in profiles(found)} == {"JSON"}
    expected = counted_json(written.values[name])
    check_profile(found, expected)
    extra = [field for profile in profiles(found) for field in profile["fields"] if field["path"] == "extra"]
    assert sum(field["missing"] for field in extra) == sum("extra" not in value for value in written.values[name])
    assert sum(field["slots"] for field in extra) <= COUNT


def test_opaque_bytes(written: Written) -> None:
    check_spans(written, "opaque", {"id": None, "guid": None, "subject": None, "fingerprint": None}, "NONE")
    found = written.observed("opaque")
    assert {observation["value_schema"]["framing"] for observation in found} == {"OPAQUE"}
    assert [profile["fields"] for profile in profiles(found) if profile["fields"]] == []
    assert written.dead("opaque") == []


def test_keys_with_a_schema(written: Written) -> None:
    found = written.observed("keys")
    subject = f"{written.topic('keys')}-key"
    expected = reference_of(written, written.ids["keys-key"], subject)
    for observation in found:
        assert {member: observation["key_schema"][member] for member in expected} == expected
        assert observation["profile"]["key_decoder"] == "COLUMNAR"
    check_profile(found, counted(KEY, written.values["keys"]), fields="key_fields")
    check_profile(found, counted(TREE, [tree(n) for n in range(COUNT)]))


def test_tombstones_and_null_keys_do_not_cut_spans(written: Written) -> None:
    check_spans(written, "string-keys", {"id": written.ids["string-keys"]}, "AVRO")
    found = written.observed("string-keys")
    assert sum(observation["tombstones"] for observation in found) == COUNT // 10
    assert sum(observation["records"] for observation in found) == COUNT
    assert {observation["key_schema"]["framing"] for observation in found} == {"OPAQUE"}
    assert sum(profile["decoded"] for profile in profiles(found)) == COUNT - COUNT // 10
    check_profile(found, counted(TREE, written.values["string-keys"]))


@pytest.mark.parametrize("name", ["long-keys", "wide-keys"])
def test_long_keys_are_numbers_and_not_schema_ids(written: Written, name: str) -> None:
    """Eight bytes, big-endian: a zero byte and four more that may even be an id that the registry knows."""
    check_spans(written, name, {"id": written.ids[name]}, "AVRO")
    found = written.observed(name)
    assert {observation["key_schema"]["framing"] for observation in found} == {"OPAQUE"}
    assert len(found) < 20
    assert written.dead(name) == []
    check_profile(found, counted(TREE, written.values[name]))


def test_nothing_good_is_a_dead_letter_and_everything_is_proven(written: Written) -> None:
    assert written.letters == []
    answer = written.lab.verify()
    assert answer.code == 0, answer.out
    assert answer.json["records"] == sum(written.sent.values())


def test_no_value_is_kept_but_symbols_flags_and_what_may_be_shown(written: Written) -> None:
    stored = everything_written(written.lab, *logs_of(written.lab))
    assert SECRET.encode() not in stored
    assert b"sku-1" not in stored
    kinds_found = written.observed("kinds")
    expected = Counter(f"={value['colour']}" for value in written.values["kinds"])
    assert items_of(kinds_found, "colour") == expected
    flags = Counter("=true" if value["flag"] else "=false" for value in written.values["kinds"])
    assert items_of(kinds_found, "flag") == flags
    for path in ("last_null", "attributes{}", "lines[].sku"):
        assert all(item.startswith("#") for item in items_of(kinds_found, path))
    assert items_of(written.observed("registered-json"), "tags[]").keys() == {"=a", "=b"}
    assert all(item.startswith("#") for item in items_of(written.observed("plain-json"), "tags[]"))


def test_our_own_schema_is_registered(written: Written) -> None:
    subject = f"{written.lab.prefix}observations-value"
    answer = httpx.get(f"{written.lab.registry_url}/subjects/{subject}/versions/latest", timeout=30).json()
    ours = json.loads((Path(__file__).parents[2] / "schemas" / "observation.avsc").read_text())
    assert json.loads(answer["schema"])["fields"] == ours["fields"]


def test_guid_headers(cluster: Any, tmp_path: Path) -> None:
    """Confluent's newer framing: the schema's GUID in a header, the payload as it is."""
    with FakeRegistry() as registry:
        lab = Lab(cluster.bootstrap_servers, registry.url, tmp_path)
        topic = lab.topic("guids", partitions=2)
        value_id = registry.register(f"{topic}-value", json.dumps(TREE))
        key_id = registry.register(f"{topic}-key", json.dumps(KEY))
        records = []
        for number in range(COUNT):
            headers = [("trace", b"x"), ("__value_schema_id", b"\x01" + UUID(registry.guid_of(value_id)).bytes)]
            key, value = binary(KEY, {"region": "r", "number": number}), binary(TREE, plain(tree(number)))
            if number % 2:
                headers.append(("__key_schema_id", b"\x01" + UUID(registry.guid_of(key_id)).bytes))
            else:
                key = prefixed(key_id, key)
            records.append(Record(value, key, tuple(headers), partition=number % 2))
        records += [Record(None, b"gone", records[0].headers)]  # a tombstone that still names a schema
        send(lab, topic, records)
        lab.collect_until_end()
        found = observations(lab, topic)
        rows = lab.spans(topic)
        answer = lab.verify()
        lab.close()
    reference = {"type": "AVRO", "id": value_id, "guid": registry.guid_of(value_id), "subject": f"{topic}-value"}
    assert {member: rows[0]["schema"][member] for member in reference} == reference
    assert {row["schema"]["guid"] for row in rows} == {registry.guid_of(value_id)}
    assert {partition: len(offsets) for partition, offsets in observed_offsets(rows).items()} == {0: 151, 1: 150}
    assert {(o["key_schema"]["framing"], o["key_schema"]["id"]) for o in found if o["records"] > 1} == {
        ("GUID_HEADER", key_id),
        ("CONFLUENT_PREFIX", key_id),
    }
    check_profile(found, counted(TREE, [tree(number) for number in range(COUNT)]))
    assert answer.code == 0, answer.out


def test_without_a_registry(cluster: Any, tmp_path: Path) -> None:
    """The log is Avro single objects then, and everything that reads it works."""
    lab = Lab(cluster.bootstrap_servers, "", tmp_path)
    topic = lab.topic("mixed", partitions=1)
    records = [Record(orjson.dumps({"n": n}), (2**30 + n * 2**25).to_bytes(8, "big")) for n in range(COUNT)]
    records += [Record(prefixed(7, binary(TREE, plain(tree(n))))) for n in range(COUNT)]
    records += [Record(b"\xc3\x01" + bytes(8) + binary(TREE, plain(tree(n)))) for n in range(COUNT)]
    send(lab, topic, records)
    lab.collect_until_end()
    found = observations(lab, topic)
    rows = lab.spans(topic)
    record = lab.record(topic, 0, COUNT + 5)
    answer = lab.verify()
    lab.close()
    assert [(row["count"], row["schema"]["type"], row["schema"]["id"]) for row in rows] == [
        (COUNT, "JSON", None),
        (COUNT, "NONE", 7),
        (COUNT, "NONE", None),
    ]
    assert rows[2]["schema"]["crc64"] == "0" * 16
    check_profile(
        [o for o in found if o["value_schema"]["type"] == "JSON"], counted_json({"n": n} for n in range(COUNT))
    )
    assert [o["profile"] for o in found if o["value_schema"]["unresolved"]] == [None, None]
    assert record.json["schema"]["id"] == 7
    assert answer.code == 0, answer.out
    assert answer.json["records"] == 3 * COUNT


def test_who_wrote_is_kept_where_headers_say_so(lab: Lab) -> None:
    topic, known = lab.topic("clicks"), Acknowledged()
    first, second = lab.clicks(topic, CLICK, 40), lab.clicks(topic, CLICK_2, 40)
    lab.send(topic, first, known, headers=[("ce_id", b"1"), ("ce_source", b"/shop")])
    lab.send(topic, second[:20], known, headers=[("ce_source", b"/import"), ("lineage-producer", b"import-7")])
    lab.send(topic, second[20:], known)
    lab.collect_until_end()

    found = {
        (each["value_schema"]["id"], one["name"]) for each in observations(lab, topic) for one in each["producers"]
    }
    assert found == {(first[0][1], "/shop"), (second[0][1], "import-7")}
    assert lab.verify().code == 0

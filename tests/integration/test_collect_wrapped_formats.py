"""If this failed, records of a format that stands in a wrapper, or names its schema in a way of its own, would be
profiled as the wrapper, or stand under no schema or the wrong one."""

from __future__ import annotations

import base64
import io
import json
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import fastavro
import httpx
import pytest
from collecting import Lab
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
from fastavro.schema import fingerprint, to_parsing_canonical_form

pytestmark = pytest.mark.kafka

SECRET = "canary-41d8c3-do-not-store"
COUNT = 200

ADDRESS: dict[str, Any] = {"type": "object", "properties": {"zip": {"type": "string"}, "street": {"type": "string"}}}
ORDER: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "title": "Order",
    "additionalProperties": True,
    "properties": {
        "id": {"type": "integer"},
        "state": {"enum": ["new", "paid"]},
        "total": {"type": ["number", "null"]},
        "address": {"$ref": "address.json"},
        "lines": {"type": "array", "items": {"$ref": "#/definitions/line"}},
        "coupon": {"type": "string"},
    },
    "required": ["id", "state", "total"],
    "definitions": {"line": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}},
}
USER_V1: dict[str, Any] = {
    "type": "record",
    "name": "User",
    "namespace": "shop",
    "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}],
}
USER_V2: dict[str, Any] = {**USER_V1, "fields": [*USER_V1["fields"], {"name": "age", "type": ["null", "int"]}]}
LOCAL: dict[str, Any] = {"type": "record", "name": "Local", "fields": [{"name": "x", "type": "double"}]}
CONNECT_V1: dict[str, Any] = {
    "type": "struct",
    "optional": False,
    "name": "shop.Customer",
    "fields": [
        {"field": "id", "type": "int64", "optional": False},
        {"field": "email", "type": "string", "optional": True},
        {"field": "tags", "type": "array", "items": {"type": "string", "optional": False}, "optional": False},
    ],
}
CONNECT_V2 = {**CONNECT_V1, "fields": [*CONNECT_V1["fields"], {"field": "vip", "type": "boolean", "optional": False}]}


def orders(number: int) -> dict[str, Any]:
    """Every tenth with a text for its id, every eighth without its total; ``gift`` is declared nowhere."""
    out: dict[str, Any] = {
        "id": f"{SECRET}{number}" if number % 10 == 3 else number,
        "state": "lost" if number % 5 == 1 else ("new", "paid")[number % 2],
        "address": {"zip": f"{number}", **({"floor": number} if number % 4 == 0 else {})},
        "lines": [{"sku": f"s{i}"} if i else {"colour": "red"} for i in range(number % 3)],
    }
    if number % 8:
        out["total"] = None if number % 3 == 0 else number / 4
    if number % 6 == 0:
        out["gift"] = True
    return out


def single_object(schema: Any, value: Any) -> bytes:
    """As fastavro and the specification have it."""
    out = io.BytesIO(b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")))
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def crc64(schema: Any) -> str:
    """The fingerprint as a number is written: fastavro gives its bytes as they stand on the wire."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))[::-1].hex()


def customer(number: int) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": number,
        "email": None if number % 3 == 0 else f"{SECRET}{number}@x.example",
        "tags": ["a"] * (number % 3),
    }
    return out if number < COUNT // 2 else {**out, "vip": number % 2 == 0}


def event(number: int, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{SECRET}-{number}",
        "source": "/shop",
        "type": ("io.shop.created", "io.shop.deleted")[number % 2],
        "datacontenttype": "application/json",
        **({} if data is None else {"data": data}),
    }


def serialized(lab: Lab, topic: str, values: list[dict[str, Any]]) -> list[bytes]:
    """As confluent-kafka's serializer writes it, under the topic's latest schema."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of its own dependencies
        from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
        from confluent_kafka.schema_registry.json_schema import JSONSerializer
        from confluent_kafka.serialization import MessageField, SerializationContext
    given = {"auto.register.schemas": False, "use.latest.version": True, "validate": False}
    where = SerializationContext(topic, MessageField.VALUE)
    with SchemaRegistryClient({"url": lab.registry_url}) as client:
        write = JSONSerializer(Schema(json.dumps({"type": "object"}), "JSON"), client, conf=given)
        return [write(value, where) for value in values]


class Written:
    """One run of the collector over topics of every such format."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.sent = 0

    def topic(self, name: str) -> str:
        return f"{self.lab.name}.{name}"

    def write(self, name: str, records: list[Record]) -> None:
        send(self.lab, self.topic(name), records)
        self.sent += len(records)

    def register(self, subject: str, schema: Any, kind: str = "AVRO", references: Any = ()) -> int:
        body = {"schema": json.dumps(schema), "schemaType": kind, "references": list(references)}
        httpx.put(f"{self.lab.registry_url}/config/{subject}", json={"compatibility": "NONE"}, timeout=30)
        answer = httpx.post(f"{self.lab.registry_url}/subjects/{subject}/versions", json=body, timeout=30)
        answer.raise_for_status()
        return int(answer.json()["id"])

    def observed(self, name: str) -> list[dict[str, Any]]:
        return [observation for observation in self.log if observation["topic"] == self.topic(name)]

    def spans(self, name: str) -> list[dict[str, Any]]:
        return self.lab.spans(self.topic(name))

    def dead(self, name: str) -> list[tuple[int, str]]:
        return sorted((each["offset"], each["kind"]) for each in self.letters if each["topic"] == self.topic(name))

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        return observations(self.lab)

    @cached_property
    def letters(self) -> list[dict[str, Any]]:
        return dead_letters(self.lab)

    def deviations(self, name: str) -> dict[tuple[str, str], int]:
        """Kind and path to count, over all observations; never-seen ones only where no observation has the field."""
        found: Counter[tuple[str, str]] = Counter()
        seen = {field["path"] for profile in profiles(self.observed(name)) for field in profile["fields"]}
        for profile in profiles(self.observed(name)):
            for row in (profile["structure"] or {"deviations": []})["deviations"]:
                if row["kind"] != "never-seen" or row["path"] not in seen:
                    found[row["kind"], row["path"]] += row["count"]
        return dict(found)


@pytest.fixture(scope="module")
def written(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path_factory.mktemp("wrapped"))
    out = Written(lab)
    numbers = range(COUNT)

    topic = lab.topic("orders")
    out.register(f"{lab.name}-address", ADDRESS, "JSON")
    references = [{"name": "address.json", "subject": f"{lab.name}-address", "version": 1}]
    out.register(f"{topic}-value", ORDER, "JSON", references)
    out.write("orders", [Record(value) for value in serialized(lab, topic, [orders(number) for number in numbers])])

    topic = lab.topic("users")
    out.register(f"{topic}-value", USER_V1)
    out.register(f"{topic}-value", USER_V2)
    half = COUNT // 2
    users = [single_object(USER_V1, {"id": n, "name": f"{SECRET}{n}"}) for n in range(half)]
    users += [single_object(USER_V2, {"id": n, "name": "x", "age": n if n % 2 else None}) for n in range(half, COUNT)]
    out.write("users", [Record(value) for value in users])
    lab.topic("local")
    out.write("local", [Record(single_object(LOCAL, {"x": n / 2})) for n in numbers])
    (lab.directory / "avsc" / "deep").mkdir(parents=True)
    (lab.directory / "avsc" / "deep" / "local.avsc").write_text(json.dumps(LOCAL))
    lab.topic("strangers")
    strange = {"type": "record", "name": "Strange", "fields": [{"name": "y", "type": "int"}]}
    out.write("strangers", [Record(single_object(strange, {"y": n})) for n in numbers])

    lab.topic("customers")
    connect = []
    for number in numbers:
        schema = CONNECT_V1 if number < half else CONNECT_V2
        document = {"schema": schema, "payload": customer(number)}
        text = json.dumps(document, separators=(",", ":") if number % 2 else None)  # two writers
        if number % 50 == 7:
            text = json.dumps({"payload": customer(number), "schema": schema}, indent=1) + "\n"
        connect.append(Record(text.encode()))
    odd = json.dumps({"schema": CONNECT_V2, "payload": {"id": "seven", "tags": [], "vip": None, "more": 1}})
    connect += [Record(odd.encode()), Record(odd[:-1].encode() + b',"third":1}'), Record(odd.encode()[:-5])]
    out.write("customers", connect)

    lab.topic("events")
    events: list[Any] = [event(number, {"n": number, "ce": {"x": 1}}) for number in numbers]
    events[5] = {**event(5, None), "data_base64": base64.b64encode(b"\x00\x01\x02").decode()}
    events[6] = {**event(6, {"n": 6}), "data_base64": "AAEC"}
    events[7] = {**event(7, None), "data_base64": "?"}
    events[8] = event(8, "text")
    events[9] = event(9, None)
    wrapped = [json.dumps(each).encode() for each in events]
    wrapped[10] = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":' + b"[" * 1_000 + b"]" * 1_000 + b"}"
    wrapped[11] = b'{"specversion":"1.0","id":"\xff","source":"s","type":"t","data":{}}'
    wrapped[12] = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"n":"a","n":12,"ce":{"x":1}}}'
    content = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    out.write("events", [Record(value, headers=content) for value in wrapped])

    topic = lab.topic("binary-events")
    user_id = out.register(f"{topic}-value", USER_V1)
    attributes = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"io.shop.user"))
    body = single_object(USER_V1, {"id": 1, "name": "n"})[10:]
    out.write("binary-events", [Record(b"\x00" + user_id.to_bytes(4, "big") + body, headers=attributes)] * COUNT)
    lab.topic("binary-json")
    headers = (*attributes, ("content-type", b"application/json"))
    bodies = [(b"17", b'"text"', b"true", b'{"n": 1}', b"nonsense")[number % 5] for number in numbers]
    out.write("binary-json", [Record(value, headers=headers) for value in bodies])

    noise = random.Random(5)
    lab.topic("csv")
    out.write("csv", [Record(f"{number},caf\u00e9,{SECRET}\n".encode()) for number in numbers])
    lab.topic("noise")
    out.write("noise", [Record(b"\x07" + noise.randbytes(40)) for _ in numbers])

    lab.collect_until_end("--avro-schemas", str(lab.directory / "avsc"), "--reveal-fields", "ce.type")
    yield out
    lab.close()


def test_json_schema_is_compared_with_what_is_there(written: Written) -> None:
    values = [orders(number) for number in range(COUNT)]
    found = written.observed("orders")
    [row] = written.spans("orders")
    assert (row["schema"]["type"], row["schema"]["subject"]) == ("JSON", f"{written.topic('orders')}-value")
    check_profile(found, counted_json(values))
    lines = [line for value in values for line in value["lines"]]
    assert written.deviations("orders") == {
        ("type-mismatch", "id"): sum(isinstance(value["id"], str) for value in values),
        ("required-missing", "total"): sum("total" not in value for value in values),
        ("required-missing", "lines[].sku"): sum("sku" not in line for line in lines),
        ("outside-enum", "state"): sum(value["state"] == "lost" for value in values),
        ("undeclared", "gift"): sum("gift" in value for value in values),
        ("undeclared", "address.floor"): sum("floor" in value["address"] for value in values),
        ("undeclared", "lines[].colour"): sum("colour" in line for line in lines),
        ("never-seen", "coupon"): COUNT,
        ("never-seen", "address.street"): COUNT,
    }


def test_single_objects_stand_under_the_schema_of_their_fingerprint(written: Written) -> None:
    rows = written.spans("users")
    assert [(row["first_offset"], row["last_offset"]) for row in rows] == [(0, 99), (100, 199)]
    for row, schema, version in zip(rows, (USER_V1, USER_V2), (1, 2), strict=True):
        expected = {"type": "AVRO", "subject": f"{written.topic('users')}-value", "version": version}
        assert {member: row["schema"][member] for member in expected} == expected
        assert row["schema"]["crc64"] == crc64(schema)
    found = written.observed("users")
    assert {observation["value_schema"]["framing"] for observation in found} == {"SINGLE_OBJECT"}
    assert {profile["decoder"] for profile in profiles(found)} == {"COLUMNAR"}
    older = [each for each in found if each["value_schema"]["version"] == 1]
    check_profile(older, counted(USER_V1, [{"id": n, "name": f"{SECRET}{n}"} for n in range(100)]))


def test_schemas_of_single_objects_come_from_a_directory_too(written: Written) -> None:
    [row] = written.spans("local")
    assert (row["count"], row["schema"]["type"], row["schema"]["crc64"]) == (COUNT, "AVRO", crc64(LOCAL))
    check_profile(written.observed("local"), counted(LOCAL, [{"x": n / 2} for n in range(COUNT)]))


def test_an_unknown_fingerprint_is_unresolved(written: Written) -> None:
    [row] = written.spans("strangers")
    assert (row["count"], row["schema"]["unresolved"], len(row["schema"]["crc64"])) == (COUNT, True, 16)
    assert profiles(written.observed("strangers")) == []
    assert written.dead("strangers") == [(offset, "unknown-schema") for offset in range(COUNT)]


def test_connect_is_looked_through_and_split_by_its_schema(written: Written) -> None:
    rows = written.spans("customers")
    covered = [(row["first_offset"], row["last_offset"]) for row in rows]
    assert covered == [(0, 99), (100, 201), (202, 202)]
    prints = [row["schema"]["fingerprint"] for row in rows]
    assert (len(prints[0]), len(prints[1]), prints[2]) == (64, 64, None)
    assert prints[0] != prints[1]
    found = written.observed("customers")
    odd: dict[str, Any] = {"id": "seven", "tags": [], "vip": None, "more": 1}
    check_profile(found, counted_json([*(customer(number) for number in range(COUNT)), odd]))
    assert written.dead("customers") == [(201, "invalid-json"), (202, "invalid-json")]
    assert {key: count for key, count in written.deviations("customers").items() if key[0] != "never-seen"} == {
        ("type-mismatch", "id"): 1,
        ("type-mismatch", "vip"): 1,
        ("undeclared", "more"): 1,
    }


def test_structured_events_are_looked_through(written: Written) -> None:
    [row] = written.spans("events")
    assert (row["count"], row["schema"]["type"]) == (COUNT, "JSON")
    assert written.dead("events") == [(6, "invalid-event"), (7, "invalid-event"), (11, "invalid-json")]
    fields: dict[str, Counter[str]] = {}
    for profile in profiles(written.observed("events")):
        for field in profile["fields"]:
            types = fields.setdefault(field["path"], Counter())
            types.update({each["type"]: each["count"] for each in field["types"]})
            types["null"] += field["nulls"]
    assert fields["n"]["integer"] == COUNT - 7  # 5 to 11 have other data
    assert fields['"ce".x']["integer"] == COUNT - 7
    assert fields["ce.type"]["string"] == COUNT - 3
    assert fields["ce.specversion"]["string"] == COUNT - 3
    assert (fields["$"]["bytes"], fields["$"]["string"], fields["$"]["array"], fields["$"]["null"]) == (1, 1, 1, 1)


def test_binary_events_are_what_their_value_is(written: Written) -> None:
    [row] = written.spans("binary-events")
    assert (row["count"], row["schema"]["subject"]) == (COUNT, f"{written.topic('binary-events')}-value")
    found = written.observed("binary-json")
    assert {observation["value_schema"]["framing"] for observation in found} == {"PLAIN_JSON"}
    assert written.dead("binary-json") == [(offset, "invalid-json") for offset in range(4, COUNT, 5)]
    assert sum(profile["decoded"] for profile in profiles(found)) == COUNT * 4 // 5


def test_opaque_records_are_said_to_be(written: Written) -> None:
    for name, decoder in (("csv", "TEXT"), ("noise", "OPAQUE")):
        [row] = written.spans(name)
        assert (row["count"], row["schema"]["type"]) == (COUNT, "NONE")
        assert {profile["decoder"] for profile in profiles(written.observed(name))} == {decoder}
        assert written.dead(name) == []
        shown = written.lab.run("spans", written.topic(name), *written.lab.flags()).out
        assert "opaque" in shown


def test_everything_is_proven_and_nothing_is_kept(written: Written) -> None:
    answer = written.lab.verify()
    assert answer.code == 0, answer.out
    assert answer.json["records"] == written.sent
    assert SECRET.encode() not in everything_written(written.lab, *logs_of(written.lab))


def test_a_schema_that_comes_late_completes_what_was_recorded_without_it(cluster: Any, tmp_path: Path) -> None:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    topic = lab.topic("late")
    written = Written(lab)
    values = [single_object(USER_V1, {"id": n, "name": "x"}) for n in range(COUNT)]
    written.write("late", [Record(value) for value in values])
    lab.collect_until_end()
    [before] = lab.spans(topic)
    written.register(f"{topic}-value", USER_V1)
    lab.collect_until_end()
    [after] = lab.spans(topic)
    answer = lab.verify()
    lab.close()
    assert (before["schema"]["unresolved"], before["schema"]["crc64"]) == (True, crc64(USER_V1))
    assert (after["count"], after["schema"]["subject"], after["schema"]["version"]) == (COUNT, f"{topic}-value", 1)
    assert "unresolved" not in after["schema"]
    assert answer.code == 0, answer.out


def test_record_says_where_its_neighbours_deviate(written: Written) -> None:
    document = written.lab.record(written.topic("orders"), 0, 3).json
    assert document["decoder"] == "JSON"
    mismatch = [each for each in document["deviations"] if each["kind"] == "type-mismatch"]
    assert [(each["path"], each["declared"], each["seen"]) for each in mismatch] == [("id", "integer", "string")]
    assert written.lab.record(written.topic("csv"), 0, 3).json["decoder"] == "TEXT"
    arguments = ("record", written.topic("csv"), "0", "3", *written.lab.flags(), "--group-id", written.lab.group)
    assert "coordinates only" in " ".join(written.lab.run(*arguments).out.split())


def test_a_directory_that_is_not_there_is_told(cluster: Any, tmp_path: Path) -> None:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    lab.topic("t")
    collector = lab.collect("--until-end", "--avro-schemas", str(tmp_path / "nowhere"))
    assert collector.wait(60) != 0
    assert "nowhere" in collector.log()
    assert "avro_schemas" in collector.log()
    lab.close()

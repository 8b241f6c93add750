"""If this failed, Protobuf records would be read as another message than they are, or not at all, or lost."""

from __future__ import annotations

import importlib.resources
import random
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from collecting import Lab, observed_offsets
from evidence import Counts, Record, check_profile, dead_letters, items_of, logs_of, observations, profiles, send
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from stream_lineage.testing.fake_registry import FakeRegistry

with warnings.catch_warnings(record=True):
    warnings.simplefilter("always")  # those of libraries that the client uses are none of ours
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from confluent_kafka.schema_registry.serde import SchemaId
    from confluent_kafka.serialization import MessageField, SerializationContext

pytestmark = pytest.mark.kafka

COUNT = 300
MONEY = """syntax = "proto3";
package shop;
message Money { int64 cents = 1; string currency = 2; }
"""
SHOP = """syntax = "proto3";
package shop;
import "shop/money.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "confluent/type/decimal.proto";
enum Colour { NONE = 0; RED = 1; BLUE = 5; }
message Refund { string reason = 1; optional int32 stars = 2; }
message Order {
  int64 id = 1;
  optional int32 age = 2;
  map<string, Money> prices = 3;
  repeated Line lines = 4;
  repeated sint64 counts = 5;
  oneof paid { string card = 6; Money cash = 7; }
  Colour colour = 8;
  google.protobuf.Timestamp at = 9;
  google.protobuf.StringValue note = 10;
  confluent.type.Decimal total = 11;
  double ratio = 12;
  message Line { string sku = 1; uint32 quantity = 2; Money price = 3; }
  message Step { bool done = 1; Step next = 2; }
}
"""


def classes(directory: Path, **files: str) -> dict[str, Any]:
    """Message classes of some schemas, by full name, as Google's library makes them."""
    builtin = directory / "confluent" / "type"
    builtin.mkdir(parents=True)
    fields = "bytes value = 1; uint32 precision = 2; int32 scale = 3;"
    decimal = f'syntax = "proto3"; package confluent.type; message Decimal {{ {fields} }}'
    (builtin / "decimal.proto").write_text(decimal)
    for name, text in files.items():
        path = directory / f"{name.replace('_', '/')}.proto"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    known = importlib.resources.files("grpc_tools") / "_proto"
    out = directory / "out"
    names = [f"{name.replace('_', '/')}.proto" for name in files]
    arguments = [f"-I{directory}", f"-I{known}", "--include_imports", f"--descriptor_set_out={out}", *names]
    assert protoc.main(["protoc", *arguments]) == 0
    pool = descriptor_pool.DescriptorPool()
    made: dict[str, Any] = {}

    def make(message: Any) -> None:
        made[message.full_name] = message_factory.GetMessageClass(message)
        for nested in message.nested_types:
            make(nested)

    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        for message in pool.AddSerializedFile(file.SerializeToString()).message_types_by_name.values():
            make(message)
    return made


def fill(made: Mapping[str, Any], number: int) -> Any:
    chance = random.Random(number)
    order = made["shop.Order"](id=number, ratio=number / 7)
    if number % 3:
        order.age = number % 5 - 2
    for key in range(number % 4):
        order.prices[f"k{key}"].cents = number * key
    for line in range(number % 3):
        order.lines.add(sku=f"sku-{number % 11}", quantity=line)
        if line:
            order.lines[-1].price.currency = "EUR"
    order.counts.extend(chance.randrange(-(10**9), 10**9) for _ in range(number % 6))
    if number % 2:
        order.card = f"card-{number % 7}"
    elif number % 4:
        order.cash.cents = number
    order.colour = (0, 1, 5, 9)[number % 4]
    order.at.seconds = 1_700_000_000 + number
    if number % 5 == 0:
        order.note.value = "n" * (number % 3)
    order.total.value = number.to_bytes(2, "big")
    return order


def counted(messages: Iterable[Any]) -> dict[str, Counts]:
    """Count messages by field path."""
    out: dict[str, Counts] = {}
    for message in messages:
        _message(message, "", out)
    return out


def _message(message: Any, prefix: str, out: dict[str, Counts]) -> None:
    for each in message.DESCRIPTOR.fields:
        path, value = f"{prefix}{each.name}", getattr(message, each.name)
        if each.is_repeated:
            entries = each.message_type is not None and each.message_type.GetOptions().map_entry
            here = out.setdefault(path, Counts())
            here.types["map" if entries else "array"] += 1
            here.lengths.append(len(value))
            for item in value.values() if entries else value:
                _value(each.message_type.fields_by_name["value"] if entries else each, item, path, out, entries)
        elif not each.has_presence or message.HasField(each.name):
            _value(each, value, path, out, None)


def _value(each: Any, value: Any, path: str, out: dict[str, Counts], entries: bool | None) -> None:
    path += "" if entries is None else "{}" if entries else "[]"
    if each.message_type is not None and each.message_type.full_name == "google.protobuf.StringValue":
        value = value.value
    here = out.setdefault(path, Counts())
    if each.enum_type is not None:
        name = each.enum_type.values_by_number.get(value)
        here.types["enum" if name is not None else "integer"] += 1
        if name is None:
            here.numbers.append(value)
        else:
            here.texts.append(name.name)
    elif isinstance(value, bool):
        here.types["boolean"] += 1
        here.texts.append("true" if value else "false")
    elif isinstance(value, int | float):
        here.types["integer" if isinstance(value, int) else "number"] += 1
        here.numbers.append(value)
    elif isinstance(value, str | bytes):
        here.types["string" if isinstance(value, str) else "bytes"] += 1
        here.lengths.append(len(value))
        here.texts.append(value)
    else:
        here.types["record"] += 1
        _message(value, f"{path}.", out)


def deviations(found: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """Where the profiles say that records differ from their schema."""
    out: dict[tuple[str, str], int] = {}
    for profile in profiles(found):
        for row in profile["structure"]["deviations"]:
            key = (row["kind"], row["path"])
            out[key] = out.get(key, 0) + row["count"]
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return classes(tmp_path_factory.mktemp("proto"), shop_money=MONEY, shop=SHOP)


@pytest.fixture
def lab(cluster: Any, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    yield lab
    lab.close()


def registered(lab: Lab, subject: str, text: str, references: Iterable[Mapping[str, Any]] = ()) -> int:
    body = {"schema": text, "schemaType": "PROTOBUF", "references": list(references)}
    answer = httpx.post(f"{lab.registry_url}/subjects/{subject}/versions", json=body, timeout=30)
    answer.raise_for_status()
    return int(answer.json()["id"])


def framed(schema_id: int, indexes: list[int], message: Any) -> bytes:
    framing = SchemaId("PROTOBUF", schema_id, message_indexes=indexes).id_to_bytes()
    return bytes(framing + message.SerializeToString())


def test_what_the_serializer_of_confluent_writes(lab: Lab, made: dict[str, Any]) -> None:
    """Messages at the top and nested ones, with a schema of another subject imported, registered by the client."""
    topic = lab.topic("serialised")
    context = SerializationContext(topic, MessageField.VALUE)
    orders = [fill(made, number) for number in range(COUNT)]
    lines = [made["shop.Order.Line"](sku=f"s{number % 4}", quantity=number) for number in range(COUNT)]
    with SchemaRegistryClient({"url": lab.registry_url}) as client:
        write = {name: ProtobufSerializer(made[name], client) for name in ("shop.Order", "shop.Order.Line")}
        records = [write[message.DESCRIPTOR.full_name](message, context) for message in (*orders, *lines)]
        schema = client.get_latest_version(f"{topic}-value")
    assert [records[0][5:7], records[-1][5:8]] == [b"\x02\x02", b"\x04\x02\x02"]
    send(lab, topic, [Record(record) for record in records])
    lab.collect_until_end()
    found = observations(lab, topic)
    [row] = lab.spans(topic)
    letters = dead_letters(lab)
    assert (row["first_offset"], row["last_offset"], row["count"]) == (0, 2 * COUNT - 1, 2 * COUNT)
    expected = {"type": "PROTOBUF", "id": schema.schema_id, "subject": f"{topic}-value", "version": 1}
    assert {name: row["schema"][name] for name in expected} == expected
    assert letters == []
    assert {profile["decoder"] for profile in profiles(found)} == {"COLUMNAR"}
    assert sum(profile["decoded"] for profile in profiles(found)) == 2 * COUNT
    check_profile(found, counted([*orders, *lines]))
    answer = lab.verify()
    assert answer.code == 0, answer.out


def test_a_schema_that_was_registered_as_text(lab: Lab, made: dict[str, Any]) -> None:
    """As clients for Java do, which count nested messages without the entries of maps; with records that are bad."""
    topic = lab.topic("text")
    money = f"{lab.name}-money"
    registered(lab, money, MONEY)
    imported = {"name": "shop/money.proto", "subject": money, "version": 1}
    schema_id = registered(lab, f"{topic}-value", SHOP, [imported])
    orders = [fill(made, number) for number in range(COUNT)]
    steps = [made["shop.Order.Step"](done=number % 2 == 0, next={"done": True}) for number in range(COUNT)]
    good = [framed(schema_id, [1], order) for order in orders]
    good += [framed(schema_id, [1, 1], step) for step in steps]  # behind Line; no client for Java counts PricesEntry
    bad = [
        framed(schema_id, [7], orders[0]),  # no such message
        framed(schema_id, [1, 9], orders[0]),
        framed(schema_id, [1], orders[5])[:-3],  # ends early
        good[0][:5],  # not even indexes
        good[0][:5] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        framed(schema_id, [0], made["shop.Refund"]()) + b"\x0a\x01\xff",  # a string that is none
    ]
    unknown = (
        framed(schema_id, [1], orders[1]) + b"\xa0\x06\x05" + b"\xa0\x06\x05" + b"\x0a\x01x"
    )  # 100, 100; 1 is a number
    places = random.Random(5).sample(range(2 * COUNT), len(bad))
    records = [Record(record) for record in good]
    for place, record in sorted(zip(places, bad, strict=True), reverse=True):
        records.insert(place, Record(record))
    records.append(Record(unknown))
    wrong = [offset for offset, record in enumerate(records) if record.value in bad]
    send(lab, topic, records)
    lab.collect_until_end()
    found = observations(lab, topic)
    rows = lab.spans(topic)
    letters = dead_letters(lab)
    assert sum(row["count"] for row in rows) == len(records)
    assert {row["schema"]["id"] for row in rows} == {schema_id}
    assert sorted(letter["offset"] for letter in letters) == wrong
    assert Counter(letter["kind"] for letter in letters) == {"bad-message-index": 4, "truncated": 1, "bad-utf8": 1}
    assert sum(profile["decoded"] for profile in profiles(found)) == len(good) + 1
    assert sum(profile["undecoded"] for profile in profiles(found)) == len(bad)
    check_profile(found, counted([*orders, *steps, orders[1]]))
    seen = deviations(found)
    assert seen["undeclared", "#100"] == 2
    assert seen["type-mismatch", "id"] == 1
    assert seen["outside-enum", "colour"] == sum(order.colour == 9 for order in orders)
    assert items_of(found, "colour")["=BLUE"] == sum(order.colour == 5 for order in [*orders, orders[1]])


def test_guid_headers_name_the_message_too(cluster: Any, tmp_path: Path, made: dict[str, Any]) -> None:
    """The payload is the message alone then, and the indexes stand behind the GUID."""
    with FakeRegistry() as registry:
        lab = Lab(cluster.bootstrap_servers, registry.url, tmp_path)
        topic = lab.topic("guids", partitions=2)
        registry.register("money", MONEY, "PROTOBUF")
        imported = {"name": "shop/money.proto", "subject": "money", "version": 1}
        schema_id = registry.register(f"{topic}-value", SHOP, "PROTOBUF", (imported,))
        guid = registry.guid_of(schema_id)
        orders = [fill(made, number) for number in range(COUNT)]
        lines = [made["shop.Order.Line"](sku=f"s{number % 4}", quantity=number) for number in range(COUNT)]

        def record(message: Any, indexes: list[int], partition: int = 0) -> Record:
            header = SchemaId("PROTOBUF", guid=guid, message_indexes=indexes).guid_to_bytes()
            return Record(message.SerializeToString(), None, (("__value_schema_id", header),), partition)

        records = [record(order, [1]) for order in orders]
        records += [record(line, [1, 0], 1) for line in lines]
        records += [record(orders[0], [9])]
        send(lab, topic, records)
        lab.collect_until_end()
        found = observations(lab, topic)
        rows = lab.spans(topic)
        letters = dead_letters(lab)
        answer = lab.verify()
        lab.close()
    assert {(row["schema"]["type"], row["schema"]["guid"], row["schema"]["id"]) for row in rows} == {
        ("PROTOBUF", guid, schema_id)
    }
    assert {partition: len(offsets) for partition, offsets in observed_offsets(rows).items()} == {
        0: COUNT + 1,
        1: COUNT,
    }
    assert [letter["offset"] for letter in letters] == [COUNT]
    assert answer.code == 0, answer.out
    ids = [next(iter({span["partition"] for span in observation["spans"]})) for observation in found]
    check_profile([o for o, partition in zip(found, ids, strict=True) if partition == 0], counted(orders))
    check_profile([o for o, partition in zip(found, ids, strict=True) if partition == 1], counted(lines))


HOSTILE = {
    "undefined": 'syntax = "proto3"; message A { B b = 1; }',
    "missing": 'syntax = "proto3"; import "nowhere.proto"; message A {}',
    "traversal": 'syntax = "proto3"; import "../../../../etc/passwd"; message A {}',
    "deep": 'syntax = "proto3"; ' + "message A { " * 5_000 + "}" * 5_000,
    "no-schema": "not a schema",
    "no-descriptor": "AAAA",
    "long": 'syntax = "proto3"; message A { int32 a = 1; } ' + "// x\n" * 900_000,
    "usable": 'syntax = "proto3"; message A { int32 a = 1; A b = 2; }',
}


def test_schemas_that_cannot_be_used_make_records_opaque_and_do_no_harm(cluster: Any, tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        lab = Lab(cluster.bootstrap_servers, registry.url, tmp_path)
        ids = {}
        for name, text in HOSTILE.items():
            topic = lab.topic(name)
            ids[name] = registry.register(f"{topic}-value", text, "PROTOBUF")
            prefix = b"\x00" + ids[name].to_bytes(4, "big") + b"\x00"
            send(lab, topic, [Record(prefix + b"\x08\x05") for _ in range(50)])
        lab.collect_until_end()
        found = observations(lab)
        restarts = [event for log in logs_of(lab) for event in log.read_text().splitlines() if "was lost" in event]
        lab.close()
    for name in HOSTILE:
        own = [each for each in found if each["topic"] == f"{lab.name}.{name}"]
        assert {each["value_schema"]["id"] for each in own} == {ids[name]}, name
        assert sum(span["count"] for each in own for span in each["spans"]) == 50, name
        decoder = "COLUMNAR" if name in ("long", "usable") else "OPAQUE"
        assert {profile["decoder"] for profile in profiles(own)} == {decoder}, name
    assert restarts == []

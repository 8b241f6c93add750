"""The records that the collector's benchmark observes: several shapes, in each of the formats."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import fastavro
import fastavro.schema
from protobuf_shape import filled, message_class, proto_text

SIX_FIELDS: dict[str, Any] = {
    "type": "record",
    "name": "Click",
    "namespace": "bench",
    "fields": [
        {"name": "user_id", "type": "long"},
        {"name": "session", "type": "int"},
        {"name": "amount", "type": "double"},
        {"name": "country", "type": "string"},
        {"name": "event_type", "type": "string"},
        {"name": "age", "type": ["null", "int"]},
    ],
}
NESTED: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "bench",
    "fields": [
        {"name": "id", "type": "long"},
        {
            "name": "customer",
            "type": {
                "type": "record",
                "name": "Customer",
                "fields": [
                    {"name": "name", "type": "string"},
                    {"name": "age", "type": ["null", "int"]},
                    {
                        "name": "address",
                        "type": {
                            "type": "record",
                            "name": "Address",
                            "fields": [{"name": "city", "type": "string"}, {"name": "zip", "type": "string"}],
                        },
                    },
                ],
            },
        },
        {"name": "total", "type": "double"},
    ],
}
ARRAYS: dict[str, Any] = {
    "type": "record",
    "name": "Basket",
    "namespace": "bench",
    "fields": [
        {"name": "id", "type": "long"},
        {
            "name": "items",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Item",
                    "fields": [{"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}],
                },
            },
        },
        {"name": "tags", "type": {"type": "map", "values": "string"}},
    ],
}
UNIONS: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "namespace": "bench",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "value", "type": ["null", "long", "double", "string", "boolean"]},
        {"name": "source", "type": ["string", "null", "int"]},
        {
            "name": "extra",
            "type": ["null", {"type": "record", "name": "Extra", "fields": [{"name": "n", "type": "int"}]}],
        },
    ],
}
_WIDE_TYPES = ("long", "double", "string", ["null", "int"], "boolean")
WIDE: dict[str, Any] = {
    "type": "record",
    "name": "Wide",
    "namespace": "bench",
    "fields": [{"name": f"field_{n}", "type": _WIDE_TYPES[n % 5]} for n in range(300)],
}
COUNTRIES = ("DE", "FR", "US", "GB", "ES", "IT", "NL", "PL")
EVENTS = ("view", "click", "purchase", "search")


def _six(rng: random.Random, index: int) -> dict[str, Any]:
    return {
        "user_id": 10**9 + index,
        "session": rng.randrange(100_000),
        "amount": rng.random() * 100,
        "country": rng.choice(COUNTRIES),
        "event_type": rng.choice(EVENTS),
        "age": None if rng.random() < 0.1 else rng.randrange(18, 90),
    }


def _nested(rng: random.Random, index: int) -> dict[str, Any]:
    address = {"city": rng.choice(("Berlin", "Paris", "Boston")), "zip": f"{rng.randrange(10**5):05}"}
    age = None if rng.random() < 0.1 else rng.randrange(18, 90)
    customer = {"name": f"customer-{rng.randrange(10_000)}", "age": age, "address": address}
    return {"id": index, "customer": customer, "total": rng.random() * 1000}


def _arrays(rng: random.Random, index: int) -> dict[str, Any]:
    items = [{"sku": f"sku-{rng.randrange(500)}", "quantity": rng.randrange(1, 9)} for _ in range(rng.randrange(5))]
    return {"id": index, "items": items, "tags": {f"k{n}": rng.choice(COUNTRIES) for n in range(rng.randrange(3))}}


def _unions(rng: random.Random, index: int) -> dict[str, Any]:
    value = rng.choice((None, index, rng.random(), "text", True))
    extra = None if rng.random() < 0.5 else {"n": rng.randrange(100)}
    return {"id": index, "value": value, "source": rng.choice(("web", None, 7)), "extra": extra}


def _wide(rng: random.Random, index: int) -> dict[str, Any]:
    makers: tuple[Callable[[], Any], ...] = (
        lambda: rng.randrange(10**6),
        rng.random,
        lambda: rng.choice(EVENTS),
        lambda: rng.choice((None, 7)),
        lambda: rng.random() < 0.5,
    )
    return {f"field_{n}": makers[n % 5]() for n in range(300)}


_JSON_TYPES = {"int": "integer", "long": "integer", "double": "number", "string": "string", "boolean": "boolean"}
_CONNECT_TYPES = {"int": "int32", "long": "int64", "double": "double", "string": "string", "boolean": "boolean"}


def json_schema(avro: Any) -> dict[str, Any]:
    """The JSON schema that says what an Avro schema does."""
    match avro:
        case str():
            return {"type": _JSON_TYPES[avro]}
        case ["null", other]:
            return {"oneOf": [{"type": "null"}, json_schema(other)]}
        case {"type": "array", "items": items}:
            return {"type": "array", "items": json_schema(items)}
        case {"type": "map", "values": values}:
            return {"type": "object", "additionalProperties": json_schema(values)}
    fields = avro["fields"]
    properties = {field["name"]: json_schema(field["type"]) for field in fields}
    return {"type": "object", "properties": properties, "required": [field["name"] for field in fields]}


def connect_schema(avro: Any) -> dict[str, Any]:
    """The Connect schema that says what an Avro schema does."""
    match avro:
        case str():
            return {"type": _CONNECT_TYPES[avro], "optional": False}
        case ["null", other]:
            return {**connect_schema(other), "optional": True}
        case {"type": "array", "items": items}:
            return {"type": "array", "items": connect_schema(items), "optional": False}
        case {"type": "map", "values": values}:
            return {
                "type": "map",
                "keys": connect_schema("string"),
                "values": connect_schema(values),
                "optional": False,
            }
    fields = [{**connect_schema(field["type"]), "field": field["name"]} for field in avro["fields"]]
    return {"type": "struct", "fields": fields, "optional": False, "name": f"bench.{avro['name']}"}


@dataclass(frozen=True, slots=True)
class Workload:
    """A topic's records: a shape, said by an Avro schema, in a format.

    ``format`` is ``avro`` (Confluent's prefix), ``single-object``, ``json``, ``json-schema`` (the prefix and JSON),
    ``connect-json``, ``cloud-events`` or ``protobuf`` (the prefix and message indexes).
    """

    name: str
    shape: dict[str, Any]
    make: Callable[[random.Random, int], dict[str, Any]]
    format: str = "avro"

    @property
    def registered(self) -> tuple[str, str] | None:
        """Type and text of the schema that the registry is to know."""
        if self.format in ("avro", "single-object"):
            return "AVRO", json.dumps(self.shape)
        if self.format == "protobuf":
            return "PROTOBUF", proto_text(self.shape)
        return ("JSON", json.dumps(json_schema(self.shape))) if self.format == "json-schema" else None

    def payloads(self, count: int, schema_id: int, *, seed: int = 7) -> list[bytes]:
        """``count`` encoded records."""
        rng = random.Random(seed)
        values = (self.make(rng, index) for index in range(count))
        prefix = b"\x00" + schema_id.to_bytes(4, "big")
        if self.format in ("avro", "single-object"):
            if self.format == "single-object":
                form = fastavro.schema.to_parsing_canonical_form(self.shape)
                prefix = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
            return list(_avro(self.shape, values, prefix))
        if self.format == "protobuf":
            message = message_class(proto_text(self.shape), self.shape["name"])
            return [prefix + b"\x00" + filled(message(), value).SerializeToString() for value in values]
        texts = (json.dumps(value, separators=(",", ":")).encode() for value in values)
        if self.format == "json-schema":
            return [prefix + text for text in texts]
        if self.format == "connect-json":
            schema = json.dumps(connect_schema(self.shape), separators=(",", ":")).encode()
            return [b'{"schema":%b,"payload":%b}' % (schema, text) for text in texts]
        if self.format == "cloud-events":
            head = b'{"specversion":"1.0","id":"%d","source":"/bench","type":"io.bench.made",'
            head += b'"datacontenttype":"application/json","data":%b}'
            return [head % (index, text) for index, text in enumerate(texts)]
        return list(texts)

    def reader(self) -> Callable[[bytes], dict[str, Any]]:
        """What a plain consumer does with each value."""
        if self.format in ("avro", "single-object"):
            parsed, skip = fastavro.parse_schema(self.shape), 5 if self.format == "avro" else 10
            return lambda value: fastavro.schemaless_reader(io.BytesIO(value[skip:]), parsed, None)  # type: ignore
        if self.format == "protobuf":
            message = message_class(proto_text(self.shape), self.shape["name"])
            return lambda value: {field.name: each for field, each in message.FromString(value[6:]).ListFields()}
        member = {"connect-json": "payload", "cloud-events": "data"}.get(self.format)
        if member is not None:
            return lambda value: json.loads(value)[member]  # type: ignore[no-any-return]
        return lambda value: json.loads(value[5:] if self.format == "json-schema" else value)  # type: ignore


def _avro(schema: dict[str, Any], values: Iterable[Any], prefix: bytes) -> Iterator[bytes]:
    parsed = fastavro.parse_schema(schema)
    for value in values:
        buffer = io.BytesIO()
        buffer.write(prefix)
        fastavro.schemaless_writer(buffer, parsed, value)
        yield buffer.getvalue()


_SHAPES: tuple[tuple[str, dict[str, Any], Callable[[random.Random, int], dict[str, Any]]], ...] = (
    ("six-fields", SIX_FIELDS, _six),
    ("nested", NESTED, _nested),
    ("arrays", ARRAYS, _arrays),
    ("wide", WIDE, _wide),
)
_FORMATS = ("single-object", "json", "json-schema", "connect-json", "cloud-events", "protobuf")

WORKLOADS: dict[str, Workload] = {
    **{name: Workload(name, shape, make) for name, shape, make in _SHAPES},
    "unions": Workload("unions", UNIONS, _unions),
    **{
        name: Workload(name, shape, make, each)
        for each in _FORMATS
        for of, shape, make in _SHAPES
        for name in [each if of == "six-fields" else f"{each}-{of}"]
    },
}
USUAL = ("six-fields", "nested", "arrays", "unions", "wide", *_FORMATS)
"""The rows of ``make bench``: every shape, and every format. All of both by name."""

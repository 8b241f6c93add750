"""The records that the collector's benchmark observes: Avro of several shapes, and JSON."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastavro

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
_EXTRA = {"type": "record", "name": "Extra", "fields": [{"name": "n", "type": "int"}]}
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


@dataclass(frozen=True, slots=True)
class Workload:
    """A topic's records. ``schema`` is null for JSON without the registry."""

    name: str
    schema: dict[str, Any] | None
    make: Callable[[random.Random, int], dict[str, Any]]

    def payloads(self, count: int, schema_id: int, *, seed: int = 7) -> list[bytes]:
        """``count`` encoded records with the Confluent prefix, or JSON text."""
        rng = random.Random(seed)
        if self.schema is None:
            return [json.dumps(self.make(rng, index)).encode() for index in range(count)]
        parsed = fastavro.parse_schema(self.schema)
        prefix = b"\x00" + schema_id.to_bytes(4, "big")
        out = []
        for index in range(count):
            buffer = io.BytesIO()
            buffer.write(prefix)
            fastavro.schemaless_writer(buffer, parsed, self.make(rng, index))
            out.append(buffer.getvalue())
        return out


WORKLOADS: dict[str, Workload] = {
    "six-fields": Workload("six-fields", SIX_FIELDS, _six),
    "nested": Workload("nested", NESTED, _nested),
    "arrays": Workload("arrays", ARRAYS, _arrays),
    "unions": Workload("unions", UNIONS, _unions),
    "json": Workload("json", None, _six),
}

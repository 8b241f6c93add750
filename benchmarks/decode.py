"""What decoding costs: our decoders beside fastavro, Google's Protobuf library and, where they are installed, Polars
and pyruhvro.

    python benchmarks/decode.py [--records N] [--rounds N] [--batch N] [--protobuf]

``--protobuf`` leaves out all else.

Prints records per second and CPU time per record, best of several rounds of one run, and the ratios to
``fastavro.schemaless_reader`` (for Protobuf: to parsing each record and listing its fields). On a machine that does
other work as well, the CPU times are the better measure. Everything is in memory: ours read a joined buffer, which is
what the collector hands over; fastavro and pyruhvro a list of payloads; Polars one Avro block of joined bodies, which
loses the boundaries of records (a truncated one eats into the next). Polars uses all cores, the others one.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import orjson

from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.wire.avro_records import AvroRecords
from stream_lineage.wire.avro_schema import parse_schema
from stream_lineage.wire.columns import PADDING, Batch
from stream_lineage.wire.decoder import decoder_for

sys.path.insert(0, str(Path(__file__).parent / "collect"))
from protobuf_shape import filled, looked_at, message_class, proto_text

WORDS = ("click", "view", "purchase", "scroll", "login")
COUNTRIES = ("US", "DE", "FR", "日本", "BR")


def record(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": type_} for key, type_ in fields.items()]}


SIX = record(
    "Six",
    {
        "id": "long",
        "user": "int",
        "amount": "double",
        "country": "string",
        "event_type": "string",
        "age": ["null", "int"],
    },
)
NESTED = record(
    "Nested",
    {
        "id": "long",
        "user": record("User", {"name": "string", "city": ["null", "string"], "score": "float"}),
        "items": {
            "type": "array",
            "items": record("Item", {"sku": "string", "quantity": "int", "price": "double"}),
        },
        "tags": {"type": "array", "items": "string"},
        "counts": {"type": "array", "items": "long"},
    },
)
UNIONS = record(
    "Unions",
    {
        f"u{i}": [
            "null",
            "long",
            "double",
            "string",
            "boolean",
            record(f"P{i}", {"x": "int", "y": ["null", "string"]}),
        ]
        for i in range(6)
    },
)
WIDE = record("Wide", {f"f{i}": ("long", "double", "string", ["null", "int"], "boolean")[i % 5] for i in range(300)})
ARRAYS = record(
    "Arrays",
    {
        "longs": {"type": "array", "items": "long"},
        "doubles": {"type": "array", "items": "double"},
        "words": {"type": "array", "items": "string"},
        "small": {"type": "array", "items": "int"},
        "counts": {"type": "map", "values": "long"},
    },
)
SPARSE = {**WIDE, "name": "Sparse"}
LIST = record("List", {"value": "int", "text": "string", "next": ["null", "List"]})


def six(rng: random.Random) -> Any:
    return {
        "id": 10**9 + rng.randrange(10**6),
        "user": rng.randrange(100_000),
        "amount": rng.random() * 100,
        "country": rng.choice(COUNTRIES[:3]),
        "event_type": rng.choice(WORDS),
        "age": None if rng.random() < 0.1 else rng.randrange(90),
    }


def nested(rng: random.Random) -> Any:
    return {
        "id": rng.randrange(10**9),
        "user": {"name": "n" * rng.randrange(4, 20), "city": rng.choice([None, *COUNTRIES]), "score": rng.random()},
        "items": [
            {"sku": f"sku-{rng.randrange(10**5)}", "quantity": rng.randrange(9), "price": rng.random()}
            for _ in range(rng.randrange(6))
        ],
        "tags": rng.choices(WORDS, k=rng.randrange(4)),
        "counts": [rng.randrange(10**6) for _ in range(rng.randrange(12))],
    }


def unions(rng: random.Random) -> Any:
    def value(i: int) -> Any:
        inner = (f"P{i}", {"x": rng.randrange(99), "y": rng.choice([None, "why"])})
        return rng.choice([None, rng.randrange(10**6), rng.random(), rng.choice(WORDS), rng.random() < 0.5, inner])

    return {f"u{i}": value(i) for i in range(6)}


def wide(rng: random.Random) -> Any:
    makers: tuple[Callable[[], Any], ...] = (
        lambda: rng.randrange(10**6),
        rng.random,
        lambda: rng.choice(WORDS),
        lambda: rng.choice([None, 7]),
        lambda: rng.random() < 0.5,
    )
    return {f"f{i}": makers[i % 5]() for i in range(300)}


def arrays(rng: random.Random) -> Any:
    return {
        "longs": [rng.randrange(10**6) for _ in range(rng.randrange(40))],
        "doubles": [rng.random() for _ in range(rng.randrange(40))],
        "words": rng.choices(WORDS, k=rng.randrange(10)),
        "small": [rng.randrange(100) for _ in range(rng.randrange(60))],
        "counts": {f"k{n}": rng.randrange(1000) for n in range(rng.randrange(5))},
    }


def sparse(rng: random.Random) -> Any:
    values = wide(rng)
    return {name: values[name] for name in rng.sample(sorted(values), 3)}


def linked(rng: random.Random) -> Any:
    node = None
    for _ in range(rng.randrange(1, 4)):
        node = {"value": rng.randrange(1000), "text": rng.choice(WORDS), "next": node}
    return node


def payloads(schema: Any, make: Callable[[random.Random], Any], count: int) -> tuple[list[Any], list[bytes]]:
    parsed, rng = fastavro.parse_schema(schema), random.Random(1)
    values = [make(rng) for _ in range(count)]
    out = []
    for value in values:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, value)
        out.append(stream.getvalue())
    return values, out


def joined(records: list[bytes]) -> Batch:
    lengths = np.array([len(each) for each in records], np.int64)
    return Batch(np.frombuffer(b"".join(records) + bytes(PADDING), np.uint8), np.cumsum(lengths) - lengths, lengths)


def container(schema: Any, records: list[bytes]) -> bytes:
    """An Avro file of one block."""

    def number(value: int) -> bytes:
        value, out = value << 1, bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def text(value: bytes) -> bytes:
        return number(len(value)) + value

    body, sync = b"".join(records), bytes(16)
    head = number(2) + text(b"avro.schema") + text(json.dumps(schema).encode()) + text(b"avro.codec") + text(b"null")
    return b"Obj\x01" + head + b"\0" + sync + number(len(records)) + number(len(body)) + body + sync


def best(work: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Seconds by the clock and of CPU time (all threads), each the least of all rounds."""

    def once() -> tuple[float, float]:
        began, used = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - began, time.process_time() - used

    took = [once() for _ in range(rounds)]
    return min(clock for clock, _ in took), min(cpu for _, cpu in took)


def contenders(schema: Any, records: list[bytes], batch_size: int) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Name to (records read, work)."""
    text, parsed = json.dumps(schema), fastavro.parse_schema(schema)
    ours = decoder_for(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, text)
    batches = [joined(records[at : at + batch_size]) for at in range(0, len(records), batch_size)]
    few = records[: min(len(records), 4_000)]

    def with_fastavro() -> None:
        for each in few:
            fastavro.schemaless_reader(io.BytesIO(each), parsed)

    def with_ours() -> None:
        for batch in batches:
            assert not ours.decode(batch).bad

    out: dict[str, tuple[int, Callable[[], Any]]] = {
        "fastavro": (len(few), with_fastavro),
        f"ours, {ours.kind.value.lower()}": (len(records), with_ours),
    }
    if ours.kind.value == "COLUMNAR":
        by_record, small = AvroRecords(parse_schema(text)), joined(few)
        out["ours, records"] = (len(few), lambda: by_record.decode(small))
    if importlib.util.find_spec("polars"):
        import polars

        file = container(schema, records)
        out["Polars, one block"] = (len(records), lambda: polars.read_avro(io.BytesIO(file)))
    if importlib.util.find_spec("pyruhvro"):
        import pyruhvro

        out["pyruhvro"] = (len(records), lambda: pyruhvro.deserialize_array(records, text))
    return out


def report(title: str, work: dict[str, tuple[int, Callable[[], Any]]], rounds: int, base: str) -> None:
    print(title)
    speeds: dict[str, float] = {}
    costs: dict[str, float] = {}
    for name, (count, run) in work.items():
        try:
            clock, cpu = best(run, rounds)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            print(f"  {name:20} cannot: {type(error).__name__}: {str(error).splitlines()[0][:70]}")
            continue
        speeds[name], costs[name] = count / clock, cpu / count * 1e9
        ratios = f"{speeds[name] / speeds[base]:6.1f} x by the clock {costs[base] / costs[name]:6.1f} x by CPU"
        print(f"  {name:20} {speeds[name]:12,.0f} records/s {costs[name]:9,.0f} ns of CPU each {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16_384)
    parser.add_argument("--protobuf", action="store_true")
    options = parser.parse_args()
    if options.protobuf:
        protobuf_records(options)
        return

    for title, schema, make, share in (
        ("six fields", SIX, six, 1),
        ("nested, arrays of records, strings and numbers", NESTED, nested, 4),
        ("six unions of six types", UNIONS, unions, 4),
        ("300 fields", WIDE, wide, 32),
        ("linked list (recursive)", LIST, linked, 8),
    ):
        values, records = payloads(schema, make, options.records // share)
        size = sum(map(len, records)) / len(records)
        report(f"{title}, {size:.0f} bytes", contenders(schema, records, options.batch), options.rounds, "fastavro")
        if make in (six, nested, wide):
            json_records(title, values, options)

    protobuf_records(options)
    small(options.rounds)


def declared(values: list[Any]) -> dict[str, Any]:
    """A JSON schema of all that there is at one place."""
    names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    schema: dict[str, Any] = {"type": sorted({names[type(each)] for each in values if type(each) in names})}
    if members := [each for each in values if isinstance(each, dict)]:
        schema["type"].append("object")
        schema["properties"] = {name: declared([each[name] for each in members]) for name in members[0]}
    if lists := [each for each in values if isinstance(each, list)]:
        schema["type"].append("array")
        schema["items"] = declared([item for each in lists for item in each])
    return schema


def json_records(title: str, values: list[Any], options: argparse.Namespace) -> None:
    """The same records as JSON, in each of the ways in which JSON comes. Connect's envelope is framing: its payload is
    what is decoded, as that of a single object is by the decoder of Avro."""
    texts = [orjson.dumps(value) for value in values]
    attributes = {"specversion": "1.0", "source": "/bench", "type": "io.bench.made", "time": "2026-01-01T00:00:00Z"}
    events = [orjson.dumps({**attributes, "id": str(n), "data": value}) for n, value in enumerate(values)]

    def ours(payloads: list[bytes], framing: Framing, schema: str | None) -> Callable[[], None]:
        decoder = decoder_for(SchemaType.JSON, framing, schema)
        batches = [joined(payloads[at : at + options.batch]) for at in range(0, len(payloads), options.batch)]

        def decode() -> None:
            for batch in batches:
                assert not decoder.decode(batch).bad

        return decode

    def with_orjson() -> None:
        for text in texts:
            orjson.loads(text)

    work: dict[str, tuple[int, Callable[[], Any]]] = {
        "orjson.loads alone": (len(texts), with_orjson),
        "ours": (len(texts), ours(texts, Framing.PLAIN_JSON, None)),
        "ours, JSON schema": (len(texts), ours(texts, Framing.CONFLUENT_PREFIX, json.dumps(declared(values)))),
        "ours, CloudEvents": (len(texts), ours(events, Framing.PLAIN_JSON, None)),
    }
    if importlib.util.find_spec("polars"):
        import polars

        lines = b"\n".join(texts)
        work["Polars, NDJSON"] = (len(texts), lambda: polars.read_ndjson(io.BytesIO(lines)))
    report(f"{title}, as JSON", work, options.rounds, "orjson.loads alone")


def protobuf_records(options: argparse.Namespace) -> None:
    for title, schema, make, share in (
        ("six fields", SIX, six, 1),
        ("nested, arrays of records, strings and numbers", NESTED, nested, 4),
        ("arrays of numbers and strings, a map", ARRAYS, arrays, 8),
        ("300 fields", WIDE, wide, 32),
        ("300 fields, three of which are there", SPARSE, sparse, 8),
    ):
        text = proto_text(schema)
        message, rng = message_class(text, schema["name"]), random.Random(1)
        values = (make(rng) for _ in range(options.records // share))
        records = [filled(message(), value).SerializeToString() for value in values]
        size = sum(map(len, records)) / len(records)
        work = protobuf_contenders(text, message, records, options.batch)
        report(f"Protobuf: {title}, {size:.0f} bytes", work, options.rounds, "parse, list fields")


def protobuf_contenders(
    text: str, message: Any, records: list[bytes], batch_size: int
) -> dict[str, tuple[int, Callable[[], Any]]]:
    ours = decoder_for(SchemaType.PROTOBUF, Framing.CONFLUENT_PREFIX, text)
    framed = [b"\0" + record for record in records]
    batches = [joined(framed[at : at + batch_size]) for at in range(0, len(framed), batch_size)]
    few = records[: min(len(records), 4_000)]

    def with_ours() -> None:
        for batch in batches:
            assert not ours.decode(batch).bad

    return {
        "parse, list fields": (len(few), lambda: [message.FromString(record).ListFields() for record in few]),
        "parse": (len(few), lambda: [message.FromString(record) for record in few]),
        "parse, every value": (len(few), lambda: [looked_at(message.FromString(record)) for record in few]),
        f"ours, {ours.kind.value.lower()}": (len(records), with_ours),
    }


def small(rounds: int) -> None:
    print("small batches")
    for title, schema, make in (("six fields", SIX, six), ("300 fields", WIDE, wide)):
        for count in (1, 20, 100):
            _, records = payloads(schema, make, count)
            decoder, batch = decoder_for(SchemaType.AVRO, Framing.OPAQUE, json.dumps(schema)), joined(records)
            took, _ = best(lambda decoder=decoder, batch=batch: decoder.decode(batch), rounds * 10)  # type: ignore[misc]
            print(f"  {title}, {count:3} records  {took * 1e3:8.2f} ms a batch")


if __name__ == "__main__":
    assert struct.calcsize("P") == 8, "figures are for 64 bits"
    main()

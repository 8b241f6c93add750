"""What it costs to have key fields found by the index: ``python benchmarks/key_fields.py``.

The decode worker decodes and profiles batches of 4,000 records, without key fields, with some of other topics, with one
and with two of its own; in turns, so that whatever else the machine does meets all alike. Prints processor time for a
record and the ratio to the first. Then what a record takes in ``lineage.keys`` and in the index, and how long it takes
to find one of a million and of ten million.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stream_lineage.collect.worker import Worker
from stream_lineage.index.key_rows import find_keys
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.provenance.key_codec import encode_keys, split
from stream_lineage.wire.text_buffer import text_buffer

RECORDS, ROUNDS = 4_000, 40
WAYS: dict[str, tuple[str, ...]] = {
    "none declared": (),
    "of other topics": ("other:id", "another:user"),
    "a text": ("t:id",),
    "a number and @key": ("t:user", "t:@key"),
}
AVRO = {
    "type": "record",
    "name": "Prediction",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "user", "type": "long"},
        {"name": "score", "type": "double"},
        {"name": "model", "type": ["null", "string"]},
        {"name": "features", "type": {"type": "array", "items": "double"}},
        {"name": "country", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}


def records(kind: str) -> list[bytes]:
    chance = random.Random(7)
    rows = [
        {
            "id": f"p-{chance.getrandbits(64):016x}", "user": chance.randrange(10**6), "score": chance.random(),
            "model": "v3", "features": [chance.random() for _ in range(4)],
            "country": chance.choice(["DE", "FR", "PL"]), "at": 1_700_000_000_000 + number,
        }
        for number in range(RECORDS)
    ]  # fmt: skip
    if kind == "JSON":
        return [orjson.dumps(row) for row in rows]
    import io

    import fastavro

    schema, out = fastavro.parse_schema(AVRO), []
    for row in rows:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, row)
        out.append(body.getvalue())
    return out


def buffers(payloads: list[bytes]) -> list[bytes]:
    data, starts, lengths = text_buffer(payloads)
    return [data.tobytes(), starts.astype(np.int64).tobytes(), lengths.astype(np.int64).tobytes()]


def worker(kind: str, fields: tuple[str, ...]) -> Worker:
    made = Worker(b"k" * 32, 500, (), key_fields=fields)
    own: dict[str, Any] = {"type": "JSON", "framing": "PLAIN_JSON", "text": None}
    if kind == "Avro":
        own = {"type": "AVRO", "framing": "CONFLUENT_PREFIX", "text": json.dumps(AVRO)}
    for number, schema in ((0, own), (1, {"type": "NONE", "framing": "OPAQUE", "text": None})):
        made.schema({"number": number, "references": {}, "tail": 0, "indexes": None, **schema})
    return made


def hot_path(kind: str) -> None:
    payloads = [*buffers(records(kind)), *buffers([b"user-%d" % number for number in range(RECORDS)])]
    workers = {way: worker(kind, fields) for way, fields in WAYS.items()}
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    request = {"group": 1, "topic": "t", "value": 0, "key": 1, "value_skip": 0, "key_skip": 0}
    for _ in range(ROUNDS):
        for way, each in workers.items():
            began = time.process_time()
            orjson.dumps(each.batch(request, payloads))
            spent[way].append(time.process_time() - began)
    base = statistics.median(spent["none declared"])
    for way, times in spent.items():
        one = statistics.median(times)
        print(f"| {kind} | {way} | {one / RECORDS * 1e6:.2f} | {one / base:.3f} |")


def look_up(count: int, directory: Path) -> None:
    chance = np.random.default_rng(5)
    path = directory / f"{count}"
    writer, size, at = IndexWriter(path), 0, 0
    began = time.process_time()
    while at < count:
        offsets = np.arange(at, at + 20_000)
        at += 20_000
        run = KeyRun(0, offsets, chance.integers(0, 1 << 48, 20_000).astype(np.uint64))
        whole = KeyBatch("b", "c", "t", "id", "id", b"check", "c", datetime.now(UTC), (run,))
        for batch in split(whole, iter("abcdef")):
            value = encode_keys(batch)
            size += len(value)
            writer.write([Entry("keys", value)], {})
    wrote = time.process_time() - began
    writer.close()
    wanted = int(run.hashes[77])
    with ProvenanceIndex(path) as index:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            assert [hit.offset for hit in find_keys(index, "t", "id", b"check", [wanted]).hits] == [int(offsets[77])]
            times.append(time.perf_counter() - began)
    row = f"{size / count:.1f} | {path.stat().st_size / count:.1f} | {wrote / count * 1e6:.2f}"
    print(f"| {count:,} | {row} | {statistics.median(times) * 1e3:.0f} |")


def main() -> None:
    """Print both tables."""
    print("| records | key fields | µs a record | ratio |\n| --- | --- | --- | --- |")
    for kind in ("JSON", "Avro"):
        hot_path(kind)
    print("\n| records | bytes each in the topic | in the index | µs to write | ms to find |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        for count in (1_000_000, 10_000_000):
            look_up(count, Path(directory))


if __name__ == "__main__":
    main()

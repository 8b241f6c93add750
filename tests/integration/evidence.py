"""What the collector left behind, read by other means than its own, and what it should have found, counted in Python.

Messages are read with a plain consumer, observations decoded with fastavro and schemas/observation.avsc.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasketches
import fastavro
from collecting import Acknowledged, Lab, eventually
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

OBSERVATION_SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "observation.avsc").read_text())
_PARSED = fastavro.parse_schema(OBSERVATION_SCHEMA)
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A record to send. ``label`` is whatever a test wants to know it by, ``schema_id`` what its span must say."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    label: Any = None
    schema_id: int | None = None


def send(lab: Lab, topic: str, records: Iterable[Record], known: Acknowledged | None = None) -> dict[int, list[Any]]:
    """Produce; the labels by partition, in offset order, as acknowledged, of which ``known`` is told too."""
    producer = lab.producer({"linger.ms": 20, "message.max.bytes": 40_000_000, "queue.buffering.max.kbytes": 1_000_000})
    acknowledged: dict[int, dict[int, Any]] = {}
    errors: list[str] = []

    def delivered(sent: Record) -> Any:
        def called(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append(error.str())
            else:
                acknowledged.setdefault(int(message.partition() or 0), {})[int(message.offset() or 0)] = sent.label
                if known is not None:
                    known.callback(sent.schema_id)(None, message)

        return called

    for record in records:
        while True:
            try:
                producer.produce(
                    topic, record.value, record.key, partition=record.partition, headers=list(record.headers),
                    on_delivery=delivered(record),
                )  # fmt: skip
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0
    assert not errors
    out = {}
    for partition, labels in acknowledged.items():
        assert sorted(labels) == list(range(min(labels), min(labels) + len(labels)))
        out[partition] = [labels[offset] for offset in sorted(labels)]
    return out


def messages(lab: Lab, topic: str) -> list[Message]:
    """All committed messages of a topic; none where it does not exist."""
    reader = lab.consumer(enable_partition_eof=True, auto_offset_reset="earliest", isolation_level="read_committed")
    try:
        found = reader.list_topics(timeout=20).topics.get(topic)
        if found is None:
            return []
        return _read(reader, [TopicPartition(topic, number, 0) for number in found.partitions])
    finally:
        reader.close()


def _read(reader: Consumer, places: list[TopicPartition]) -> list[Message]:
    out: list[Message] = []
    left = {place.partition: reader.get_watermark_offsets(place, timeout=20)[1] for place in places}
    reader.assign(places)

    def done() -> bool:
        for message in reader.consume(1_000, 0.2):
            error = message.error()
            partition = int(message.partition() or 0)
            if error is None:
                out.append(message)
                if int(message.offset() or 0) + 1 >= left.get(partition, math.inf):
                    del left[partition]  # where more comes all the time, no end is ever reported
            elif error.code() == KafkaError._PARTITION_EOF:
                left.pop(partition, None)
        return not left

    eventually(done, 60, "the topic is read to its end")
    return out


def dead_letters(lab: Lab, topic: str | None = None) -> list[JsonObject]:
    """Bodies of the dead letters, of one watched topic or of all."""
    bodies = [json.loads(message.value() or b"") for message in messages(lab, f"{lab.prefix}dead-letters")]
    return [body for body in bodies if topic is None or body["topic"] == topic]


def observations(lab: Lab, topic: str | None = None) -> list[JsonObject]:
    """The log as fastavro sees it, of one watched topic or of all."""
    found = []
    for message in messages(lab, f"{lab.prefix}observations"):
        value = message.value() or b""
        prefix = 10 if value[:2] == b"\xc3\x01" else 5
        source = io.BytesIO(value[prefix:])
        record: Any = fastavro.schemaless_reader(source, _PARSED, None)
        assert source.read() == b""
        if topic is None or record["topic"] == topic:
            found.append(record)
    return found


def everything_written(lab: Lab, *logs: Path) -> bytes:
    """All bytes that may hold no payload: keys, values and headers of our topics, and what collectors said."""
    parts = [log.read_bytes() for log in logs]
    for name in ("observations", "dead-letters"):
        for message in messages(lab, f"{lab.prefix}{name}"):
            parts += [message.key() or b"", message.value() or b""]
            parts += [content or b"" for _, content in message.headers() or []]
    return b"\n".join(parts)


def logs_of(lab: Lab) -> list[Path]:
    """What the collectors of this test have printed."""
    return [*lab.directory.glob("*.log"), *lab.directory.glob("*.out")]


# Profiles


@dataclass(slots=True)
class Counts:
    """What there is at one field path."""

    nulls: int = 0
    types: Counter[str] = field(default_factory=Counter)
    numbers: list[float] = field(default_factory=list)
    not_finite: int = 0
    lengths: list[int] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)


_NUMBER_TYPES = {"int": "integer", "long": "integer", "float": "number", "double": "number"}


def counted(schema: Any, values: Iterable[Any]) -> dict[str, Counts]:
    """Count Avro values by field path. Values of unions are written as ``(branch, value)`` or null."""
    out: dict[str, Counts] = {}
    names: dict[str, Any] = {}
    _learn(schema, names)
    for value in values:
        _count(schema, value, "", out, names, plain=True)
    return out


def _learn(schema: Any, names: dict[str, Any]) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _learn(branch, names)
    elif isinstance(schema, dict):
        if schema["type"] in ("record", "enum", "fixed"):
            names[schema["name"]] = schema
        for member in ("items", "values"):
            if member in schema:
                _learn(schema[member], names)
        for each in schema.get("fields", ()):
            _learn(each["type"], names)


def _count(schema: Any, value: Any, path: str, out: dict[str, Counts], names: dict[str, Any], *, plain: bool) -> None:
    if isinstance(schema, list):
        if value is None:
            out.setdefault(path or "$", Counts()).nulls += 1
            return
        branch, value = value
        schema = next(each for each in schema if _name(each) == branch)
        plain = False
    if isinstance(schema, str) and schema in names:
        schema = names[schema]
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, dict):
        _count(kind, value, path, out, names, plain=plain)
        return
    if kind == "record":
        if not plain:
            out.setdefault(path or "$", Counts()).types["record"] += 1
        for each in schema["fields"]:
            inner = f"{path}.{each['name']}" if path else each["name"]
            _count(each["type"], value[each["name"]], inner, out, names, plain=True)
        return
    here = out.setdefault(path or "$", Counts())
    if kind == "null":
        here.nulls += 1
    elif kind == "array":
        here.types["array"] += 1
        here.lengths.append(len(value))
        for item in value:
            _count(schema["items"], item, f"{path or '$'}[]", out, names, plain=False)
    elif kind == "map":
        here.types["map"] += 1
        here.lengths.append(len(value))
        for item in value.values():
            _count(schema["values"], item, f"{path or '$'}{{}}", out, names, plain=False)
    elif isinstance(value, Decimal):
        here.types["number"] += 1
        here.numbers.append(float(value))
    elif kind in _NUMBER_TYPES:
        here.types[_NUMBER_TYPES[kind]] += 1
        if math.isfinite(value):
            here.numbers.append(value)
        else:
            here.not_finite += 1
    elif kind == "boolean":
        here.types["boolean"] += 1
        here.texts.append("true" if value else "false")
    elif kind == "enum":
        here.types["enum"] += 1
        here.texts.append(value)
    else:
        here.types["string" if kind == "string" else "bytes"] += 1
        here.lengths.append(len(value.encode() if isinstance(value, str) else value))
        here.texts.append(value)


def _name(schema: Any) -> str:
    if isinstance(schema, str):
        return schema
    return str(schema["name"]) if "name" in schema else str(schema["type"])


def counted_json(values: Iterable[Any]) -> dict[str, Counts]:
    """Count JSON documents by field path, their missing members apart."""
    out: dict[str, Counts] = {}
    for value in values:
        _count_json(value, "", out)
    return out


def _count_json(value: Any, path: str, out: dict[str, Counts]) -> None:
    here = out.setdefault(path, Counts()) if path else Counts()
    match value:
        case None:
            here.nulls += 1
        case bool():
            here.types["boolean"] += 1
        case int() | float():
            here.types["integer" if isinstance(value, int) else "number"] += 1
            here.numbers.append(value)
        case str():
            here.types["string"] += 1
            here.lengths.append(len(value.encode()))
            here.texts.append(value)
        case list():
            here.types["array"] += 1
            here.lengths.append(len(value))
            for item in value:
                _count_json(item, f"{path}[]", out)
        case dict():
            if path:
                here.types["object"] += 1
            for name, member in value.items():
                _count_json(member, f"{path}.{name}" if path else name, out)


def profiles(found: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    return [observation["profile"] for observation in found if observation["profile"] is not None]


def check_profile(
    found: Sequence[Mapping[str, Any]], expected: Mapping[str, Counts], *, fields: str = "fields", distinct: bool = True
) -> None:
    """The profiles of some observations, put together, say what was counted."""
    by_path: dict[str, list[JsonObject]] = {}
    for profile in profiles(found):
        for each in profile[fields]:
            by_path.setdefault(each["path"], []).append(each)
    assert by_path.keys() == expected.keys()
    for path, want in expected.items():
        have = by_path[path]
        types: Counter[str] = Counter()
        for each in have:
            types.update({count["type"]: count["count"] for count in each["types"]})
        assert types == want.types, path
        assert sum(each["nulls"] for each in have) == want.nulls, path
        assert sum(each["slots"] - each["missing"] for each in have) == want.nulls + want.types.total(), path
        numeric = [each["numeric"] for each in have if each["numeric"]]
        _check_numbers(path, numeric, want.numbers)
        assert sum(each["not_finite"] for each in numeric) == want.not_finite, path
        _check_lengths(path, [each["lengths"] for each in have if each["lengths"]], want.lengths)
        values = {*want.numbers, *want.texts}
        if distinct and values and "boolean" not in want.types:
            union = datasketches.hll_union(12)
            for each in have:
                if each["distinct"] is not None:
                    union.update(datasketches.hll_sketch.deserialize(each["distinct"]))
            assert abs(union.get_estimate() - len(values)) <= max(1.0, 0.15 * len(values)), path


def _check_numbers(path: str, have: list[JsonObject], want: list[float]) -> None:
    assert sum(each["count"] for each in have) == len(want), path
    if want:
        assert min(each["min"] for each in have if each["count"]) == min(want), path
        assert max(each["max"] for each in have if each["count"]) == max(want), path
        total = sum(each["mean"] * each["count"] for each in have)
        assert abs(total - sum(want)) <= 1e-9 * max(1.0, sum(map(abs, want))), path


def _check_lengths(path: str, have: list[JsonObject], want: list[int]) -> None:
    assert sum(each["count"] for each in have) == len(want), path
    if want:
        assert min(each["min"] for each in have) == min(want), path
        assert max(each["max"] for each in have) == max(want), path


def items_of(found: Iterable[Mapping[str, Any]], path: str) -> Counter[str]:
    """The categorical items of a field in some observations, as DataSketches reads them."""
    out: Counter[str] = Counter()
    for profile in profiles(found):
        for each in (*profile["fields"], *profile["key_fields"]):
            if each["path"] == path and each["items"] is not None:
                sketch = datasketches.frequent_strings_sketch.deserialize(each["items"])
                for row in sketch.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_POSITIVES):
                    out[row[0]] += int(row[1])
    return out

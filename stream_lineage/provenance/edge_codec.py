"""Batches of record edges as bytes, and back: ``schemas/edge.avsc``."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import fastavro
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, ParentRange, RecordEdge
from stream_lineage.model.schema_files import schema_text

MAX_BATCH_BYTES = 8 * 1024 * 1024
_SINGLE_OBJECT = b"\xc3\x01"
_TRACE_ID_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
LAST_MILLISECOND = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""Producers may write any timestamp: what is beyond is none."""


@dataclass(frozen=True, slots=True)
class _Codec:
    schema: Any
    single_object_prefix: bytes


@cache
def _codec() -> _Codec:
    schema = json.loads(schema_text("edge.avsc"))
    print_ = avro_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return _Codec(fastavro.parse_schema(schema), _SINGLE_OBJECT + bytes.fromhex(print_))


def framing(schema_id: int | None) -> bytes:
    """What stands before a batch: the Confluent prefix where the registry gave our schema an id, else that of Avro's
    single-object encoding, so that the topic can be written and read without any registry."""
    return _codec().single_object_prefix if schema_id is None else b"\x00" + struct.pack(">I", schema_id)


def encode_edges(batch: EdgeBatch, *, schema_id: int | None = None) -> bytes:
    """The message value of a whole batch."""
    out = io.BytesIO()
    out.write(framing(schema_id))
    fastavro.schemaless_writer(out, _codec().schema, _record(batch))
    return out.getvalue()


def decode_edges(value: bytes) -> EdgeBatch:
    """Decode a message of ``lineage.edges``.

    Raises:
        DecodeError: the bytes are no batch of edges, or are not exactly one.
    """
    codec = _codec()
    payload = _payload(value)
    source = io.BytesIO(payload)
    try:
        batch = _batch(fastavro.schemaless_reader(source, codec.schema, None))
    except Exception as error:
        raise DecodeError(f"not a batch of edges: {type(error).__name__}") from error
    if source.tell() != len(payload):
        raise DecodeError("not a batch of edges: there is more than one")
    return batch


def decode_head(value: bytes) -> tuple[EdgeBatch, frozenset[tuple[str | None, str]]]:
    """A batch without its edges, and the topics that they lead from, each with its cluster as in ``ParentRange``. It
    costs little, however many edges there are: they come last and are not looked at.

    Raises:
        DecodeError: the bytes do not begin as a batch of edges does.
    """
    payload = _payload(value)
    try:
        row = fastavro.schemaless_reader(io.BytesIO(payload), _head_schema(), None)
        batch = _batch({**row, "runs": [], "edges": [], "left_out": 0})
        return batch, frozenset((each["cluster"], each["topic"]) for each in row["sources"])
    except Exception as error:
        raise DecodeError(f"not a batch of edges: {type(error).__name__}") from error


@cache
def _head_schema() -> Any:
    schema = json.loads(schema_text("edge.avsc"))
    names = [field["name"] for field in schema["fields"]]
    schema["fields"] = schema["fields"][: names.index("sources") + 1]
    return fastavro.parse_schema(schema)


def _payload(value: bytes) -> bytes:
    if len(value) > MAX_BATCH_BYTES:
        raise DecodeError(f"a batch of edges of {len(value)} bytes is beyond the bound of {MAX_BATCH_BYTES}")
    if value[:1] == b"\x00" and len(value) > 5:
        return value[5:]
    if value[:10] == _codec().single_object_prefix:
        return value[10:]
    raise DecodeError("not a batch of edges: it starts with no framing that we write")


def _record(batch: EdgeBatch) -> dict[str, Any]:
    sources: dict[tuple[str | None, str, int], int] = {}
    runs: dict[str, int] = {}
    return {
        "batch_id": batch.batch_id,
        "cluster": batch.cluster,
        "topic": batch.topic,
        "topic_id": batch.topic_id,
        "collector": batch.collector,
        "observed_at": batch.observed_at,
        "edges": [
            {
                "partition": edge.partition,
                "offset": edge.offset,
                "timestamp": -1 if edge.timestamp is None else (edge.timestamp - _EPOCH) // _MILLISECOND,
                "source": edge.source.value,
                "incomplete": edge.incomplete,
                "run": -1 if edge.run_id is None else runs.setdefault(edge.run_id, len(runs)),
                "trace_id": bytes.fromhex(edge.trace_id or ""),
                "parents": [
                    {
                        "source": sources.setdefault((parent.cluster, parent.topic, parent.partition), len(sources)),
                        "first_offset": parent.first_offset,
                        "more": parent.last_offset - parent.first_offset,
                        "widened": parent.widened,
                    }
                    for parent in edge.parents
                ],
            }
            for edge in batch.edges
        ],
        "sources": [{"cluster": c, "topic": topic, "partition": partition} for c, topic, partition in sources],
        "runs": list(runs),
        "left_out": batch.left_out,
    }


def _batch(record: dict[str, Any]) -> EdgeBatch:
    sources = [(row["topic"], row["partition"], row["cluster"]) for row in record["sources"]]
    runs = record["runs"]
    return EdgeBatch(
        batch_id=record["batch_id"],
        cluster=record["cluster"],
        topic=record["topic"],
        topic_id=record["topic_id"],
        collector=record["collector"],
        observed_at=record["observed_at"],
        edges=tuple(_edge(row, sources, runs) for row in record["edges"]),
        left_out=record["left_out"],
    )


def _edge(row: dict[str, Any], sources: Sequence[tuple[str, int, str | None]], runs: Sequence[str]) -> RecordEdge:
    timestamp, run, trace_id = row["timestamp"], row["run"], row["trace_id"]
    if run < -1 or len(trace_id) not in (0, _TRACE_ID_BYTES):
        raise DecodeError("no edge")
    return RecordEdge(
        partition=row["partition"],
        offset=row["offset"],
        parents=tuple(_parent(parent, sources) for parent in row["parents"]),
        source=EdgeSource(row["source"]),
        incomplete=row["incomplete"],
        timestamp=_EPOCH + timestamp * _MILLISECOND if 0 <= timestamp <= LAST_MILLISECOND else None,
        run_id=None if run < 0 else runs[run],
        trace_id=trace_id.hex() or None,
    )


def _parent(row: dict[str, Any], sources: Sequence[tuple[str, int, str | None]]) -> ParentRange:
    place, more = row["source"], row["more"]
    if place < 0 or more < 0:
        raise DecodeError("no range")
    topic, partition, cluster = sources[place]
    first = row["first_offset"]
    return ParentRange(topic, partition, first, first + more, row["widened"], cluster)

"""Batches of key hashes as bytes, and back: ``schemas/key.avsc``."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import fastavro
import numpy as np
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form
from numpy.typing import NDArray

from stream_lineage.errors import DecodeError
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.model.schema_files import schema_text

MAX_BATCH_BYTES = 1024 * 1024
MOST_KEYS = 50_000
"""Of one message: half a megabyte."""
STEP_BYTES, HASH_BYTES = 4, 6
_SINGLE_OBJECT = b"\xc3\x01"
_FURTHEST = 1 << 32


@cache
def _schema() -> Any:
    return fastavro.parse_schema(json.loads(schema_text("key.avsc")))


@cache
def _prefix() -> bytes:
    canonical = to_parsing_canonical_form(json.loads(schema_text("key.avsc")))
    return _SINGLE_OBJECT + bytes.fromhex(avro_fingerprint(canonical, "CRC-64-AVRO"))


def encode_keys(batch: KeyBatch, *, schema_id: int | None = None) -> bytes:
    """The message value. Its runs must be what ``pieces`` gives."""
    out = io.BytesIO()
    out.write(_prefix() if schema_id is None else b"\x00" + struct.pack(">I", schema_id))
    row = {name: getattr(batch, name) for name in KeyBatch.__slots__ if name != "runs"}
    row["runs"] = [
        {
            "partition": run.partition,
            "first_offset": int(run.offsets[0]),
            "steps": pack_steps(run.offsets),
            "hashes": pack_hashes(run.hashes),
        }
        for run in batch.runs
    ]
    fastavro.schemaless_writer(out, _schema(), row)
    return out.getvalue()


def decode_keys(value: bytes) -> KeyBatch:
    """Decode a message of ``lineage.keys``.

    Raises:
        DecodeError: the bytes are no batch of keys, or are not exactly one.
    """
    if len(value) > MAX_BATCH_BYTES:
        raise DecodeError(f"a batch of keys of {len(value)} bytes is beyond the bound of {MAX_BATCH_BYTES}")
    if value[:1] == b"\x00":
        payload = value[5:]
    elif value[:10] == _prefix():
        payload = value[10:]
    else:
        raise DecodeError("not a batch of keys: it starts with no framing that we write")
    source = io.BytesIO(payload)
    try:
        row = fastavro.schemaless_reader(source, _schema(), None)
        if source.tell() != len(payload):
            raise DecodeError("not a batch of keys")
        runs = tuple(_run(each) for each in row.pop("runs"))
        return KeyBatch(**row, runs=runs)
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(f"not a batch of keys: {type(error).__name__}") from error


def split(batch: KeyBatch, ids: Iterator[str]) -> Iterator[KeyBatch]:
    """A batch of any size as those that fit into a message each. What was left out is said in the first."""
    runs: list[KeyRun] = []
    size, left_out = 0, batch.left_out
    for run in pieces(batch.runs):
        if runs and size + len(run) > MOST_KEYS:
            yield replace(batch, batch_id=next(ids), runs=tuple(runs), left_out=left_out)
            runs, size, left_out = [], 0, 0
        runs.append(run)
        size += len(run)
    if runs or left_out:
        yield replace(batch, batch_id=next(ids), runs=tuple(runs), left_out=left_out)


def pieces(runs: Iterable[KeyRun]) -> Iterator[KeyRun]:
    """Runs of at most ``MOST_KEYS``, whose offsets are not too far apart for the format."""
    for run in runs:
        start = 0
        while start < len(run):
            within = int(np.searchsorted(run.offsets, int(run.offsets[start]) + _FURTHEST))
            stop = min(start + MOST_KEYS, within)
            yield KeyRun(run.partition, run.offsets[start:stop], run.hashes[start:stop])
            start = stop


def pack_steps(offsets: NDArray[np.int64]) -> bytes:
    packed: bytes = (offsets - int(offsets[0])).astype("<u4").tobytes()
    return packed


def pack_hashes(hashes: NDArray[np.uint64]) -> bytes:
    whole = np.frombuffer(hashes.astype("<u8").tobytes(), np.uint8)
    return whole.reshape(-1, 8)[:, :HASH_BYTES].tobytes()


def unpack_hashes(data: bytes) -> NDArray[np.uint64]:
    """
    Raises:
        ValueError: these are no hashes.
    """
    rows = np.frombuffer(data, np.uint8).reshape(-1, HASH_BYTES)
    whole = np.zeros((len(rows), 8), np.uint8)
    whole[:, :HASH_BYTES] = rows
    return np.frombuffer(whole.tobytes(), "<u8").astype(np.uint64)


def unpack_offsets(first: int, steps: bytes) -> NDArray[np.int64]:
    """
    Raises:
        ValueError: these are no steps.
    """
    return np.frombuffer(steps, "<u4").astype(np.int64) + first


def _run(row: dict[str, Any]) -> KeyRun:
    hashes = unpack_hashes(row["hashes"])
    first = row["first_offset"]
    if not 0 <= first < (1 << 62) or row["partition"] < 0:
        raise DecodeError("no run")
    offsets = unpack_offsets(first, row["steps"])
    if not len(offsets) or len(offsets) != len(hashes) or bool((np.diff(offsets) <= 0).any()):
        raise DecodeError("no run")
    return KeyRun(row["partition"], offsets, hashes)

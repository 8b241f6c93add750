"""If this failed, places of keys could not be read back, or a hostile message among them could end their readers."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from stream_lineage.errors import DecodeError
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.provenance.key_codec import MAX_BATCH_BYTES, MOST_KEYS, decode_keys, encode_keys, pieces, split

SCHEMA = fastavro.parse_schema(json.loads((Path(__file__).parents[3] / "schemas" / "key.avsc").read_text()))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(partition: int, *offsets: int) -> KeyRun:
    hashes = np.array([(offset * 2_654_435_761) % 2**48 for offset in offsets], np.uint64)
    return KeyRun(partition, np.array(offsets, np.int64), hashes)


def batch(*runs: KeyRun, left_out: int = 0) -> KeyBatch:
    return KeyBatch("b", "eu", "orders", "id", "user.id", b"check", "collector", NOON, runs, left_out)


def plain(given: KeyBatch) -> tuple[Any, ...]:
    runs = [(each.partition, each.offsets.tolist(), each.hashes.tolist()) for each in given.runs]
    return (*(getattr(given, name) for name in KeyBatch.__slots__ if name != "runs"), runs)


def ids() -> Iterator[str]:
    return map(str, count())


ONE = batch(run(0, 5, 6, 900), run(3, 2**40), left_out=4)


@pytest.mark.parametrize("schema_id", [None, 7])
@pytest.mark.parametrize("given", [ONE, replace(batch(), topic_id=None)])
def test_what_is_written_is_read_back(given: KeyBatch, schema_id: int | None) -> None:
    assert plain(decode_keys(encode_keys(given, schema_id=schema_id))) == plain(given)


def test_it_is_avro_of_the_published_schema() -> None:
    value = encode_keys(ONE, schema_id=7)
    assert value[:5] == b"\x00" + struct.pack(">I", 7)
    row = fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMA, None)
    assert [(each["partition"], each["first_offset"]) for each in row["runs"]] == [(0, 5), (3, 2**40)]
    assert row["runs"][0]["steps"] == struct.pack("<III", 0, 1, 895)
    assert len(row["runs"][0]["hashes"]) == 18


def row_of(**change: Any) -> bytes:
    row = fastavro.schemaless_reader(io.BytesIO(encode_keys(ONE)[10:]), SCHEMA, None)
    row["runs"] = [row["runs"][0] | change]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, row)
    return encode_keys(ONE)[:10] + out.getvalue()


def later(observed_at: int) -> bytes:
    row = fastavro.schemaless_reader(io.BytesIO(encode_keys(ONE)[10:]), SCHEMA, None)
    row["observed_at"] = observed_at
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, row)
    return encode_keys(ONE)[:10] + out.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01" + encode_keys(ONE)[1:],
        encode_keys(ONE) + b"\x00",
        bytes(MAX_BATCH_BYTES + 1),
        row_of(partition=-1),
        row_of(first_offset=-1),
        row_of(first_offset=2**62),
        row_of(steps=b"", hashes=b""),
        row_of(steps=struct.pack("<II", 0, 1)),
        row_of(steps=struct.pack("<III", 0, 1, 1)),
        row_of(steps=b"abc"),
        row_of(hashes=b"abc"),
        later(2**62),
    ],
)
def test_what_is_no_batch_is_an_error_of_ours(value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_keys(value)


def test_what_is_cut_off_is_an_error_of_ours() -> None:
    whole = encode_keys(ONE)
    for end in range(len(whole)):
        with pytest.raises(DecodeError):
            decode_keys(whole[:end])


def test_runs_are_cut_where_a_message_is_full_and_where_offsets_are_far_apart() -> None:
    long = run(0, *range(MOST_KEYS + 10))
    far = run(1, 0, 1, 2**32 - 1, 2**32, 2**33)
    found = [(each.partition, len(each), int(each.offsets[0])) for each in pieces([long, far, run(2)])]
    assert found == [(0, MOST_KEYS, 0), (0, 10, MOST_KEYS), (1, 3, 0), (1, 1, 2**32), (1, 1, 2**33)]


def test_a_batch_of_any_size_is_messages_that_hold_all_of_it_once() -> None:
    given = batch(run(0, *range(MOST_KEYS - 5)), run(1, *range(10)), run(2, 7), left_out=3)
    found = [decode_keys(encode_keys(each)) for each in split(given, ids())]
    assert [each.batch_id for each in found] == ["0", "1"]
    assert [each.left_out for each in found] == [3, 0]
    assert [run for each in found for run in plain(each)[-1]] == plain(given)[-1]
    assert [plain(each)[-2:] for each in split(batch(left_out=2), ids())] == [(2, [])]
    assert list(split(batch(), ids())) == []

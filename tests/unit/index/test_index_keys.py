"""If this failed, records would not be found by a value that collectors have seen, or where no such record is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.collect.group_result import FoundKeys, GroupResult
from stream_lineage.collect.key_messages import KeyCounts, KeyMessages
from stream_lineage.errors import DecodeError
from stream_lineage.index.key_rows import KeyRows, find_keys
from stream_lineage.index.names import Names
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.profile.key_hashes import KeyHasher
from stream_lineage.provenance.key_codec import MOST_KEYS, decode_keys, encode_keys, split

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = b"s" * 32
CHECK = KeyHasher(SECRET, "orders", "id").check


def run(partition: int, offsets: list[int], hashes: list[int]) -> KeyRun:
    return KeyRun(partition, np.array(offsets, np.int64), np.array(hashes, np.uint64))


def batch(*runs: KeyRun, check: bytes = CHECK, left_out: int = 0) -> KeyBatch:
    return KeyBatch("b", "test", "orders", "life", "id", check, "c", NOW, runs, left_out)


def ids() -> Iterator[str]:
    return iter("abcdefgh")


def flat(batches: list[KeyBatch]) -> list[tuple[int, int, int]]:
    runs = [each for one in batches for each in one.runs]
    return [(r.partition, int(o), int(h)) for r in runs for o, h in zip(r.offsets, r.hashes, strict=True)]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.integers(0, 3),
        st.dictionaries(st.integers(0, 2**61), st.integers(0, 2**48 - 1), min_size=1, max_size=20),
        max_size=3,
    )
)
def test_what_is_written_is_read(by_partition: dict[int, dict[int, int]]) -> None:
    runs = [
        run(partition, sorted(known), [known[at] for at in sorted(known)]) for partition, known in by_partition.items()
    ]
    written = [encode_keys(each, schema_id=number) for each in split(batch(*runs), ids()) for number in (None, 7)]
    read = [decode_keys(value) for value in written]
    assert flat(read[::2]) == flat(read[1::2])
    wanted = [(p, at, known[at]) for p, known in by_partition.items() for at in sorted(known)]
    assert flat(read[::2]) == wanted


def test_large_ones_are_split_and_what_was_left_out_is_said_once() -> None:
    offsets = np.arange(2 * MOST_KEYS + 5)
    whole = batch(KeyRun(0, offsets, offsets.astype(np.uint64)), run(1, [3], [4]), left_out=9)
    parts = list(split(whole, ids()))
    assert [sum(map(len, part.runs)) for part in parts] == [MOST_KEYS, MOST_KEYS, 6]
    assert [part.left_out for part in parts] == [9, 0, 0]
    assert max(len(encode_keys(part)) for part in parts) < 600_000
    assert [part.left_out for part in split(batch(left_out=3), ids())] == [3]
    assert not list(split(batch(), ids()))


GOOD = encode_keys(batch(run(0, [1, 2], [5, 6])))


@pytest.mark.parametrize("value", [b"", b"\x00", GOOD[:-3], GOOD + b"x", b"\x00" * 40, b"x" * 2_000_000, GOOD[:12]])
def test_what_is_no_batch_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_keys(value)


def found(path: Path, *wanted: int, check: bytes = CHECK) -> list[tuple[str | None, int, int]]:
    with ProvenanceIndex(path) as index:
        hits = find_keys(index, "orders", "id", check, wanted).hits
        return [(each.log.topic_id, each.log.partition, each.offset) for each in hits]


def test_the_index_knows_every_key_and_where_it_is(tmp_path: Path) -> None:
    path, chance = tmp_path / "i", np.random.default_rng(3)
    truth: dict[int, list[tuple[int, int]]] = {}
    writer = IndexWriter(path)
    start = 0
    for size in [1, 3, 5_000, 2, 2, 4_095, 1, 1, 700]:
        offsets = start + np.arange(size) * 3
        start = int(offsets[-1]) + 1
        runs = []
        for partition in (0, 1):
            hashes = chance.integers(0, 2_000, size).astype(np.uint64)
            runs.append(KeyRun(partition, offsets, hashes))
            for at, hashed in zip(offsets.tolist(), hashes.tolist(), strict=True):
                truth.setdefault(hashed, []).append((partition, at))
        assert writer.write([Entry("keys", encode_keys(batch(*runs)))], {}) == 0
    assert writer.write([Entry("keys", b"none of ours")], {}) == 1
    writer.write([Entry("keys", encode_keys(batch(check=b"of another", left_out=4)))], {})
    writer.close()
    for hashed in (0, 7, 1_999):
        assert found(path, hashed) == [("life", *place) for place in sorted(truth[hashed])]
    assert found(path, 5_000) == []
    assert found(path, 7, check=b"of another") == []
    with ProvenanceIndex(path) as index:
        status = index.status()
        assert find_keys(index, "orders", "id", b"?", [7]).other_key
        assert not find_keys(index, "users", "id", CHECK, [7]).indexed
    assert status.counts["keys.left_out"] == 4
    assert status.rows["key_block"] < 10  # small ones are put together


def test_what_is_written_again_after_a_far_jump_is_a_block_of_its_own(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    far = 10**15
    for offsets in ([5], [far], [far + 1], [2]):
        writer.write([Entry("keys", encode_keys(batch(run(0, offsets, [1] * len(offsets)))))], {})
    writer.close()
    assert [offset for _, _, offset in found(tmp_path / "i", 1)] == [2, 5, far, far + 1]


def test_the_oldest_make_room() -> None:
    connection = sqlite3.connect(":memory:")
    tables(connection)
    rows = KeyRows(connection, Names(connection), most_bytes=10 * 20_000)
    for number in range(10):
        offsets = np.arange(5_000) + 5_000 * number
        rows.add(batch(KeyRun(0, offsets, offsets.astype(np.uint64))))
    rows.bound()
    kept = connection.execute("SELECT first_offset FROM key_block ORDER BY id").fetchall()
    assert kept == [(30_000,), (35_000,), (40_000,), (45_000,)]
    assert rows.dropped == 30_000


def tables(connection: sqlite3.Connection) -> None:
    from stream_lineage.index.layout import migrate

    connection.isolation_level = None
    migrate(connection)


def test_a_flush_is_written_in_order_and_within_its_bound() -> None:
    def keys(*rows: tuple[int, int, int], path: str = "id", left_out: int = 0) -> FoundKeys:
        partitions, offsets, hashes = np.array(rows, np.int64).reshape(-1, 3).T
        return FoundKeys(path, partitions.astype(np.int32), offsets, hashes.astype(np.uint64), left_out)

    results = {
        ("orders", 1, 0): GroupResult(None, [], [keys((1, 9, 90), (0, 3, 30), (1, 2, 20), left_out=2)]),
        ("orders", 2, 0): GroupResult(None, [], [keys((0, 1, 10)), keys((0, 1, 11), path="@key")]),
        ("users", 2, 0): GroupResult(None, []),
    }

    def written(most: int) -> list[KeyBatch]:
        made = KeyMessages(SECRET, cluster="test", collector="c", topic="own.keys", schema_id=None, most=most)
        messages = list(made.write(results, {"orders": "life"}, NOW, counts))
        assert {(each.topic, each.key) for each in messages} == {("own.keys", b"orders")}
        return [decode_keys(each.value or b"") for each in messages]

    counts = KeyCounts()
    first, second = written(100)
    assert counts == KeyCounts(5, 2)
    assert flat([first]) == [(0, 1, 10), (0, 3, 30), (1, 2, 20), (1, 9, 90)]
    assert (first.path, first.check, first.topic_id, first.left_out) == ("id", CHECK, "life", 2)
    assert (second.path, flat([second]), second.left_out) == ("@key", [(0, 1, 11)], 0)
    first, second = written(3)
    assert (flat([first]), first.left_out) == ([(0, 1, 10), (0, 3, 30), (1, 2, 20)], 3)
    assert (second.runs, second.left_out) == ((), 1)

"""If this failed, spans would not say exactly which offsets were read under which schema."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.collect.batch import TopicBatch
from stream_lineage.collect.flush import Flush
from stream_lineage.collect.payloads import joined
from stream_lineage.collect.progress import PartitionProgress
from stream_lineage.collect.schema_key import NULL_CODE, OPAQUE_CODE

CODES = (OPAQUE_CODE, (4 << 32) | 7, (4 << 32) | 8)


@dataclass(frozen=True)
class Record:
    partition: int
    offset: int
    code: int
    value: bytes | None


def batch(records: list[Record]) -> TopicBatch:
    count = len(records)
    return TopicBatch(
        topic="t",
        partitions=np.array([r.partition for r in records], np.int32),
        offsets=np.array([r.offset for r in records], np.int64),
        values=joined([r.value for r in records]),
        keys=joined([None] * count),
        value_codes=np.array([NULL_CODE if r.value is None else r.code for r in records], np.uint64),
        key_codes=np.full(count, NULL_CODE, np.uint64),
        sample=np.arange(count),
        timestamps=np.full(count, -1, np.int64),
    )


@st.composite
def streams(draw: st.DrawFn) -> list[list[Record]]:
    """Batches in which each partition's offsets rise, with gaps, null values and changes of schema."""
    next_offset = {0: draw(st.integers(0, 5)), 1: draw(st.integers(0, 5))}
    batches = []
    for _ in range(draw(st.integers(1, 4))):
        records = []
        for _ in range(draw(st.integers(1, 12))):
            partition = draw(st.integers(0, 1))
            offset = next_offset[partition] + draw(st.sampled_from([0, 0, 0, 1, 3]))
            next_offset[partition] = offset + 1
            value = draw(st.one_of(st.none(), st.binary(max_size=4)))
            records.append(Record(partition, offset, draw(st.sampled_from(CODES)), value))
        records.sort(key=lambda r: draw(st.just(r.partition)))
        batches.append(records)
    return batches


def expected_codes(batches: list[list[Record]]) -> dict[tuple[int, int], int]:
    """The code of each record, null ones taking their neighbour's: before it, else after it in the same batch."""
    out: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    for records in batches:
        for partition in (0, 1):
            own = [r for r in records if r.partition == partition]
            known = [r.code for r in own if r.value is not None]
            current = last.get(partition, known[0] if known else OPAQUE_CODE)
            for r in own:
                current = current if r.value is None else r.code
                out[(partition, r.offset)] = current
            if own:
                last[partition] = current
    return out


def fresh(partitions: int = 2) -> dict[tuple[str, int], PartitionProgress]:
    return {("t", p): PartitionProgress("t", p, "id", None, None) for p in range(partitions)}


@settings(max_examples=300, deadline=None)
@given(streams())
def test_runs_equal_an_enumeration(batches: list[list[Record]]) -> None:
    progress, flush = fresh(), Flush(0, 0.0)
    for records in batches:
        flush.add(batch(records), progress, 0)
    codes = expected_codes(batches)
    for partition in (0, 1):
        offsets = sorted(r.offset for records in batches for r in records if r.partition == partition)
        found: dict[int, int] = {}
        expected_next = offsets[0] if offsets else None
        for run in flush.runs.get(("t", partition), []):
            assert run.first == expected_next, "runs follow each other without a gap"
            expected_next = run.last + 1
            missing = {o for a, b in run.gaps for o in range(a, b + 1)}
            present = [o for o in range(run.first, run.last + 1) if o not in missing]
            assert len(present) == run.count
            found |= dict.fromkeys(present, run.value_code)
        assert found == {o: codes[(partition, o)] for o in offsets}
    assert flush.records == sum(len(records) for records in batches)
    assert flush.bytes == sum(len(r.value or b"") for records in batches for r in records)
    for group in flush.groups.values():
        rows = [
            (int(p), int(o), None if n < 0 else piece.values.data[s : s + n])
            for piece in group.pending
            for p, o, s, n in zip(
                piece.partitions,
                piece.offsets,
                piece.values.starts.tolist(),
                piece.values.lengths.tolist(),
                strict=True,
            )
        ]
        wanted = [
            (r.partition, r.offset, r.value)
            for records in batches
            for r in records
            if codes[(r.partition, r.offset)] == group.value_code
        ]
        assert sorted(rows, key=lambda row: row[:2]) == sorted(wanted, key=lambda row: row[:2])
        assert group.tombstones == sum(value is None for _, _, value in wanted)


@settings(max_examples=100, deadline=None)
@given(streams(), st.integers(0, 40))
def test_what_is_covered_is_not_counted_again(batches: list[list[Record]], resume: int) -> None:
    """After going back, the client may still hand out what was read before."""
    progress, flush = fresh(1), Flush(0, 0.0)
    progress[("t", 0)].expected = progress[("t", 0)].position = resume
    for records in batches:
        flush.add(batch(records), progress, 0)
        flush.add(batch(records), progress, 0)
    own = {r.offset for records in batches for r in records if r.partition == 0 and r.offset >= resume}
    runs = flush.runs.get(("t", 0), [])
    assert sum(run.count for run in runs) == len(own)
    assert flush.records == len(own)
    if runs:
        assert runs[0].first == resume, "what is missing before the first record belongs to its span"
    assert ("t", 1) not in flush.runs, "records of partitions that are not ours are left out"


def test_timestamps_without_and_in_disorder() -> None:
    progress, flush = fresh(1), Flush(0, 0.0)
    one = batch([Record(0, n, CODES[1], b"x") for n in range(5)])
    one.timestamps = np.array([100, 90, -1, 2**62, 120], np.int64)
    flush.add(one, progress, 1000)
    two = batch([Record(0, n, CODES[1], b"x") for n in range(5, 7)])
    two.timestamps = np.array([2**62 + 1, 5], np.int64)
    flush.add(two, progress, 1000)
    (group,) = flush.groups.values()
    times = group.times
    assert (times.sampled, times.without, times.out_of_order) == (7, 1, 3)
    assert (times.min_timestamp, times.max_timestamp, times.max_lag) == (5, 2**62 + 1, 995)


def test_who_wrote_is_counted_by_schema_and_survives_what_is_left_out() -> None:
    progress, flush = fresh(1), Flush(0, 0.0)
    progress[("t", 0)].expected = progress[("t", 0)].position = 10  # the first ten are covered
    records = [Record(0, offset, CODES[1 + offset % 20 // 10], b"x") for offset in range(60)]
    given_batch = batch(records)
    given_batch.producer_of = lambda index: b"shop" if records[index].code == CODES[1] else b"import"
    flush.add(given_batch, progress, 0)
    assert {key[1]: group.producers for key, group in flush.groups.items()} == {
        CODES[1]: {b"shop": 20}, CODES[2]: {b"import": 30},
    }  # fmt: skip

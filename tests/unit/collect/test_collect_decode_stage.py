"""If this failed, one deadly record could take good ones with it, count them twice, or stop the collector for good."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.collect import decode_stage, decode_work
from stream_lineage.collect.decode_process import (
    BatchAnswer,
    BatchRequest,
    DecodeSchema,
    FieldHashes,
    FinishRequest,
    Undecodable,
)
from stream_lineage.collect.decode_stage import DecodeStage
from stream_lineage.collect.decode_work import Plan
from stream_lineage.collect.flush import Flush, Group, Piece
from stream_lineage.collect.group_result import GroupResult
from stream_lineage.collect.payloads import Payloads, joined
from stream_lineage.errors import WorkerLost
from stream_lineage.model.schema import Framing, SchemaType

OPAQUE = DecodeSchema(SchemaType.NONE, Framing.OPAQUE, None)
JSON = DecodeSchema(SchemaType.JSON, Framing.PLAIN_JSON, None)
PLAN = Plan(OPAQUE, OPAQUE, (0, 0))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_stage, "_RETRY_SECONDS", 0.0)


def items(payloads: Payloads) -> list[bytes | None]:
    return [
        payloads.data[start : start + length] if length >= 0 else None
        for start, length in zip(payloads.starts.tolist(), payloads.lengths.tolist(), strict=True)
    ]


@dataclass
class FakeWorker:
    """Dies of chosen values and keys, of batches that are too large, and when others end it: at chosen calls."""

    killers: frozenset[bytes] = frozenset()
    rotten: frozenset[bytes] = frozenset()
    largest: int = 1_000_000
    ended_at: frozenset[int] = frozenset()
    deadly_to_finish: bool = False
    starts_left: int = 1_000_000
    restarts: int = 0
    calls: int = 0
    alive: bool = True
    groups: dict[int, list[bytes | None]] = field(default_factory=dict)
    left_out: dict[int, int] = field(default_factory=dict)
    plans: list[DecodeSchema] = field(default_factory=list)

    def start(self) -> None:
        self.restarts += 1
        self.alive = False
        self.starts_left -= 1
        if self.starts_left < 0:
            raise WorkerLost("it cannot be started")
        self.groups.clear()
        self.alive = True
        self._happens()

    def work_until(self, void: Callable[[], bool]) -> None:
        """It never waits."""

    def batch(self, batch: BatchRequest) -> BatchAnswer:
        self._happens()
        self.plans.append(batch.value_schema)
        if self._fatal(batch):
            self._die()
        own = items(batch.values)
        good = [value for value in own if value not in self.rotten]
        self.groups.setdefault(batch.group, []).extend(good)
        bad = [Undecodable(i, "value", "rotten", "it smells") for i, value in enumerate(own) if value in self.rotten]
        fine = [(i, value) for i, value in enumerate(own) if value is not None and value in good and b"/" in value]
        hashed = [(i, int(value.rpartition(b"/")[2])) for i, value in fine]
        places, hashes = np.array(hashed, np.int64).reshape(-1, 2).T
        return BatchAnswer(bad, (FieldHashes("id", places, hashes.astype(np.uint64), len(bad)),))

    def probe(self, batch: BatchRequest, *, seconds: float) -> str | None:
        self._happens()
        return "the decoder died" if self._fatal(batch) else None

    def finish(self, group: int, budget: int, left_out: int) -> bytes | None:
        self._happens()
        if self.deadly_to_finish:
            self._die()
        if group not in self.groups:
            return None
        self.left_out[group] = left_out
        return orjson.dumps([None if value is None else value.decode() for value in self.groups.pop(group)])

    def batches(self, batches: Sequence[BatchRequest]) -> list[BatchAnswer]:
        return [self.batch(batch) for batch in batches]

    def finishes(self, requests: Sequence[FinishRequest]) -> Iterator[bytes | None]:
        for request in requests:
            yield self.finish(request.group, request.budget, request.left_out)

    def _fatal(self, batch: BatchRequest) -> bool:
        given = (*items(batch.values), *items(batch.keys))
        return len(batch.values) > self.largest or any(item in self.killers for item in given)

    def _happens(self) -> None:
        if not self.alive:
            raise WorkerLost("it is not running")
        self.calls += 1
        if self.calls in self.ended_at:
            self._die()

    def _die(self) -> None:
        self.alive = False
        self.groups.clear()
        raise WorkerLost("it died")


def piece(values: list[bytes | None], first_offset: int, keys: list[bytes | None] | None = None) -> Piece:
    return Piece(
        joined(values),
        joined([None] * len(values) if keys is None else keys),
        np.full(len(values), 3, np.int32),
        np.arange(first_offset, first_offset + len(values), dtype=np.int64),
    )


def name(group: int, offset: int) -> bytes:
    return f"{group}/{offset}".encode()


def run(
    worker: FakeWorker, feeds: list[tuple[int, int]], seconds: float = 60.0, *, together: int = 0
) -> dict[int, GroupResult]:
    """Feeds pieces of so many records to groups, in this order, then finishes all: the last ones ``together``, where
    that is said. Records are called by ``name``."""
    stage = DecodeStage(worker, recovery_seconds=seconds)
    flush = Flush(0, 0.0)
    offsets: Counter[int] = Counter()
    stage.begin()
    for index, (number, size) in enumerate(feeds):
        group = flush.groups.setdefault(("t", number, 0), Group("t", number, 0))
        group.pieces.append(piece([name(number, offsets[number] + i) for i in range(size)], offsets[number]))
        offsets[number] += size
        if index < len(feeds) - together:
            stage.feed(flush, group, PLAN)
    if not together:
        return {group.value_code: stage.finish(flush, group, 1_000) for group in flush.groups.values()}
    groups = list(flush.groups.values())
    stage.feed_together(flush, [(group, PLAN) for group in groups])
    results = stage.finish_together(flush, [(group, 1_000) for group in groups])
    return {group.value_code: result for group, result in zip(groups, results, strict=True)}


def profiled(result: GroupResult) -> list[str]:
    return [] if result.profile is None else orjson.loads(result.profile)


def named(result: GroupResult, kind: str) -> list[int]:
    return sorted(offset for partition, offset, size, record in result.bad if record.kind == kind and partition == 3)


FEEDS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), min_size=1, max_size=7)


@settings(max_examples=300, deadline=None)
@given(FEEDS, st.data())
def test_exactly_the_killers_are_left_out(feeds: list[tuple[int, int]], data: st.DataObject) -> None:
    sizes: Counter[int] = Counter()
    for number, size in feeds:
        sizes[number] += size
    everything = [(number, offset) for number, total in sizes.items() for offset in range(total)]
    chosen = st.lists(st.sampled_from(everything), unique=True, max_size=8)
    killers = set(data.draw(chosen, label="killers"))
    rotten = set(data.draw(chosen, label="rotten")) - killers
    ended_at = frozenset(data.draw(st.lists(st.integers(1, 150), max_size=4), label="ended from outside at"))
    worker = FakeWorker(
        killers=frozenset(name(*one) for one in killers),
        rotten=frozenset(name(*one) for one in rotten),
        largest=data.draw(st.sampled_from([1, 3, 1_000_000]), label="largest batch"),
        ended_at=ended_at,
    )

    together = data.draw(st.integers(0, len(feeds)), label="together")
    for number, result in run(worker, feeds, together=together).items():
        expected = [name(number, i).decode() for i in range(sizes[number]) if (number, i) not in killers | rotten]
        assert sorted(profiled(result)) == sorted(expected)
        assert named(result, "worker-lost") == sorted(i for group, i in killers if group == number)
        assert named(result, "rotten") == sorted(i for group, i in rotten if group == number)
        pairs = [(each.offsets.tolist(), each.hashes.tolist()) for each in result.keys]
        keyed = {pair for offsets, hashes in pairs for pair in zip(offsets, hashes, strict=True)}
        left = {i for group, i in killers | rotten if group == number}
        assert keyed == {(i, i) for i in range(sizes[number]) if i not in left}
        assert sum(len(each.offsets) for each in result.keys) == len(keyed)
        assert sum(each.left_out for each in result.keys) == len(named(result, "rotten"))
        assert len(result.bad) == len(named(result, "worker-lost")) + len(named(result, "rotten"))


def test_the_worker_is_told_how_many_values_were_left_out() -> None:
    worker = FakeWorker(killers=frozenset({name(0, 2), name(0, 5)}))
    run(worker, [(0, 4), (0, 4)])
    assert list(worker.left_out.values()) == [2]


def test_a_key_at_fault_is_named_as_the_key_and_with_its_size() -> None:
    worker = FakeWorker(killers=frozenset({b"deadly"}))
    stage = DecodeStage(worker, recovery_seconds=60)
    flush = Flush(0, 0.0)
    group = flush.groups[("t", 0, 0)] = Group("t", 0, 0)
    group.pieces.append(piece([b"a", b"bb", None], 7, [b"x", b"deadly", b"y"]))
    stage.begin()
    stage.feed(flush, group, PLAN)
    [(partition, offset, size, record)] = stage.finish(flush, group, 1_000).bad
    assert (partition, offset, size, record.role, record.kind) == (3, 8, 6, "key", "worker-lost")


def test_one_loss_costs_one_restart_and_no_search() -> None:
    worker = FakeWorker(ended_at=frozenset({2}))
    results = run(worker, [(0, 5), (0, 5), (1, 5)])
    assert worker.restarts <= 2
    assert results[0].bad == results[1].bad == []
    assert len(profiled(results[0])) == 10


def test_a_worker_that_cannot_be_started_stops_nothing() -> None:
    worker = FakeWorker(killers=frozenset({name(0, 1)}), starts_left=0)
    results = run(worker, [(0, 3), (1, 2)], seconds=0.2)
    assert [results[0].profile, results[1].profile] == [None, None]
    assert named(results[0], "worker-lost") == [0, 1, 2]
    assert named(results[1], "worker-lost") == [0, 1]


def test_a_record_that_is_too_large_to_be_received_is_told_from_ends_by_others() -> None:
    class Small(FakeWorker):
        def probe(self, batch: BatchRequest, *, seconds: float) -> str | None:
            if batch.values.byte_count > 100:
                self._die()
            return super().probe(batch, seconds=seconds)

        def batch(self, batch: BatchRequest) -> BatchAnswer:
            if batch.values.byte_count > 100:
                self._die()
            return super().batch(batch)

    worker = Small()
    stage = DecodeStage(worker, recovery_seconds=60)
    flush = Flush(0, 0.0)
    group = flush.groups[("t", 0, 0)] = Group("t", 0, 0)
    group.pieces.append(piece([b"a" * 40, b"b" * 40, b"c" * 101, b"d" * 40, b"e" * 40], 0))
    stage.begin()
    stage.feed(flush, group, PLAN)
    result = stage.finish(flush, group, 1_000)
    assert sorted(value[0] for value in profiled(result)) == ["a", "b", "d", "e"]
    assert [(offset, record.kind, record.error) for _, offset, _, record in result.bad] == [
        (2, "worker-lost", "it died")
    ]


def test_large_pieces_go_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decode_stage, decode_work):
        monkeypatch.setattr(module, "MAX_BATCH_BYTES", 100)
    worker = FakeWorker()
    result = run(worker, [(0, 100)])[0]
    assert profiled(result) == [f"0/{i}" for i in range(100)]
    assert len(worker.plans) >= 4


def test_the_next_flush_starts_afresh_after_one_was_given_up() -> None:
    worker = FakeWorker(starts_left=0, ended_at=frozenset({1}))
    stage = DecodeStage(worker, recovery_seconds=0.1)
    flush = Flush(0, 0.0)
    group = flush.groups[("t", 0, 0)] = Group("t", 0, 0)
    group.pieces.append(piece([b"a"], 0))
    stage.begin()
    stage.feed(flush, group, PLAN)
    assert stage.finish(flush, group, 1_000).profile is None
    worker.starts_left = 1
    stage.begin()
    group.pieces[:], group.sent = [piece([b"b"], 1)], 0
    stage.feed(flush, group, PLAN)
    assert profiled(stage.finish(flush, group, 1_000)) == ["b"]


def test_a_profile_that_cannot_be_finished_is_done_without() -> None:
    worker = FakeWorker(deadly_to_finish=True)
    results = run(worker, [(0, 3)])
    assert results[0].profile is None
    assert results[0].bad == []


def test_what_is_left_of_an_abandoned_flush_is_not_counted_in_the_next() -> None:
    worker = FakeWorker()
    stage = DecodeStage(worker, recovery_seconds=60)
    abandoned, flush = Flush(0, 0.0), Flush(1, 0.0)
    for each, value in ((abandoned, b"old"), (flush, b"new")):
        stage.begin()
        group = each.groups[("t", 0, 0)] = Group("t", 0, 0)
        group.pieces.append(piece([value], 0))
        stage.feed(each, group, PLAN)
    assert profiled(stage.finish(flush, group, 1_000)) == ["new"]
    assert worker.groups == {}


def test_a_plan_that_changes_within_a_flush_holds_for_all_of_it() -> None:
    worker = FakeWorker()
    stage = DecodeStage(worker, recovery_seconds=60)
    flush = Flush(0, 0.0)
    group = flush.groups[("t", 0, 0)] = Group("t", 0, 0)
    stage.begin()
    for number, plan in enumerate((PLAN, Plan(JSON, OPAQUE, (0, 0)))):
        group.pieces.append(piece([f"{number}".encode()], number))
        stage.feed(flush, group, plan)
    assert profiled(stage.finish(flush, group, 1_000)) == ["0", "1"]
    assert worker.plans == [OPAQUE, JSON, JSON]


def test_the_time_for_recovery_is_bounded_for_the_whole_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Ended(FakeWorker):
        def start(self) -> None:
            now[0] += 0.5
            super().start()

        def batch(self, *_: object, **__: object) -> BatchAnswer:
            self._die()
            return BatchAnswer([])

    worker = Ended()
    results = run(worker, [(0, 2)] * 20, seconds=60)
    assert results[0].profile is None
    assert named(results[0], "worker-lost") == list(range(40))
    assert now[0] < 80


def test_a_flush_that_nobody_wants_any_more_is_given_up_at_once() -> None:
    worker = FakeWorker(killers=frozenset({b"a"}))
    stage = DecodeStage(worker, recovery_seconds=60)
    flush = Flush(0, 0.0)
    group = flush.groups[("t", 0, 0)] = Group("t", 0, 0)
    group.pieces.append(piece([b"a", b"b"], 0))
    stage.begin(lambda: worker.calls > 1)
    stage.feed(flush, group, PLAN)
    assert worker.restarts <= 1
    result = stage.finish(flush, group, 1_000)
    assert (result.profile, result.bad) == (None, [])

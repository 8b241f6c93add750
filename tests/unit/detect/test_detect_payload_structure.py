"""If this failed, JSON without a schema would change unnoticed, or every optional field would raise an alert."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from stream_lineage.detect.detector import State
from stream_lineage.detect.payload_paths import folded, is_inside, parent_of
from stream_lineage.detect.payload_state import MAX_PATHS, MAX_SUSPECTS
from stream_lineage.detect.payload_structure import PayloadStructure
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import PLAIN_JSON, SchemaReference
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.testing.observations import NOON, avro_reference, observation, span
from stream_lineage.wire.columns import Batch
from stream_lineage.wire.json_records import JsonRecords


class NoTexts:
    def text(self, reference: SchemaReference) -> None:
        return None

    def registered(self, reference: SchemaReference) -> None:
        return None

    def has_subject(self, subject: str) -> None:
        return None


Record = Any
Make = Callable[[int], Record]


class Topic:
    """Flushes of JSON records, decoded and profiled by what the collector does it with."""

    def __init__(self) -> None:
        self.decoder = JsonRecords()
        self.offset = 0
        self.seconds = 0.0

    def flush(self, records: list[Record], *, seconds: float = 1.0, **more: Any) -> Observation:
        texts = [json.dumps(record).encode() for record in records]
        lengths = np.array([len(text) for text in texts], np.int64)
        data = np.frombuffer(b"".join(texts) + bytes(64), np.uint8)
        builder = ProfileBuilder(ProfileOptions(hash_key=b"k" * 16))
        builder.add(self.decoder.decode(Batch(data, np.cumsum(lengths) - lengths, lengths)))
        profile = builder.finish(Decoder.JSON, Decoder.OPAQUE, 1_000_000)
        first, self.offset = self.offset, self.offset + len(records)
        self.seconds += seconds
        at = NOON + timedelta(seconds=self.seconds)
        return observation(PLAIN_JSON, span(0, first, self.offset - 1), at=at, profile=profile, **more)

    def flushes(self, make: Make, count: int, each: int = 100, seconds: float = 70) -> Iterator[Observation]:
        for _ in range(count):
            yield self.flush([make(self.offset + n) for n in range(each)], seconds=seconds)


def run(observations: Iterable[Observation], state: State | None = None) -> tuple[State, list[Finding]]:
    detector = PayloadStructure()
    state = detector.initial() if state is None else state
    found: list[Finding] = []
    for item in observations:
        before = json.dumps(state)
        after, findings = detector.observe(state, item, item.observed_at, NoTexts())
        assert json.dumps(state) == before
        assert (after is state) == (after == state)
        state = json.loads(json.dumps(after))
        assert detector.observe(state, item, item.observed_at, NoTexts())[1] == ()
        found += findings
    return state, found


def told(found: list[Finding]) -> list[tuple[str, str, str | None, str | None]]:
    return [(one.kind, one.path, one.old, one.new) for finding in found for one in finding.changes]


def base(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "price": n + 0.5,
        "name": f"n{n}",
        "user": {"age": n % 90, "tags": ["a", "b"][: n % 3], "address": {"city": "X"}},
        "items": [{"sku": f"s{k}", "count": k} for k in range(n % 4)],
    }


def changed(**members: Any) -> Make:
    """The record with members replaced; null members with ``...`` are left out."""
    return lambda n: {key: value for key, value in {**base(n), **members}.items() if value is not ...}


def sometimes(ratio: float, member: str, value: Any) -> Make:
    chance = random.Random(7)

    def make(n: int) -> Record:
        record = base(n)
        if chance.random() < ratio:
            record[member] = value
            if value is ...:
                del record[member]
        return record

    return make


def alternating(*makes: Make) -> Make:
    return lambda n: makes[n % len(makes)](n)


# number, why, what the records look like after ten flushes as usual, what is told
TABLE: list[tuple[int, str, Make, list[tuple[str, str, str | None, str | None]], Severity | None]] = [
    (1, "nothing changes", base, [], None),
    (2, "a number turns into a string", changed(id="7"), [("type-changed", "id", "integer", "string")],
     Severity.CRITICAL),
    (3, "a decimal number turns into a string", changed(price="7.5"), [("type-changed", "price", "number", "string")],
     Severity.CRITICAL),
    (4, "an integer turns into a number", changed(id=1.5), [("type-promoted", "id", "integer", "number")],
     Severity.INFO),
    (5, "a number happens to be whole", changed(price=7), [], None),
    (6, "one producer of two writes strings", alternating(base, changed(id="7")),
     [("type-widened", "id", "integer", "integer, string")], Severity.WARNING),
    (7, "a field in every record", changed(note="x"), [("field-added", "note", None, "string")], Severity.INFO),
    (8, "an object with fields is one change", changed(meta={"a": 1, "b": {"c": 2}}),
     [("field-added", "meta", None, "object")], Severity.INFO),
    (9, "a field is gone", changed(name=...), [("field-removed", "name", "string", None)], Severity.WARNING),
    (10, "an object is gone, with all in it", changed(user=...), [("field-removed", "user", "object", None)],
     Severity.WARNING),
    (11, "a required field is missing now and then", sometimes(0.3, "name", ...),
     [("required-removed", "name", "required", "optional")], Severity.WARNING),
    (12, "nulls where there were none", sometimes(0.3, "name", None),
     [("nullability-added", "name", "string", "string, null")], Severity.WARNING),
    (13, "only nulls", changed(name=None), [("nullability-added", "name", "string", "string, null")],
     Severity.WARNING),
    (14, "an object turns into text", changed(user="u7"), [("type-changed", "user", "object", "string")],
     Severity.CRITICAL),
    (15, "text turns into an object", changed(name={"first": "a", "last": "b"}),
     [("type-changed", "name", "string", "object")], Severity.CRITICAL),
    (16, "items of an array", changed(items=[{"sku": 7, "count": 1}] * 2),
     [("type-changed", "items[].sku", "string", "integer")], Severity.CRITICAL),
    (17, "a nested field moves up: both ends are one event", lambda n: {**changed(user=...)(n), "age": 5},
     [("field-added", "age", None, "integer"), ("field-removed", "user", "object", None)], Severity.WARNING),
    (18, "a field in few records", sometimes(0.02, "rare", 1), [], None),
    (19, "an oddity in one of a hundred records", sometimes(0.01, "id", "odd"), [], None),
    (20, "the odd record without a field", sometimes(0.01, "name", ...), [], None),
    (21, "the odd null", sometimes(0.01, "name", None), [], None),
    (22, "a map whose keys are numbers", lambda n: {**base(n), "counts": {str(n): 1, str(n + 1): 2}},
     [("field-added", "counts", None, "object")], Severity.INFO),
    (23, "records that are arrays", lambda n: [1, 2], [("type-changed", "", "object", "array")], Severity.CRITICAL),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]}" for row in TABLE])
@pytest.mark.parametrize("each", [100, pytest.param(1000, marks=pytest.mark.unmeasured)])
def test_truth_table(row: tuple[int, str, Make, list[Any], Severity | None], each: int) -> None:
    number, why, make, expected, severity = row
    topic = Topic()
    _, found = run(itertools.chain(topic.flushes(base, 10), topic.flushes(make, 20, each)))

    assert told(found) == expected, (number, why)
    assert [one.severity for one in found] == ([] if severity is None else [severity])
    assert all(one.kind == "structure-drift" and one.first_offsets == {0: 1000} for one in found), found


def test_a_flush_in_which_old_and_new_meet_decides_nothing() -> None:
    topic = Topic()
    usual = list(topic.flushes(base, 10))
    mixed = topic.flush([base(n) for n in range(70)] + [changed(id="x", name=..., note=1)(n) for n in range(30)])
    _, found = run([*usual, mixed, *topic.flushes(changed(id="x", name=..., note=1), 3)])

    assert [(one.field_path, told([one])) for one in found] == [
        ("id", [("type-changed", "id", "integer", "string")]),
        (None, [("field-removed", "name", "string", None), ("field-added", "note", None, "integer")]),
    ]
    # Where the flush begins in which it began.
    assert [one.first_offsets for one in found] == [{0: 1000}, {0: 1000}]
    assert [one.compatibility.verdict for one in found if one.compatibility] == ["none", "backward"]
    assert {(one.before, one.after) for one in found} == {(PLAIN_JSON, PLAIN_JSON)}
    assert found[0].summary.startswith("clicks: the JSON of the values changed: type-changed id (integer to string)")


def test_sparse_optional_fields_that_come_and_go() -> None:
    topic, chance = Topic(), random.Random(3)

    def sparse(n: int) -> Record:
        record = base(n)
        phase = n // 700
        for name, ratio in (("coupon", 0.05), ("gift", 0.3 if phase % 2 else 0.0), ("note", 0.01)):
            if chance.random() < ratio:
                record[name] = "x"
        return record

    _, found = run(topic.flushes(sparse, 150))

    assert found == []


def test_small_samples() -> None:
    topic = Topic()
    few = [changed(id="x", name=...)(0), changed(note=1)(1)]
    _, found = run(itertools.chain(topic.flushes(base, 10), [topic.flush(few), topic.flush(few)]))
    assert found == []
    young = Topic()
    _, found = run(itertools.chain(young.flushes(base, 5, 20), young.flushes(changed(id="x"), 3, 20)))
    assert found == [], "what is not known yet cannot change"


def test_maps_with_dynamic_keys() -> None:
    topic, chance = Topic(), random.Random(5)
    words = [f"{a}{b}" for a in "abcdefghijklmnop" for b in "qrstuvwxyz"]

    def maps(n: int) -> Record:
        day = f"day{n // 300:02d}of2026"
        return {
            **base(n),
            "prices": {word: 1.5 for word in chance.sample(words[: 20 + n // 20], 3)},
            "per_day": {day: 7, "total": 9},
            "by_user": {f"{chance.getrandbits(64):016x}": {"seen": True}},
        }

    _, found = run(topic.flushes(maps, 40))

    assert found == []


def test_a_decoder_that_starts_to_see_a_map() -> None:
    topic = Topic()

    def make(n: int) -> Record:
        return {**base(n), "labels": {"one": 1, "two": 2} if n < 1000 else {"one": 1, "two": 2, str(n): 3}}

    _, found = run(topic.flushes(make, 20))

    assert found == []


def test_each_change_is_told_once() -> None:
    topic = Topic()
    phases = [base, base, changed(id="x", name=...), base, changed(id="x", name=...), base]
    _, found = run(itertools.chain.from_iterable(topic.flushes(phase, 8) for phase in phases))

    assert told(found)[0] == ("type-changed", "id", "integer", "string")
    assert [one for one in told(found) if one[1] == "name"] == [("field-removed", "name", "string", None)]


def test_further_partitions_and_epochs() -> None:
    topic = Topic()
    state, _ = run(topic.flushes(base, 10))
    small = topic.flush([changed(id="x")(n) for n in range(10)])
    other = observation(PLAIN_JSON, span(4, 50, 59), at=small.observed_at, profile=small.profile)
    state, found = run([small, other], state)
    assert [one.first_offsets for one in found] == [{0: 1000, 4: 50}]

    anew = observation(
        PLAIN_JSON, span(0, 0, 99), topic_id="epoch-2", at=NOON, profile=next(topic.flushes(base, 1)).profile
    )
    state, found = run([anew], state)
    assert state["epoch"] == "epoch-2"
    late = topic.flush([changed(name=5)(n) for n in range(100)])
    assert run([late], state)[1] == []


def test_what_is_not_json_is_left_alone() -> None:
    topic = Topic()
    [item] = topic.flushes(base, 1)
    detector = PayloadStructure()
    state = detector.initial()
    for other in (
        observation(avro_reference(1), span(0, 0, 9), profile=item.profile),
        observation(PLAIN_JSON, span(0, 0, 9)),
        observation(avro_reference(1), span(0, 0, 9), key=PLAIN_JSON, profile=item.profile),
    ):
        assert detector.observe(state, other, NOON, NoTexts()) == (state, ())


def test_the_state_is_bounded() -> None:
    topic, chance = Topic(), random.Random(1)

    def wide(n: int) -> Record:
        return {f"f{chance.randrange(3000)}x": 1 for _ in range(60)} | {"deep": {f"g{n % 700}y": {"z": 1}}}

    state, _ = run(topic.flushes(wide, 30))

    assert len(state["structure"]["paths"]) <= MAX_PATHS
    assert len(state["structure"]["suspects"]) <= MAX_SUSPECTS
    assert len(json.dumps(state)) < 60_000


def test_settled_flushes_change_no_state() -> None:
    topic, detector = Topic(), PayloadStructure()
    state, _ = run(topic.flushes(base, 20))
    for item in topic.flushes(base, 5):
        assert detector.observe(state, item, item.observed_at, NoTexts()) == (state, ())


@pytest.mark.parametrize(
    ("path", "parent", "fold"),
    [
        ("a", "", "a"),
        ("a.b[]", "a.b", "a.b[]"),
        ("a[].b", "a[]", "a[].b"),
        ('"a.b".c', '"a.b"', '"a.b".c'),
        ("seen.2026-01-01.count", "seen.2026-01-01", "seen{}.count"),
        ("m.x.y", "m.x", "m{}.y"),
        ("$", "", "$"),
    ],
)
def test_paths(path: str, parent: str, fold: str) -> None:
    assert parent_of(path) == parent
    assert folded(path, ["m"]) == fold
    assert not parent or is_inside(path, parent)

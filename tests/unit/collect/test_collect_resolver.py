"""If this failed, a sick registry would hold up collection, or bytes that look framed would be taken for schemas."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_lineage.collect.resolver import (
    MAX_UNPROVEN_IDS,
    UNKNOWN_IDS_OF_OPAQUE,
    Question,
    SchemaResolver,
)
from stream_lineage.collect.schema_key import MAX_INDEXES, OPAQUE_CODE, SchemaCodes, SchemaKey
from stream_lineage.errors import RegistryUnavailable, SchemaError, UnknownSchema
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire import framing
from stream_lineage.wire.guid_header import Guid
from stream_lineage.wire.registered_schema import RegisteredSchema, Role

NEVER = 3_600.0


@dataclass
class FakeRegistry:
    """Knows some ids, each under a subject, and some subjects; counts what it is asked; can be down, or hang."""

    ids: dict[int | str, str] = field(default_factory=dict)
    subjects: dict[str, RegisteredSchema | Exception] = field(default_factory=dict)
    down: bool = False
    hanging: threading.Event | None = None
    asked: Counter[int | str] = field(default_factory=Counter)

    def by_id(self, id: int, *, topic: str, role: Role) -> RegisteredSchema:
        return self._found(id)

    def by_guid(self, guid: str, *, topic: str, role: Role) -> RegisteredSchema:
        return self._found(guid)

    def latest(self, subject: str) -> RegisteredSchema:
        self._answers(subject)
        found = self.subjects.get(subject, UnknownSchema("no such subject"))
        if isinstance(found, Exception):
            raise found
        return found

    def _found(self, key: int | str) -> RegisteredSchema:
        self._answers(key)
        if key not in self.ids:
            raise UnknownSchema("no such schema")
        return registered(key, self.ids[key])

    def _answers(self, what: int | str) -> None:
        self.asked[what] += 1
        if self.hanging is not None:
            self.hanging.wait(20)
            raise RegistryUnavailable("it hung")
        if self.down:
            raise RegistryUnavailable("down")


def registered(key: int | str, subject: str) -> RegisteredSchema:
    number, guid = (key, None) if isinstance(key, int) else (None, key)
    reference = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, number, guid, subject, 1, "f")
    return RegisteredSchema(reference, '"string"')


def prefix(number: int) -> SchemaKey:
    return SchemaKey(Framing.CONFLUENT_PREFIX, number)


def question(number: int, topic: str = "t", role: Role = "value") -> Question:
    return Question(topic, role, prefix(number))


@pytest.fixture
def resolver_of() -> Iterator[Callable[..., SchemaResolver]]:
    made: list[SchemaResolver] = []

    def make(registry: FakeRegistry | None, *, ttl: float = NEVER, retry: float = NEVER) -> SchemaResolver:
        made.append(SchemaResolver(registry, negative_ttl_seconds=ttl, retry_seconds=retry, wait_seconds=10))
        return made[-1]

    yield make
    for resolver in made:
        resolver.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_known_is_asked_once(resolver_of: Callable[..., SchemaResolver]) -> None:
    registry = FakeRegistry({7: "t-value"})
    resolver = resolver_of(registry)
    for _ in range(3):
        resolver.settle([question(7)])
    answer = resolver.answer(question(7))
    assert answer is not None
    assert answer.reference.subject == "t-value"
    assert registry.asked == {7: 1}
    assert resolver.answer(question(7, topic="other")) is None


def test_what_is_unknown_is_asked_once_in_its_time(resolver_of: Callable[..., SchemaResolver]) -> None:
    registry = FakeRegistry()
    resolver = resolver_of(registry)
    for _ in range(5):
        resolver.settle([question(7)])
    assert registry.asked[7] == 1
    assert resolver.is_unknown(question(7))
    again = resolver_of(registry, ttl=0.0)
    again.settle([question(7)])
    registry.ids[7] = "t-value"
    again.settle([question(7)])
    assert again.answer(question(7)) is not None
    assert not again.is_unknown(question(7))


def test_a_registry_that_is_down_gives_no_answer_and_is_left_alone(resolver_of: Callable[..., SchemaResolver]) -> None:
    registry = FakeRegistry({7: "t-value"}, down=True)
    resolver = resolver_of(registry)
    for _ in range(5):
        resolver.settle([question(7)])
    assert registry.asked[7] == 1
    assert resolver.answer(question(7)) is None
    assert not resolver.is_unknown(question(7))
    back = resolver_of(registry, retry=0.0)
    back.settle([question(7)])
    registry.down = False

    def answered() -> bool:
        back.ask([question(7)])
        return back.answer(question(7)) is not None

    eventually(answered)


def test_a_hanging_registry_is_waited_for_once() -> None:
    registry = FakeRegistry(hanging=threading.Event())
    resolver = SchemaResolver(registry, negative_ttl_seconds=NEVER, retry_seconds=NEVER, wait_seconds=0.05)
    calls = []
    original = resolver._wait_for

    def counted(futures: list[object]) -> None:
        began = time.monotonic()
        original(futures)  # type: ignore[arg-type]
        calls.append(time.monotonic() - began)

    resolver._wait_for = counted  # type: ignore[method-assign, assignment]
    for number in range(200):
        resolver.settle([question(number + 1)])
        assert resolver.is_framed(f"topic-{number}", "value") is False
    assert len(calls) >= 200
    assert sum(seconds >= 0.05 for seconds in calls) == 1
    assert registry.hanging is not None
    registry.hanging.set()
    resolver.close()


@pytest.mark.parametrize(
    ("known", "unknown", "subjects", "opaque"),
    [
        # known ids of the topic's own subject, known ids of others, how many unknown ones, is it opaque?
        ({}, 1, [], False),
        ({}, UNKNOWN_IDS_OF_OPAQUE - 1, [], False),
        ({}, UNKNOWN_IDS_OF_OPAQUE, [], True),
        ({1: "t-value"}, UNKNOWN_IDS_OF_OPAQUE, [], False),
        ({1: "Order"}, UNKNOWN_IDS_OF_OPAQUE, [], False),
        ({}, UNKNOWN_IDS_OF_OPAQUE, ["t-value"], False),
        ({}, UNKNOWN_IDS_OF_OPAQUE, ["t-key"], True),
    ],
)
def test_many_unknown_ids_and_no_known_one_mean_nothing(
    resolver_of: Callable[..., SchemaResolver],
    known: dict[int | str, str],
    unknown: int,
    subjects: list[str],
    opaque: bool,
) -> None:
    resolver = resolver_of(FakeRegistry(known, {subject: registered(99, subject) for subject in subjects}))
    numbers = [*(int(number) for number in known), *range(1_000, 1_000 + unknown)]
    admission = resolver.admit("t", "value", dict.fromkeys(map(prefix, numbers), 1), numbers=False)
    assert admission.admitted == set(map(prefix, numbers))
    resolver.settle([question(number) for number in numbers])
    assert resolver.looks_opaque("t", "value") is opaque
    admitted = resolver.admit("t", "value", {prefix(1_000): 1, prefix(77): 9}, numbers=False).admitted
    assert bool(admitted) is not opaque


@pytest.mark.parametrize(
    ("ids", "subjects", "numbers", "opaque"),
    [
        ({}, [], True, True),  # unknown to the registry
        ({20: "other-value"}, [], True, True),  # belongs to others
        ({20: "t-key"}, [], True, False),
        ({20: "RecordName"}, ["t-key"], True, False),
        ({}, ["t-key"], True, False),
        ({20: "other-value"}, [], False, False),  # not all keys have eight bytes
        ({}, [], False, False),
    ],
)
def test_keys_of_eight_bytes_are_numbers_unless_the_registry_has_keys_of_this_topic(
    resolver_of: Callable[..., SchemaResolver],
    ids: dict[int | str, str],
    subjects: list[str],
    numbers: bool,
    opaque: bool,
) -> None:
    resolver = resolver_of(FakeRegistry(ids, {subject: registered(99, subject) for subject in subjects}))
    resolver.is_framed("t", "key")  # as for the smaller numbers, which do not look framed
    resolver.admit("t", "key", {prefix(20): 5}, numbers=numbers)
    resolver.settle([question(20, role="key")])
    assert resolver.looks_opaque("t", "key") is opaque
    assert (resolver.answer(question(20, role="key")) is not None) is (bool(ids) and not opaque)
    assert not resolver.looks_opaque("t", "value")


def test_without_a_registry_ids_are_kept_but_not_all_of_them(resolver_of: Callable[..., SchemaResolver]) -> None:
    resolver = resolver_of(None)
    some = dict.fromkeys(map(prefix, range(1, 6)), 1)
    assert resolver.admit("t", "value", some, numbers=False).admitted == some.keys()
    resolver.settle([question(1)])
    assert resolver.answer(question(1)) is None
    assert not resolver.is_framed("t", "value")
    assert resolver.admit("t", "key", some, numbers=True).admitted == frozenset()
    many = dict.fromkeys(map(prefix, range(1, 10_000)), 1)
    resolver.admit("u", "value", many, numbers=False)
    assert resolver.looks_opaque("u", "value")


def test_a_subject_says_that_records_are_framed(resolver_of: Callable[..., SchemaResolver]) -> None:
    registry = FakeRegistry({}, {"t-value": registered(1, "t-value"), "u-value": SchemaError("of an unknown type")})
    resolver = resolver_of(registry)
    for _ in range(3):
        assert resolver.is_framed("t", "value")
        assert resolver.is_framed("u", "value")
        assert not resolver.is_framed("t", "key")
    assert registry.asked == {"t-value": 1, "u-value": 1, "t-key": 1}


def test_a_late_schema_is_found_in_spite_of_made_up_ids(resolver_of: Callable[..., SchemaResolver]) -> None:
    registry = FakeRegistry({1: "t-value", 2: "t-value"})
    resolver = resolver_of(registry, retry=0.0)
    noise = {prefix(number): 1 for number in range(1_000, 3_000)}
    resolver.admit("t", "value", {prefix(1): 50}, numbers=False)
    resolver.settle([question(1)])
    resolver.admit("t", "value", noise, numbers=False)

    def found() -> bool:
        late = {prefix(number): 1 for number in range(3_000, 3_100)} | {prefix(2): 50}
        admission = resolver.admit("t", "value", late, numbers=False)
        assert admission.admitted <= {prefix(2)}
        return prefix(2) in admission.proven

    eventually(found)
    assert sum(count for key, count in registry.asked.items() if isinstance(key, int) and key >= 1_000) <= 5


@settings(max_examples=100, deadline=None)
@given(
    st.sets(st.integers(1, 400), max_size=60),
    st.lists(st.dictionaries(st.integers(1, 400), st.integers(1, 50), max_size=300), max_size=6),
    st.booleans(),
)
def test_admission_is_bounded_and_never_refuses_what_is_known(
    known: set[int], batches: list[dict[int, int]], down: bool
) -> None:
    registry = FakeRegistry(dict.fromkeys(known, "t-value"), down=down)
    resolver = SchemaResolver(registry, negative_ttl_seconds=NEVER, retry_seconds=NEVER, wait_seconds=10)
    try:
        unproven: set[SchemaKey] = set()
        seen: set[int] = set()
        for batch in batches:
            counts = {prefix(number): count for number, count in batch.items()}
            admission = resolver.admit("t", "value", counts, numbers=False)
            assert admission.proven <= admission.admitted <= counts.keys()
            if not down:
                assert {prefix(number) for number in known & seen & batch.keys()} <= admission.proven
            unproven |= admission.admitted - admission.proven
            resolver.settle([Question("t", "value", key) for key in admission.admitted])
            seen |= {int(key.id or 0) for key in admission.admitted}
        assert len({int(key.id or 0) for key in unproven} - known) <= MAX_UNPROVEN_IDS
        # One more for each batch at most: out of curiosity.
        assert sum(registry.asked.values()) <= len(known) + MAX_UNPROVEN_IDS + 2 * len(batches) + 1
    finally:
        resolver.close()


def codes_of(payloads: list[bytes | None]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    values = [payload or b"" for payload in payloads]
    lengths = np.array([-1 if payload is None else len(payload) for payload in payloads], np.int64)
    starts = np.cumsum([0, *map(len, values[:-1])])
    data = np.frombuffer(b"".join(values) + bytes(16), np.uint8)
    return framing.classify(data, starts.astype(np.int64), lengths), lengths


def test_refused_ids_become_opaque_and_the_rest_stays(resolver_of: Callable[..., SchemaResolver]) -> None:
    resolver = resolver_of(FakeRegistry({7: "t-value"}))
    codes = SchemaCodes(resolver)
    framed = b"\x00\x00\x00\x00\x07abcd"
    noise = [b"\x00" + number.to_bytes(4, "big") + b"noise" for number in range(10_000, 11_000)]
    before, lengths = codes_of([framed, None, b"{}", *noise, framed])
    after = before.copy()
    codes.settle("t", "value", after, lengths)
    changed = np.flatnonzero(after != before)
    assert set(after[changed].tolist()) == {OPAQUE_CODE}
    assert after[[0, 1, 2, -1]].tolist() == before[[0, 1, 2, -1]].tolist()
    assert len(np.unique(after)) <= MAX_UNPROVEN_IDS + 3
    resolver.settle([question(7)])
    alone, lengths = codes_of([framed] * 3)
    codes.settle("t", "value", alone, lengths)
    assert [codes.key(code) for code in set(alone.tolist())] == [prefix(7)]


def test_guids_beyond_the_bound_get_no_code(resolver_of: Callable[..., SchemaResolver]) -> None:
    guids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(1_000)]
    resolver = resolver_of(FakeRegistry({guids[3]: "t-value"}))
    codes = SchemaCodes(resolver)
    names = list(map(Guid, guids))
    coded = codes.for_guids("t", "value", [*names, names[3], names[3]])
    assert len(coded) == MAX_UNPROVEN_IDS
    assert codes.key(coded[names[3]]) == SchemaKey(Framing.GUID_HEADER, guids[3])
    resolver.settle([Question("t", "value", SchemaKey(Framing.GUID_HEADER, guids[3]))])
    for _ in range(2):
        assert codes.for_guids("t", "value", [names[3]]) == {names[3]: coded[names[3]]}
    assert len(set(codes.for_guids("u", "value", names[:5]).values())) == 5


def test_messages_of_one_schema_have_codes_of_their_own() -> None:
    codes, guid = SchemaCodes(), "00000000-0000-4000-8000-000000000000"
    plain, first, second = Guid(guid), Guid(guid, b"\0"), Guid(guid, b"\2\2")
    coded = codes.for_guids("t", "value", [plain, first, second])
    assert len(set(coded.values())) == 3
    assert {codes.key(code) for code in coded.values()} == {SchemaKey(Framing.GUID_HEADER, guid)}
    assert {name: codes.indexes(code) for name, code in coded.items()} == {name: name.indexes for name in coded}
    assert codes.for_guids("t", "key", [second]) == {second: coded[second]}


def test_records_cannot_make_up_codes_with_indexes() -> None:
    codes, guid = SchemaCodes(), "00000000-0000-4000-8000-000000000000"
    names = [Guid(guid, number.to_bytes(3, "big")) for number in range(10 * MAX_INDEXES)]
    coded = codes.for_guids("t", "value", names)
    assert coded.keys() == set(names)
    assert len(set(coded.values())) == MAX_INDEXES + 1
    assert codes.indexes(coded[names[-1]]) == b"\xff"  # the beginning of a number: no message

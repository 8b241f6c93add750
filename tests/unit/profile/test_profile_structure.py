"""If this failed, deviations from a declared structure would be lost, doubled, or told of members that were seen."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.model.structure import Deviation, DeviationKind, Structure
from stream_lineage.profile import structure
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.profile.merge import merge_profiles
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.structure import MAX_DEVIATIONS, StructureTable, encoded_size, shortened
from stream_lineage.wire.columns import Compared, Decoded

KINDS = [kind for kind in DeviationKind if kind is not DeviationKind.NEVER_SEEN]
KEYS = st.tuples(st.sampled_from(KINDS), st.sampled_from("abc"), st.sampled_from([None, "string"]), st.none())
BATCHES = st.lists(
    st.builds(
        Compared,
        found=st.dictionaries(KEYS, st.integers(1, 9), max_size=4).map(Counter),
        unseen=st.dictionaries(st.sampled_from("xyz"), st.tuples(st.just("integer"), st.integers(1, 9)), max_size=3),
    ),
    min_size=1,
    max_size=5,
)


@given(BATCHES, st.sets(st.sampled_from("xyz")))
def test_batches_add_up_and_what_was_seen_once_is_not_unseen(batches: list[Compared], seen: set[str]) -> None:
    table = StructureTable()
    expected: Counter[tuple[object, ...]] = Counter()
    for batch in batches:
        table.add(batch)
        expected.update(batch.found)
        for path, (declared, count) in batch.unseen.items():
            if path not in seen:
                expected[DeviationKind.NEVER_SEEN, path, declared, None] += count
    found = table.result(seen)
    assert found is not None
    assert {(d.kind, d.path, d.declared, d.seen): d.count for d in found.deviations} == dict(expected)
    order = [list(DeviationKind).index(d.kind) for d in found.deviations]
    assert order == sorted(order)
    assert found.left_out == 0


def test_nothing_is_declared_is_not_the_same_as_nothing_deviates() -> None:
    for compared, expected in ((None, None), (Compared(), Structure(()))):
        builder = ProfileBuilder(ProfileOptions(hash_key=b"k" * 16))
        builder.add(Decoded(3, [], [], compared=compared))
        assert builder.finish(Decoder.JSON, Decoder.OPAQUE, 10_000).structure == expected


def test_what_is_never_seen_adds_up_over_batches() -> None:
    table = StructureTable()
    for count in (2, 3):
        table.add(Compared(unseen={"x": ("integer", count), "y": (None, count)}))
    assert table.result({"y"}) == Structure((Deviation(DeviationKind.NEVER_SEEN, "x", "integer", None, 5),))


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_MOST_REMEMBERED", 2)
    table = StructureTable()
    for name in "abc":
        found = Counter({(DeviationKind.UNDECLARED, name, None, "string"): 1})
        table.add(Compared(found, unseen={f"u{name}": ("integer", 1), "ua": ("integer", 1)}))
    result = table.result(())
    assert result is not None
    assert [(each.path, each.count) for each in result.deviations] == [("a", 1), ("b", 1), ("ua", 3), ("ub", 1)]


def test_what_is_beyond_the_bound_is_counted() -> None:
    table = StructureTable()
    table.add(Compared(Counter({(DeviationKind.UNDECLARED, f"p{n:03}", None, "string"): 1 for n in range(200)})))
    found = table.result(())
    assert found is not None
    assert (len(found.deviations), found.left_out) == (MAX_DEVIATIONS, 200 - MAX_DEVIATIONS)


@given(st.integers(0, 40), st.integers(0, 2_000))
def test_the_mildest_go_first_when_bytes_are_short(count: int, excess: int) -> None:
    rows = tuple(Deviation(KINDS[0], f"path-{n}", "integer", "string", n) for n in range(count))
    whole = Structure(rows, 2)
    smaller = shortened(whole, excess)
    assert smaller.deviations == rows[: len(smaller.deviations)]
    assert smaller.left_out == 2 + count - len(smaller.deviations)
    assert not smaller.deviations or encoded_size(smaller) <= encoded_size(whole) - excess


@pytest.mark.parametrize("budget", [60, 200, 400, 4_000])
def test_deviations_count_in_the_budget(budget: int) -> None:
    builder = ProfileBuilder(ProfileOptions(hash_key=b"k" * 16))
    found = Counter({(DeviationKind.UNDECLARED, f"p{n:03}", None, "string"): 1 for n in range(60)})
    builder.add(Decoded(3, [], [], compared=Compared(found)))
    profile = builder.finish(Decoder.JSON, Decoder.OPAQUE, budget)
    assert len(encode_profile(profile)) <= budget
    assert profile.structure is not None
    assert len(profile.structure.deviations) + profile.structure.left_out == 60


def profile(rows: tuple[Deviation, ...], *seen: str) -> Profile:
    fields = tuple(FieldProfile(path, (), 1, 0, 0) for path in seen)
    return Profile(Decoder.JSON, Decoder.OPAQUE, 1, 0, None, fields, (), structure=Structure(rows))


def test_merged_profiles_keep_what_neither_has_seen() -> None:
    def unseen(path: str) -> Deviation:
        return Deviation(DeviationKind.NEVER_SEEN, path, "string", None, 1)

    wrong = Deviation(DeviationKind.TYPE_MISMATCH, "a", "integer", "string", 2)
    one, other = profile((wrong, unseen("b"), unseen("c")), "a"), profile((unseen("c"),), "a", "b")
    for left, right in itertools.permutations((one, other)):
        merged = merge_profiles(left, right).structure
        assert merged is not None
        assert merged.deviations == (wrong, Deviation(DeviationKind.NEVER_SEEN, "c", "string", None, 2))

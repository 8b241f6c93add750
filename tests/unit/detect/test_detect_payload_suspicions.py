"""If this failed, what JSON records turn into would be told twice, never, or of topics where it is nothing new."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from stream_lineage.detect.detector import State
from stream_lineage.detect.payload_paths import MAX_PATH_CHARACTERS, Tally, tallies
from stream_lineage.detect.payload_state import MAX_MAPS, MAX_PATHS, MAX_SUSPECTS, Structure, Suspect
from stream_lineage.detect.payload_structure import PayloadStructure
from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Observation
from stream_lineage.model.profile import Decoder, FieldProfile, Profile, TypeCount
from stream_lineage.model.schema import PLAIN_JSON
from stream_lineage.model.span import OffsetSpan
from stream_lineage.testing.detector_suite import Schemas
from stream_lineage.testing.observations import NOON, observation, span

Field = tuple[int, int, int, dict[str, int]]
"""Slots, of them missing, of them null, and the values by type."""
Fields = dict[str, Field]


def of(kind: str = "string", slots: int = 100, missing: int = 0, nulls: int = 0, **others: int) -> Field:
    """A field whose values are of one kind but for so many ``others``."""
    types = {kind: slots - missing - nulls - sum(others.values()), **others}
    return slots, missing, nulls, {name: count for name, count in types.items() if count}


def profile(fields: Fields, records: int = 100, truncated: int = 0) -> Profile:
    every = tuple(
        FieldProfile(path, tuple(TypeCount(name, count) for name, count in types.items()), slots, nulls, missing)
        for path, (slots, missing, nulls, types) in fields.items()
    )
    return Profile(Decoder.JSON, Decoder.OPAQUE, records, 0, None, every, (), truncated)


class Topic:
    """A detector and what it is shown, flush by flush, each once more than once."""

    def __init__(self, usual: Fields, topic_id: str | None = "epoch-1") -> None:
        self.usual = {"id": of("integer"), **usual}
        self.topic_id = topic_id
        self.detector = PayloadStructure()
        self.state: State = self.detector.initial()
        self.offset = 0
        self.seconds = 0.0

    def settle(self) -> Topic:
        """As long as it takes until types and presence are usual: ten looks within eleven minutes."""
        assert told(self.see([{}] * 12)) == []
        assert self.state["structure"]["settled"]
        return self

    def observation(
        self, fields: Fields, records: int = 100, others: Iterable[OffsetSpan] = (), truncated: int = 0
    ) -> Observation:
        first, self.offset = self.offset, self.offset + records
        whole = {path: field for path, field in {**self.usual, **fields}.items() if field != GONE}
        return observation(
            PLAIN_JSON, *others, span(0, first, self.offset - 1), at=NOON + timedelta(seconds=self.seconds),
            profile=profile(whole, records, truncated), topic_id=self.topic_id,
        )  # fmt: skip

    def see(self, flushes: Iterable[Fields], seconds: float = 70, **more: Any) -> list[Finding]:
        found: list[Finding] = []
        for fields in flushes:
            self.seconds += seconds
            item = self.observation(fields, **more)
            self.state, findings = self.detector.observe(self.state, item, item.observed_at, Schemas())
            assert self.detector.observe(self.state, item, item.observed_at, Schemas())[1] == ()
            self.state = json.loads(json.dumps(self.state))
            assert len(self.suspects) <= MAX_SUSPECTS
            found += findings
        return found

    @property
    def suspects(self) -> dict[str, Any]:
        suspects: dict[str, Any] = self.state["structure"]["suspects"]
        return suspects

    @property
    def paths(self) -> dict[str, Any]:
        paths: dict[str, Any] = self.state["structure"]["paths"]
        return paths


GONE: Field = (0, 0, 0, {})
"""Not mentioned at all."""


def told(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(change.kind, change.path) for finding in found for change in finding.changes]


NAME = {"name": of()}
MIXED = {"name": of(object=50), "name.first": of(slots=50)}

# what is usual, what comes then, how often, what is told of it, why
TABLE: list[tuple[str, Fields, Fields, int, list[tuple[str, str]]]] = [
    ("missing in three of a hundred", NAME, {"name": of(missing=3)}, 70, []),
    ("missing in one of ten", NAME, {"name": of(missing=10)}, 70, [("required-removed", "name")]),
    ("null in three of a hundred", NAME, {"name": of(nulls=3)}, 70, []),
    ("null in one of ten", NAME, {"name": of(nulls=10)}, 70, [("nullability-added", "name")]),
    ("of another type in three of a hundred", NAME, {"name": of(integer=3)}, 70, []),
    ("of another type in one of ten", NAME, {"name": of(integer=10)}, 70, [("type-widened", "name")]),
    ("decimals beside integers", {}, {"id": of("integer", number=10)}, 70, [("type-promoted", "id")]),
    ("gone, where it was in nearly all", {"name": of(missing=5)}, {"name": GONE}, 4, [("field-removed", "name")]),
    ("gone, where it was in most", {"name": of(missing=20)}, {"name": GONE}, 70, []),
    ("all missing, where it was in few", {"name": of(missing=97)}, {"name": of(missing=100)}, 70, []),
    ("objects beside texts are one change", NAME, MIXED, 10, [("type-widened", "name")]),
    ("a few objects beside texts are none", NAME, {"name": of(object=3), "name.first": of(slots=3)}, 90, []),
    ("new in a third of the records", {}, {"note": of(missing=67)}, 70, []),
    ("new in all but a third", {}, {"note": of(missing=33)}, 4, [("field-added", "note")]),
    ("new below what is new", {}, {"a": of("object"), "a.b": of("object"), "a.b.c": of()}, 9, [("field-added", "a")]),
    ("new items", {"tags": of("array")}, {"tags[]": of(slots=300)}, 9, []),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_what_is_told(row: tuple[str, Fields, Fields, int, list[tuple[str, str]]]) -> None:
    _, usual, then, times, expected = row
    topic = Topic(usual).settle()

    assert told(topic.see([then] * times)) == expected
    assert topic.suspects == {}, "it is decided"
    assert told(topic.see([then] * 10)) == [], "it is usual now"


@pytest.mark.parametrize(
    ("flushes", "then", "expected"),
    [
        (2, of(nulls=10), [("nullability-added", "note")]),
        (1, of(nulls=10), []),
        (2, of(missing=10), [("required-removed", "note")]),
        (1, of(missing=10), []),
    ],
    ids=["familiar", "new", "familiar and missing", "new and missing"],
)
def test_what_is_new_is_watched_once_it_was_seen_300_times(
    flushes: int, then: Field, expected: list[tuple[str, str]]
) -> None:
    topic = Topic({}).settle()
    assert told(topic.see([{"note": of()}] * 3)) == [("field-added", "note")], "a hundred times in the last of them"
    assert topic.see([{"note": of()}] * flushes) == []

    assert told(topic.see([{"note": then}] * 5)) == expected


def test_what_is_missing_all_over_is_nothing_to_write_down() -> None:
    topic = Topic({"name": of(missing=97)}).settle()
    item = topic.observation({"name": of(missing=100)})

    after, findings = topic.detector.observe(topic.state, item, item.observed_at, Schemas())

    assert after is topic.state
    assert findings == ()


def test_too_many_suspicions_at_once_are_told_by_and_by() -> None:
    many = {f"f{n}": of() for n in range(61)}
    topic = Topic({**many, "z": of()}).settle()
    then = {name: of(missing=100) for name in many} | {"z": of("integer"), "note": of("boolean")}
    assert topic.see([then]) == []
    assert len(topic.suspects) == MAX_SUSPECTS

    found = told(topic.see([then] * 20))

    assert sorted(found) == sorted(
        [("field-removed", name) for name in many] + [("type-changed", "z"), ("field-added", "note")]
    )
    assert topic.suspects == {}


def test_what_is_new_where_there_is_no_room_for_all_of_it() -> None:
    topic = Topic({f"f{n}": of() for n in range(MAX_PATHS - 3)}).settle()
    assert len(topic.paths) == MAX_PATHS - 1, "the record itself, its id, and one is free"
    then = {"meta": of("object"), "meta.a": of(), "meta.b": of(), "z": of()}

    assert told(topic.see([then] * 9)) == [("field-added", "meta")]
    assert len(topic.paths) == MAX_PATHS
    assert "meta" in topic.paths


def test_a_span_without_records_is_no_place_where_it_began() -> None:
    topic = Topic(NAME).settle()
    aborted = span(3, 0, 9, lost=[(0, 9)], reason="transaction")
    [finding] = topic.see([{"name": of("integer")}], others=[aborted])

    assert finding.first_offsets == {0: 1200}


def test_an_object_that_the_decoder_takes_for_a_map_is_no_suspect_any_more() -> None:
    topic = Topic({"labels": of("object"), "labels.one": of("integer"), "other": of()}).settle()
    topic.see([{"labels.one": of("integer", missing=100), "other": of(missing=3)}])
    assert {name.partition("\n")[2] for name in topic.suspects} == {"labels.one", "other"}

    assert told(topic.see([{"labels.one": GONE, "labels{}": of("integer", slots=300)}])) == []
    assert {name.partition("\n")[2] for name in topic.suspects} == {"other"}
    assert told(topic.see([{"labels.one": GONE, "labels{}": of("integer", slots=300)}] * 5)) == []


def test_flushes_that_follow_each_other_closely_are_not_all_learned_from() -> None:
    topic = Topic(NAME)
    assert topic.see([{}], records=400) == []
    learned = topic.state
    assert topic.see([{}, {"note": of()}], seconds=0.9, records=400) == []
    assert topic.state == learned, "another look, not two seconds after the first"
    assert topic.see([{}] * 3, seconds=30) == []
    assert (topic.state["structure"]["ready"], topic.state["structure"]["settled"]) == (True, False)
    ready = topic.state
    assert topic.see([{"note": of()}, {}], seconds=7) == []
    assert topic.state == ready, "nor within 15 seconds once types are usual"
    topic.see([{"note": of()}], seconds=2)
    assert "note" in topic.paths


def test_topics_without_an_id_are_watched_too() -> None:
    topic = Topic(NAME, topic_id=None).settle()

    assert told(topic.see([{"name": of("integer")}])) == [("type-changed", "name")]
    assert topic.state["epoch"] is None
    topic.topic_id = "epoch-1"
    assert told(topic.see([{"name": of("boolean")}])) == [("type-changed", "name")]
    assert topic.state["epoch"] == "epoch-1"


def test_what_a_profile_says_of_each_path() -> None:
    long = "x" * (MAX_PATH_CHARACTERS + 1)
    fields = {"a": of(missing=10), "m.one": of(slots=50, missing=20), "m.two": of(slots=50), long: of()}
    known = ("a", "gone", "list[]", "map{}.x")

    found = tallies(profile(fields), known, ["m"])

    assert found == {
        "a": Tally(100, 10, 0, {"string": 90}),
        "m{}": Tally(80, 0, 0, {"string": 80}),  # of a map's entries none is missing
        "$": Tally(100, 0, 0, {"object": 100}),  # not mentioned: all records are objects
        "gone": Tally(100, 100),
    }
    left_out = tallies(profile(fields, truncated=1), known, ["m"])
    assert set(left_out) == set(found) - {"gone"}, "it may be among those that were left out"


def test_records_that_are_no_objects_have_no_place_for_fields() -> None:
    found = tallies(profile({"$": of("object", array=40), "a": of(missing=50), "a.b": of(slots=50)}), (), ())

    assert found["a"] == Tally(60, 10, 0, {"string": 50})
    assert found["a.b"] == Tally(50, 0, 0, {"string": 50})


def test_a_state_of_larger_bounds_is_cut() -> None:
    """Such as that of another release."""
    structure = Structure(
        paths={f"f{n}": Tally(n) for n in range(MAX_PATHS + 5)},
        suspects={f"type\nf{n}": Suspect() for n in range(MAX_SUSPECTS + 5)},
        maps=[f"m{n}" for n in range(MAX_MAPS + 5)],
    )
    loaded = Structure.load(json.loads(json.dumps(structure.dump())))
    assert loaded == structure
    loaded.bound()

    assert list(loaded.paths) == [f"f{n}" for n in range(MAX_PATHS)]
    assert loaded.suspected_paths() == [f"f{n}" for n in range(MAX_SUSPECTS)]
    assert loaded.maps == [f"m{n}" for n in range(MAX_MAPS)]

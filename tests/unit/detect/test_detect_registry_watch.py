"""If this failed, a schema that is about to break consumers would go unannounced, or a lagging registry would page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.detect.detector import SchemaText, State
from stream_lineage.detect.registry_watch import (
    MAX_NEW_VERSIONS,
    MAX_TOLD,
    Holding,
    RegistryWatch,
    Subject,
    changes_told,
    wanted,
    without_others,
)
from stream_lineage.detect.schema_versions import version_key
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.schema import SchemaReference
from stream_lineage.testing.observations import avro_reference

TEXTS = {
    1: '{"type":"record","name":"C","fields":[{"name":"age","type":"int"}]}',
    2: '{"type":"record","name":"C","fields":[{"name":"age","type":"string"}]}',
    3: '{"type":"record","name":"C","fields":[{"name":"age","type":"int"},'
    '{"name":"city","type":["null","string"],"default":null}]}',
    4: '{"type":"record","name":"C","fields":[{"name":"age","type":"long"}]}',
}
NAME = "clicks-value"


class Texts:
    def text(self, reference: SchemaReference) -> SchemaText | None:
        return SchemaText(TEXTS[reference.id]) if reference.id in TEXTS else None

    def registered(self, reference: SchemaReference) -> bool | None:
        return None

    def has_subject(self, subject: str) -> None:
        return None


def ref(id: int, version: int | None = None) -> SchemaReference:
    return avro_reference(id, version=version)


def subject(*wire: SchemaReference, role: str = "value") -> Subject:
    seen = wire or (ref(1),)
    return Subject("test", "clicks", role, NAME, seen[-1], frozenset(map(version_key, seen)))


def holding(*ids: int, **more: Any) -> Holding:
    """Version n of the subject has the n-th of these ids."""
    added = {version: ref(id, version) for version, id in enumerate(ids, 1)}
    return Holding(tuple(added), added=added, **{"level": "BACKWARD", "default": "BACKWARD", **more})


GONE = Holding(())
GONE_FOR_GOOD = Holding((), permanently=True)


def looks(holdings: Iterable[Holding], watched: Subject | None = None) -> tuple[State, list[list[Finding]]]:
    detector = RegistryWatch()
    state = detector.initial()
    found = []
    for held in holdings:
        before = json.dumps(state)
        after, findings = detector.look(state, watched or subject(), held, Texts())
        assert json.dumps(state) == before, "the state that was given must not change"
        assert (after is state) == (after == state)
        state = json.loads(json.dumps(after))
        found.append(list(findings))
    return state, found


UP, LEVEL, DELETED = "upcoming-schema", "compatibility-changed", "subject-deleted"
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL

# number, why, what the registry holds at each look, what each look reports
TABLE: list[tuple[int, str, list[Holding], list[list[tuple[str, Severity]]]]] = [
    (1, "the first look takes everything as it is", [holding(1, 2, 3), holding(1, 2, 3)], [[], []]),
    (2, "a new version that breaks readers: told once", [holding(1), holding(1, 2), holding(1, 2)],
     [[], [(UP, WARNING)], []]),
    (3, "an optional field is no more than information", [holding(1), holding(1, 3)], [[], [(UP, INFO)]]),
    (4, "one direction breaks", [holding(1), holding(1, 4)], [[], [(UP, WARNING)]]),
    (5, "a schema that nobody can compare", [holding(1), holding(1, 9)], [[], [(UP, WARNING)]]),
    (6, "the schema of the wire under another number", [holding(1), holding(1, 1)], [[], []]),
    (7, "what was told comes under another number", [holding(1), holding(1, 2), holding(1, 2, 2)],
     [[], [(UP, WARNING)], []]),
    (8, "two at once", [holding(1), holding(1, 2, 3)], [[], [(UP, WARNING), (UP, INFO)]]),
    (9, "none is promised any more", [holding(1), holding(1, level="NONE")], [[], [(LEVEL, WARNING)]]),
    (10, "a stricter level", [holding(1), holding(1, level="FULL_TRANSITIVE")], [[], [(LEVEL, INFO)]]),
    (11, "another direction is another promise", [holding(1, level="FORWARD"), holding(1)], [[], [(LEVEL, WARNING)]]),
    (12, "back and forth: each is told", [holding(1), holding(1, level="NONE"), holding(1)],
     [[], [(LEVEL, WARNING)], [(LEVEL, INFO)]]),
    (13, "the registry's default changes, which is no subject's own level",
     [holding(1), holding(1, level="NONE", default="NONE")], [[], []]),
    (22, "nor is it one where the subject's own stays", [holding(1), holding(1, default="NONE")], [[], []]),
    (23, "a level of its own goes: the default holds", [holding(1, level="FULL"), holding(1)],
     [[], [(LEVEL, WARNING)]]),
    (24, "levels that cannot be read", [holding(1), holding(1, level=None, default=None), holding(1)], [[], [], []]),
    (25, "levels that can be read by now", [holding(1, level=None, default=None), holding(1), holding(1, level="NONE")],
     [[], [], [(LEVEL, WARNING)]]),
    (14, "a deletion is seen twice, then told once", [holding(1), GONE, GONE, GONE],
     [[], [], [(DELETED, WARNING)], []]),
    (15, "a replica that lags", [holding(1), GONE, holding(1), GONE, holding(1)], [[], [], [], [], []]),
    (16, "deleted for good: nobody can read what was written", [holding(1), GONE_FOR_GOOD, GONE_FOR_GOOD],
     [[], [], [(DELETED, CRITICAL)]]),
    (17, "deleted before the first look", [GONE, GONE, GONE], [[], [], []]),
    (18, "deleted and made anew with another schema", [holding(1), GONE, GONE, holding(2)],
     [[], [], [(DELETED, WARNING)], [(UP, WARNING)]]),
    (19, "deleted and made anew as it was", [holding(1), GONE, GONE, holding(1)],
     [[], [], [(DELETED, WARNING)], []]),
    (20, "the newest version deleted, another one registered", [holding(1, 2), holding(1), Holding((1, 3),
     added={3: ref(4, 3)}, level="BACKWARD", default="BACKWARD")], [[], [], [(UP, WARNING)]]),
    (21, "a version whose schema cannot be read",
     [holding(1), Holding((1, 2), level="BACKWARD", default="BACKWARD")], [[], []]),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]}" for row in TABLE])
def test_truth_table(row: tuple[int, str, list[Holding], list[Any]]) -> None:
    number, why, holdings, expected = row
    _, found = looks(holdings)

    assert [[(one.kind, one.severity) for one in each] for each in found] == expected, (number, why)


def test_a_version_that_is_on_the_wire_already_is_not_to_come() -> None:
    _, found = looks([holding(1), holding(1, 2)], subject(ref(1), ref(2)))

    assert found == [[], []]


def test_an_upcoming_schema_says_against_what_and_what_breaks() -> None:
    _, found = looks([holding(1), holding(1, 2)])
    [finding] = found[1]

    assert (finding.before, finding.after) == (ref(1), ref(2))
    assert finding.compatibility is not None
    assert finding.compatibility.verdict == "none"
    assert [(change.kind, change.path, change.breaks) for change in finding.changes] == [
        ("type-changed", "age", ("backward", "forward"))
    ]
    assert (finding.topic, finding.field_path, finding.first_offsets) == ("clicks", "age", {})
    assert finding.summary == (
        "clicks: clicks-value v2 (id 2) was registered and is not on the wire yet; against clicks-value v1 (id 1), "
        "which is: type-changed age (int to string); consumers on either schema cannot read the other's records"
    )


@pytest.mark.parametrize(
    ("gone", "breaks"), [(GONE, ()), (GONE_FOR_GOOD, ("backward", "forward"))], ids=["softly", "for good"]
)
def test_a_deletion_breaks_readers_where_it_is_for_good(gone: Holding, breaks: tuple[str, ...]) -> None:
    [[finding]] = [each for each in looks([holding(1), gone, gone])[1] if each]

    assert [(change.kind, change.new, change.breaks) for change in finding.changes] == [
        ("subject-deleted", None, breaks)
    ]


def test_keys_have_kinds_of_their_own() -> None:
    _, found = looks([holding(1), holding(1, 2)], subject(role="key"))

    assert [one.kind for one in found[1]] == ["key-upcoming-schema"]


def test_a_burst_of_versions_is_told_over_several_looks() -> None:
    ids = range(1, 3 * MAX_NEW_VERSIONS)
    full = holding(*ids)
    state, found = looks([holding(1), full, full, full, full])

    assert [len(each) for each in found] == [0, MAX_NEW_VERSIONS, MAX_NEW_VERSIONS, MAX_NEW_VERSIONS - 2, 0]
    assert changes_told(state, NAME) == len(ids) - 1


def test_only_new_versions_are_wanted() -> None:
    state, _ = looks([holding(1, 2)])

    assert wanted(state, NAME, (1, 2)) == ()
    assert wanted(state, NAME, (1, 2, 5, 4)) == (4, 5)
    assert wanted(state, "another", (1, 2)) == ()


def test_the_state_is_bounded_and_forgets_what_is_not_on_the_wire() -> None:
    state, _ = looks([holding(*range(1, n)) for n in range(2, 100)])

    assert len(state["subjects"][NAME]["told"]) == MAX_TOLD
    assert without_others(state, frozenset({NAME})) is state
    assert without_others(state, frozenset()) == {"subjects": {}}


HOLDINGS = st.one_of(
    st.lists(st.integers(1, 6), min_size=1, max_size=6).map(lambda ids: holding(*ids)),
    st.sampled_from(["NONE", "BACKWARD", "FULL", "ODD"]).map(lambda level: holding(1, level=level)),
    st.just(GONE),
    st.just(GONE_FOR_GOOD),
)


@settings(max_examples=150)
@given(history=st.lists(HOLDINGS, min_size=1, max_size=12), again=st.booleans())
def test_doing_it_again_finds_the_same(history: list[Holding], again: bool) -> None:
    detector = RegistryWatch()
    state = detector.initial()
    for held in history:
        once, twice = (detector.look(state, subject(), held, Texts()) for _ in range(2))
        assert once == twice
        assert len({finding.fingerprint for finding in once[1]}) == len(once[1])
        state = once[0]
        if again and held.versions:  # the registry as it was: nothing is new
            assert detector.look(state, subject(), held, Texts()) == (state, ())

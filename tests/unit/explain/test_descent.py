"""If this failed, what deviates upstream would be led to the breach by other rules than are written down, or by a way
that is less sure than another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from stream_lineage.explain.descent import ANOTHER, BOTH, CROSSED, OTHER_MEASURE, Descent, State, descend
from stream_lineage.explain.doubts import Seldom, doubts_about
from stream_lineage.explain.paths import paths_of
from stream_lineage.explain.recording import Breach, Edge, Event, Recording, Series, SeriesName
from stream_lineage.explain.symptoms import FAINT, STRONG, Deviation, Symptoms

STEP = 10.0
NOTHING = np.empty(0)
JOBS = Seldom({"job": [frozenset()]})
"""No job is measured."""
BREACH = Breach("z", "m", None, 600.0)
"""It deviates since its 50th point, which is at 500 seconds."""


def off(node: str, since: float, ratio: float = 3.0, *, metric: str = "m", until: float = 70) -> Deviation:
    """Times are counted in points. It begins between the point before and that one."""
    series = Series(SeriesName(node, metric), NOTHING, NOTHING)
    return Deviation(
        series, ratio, "shift", STEP * since, STEP * (since - 1), STEP * since, STEP * until, STEP, 1.0, 2.0
    )


@dataclass(frozen=True)
class World:
    """A graph of edges such as ``ab``, what deviates, and what is as usual, such as ``a:m``."""

    edges: Sequence[str]
    deviations: Iterable[Deviation]
    usual: Sequence[str] = ()
    events: tuple[Event, ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()

    @property
    def recording(self) -> Recording:
        names = sorted({node for edge in self.edges for node in edge} | {"z"})
        evidence = dict(self.evidence)
        edges = (Edge(each[0], each[1], (evidence.get(each, "header"),)) for each in sorted(self.edges))
        return Recording(dict.fromkeys(names, "dataset"), tuple(edges), (), self.events, BREACH)

    @property
    def symptoms(self) -> Symptoms:
        found: dict[str, tuple[Deviation, ...]] = {}
        for each in sorted(self.deviations, key=lambda one: -one.ratio):
            found[each.name.node] = (*found.get(each.name.node, ()), each)
        names = {each.name for all_of in found.values() for each in all_of}
        names |= {SeriesName(*each.split(":")) for each in self.usual}
        measured = {name.node: frozenset[tuple[str, str | None]]() for name in names}
        for name in names:
            measured[name.node] |= {(name.metric, name.field)}
        return Symptoms(found, measured, dict.fromkeys(names, 1.0), (), 500.0, STEP, ())

    @property
    def descent(self) -> Descent:
        return descend(self.recording, paths_of(self.recording), self.symptoms)

    def doubts(self, node: str, ratio: float | None = 3.0) -> list[tuple[str, bool]]:
        descent = self.descent
        number = descent.paths.number[node]
        found = doubts_about(self.recording, self.symptoms, descent, number, Seldom({}), ratio)
        return [(each.reason, each.serious) for each in found]


def names(descent: Descent, nodes: Iterable[int]) -> list[str]:
    return [descent.paths.ids[each] for each in nodes]


def sources(descent: Descent) -> list[str]:
    return names(descent, descent.sources)


UNDER = 0.999

# What deviates at a, which leads to z; what else is as usual; and whether that explains what deviates at z.
TABLE = [
    pytest.param(off("a", 45, FAINT), [], True, id="in the same metric what may deviate does"),
    pytest.param(off("a", 45, UNDER * FAINT), [], False, id="but no less"),
    pytest.param(off("a", 52), [], True, id="a point later: nobody knows better when either began"),
    pytest.param(off("a", 53), [], False, id="later than its effect"),
    pytest.param(off("a", 42, until=39), [], True, id="over ten points before"),
    pytest.param(off("a", 42, until=38), [], False, id="over longer before"),
    pytest.param(off("a", 45, ANOTHER, metric="x"), [], True, id="in another metric what deviates for sure"),
    pytest.param(off("a", 45, UNDER * STRONG, metric="x"), [], False, id="and no less"),
    pytest.param(off("a", 42, metric="x", until=45), [], True, id="in another metric: over four points before"),
    pytest.param(off("a", 42, metric="x", until=44), [], False, id="in another metric: over longer before"),
    pytest.param(off("a", 45, OTHER_MEASURE, metric="x"), ["a:m"], True, id="although its own m is as usual"),
    pytest.param(off("a", 45, UNDER * OTHER_MEASURE, metric="x"), ["a:m"], False, id="its own m is as usual"),
    pytest.param(off("a", 45, CROSSED, metric="x"), ["z:x"], True, id="although x is as usual at z"),
    pytest.param(off("a", 45, UNDER * CROSSED, metric="x"), ["z:x"], False, id="x is as usual at z"),
    pytest.param(off("a", 45, BOTH, metric="x"), ["a:m", "z:x"], True, id="although both are"),
    pytest.param(off("a", 45, UNDER * BOTH, metric="x"), ["a:m", "z:x"], False, id="both are"),
    pytest.param(off("a", 39, FAINT), [], True, id="ten points before its effect"),
    pytest.param(off("a", 38, FAINT), [], False, id="longer before it must be seen for sure"),
    pytest.param(off("a", 29, 1.75 * STRONG), [], True, id="twice as long before: three quarters more"),
    pytest.param(off("a", 29, UNDER * 1.75 * STRONG), [], False, id="twice as long before, and not so much more"),
    pytest.param(off("a", 9, 2.5 * STRONG), [], True, id="four times as long before"),
    pytest.param(off("a", 9, UNDER * 2.5 * STRONG), [], False, id="four times as long before, and not so much more"),
]  # fmt: skip


@pytest.mark.parametrize(("deviation", "usual", "explains"), TABLE)
def test_what_explains_a_deviation_downstream_of_it(deviation: Deviation, usual: list[str], explains: bool) -> None:
    descent = World(["az"], [deviation, off("z", 50)], usual).descent
    step = descent.steps.get(descent.paths.number["a"])
    assert (step is not None and step.own is not None) == explains
    state = descent.state(descent.paths.number["a"], descent.breach)
    same = deviation.name.metric == "m" or "a:m" in usual
    assert state is (State.DEVIATES if explains else State.QUIET if same else State.OTHERWISE)


@pytest.mark.parametrize(
    ("between", "least"), [("", 1.0), ("b", 1.0), ("bc", 1.1), ("bcd", 1.2), ("bcde", 1.3), ("bcdef", 1.3)]
)
def test_the_more_is_not_measured_in_between_the_more_must_be_seen(between: str, least: float) -> None:
    way = "a" + between + "z"
    edges = [way[place : place + 2] for place in range(len(way) - 1)]
    for ratio, found in ((least * STRONG, ["a"]), (UNDER * least * STRONG, ["z"])):
        assert sources(World(edges, [off("a", 45, ratio + 1e-9 * (found == ["a"])), off("z", 50)]).descent) == found


def test_of_two_ways_the_surer_one_is_gone() -> None:
    edges = ["ab", "ac", "bz", "cz"]
    every = [off(node, since) for node, since in (("a", 44), ("b", 46), ("c", 46), ("z", 50))]
    for unsure, way in (("bz", "acz"), ("cz", "abz"), ("ab", "acz")):
        descent = World(edges, every, evidence=((unsure, "values"),)).descent
        assert "".join(names(descent, descent.path(descent.paths.number["a"]))) == way
    # One that is not measured is passed through, where no other way is there.
    descent = World(edges, [each for each in every if each.name.node != "b"]).descent
    assert "".join(names(descent, descent.path(descent.paths.number["a"]))) == "acz"
    # A shorter way is better than one with another hop.
    descent = World([*edges, "az"], every).descent
    assert "".join(names(descent, descent.path(descent.paths.number["a"]))) == "az"


def test_a_way_round_a_ring_is_gone_once() -> None:
    descent = World(["ab", "bc", "ca", "cz"], [off("a", 42), off("b", 44), off("c", 46), off("z", 50)]).descent
    assert sources(descent) == ["a"]
    assert "".join(names(descent, descent.path(descent.paths.number["a"]))) == "abcz"
    # What leads to a ring that is not measured is before it.
    descent = World(["ab", "bc", "cb", "cz"], [off("a", 42), off("z", 50)]).descent
    assert sources(descent) == ["a"]


def test_what_is_later_than_what_it_leads_to_is_known_with_that_unless_another_way_leads_on() -> None:
    late = World(["ab", "bz"], [off("a", 66), off("b", 48), off("z", 50)]).descent
    assert {names(late, pair)[0]: names(late, pair)[1] for pair in late.late.items()} == {"a": "b"}
    assert sources(late) == ["b"]
    # It is later than b, and in time for c.
    other = World(["ab", "ac", "bz", "cz"], [off("a", 47), off("b", 40), off("c", 50), off("z", 50)]).descent
    assert other.late == {}
    assert sources(other) == ["a", "b"]


def test_what_else_deviates_at_the_breach_is_to_be_explained_too_if_it_began_about_then() -> None:
    """A metric x of a explains x of z; that z's x moved long before, or hardly, says nothing of it."""
    faint = off("a", 45, FAINT, metric="x")
    for of_breach, wanted in (
        (off("z", 49, metric="x"), True),
        (off("z", 49, UNDER * STRONG, metric="x"), False),  # not for sure
        (off("z", 30, metric="x"), False),  # more than ten points before
        (off("z", 63, metric="x"), False),  # after the breach was noticed
    ):
        descent = World(["az"], [faint, of_breach, off("z", 56)]).descent
        assert (("x", None) in descent.steps[descent.breach].wanted) == wanted
        step = descent.steps.get(descent.paths.number["a"])
        assert (step is not None and step.own is not None) == wanted


def test_of_several_deviations_of_a_node_the_earliest_of_the_large_ones_leads() -> None:
    several = [off("a", 46, 6), off("a", 44, 3, metric="x"), off("a", 42, 2.9, metric="y")]
    world = World(["ab"], several)  # no way leads to z, so nothing is explained by it
    assert world.descent.lead[0].name.metric == "x"
    assert replace(world, deviations=several[:1]).descent.lead[0].name.metric == "m"


def event(node: str, at: float) -> tuple[Event, ...]:
    return (Event(node, "deploy", STEP * at),)


@pytest.mark.parametrize(
    ("ratio", "at", "follows", "counts"),
    [
        pytest.param(STRONG, 29, 50, True, id="ten points before what deviates for sure"),
        pytest.param(STRONG, 28.9, 50, False, id="longer before"),
        pytest.param(STRONG, 41, 50, True, id="a point after"),
        pytest.param(STRONG, 41.1, 50, False, id="later"),
        pytest.param(FAINT, 37, 50, True, id="three points before what may deviate"),
        pytest.param(FAINT, 36.9, 50, False, id="longer before what may deviate"),
        pytest.param(FAINT, 40, 51, True, id="its effect begins ten points after"),
        pytest.param(FAINT, 40, 52, False, id="its effect begins later"),
    ],
)
def test_events_that_stand_by_an_onset(ratio: float, at: float, follows: float, counts: bool) -> None:
    """a deviates since its 40th point."""
    more = 1.8 if ratio >= STRONG else 1.0  # so long before, that explains it only if it is larger
    descent = World(["az"], [off("a", 40, more * ratio), off("z", follows)], events=event("a", at)).descent
    step = descent.steps.get(descent.paths.number["a"])
    assert (descent.paths.number["a"] in descent.events) == (counts and step is not None)


def test_an_event_beside_what_is_not_led_to_the_breach_counts_only_where_that_deviates_for_sure() -> None:
    for ratio, found in ((UNDER * STRONG, False), (STRONG, True)):
        descent = World(["ab", "bz"], [off("b", 66, ratio), off("z", 50)], events=event("b", 66)).descent
        assert (1 in descent.events) == found
    at_breach = World(["az"], [off("z", 50, UNDER * STRONG)], events=event("z", 50)).descent
    assert not at_breach.events  # that somebody noticed it then is no event


def test_an_event_where_nothing_is_measured_stands_by_what_that_leads_to() -> None:
    descent = World(["uz", "vz"], [off("z", 50)], ["v:m"], events=(*event("u", 45), *event("v", 45))).descent
    assert names(descent, descent.events) == ["u"]
    assert sources(descent) == ["u"]


def test_a_breach_that_deviates_alone_for_a_moment_did_not_surely_break_there() -> None:
    """All that feeds it is as usual in that metric."""
    said = "Only m of z deviates: nothing upstream of it does in time."
    world = World(["az", "bz"], [off("z", 50, 3)], ["a:m", "b:m"])
    assert world.doubts("z") == [(said, False)]
    assert replace(world, deviations=[off("z", 50, 2.1)]).doubts("z") == [(said, True)]
    assert replace(world, deviations=[off("z", 50, 3, until=51.8)]).doubts("z") == [(said, True)]
    assert replace(world, deviations=[]).doubts("z", ratio=None) == [
        ("m of z cannot be judged, and nothing upstream of it deviates in time.", True)
    ]
    assert replace(world, deviations=[]).doubts("z", ratio=1.0) == []  # that it is as usual is a doubt of its own
    assert replace(world, edges=["za"]).doubts("z") == []  # nothing feeds it


def test_what_feeds_a_breach_by_two_ways_is_looked_at_once() -> None:
    """Through jobs that are not measured, a leads to it twice."""
    world = World(["aj", "ak", "jz", "kz"], [off("z", 50)], ["a:m"])
    recording = replace(world.recording, nodes={**world.recording.nodes, "j": "job", "k": "job"})
    descent = descend(recording, paths_of(recording), world.symptoms)
    [doubt] = doubts_about(recording, world.symptoms, descent, descent.breach, JOBS, 3.0)
    assert not doubt.serious
    # Without the metric of a there is nothing that is as usual, and it is told once.
    bare = replace(world, usual=()).symptoms
    descent = descend(recording, paths_of(recording), bare)
    [doubt] = doubts_about(recording, bare, descent, descent.breach, JOBS, 3.0)
    assert doubt.reason.startswith("a, just upstream of z, is not measured")


@pytest.mark.parametrize(
    ("since", "serious"),
    [
        pytest.param(51.5, False, id="it begins after the breach: it is not what broke it"),
        pytest.param(50.5, True, id="nobody knows which of them began first"),
    ],
)
def test_what_hardly_deviates_behind_jobs_speaks_against_a_breach_that_broke_by_itself(
    since: float, serious: bool
) -> None:
    """Behind two jobs so little is chance; and yet it is not as usual."""
    world = World(["pk", "kj", "jz", "az"], [off("z", 50), off("p", since, 1.05 * FAINT)], ["a:m"])
    recording = replace(world.recording, nodes={**world.recording.nodes, "j": "job", "k": "job"})
    descent = descend(recording, paths_of(recording), world.symptoms)
    [doubt] = doubts_about(recording, world.symptoms, descent, descent.breach, JOBS, 3.0)
    assert doubt.reason.startswith("Only m of z deviates")
    assert doubt.serious == serious


def test_what_feeds_a_breach_and_is_measured_only_otherwise_speaks_against_it() -> None:
    [(_, serious)] = World(["az", "bz"], [off("z", 50)], ["a:m", "b:x"]).doubts("z")
    assert serious

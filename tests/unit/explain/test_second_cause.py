"""If this failed, of two independent causes one would be kept back, or a bystander called a cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_lineage.explain.answer import Answer
from stream_lineage.explain.bundle import recording_of
from stream_lineage.explain.descent import descend
from stream_lineage.explain.paths import paths_of
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.remainder import Remainder, later_changes
from stream_lineage.explain.root_cause import explain
from stream_lineage.explain.scales import AT_ONCE, Scales
from stream_lineage.explain.second import beside
from stream_lineage.explain.symptoms import Deviation, symptoms

START, STEP, BEFORE, AFTER = 1_700_000_000, 60, 80, 10
COUNT = BEFORE + AFTER


def bundle(
    edges: str, told: dict[str, Any], breach: str, metric: str = "m", events: tuple[tuple[str, int], ...] = ()
) -> dict[str, Any]:
    """``told``: by node and metric (``a.m``), the points from which on so much is added. Noise has a deviation of 2."""
    random = np.random.default_rng(5)
    names = sorted({each for edge in edges.split() for each in edge})
    series = []
    for key, changes in told.items():
        node, name = key.split(".")
        values = 100 + 2 * random.normal(size=COUNT)
        for since, by in changes:
            values[since:] += by
        points = [[START + STEP * index, float(value)] for index, value in enumerate(values)]
        series.append({"node": node, "metric": name, "points": points})
    return {
        "graph": {
            "nodes": [{"id": name, "kind": "dataset"} for name in names],
            "edges": [{"from": edge[0], "to": edge[1]} for edge in edges.split()],
        },
        "series": series,
        "events": [{"node": node, "kind": "deploy", "at": START + STEP * at} for node, at in events],
        "breach": {"node": breach, "metric": metric, "at": START + STEP * BEFORE},
    }


def told(*arguments: Any, **more: Any) -> Answer:
    return explain(recording_of(bundle(*arguments, **more)))


def named(answer: Answer) -> list[str]:
    return [each.node for each in answer.ranking if each.named]


MEETING = "ac bc ce"
"""Two sources, where they meet, and the breach."""


def test_what_comes_later_to_where_they_meet_is_named_by_what_it_changes_there_once_more() -> None:
    later = {"a.m": [(58, 40)], "b.m": [(70, 40)], "c.m": [(60, 40), (72, 40)], "e.m": [(61, 40), (73, 40)]}
    answer = told(MEETING, later, "e")
    assert named(answer) == ["a", "b"]
    assert "because of a" in answer.sentence
    assert "independently, because of b" in answer.sentence
    second = answer.ranking[1]
    assert second.path == ("b", "c", "e")
    assert second.onset == START + STEP * 70
    assert second.confidence >= 0.5
    assert not {"b", "c", "e"} & {each.node for each in answer.rejected}


def test_what_changes_nothing_where_it_would_meet_the_cause_is_none() -> None:
    beside_it = {"a.m": [(58, 40)], "b.m": [(70, 40)], "c.m": [(60, 40)], "e.m": [(61, 40)]}
    answer = told(MEETING, beside_it, "e")
    assert named(answer) == ["a"]
    assert "b" in {each.node for each in answer.rejected}


def test_a_smaller_one_is_named_too() -> None:
    smaller = {"a.m": [(58, 90)], "b.m": [(68, 15)], "c.m": [(60, 90), (70, 15)], "e.m": [(61, 90), (71, 15)]}
    assert named(told(MEETING, smaller, "e")) == ["a", "b"]


def test_what_reaches_another_metric_of_the_breached_node_is_named() -> None:
    other = {
        "a.m": [(58, 40)], "a.n": [], "b.m": [], "b.n": [(70, 40)], "c.m": [(60, 40)], "c.n": [(72, 40)],
        "e.m": [(61, 40)], "e.n": [(73, 40)],
    }  # fmt: skip
    assert sorted(named(told(MEETING, other, "e"))) == ["a", "b"]


@pytest.mark.parametrize(("by", "expected"), [(40, ["a", "b"]), (-40, ["a"])])
def test_what_moves_the_other_way_in_the_same_metric_is_no_second_cause(by: float, expected: list[str]) -> None:
    same_time = {"a.m": [(70, 60)], "b.m": [(71, by)], "c.m": [(72, 50)], "e.m": [(73, 50)]}
    assert named(told(MEETING, same_time, "e")) == expected


def test_the_one_that_explains_it_in_its_own_metric_comes_before_a_louder_one_that_does_not() -> None:
    crossing = {
        "a.m": [(66, 12)], "a.n": [], "b.m": [], "b.n": [(66, 4000)],
        "c.m": [(67, 12)], "c.n": [], "e.m": [(68, 12)],
    }  # fmt: skip
    assert named(told(MEETING, crossing, "e")) == ["a"]


def test_what_can_only_show_in_another_metric_is_named_where_it_follows_at_once() -> None:
    at_once = {"a.m": [(70, 40)], "b.n": [(70, 40)], "e.k": [(71, 40)]}
    assert sorted(named(told("ae be", at_once, "e", "k"))) == ["a", "b"]


def test_what_can_only_show_in_another_metric_is_not_named_where_it_came_long_before() -> None:
    before = {"a.m": [(70, 40)], "b.n": [(62, 40)], "e.k": [(71, 40)]}
    assert len(named(told("ae be", before, "e", "k"))) == 1


def test_without_a_series_of_the_breach_both_are_named() -> None:
    same_time = {"a.m": [(70, 40)], "b.m": [(71, 40)]}
    answer = told("ae be", same_time, "e", "complaints")
    assert sorted(named(answer)) == ["a", "b"]


def test_an_event_at_what_is_not_measured_is_named_beside_a_cause() -> None:
    parts = {"a.m": [(70, 40)], "d.m": [(71, 40)], "e.m": [(72, 40)]}
    answer = told("ae bd de", parts, "e", events=(("b", 70),))
    assert sorted(named(answer)) == ["a", "b"]


def test_an_event_alone_is_not_enough_beside_a_cause() -> None:
    answer = told("ae be", {"a.m": [(70, 40)], "e.m": [(72, 40)]}, "e", events=(("b", 71),))
    assert named(answer) == ["a"]


def test_a_second_one_whose_parent_is_not_measured_is_not_named() -> None:
    later = {"a.m": [(58, 40)], "b.m": [(70, 40)], "c.m": [(60, 40), (72, 40)], "e.m": [(61, 40), (73, 40)]}
    assert named(told("xb " + MEETING, later, "e")) == ["a"]


def test_what_deviates_upstream_of_the_cause_and_too_late_is_not_searched_for() -> None:
    above = {"x.m": [(76, 40)], "a.m": [(58, 40)], "e.m": [(60, 40), (77, 40)]}
    assert named(told("xa ae", above, "e")) == ["a"]


def test_there_is_nothing_to_search_where_the_breached_node_is_not_measured() -> None:
    parts = {"a.m": [(58, 40)], "b.m": [(70, 40)], "c.m": [(60, 40), (72, 40)]}
    recording = recording_of(bundle(MEETING, parts, "e", "complaints"))
    assert named(explain(recording)) == ["a"]


@pytest.mark.parametrize("until", [82, 83])
def test_a_cause_that_is_over_soon_after_the_breach_began_when_it_began(until: int) -> None:
    curve = [(0, 240.0), *((index, -1.0) for index in range(60))]
    over = {
        "x.m": curve,
        "a.m": [*curve, (78, -90.0), (until, 90.0)],
        "e.m": [*curve, (79, -90.0), (until, 90.0)],
    }
    answer = told("xa ae", over, "e")
    assert named(answer) == ["a"]
    assert answer.ranking[0].onset == START + STEP * 78


# What remains.


def known_of(parts: dict[str, Any], edges: str = MEETING, breach: str = "e") -> tuple[Recording, Any]:
    recording = recording_of(bundle(edges, parts, breach))
    return recording, symptoms(recording)


def changed(*changes: tuple[int, float]) -> list[Deviation]:
    recording, known = known_of({"a.m": [], "e.m": list(changes)})
    [own] = known.deviations["e"]
    return later_changes(recording, known, own, Scales(recording, known))


def test_each_later_change_is_found_with_its_time() -> None:
    found = sorted(changed((55, 30), (63, 30), (72, 30)), key=lambda each: each.onset)
    assert [round((each.onset - START) / STEP) for each in found] == [63, 72]
    assert all(each.earliest < each.onset <= each.latest for each in found)
    assert all(each.found is not None and each.found > each.usual + 20 for each in found)


def test_of_a_single_step_nothing_remains() -> None:
    assert changed((60, 40)) == []


def test_what_changes_after_the_breach_is_not_what_was_noticed() -> None:
    assert [round((each.onset - START) / STEP) for each in changed((60, 30), (84, 60))] == []


def test_what_began_two_points_before_the_end_has_not_changed_again() -> None:
    recording = recording_of(bundle("ae", {"a.m": [], "e.m": [(78, 40)]}, "e"))
    cut = [replace(each, times=each.times[:80], values=each.values[:80]) for each in recording.series]
    recording = replace(recording, series=tuple(cut))
    known = symptoms(recording)
    [own] = known.deviations["e"]
    assert later_changes(recording, known, own, Scales(recording, known)) == []


def test_what_changes_step_by_step_does_so_between_two_times() -> None:
    [found] = changed((55, 60), (64, 3), (66, 3), (68, 3))
    assert START + STEP * 63 <= found.earliest < found.onset < found.latest <= START + STEP * 70


def test_what_hardly_deviates_or_has_stopped_does_not_change_again() -> None:
    recording, known = known_of({"a.m": [], "e.m": [(60, 40), (70, 40)]})
    [own] = known.deviations["e"]
    assert later_changes(recording, known, replace(own, ratio=1.5), Scales(recording, known)) == []
    assert later_changes(recording, known, replace(own, shape="silence"), Scales(recording, known)) == []


def test_of_many_deviations_each_is_in_the_scale_that_it_has_alone() -> None:
    """More than are worked out at once, of two lengths."""
    count = AT_ONCE + 30
    nodes = [f"n{number:03}" for number in range(count)]
    recording, known = known_of({f"{node}.m": [(60, 30 + place)] for place, node in enumerate(nodes)}, "ae")
    deviations = [known.deviations[node][0] for node in nodes]
    together = Scales(recording, known, deviations)
    for each in (deviations[-1], deviations[0], deviations[-5], deviations[7]):
        alone, among = Scales(recording, known).of(each), together.of(each)
        assert alone is not None
        assert among is not None
        assert among[0].series is each.series
        assert np.allclose(among[1].residuals, alone[1].residuals, rtol=0, atol=1e-12)
        assert (among[1].spread, among[1].memory) == pytest.approx((alone[1].spread, alone[1].memory))
    [begun] = [
        replace(deviations[3], series=replace(each.series, times=each.series.times + 1e6)) for each in deviations[3:4]
    ]
    assert Scales(recording, known).of(begun) is None  # nothing of it is before the breach


def test_the_remainder_leaves_out_the_cause_and_what_is_upstream_of_it() -> None:
    recording, known = known_of({"a.m": [(58, 40)], "b.m": [(70, 40)], "c.m": [(60, 40), (72, 40)], "e.m": [(61, 40)]})
    remainder = Remainder(recording, known, known.deviations["a"], frozenset("ce"), frozenset("a"))
    assert len(remainder) == len(list(remainder)) == 4
    assert remainder["a"] == ()
    assert remainder["b"] == known.deviations["b"]
    [own] = remainder["c"]
    assert own.earliest == known.deviations["c"][0].earliest
    assert own.latest >= START + STEP * 72
    assert [round((each.onset - START) / STEP) for each in remainder.left("c")] == [72]
    assert remainder.left("c") is remainder.left("c")
    assert remainder.left("e") == ()
    assert remainder.left("nobody") == ()


def test_what_began_before_the_cause_is_not_explained_by_it() -> None:
    recording, known = known_of({"a.m": [(70, 40)], "e.m": [(60, 40)]})
    remainder = Remainder(recording, known, known.deviations["a"], frozenset("e"), frozenset("a"))
    assert [round((each.onset - START) / STEP) for each in remainder.left("e")] == [60]


def test_the_cause_itself_is_not_beside_it() -> None:
    recording, known = known_of({"a.m": [(70, 40)], "c.m": [(71, 40)], "e.m": [(72, 40)]})
    paths = paths_of(recording)
    descent = descend(recording, paths, known)
    around = beside(recording, known, descent, paths.number["a"])
    assert not around.independent(descent, paths.number["a"])
    assert not around.independent(descent, paths.number["c"])
    assert around.search() is None


@pytest.mark.parametrize("shape", ["shift", "spread"])
def test_what_varies_more_moves_neither_way(shape: Any) -> None:
    recording, known = known_of({"a.m": [(70, 60)], "b.m": [(71, -40)], "c.m": [(72, 50)], "e.m": [(73, 50)]})
    [own] = known.deviations["b"]
    known = replace(known, deviations={**known.deviations, "b": (replace(own, shape=shape),)})
    paths = paths_of(recording)
    descent = descend(recording, paths, known)
    around = beside(recording, known, descent, paths.number["a"])
    assert around.independent(descent, paths.number["b"]) is (shape == "spread")

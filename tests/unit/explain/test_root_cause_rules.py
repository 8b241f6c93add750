"""If this failed, the root cause would be another than the rules say: each rule has an incident of its own, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from stream_lineage.explain.answer import Answer
from stream_lineage.explain.bundle import recording_of
from stream_lineage.explain.root_cause import explain

START, STEP, BEFORE, AFTER = 1_700_000_000, 60, 60, 10
BREACH_AT = START + STEP * BEFORE


class Story:
    """An incident in the making. Series are noise around 100 with a deviation of 2; times are points from the start."""

    def __init__(self, *edges: str | tuple[str, str, str]) -> None:
        self.random = np.random.default_rng(11)
        self.edges: list[dict[str, Any]] = []
        for edge in edges:
            if isinstance(edge, str):
                self.edges.append({"from": edge[0], "to": edge[1]})
            else:
                self.edges.append({"from": edge[0], "to": edge[1], "evidence": edge[2]})
        self.kinds = {name: "dataset" for edge in self.edges for name in (edge["from"], edge["to"])}
        self.series: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def usual(self, *nodes: str, metric: str = "m") -> Story:
        for node in nodes:
            self.deviates(node, 0, 0, metric=metric)
        return self

    def deviates(self, node: str, since: int, by: float = 30, *, metric: str = "m", until: int = 999) -> Story:
        values = 100 + 2 * self.random.normal(size=BEFORE + AFTER)
        values[since:until] += by
        return self.has(node, values, metric=metric)

    def has(self, node: str, values: Sequence[float], *, metric: str = "m") -> Story:
        self.kinds.setdefault(node, "dataset")
        points = [[START + STEP * index, float(value)] for index, value in enumerate(values)]
        self.series.append({"node": node, "metric": metric, "points": points})
        return self

    def event(self, node: str, kind: str, at: int) -> Story:
        self.events.append({"node": node, "kind": kind, "at": START + STEP * at})
        return self

    def bundle(self, breach: str, metric: str = "m") -> dict[str, Any]:
        nodes = [{"id": name, "kind": kind} for name, kind in self.kinds.items()]
        return {
            "graph": {"nodes": nodes, "edges": self.edges},
            "series": self.series,
            "events": self.events,
            "breach": {"node": breach, "metric": metric, "at": BREACH_AT},
        }

    def told(self, breach: str, metric: str = "m") -> Answer:
        return explain(recording_of(self.bundle(breach, metric)))


def named(answer: Answer) -> list[str]:
    return [each.node for each in answer.ranking if each.named]


def reasons(answer: Answer) -> dict[str, str]:
    return {each.node: each.reason for each in answer.rejected}


def test_the_upstream_most_that_deviates_wins_over_what_is_louder_downstream() -> None:
    answer = Story("ab", "bc", "cd").usual("a").deviates("b", 52, 15).deviates("c", 54, 300).deviates("d", 56).told("d")
    assert answer.verdict == "root-cause"
    assert named(answer) == ["b"]
    cause = answer.ranking[0]
    assert cause.path == ("b", "c", "d")
    assert cause.metric == "m"
    assert cause.onset == START + STEP * 52
    assert cause.onset_interval[0] <= cause.onset <= cause.onset_interval[1]
    assert [each.node for each in answer.affected] == ["c", "d"]


def test_a_louder_node_without_a_path_is_rejected_with_the_reason() -> None:
    story = Story("ab", "bc", "xy").usual("a").deviates("b", 52).deviates("c", 54).deviates("x", 48, 900)
    answer = story.told("c")
    assert named(answer) == ["b"]
    assert "No path leads from it to c" in reasons(answer)["x"]


def test_what_is_downstream_of_the_breach_is_an_effect() -> None:
    answer = Story("ab", "bc").deviates("a", 50).deviates("b", 52).deviates("c", 51, 500).told("b")
    assert named(answer) == ["a"]
    assert "downstream of the breach" in reasons(answer)["c"]


def test_a_node_without_metrics_is_passed_through_and_said() -> None:
    answer = Story("ab", "bc", "cd").usual("a").deviates("b", 50).deviates("d", 53).told("d")
    assert named(answer) == ["b"]
    assert answer.ranking[0].path == ("b", "c", "d")
    assert any("c has no metrics" in each for each in answer.ranking[0].evidence)


def test_an_ancestor_that_deviates_behind_one_that_is_as_usual_is_rejected() -> None:
    answer = Story("ax", "xb", "cb").deviates("a", 50, 500).usual("x").deviates("c", 52).deviates("b", 54).told("b")
    assert named(answer) == ["c"]
    assert "x, between it and b, is as usual" in reasons(answer)["a"]


def test_a_cause_is_not_later_than_its_effect() -> None:
    answer = Story("ab", "bc", "db").usual("d").deviates("a", 66, 300).deviates("b", 50).deviates("c", 52).told("c")
    assert named(answer) == ["b"]
    assert "not later than its effect" in reasons(answer)["a"]


def test_two_independent_causes_are_both_named() -> None:
    story = Story("ac", "bd", "ce", "de")
    story.deviates("a", 50).deviates("b", 51).deviates("c", 52).deviates("d", 53).deviates("e", 54)
    answer = story.told("e")
    assert answer.verdict == "root-cause"
    assert sorted(named(answer)) == ["a", "b"]


def test_a_second_cause_is_named_also_where_it_is_smaller() -> None:
    story = Story("ac", "bd", "ce", "de")
    story.deviates("a", 50, 60).deviates("b", 51, 12).deviates("c", 52, 60).deviates("d", 53, 12).deviates("e", 54, 60)
    assert sorted(named(story.told("e"))) == ["a", "b"]


def test_a_change_on_a_daily_curve_that_is_known_for_less_than_two_days_is_found() -> None:
    def day(since: int) -> list[float]:
        curve = 1000 + 600 * np.sin(np.arange(BEFORE + AFTER) / 11 + 2.5)
        noise = 1 + 0.03 * story.random.normal(size=BEFORE + AFTER)
        return list(curve * noise * np.where(np.arange(BEFORE + AFTER) >= since, 0.5, 1))

    story = Story("ab", "bc")
    answer = story.has("a", day(999)).has("b", day(54)).has("c", day(55)).told("c")
    assert named(answer) == ["b"]
    assert abs(answer.ranking[0].onset - START - STEP * 54) <= STEP


def test_one_more_of_what_was_always_the_same_number_is_found() -> None:
    story = Story("ab", "bc")
    for node, since in (("a", 999), ("b", 53), ("c", 54)):
        story.has(node, [40.0 + (index >= since) for index in range(BEFORE + AFTER)], metric="distinct")
    assert named(story.told("c", "distinct")) == ["b"]


def test_a_single_wild_point_long_before_is_no_cause() -> None:
    story = Story("ab", "bc").deviates("b", 54).deviates("c", 55)
    wild = 100 + 2 * story.random.normal(size=BEFORE + AFTER)
    wild[38] += 400
    assert named(story.has("a", list(wild)).told("c")) == ["b"]


def test_a_ring_is_entered_where_it_began() -> None:
    story = Story("ab", "bc", "ca", "cd").deviates("a", 54).deviates("b", 48).deviates("c", 51).deviates("d", 56)
    answer = story.told("d")
    assert named(answer) == ["b"]
    assert answer.ranking[0].path == ("b", "c", "d")


def test_a_day_like_any_other_has_no_cause() -> None:
    answer = Story("ab", "bc").usual("a", "b", "c").told("c")
    assert answer.verdict == "inconclusive"
    assert answer.settle
    assert "as usual" in answer.sentence
    assert "Only" not in answer.sentence


def test_a_breach_of_which_all_that_feeds_it_is_as_usual_broke_there() -> None:
    answer = Story("ab", "bc").usual("a", "b").deviates("c", 55).told("c")
    assert named(answer) == ["c"]
    assert answer.ranking[0].confidence <= 0.75
    assert any("Only m of c deviates" in each for each in answer.notes)


@pytest.mark.parametrize("fed", ["not measured", "in another metric"])
def test_a_breach_of_which_nobody_knows_how_that_is_which_feeds_it_has_no_cause(fed: str) -> None:
    story = Story("ab", "bc", "xa").usual("x").deviates("c", 55)
    answer = (story if fed == "not measured" else story.usual("a", "b", metric="other")).told("c")
    assert answer.verdict == "inconclusive"
    assert answer.ranking[0].node == "c"


def test_an_event_at_the_breach_itself_grounds_it() -> None:
    story = Story("ab", "bc").usual("a", "b").deviates("c", 55).event("c", "deploy", 54)
    answer = story.told("c")
    assert named(answer) == ["c"]
    assert any("deploy" in each for each in answer.ranking[0].evidence)


def test_an_event_alone_is_never_enough() -> None:
    story = Story("ab", "bc").usual("a", "b", metric="other").deviates("c", 55)
    story.event("a", "deploy", 54).event("b", "schema", 54)
    assert story.told("c").verdict == "inconclusive"


def test_an_event_at_another_time_is_no_evidence() -> None:
    story = Story("ab", "bc").usual("a", "b", metric="other").deviates("c", 55).event("c", "deploy", 5)
    assert story.told("c").verdict == "inconclusive"


def test_what_is_not_measured_just_upstream_leaves_it_open() -> None:
    answer = Story("xa", "ub", "bc").usual("a", "x").deviates("b", 52).deviates("c", 54).told("c")
    assert answer.verdict == "inconclusive"
    assert answer.ranking[0].node == "b"
    assert any("u" in each.split() for each in answer.settle)


def test_jobs_are_not_expected_to_have_metrics() -> None:
    story = Story("aj", "jb", "bc").usual("a").deviates("b", 52).deviates("c", 54)
    story.kinds["j"] = "job"
    assert named(story.told("c")) == ["b"]


def test_an_event_at_what_is_not_measured_names_it() -> None:
    story = Story("xa", "ub", "bc").usual("a", "x").deviates("b", 52).deviates("c", 54).event("u", "schema-change", 51)
    answer = story.told("c")
    assert named(answer) == ["u"]
    assert answer.ranking[0].metric == "schema-change"


@pytest.mark.parametrize("stops", ["zero", "missing"])
def test_a_source_that_stops_is_found(stops: str) -> None:
    story = Story("ab", "bc").usual("x")
    values = 100 + 2 * story.random.normal(size=BEFORE + AFTER)
    values[50:] = 0
    story.has("a", values if stops == "zero" else values[:50], metric="records")
    story.deviates("b", 51, -70, metric="records").deviates("c", 53, -60, metric="records")
    answer = story.told("c", "records")
    assert named(answer) == ["a"]
    assert answer.ranking[0].onset == START + STEP * 50


def test_a_slow_cause_of_a_fast_effect_is_found() -> None:
    story = Story("ab", "bc").usual("a")
    ramp = np.concatenate((np.zeros(40), np.arange(30) * 1.5))
    story.has("b", 100 + 2 * story.random.normal(size=70) + ramp).deviates("c", 55, 60)
    answer = story.told("c")
    assert named(answer) == ["b"]
    assert START + STEP * 38 <= answer.ranking[0].onset <= START + STEP * 50


def test_a_breach_whose_node_the_graph_lacks_is_said() -> None:
    story = Story("ab").deviates("a", 50).deviates("b", 52).deviates("z", 54)
    bundle = story.bundle("z")
    bundle["graph"]["nodes"] = [each for each in bundle["graph"]["nodes"] if each["id"] != "z"]
    answer = explain(recording_of(bundle))
    assert any("the breach name: z" in each for each in answer.notes)
    assert {"a", "b"} <= reasons(answer).keys()


def test_a_series_that_ended_long_ago_is_not_judged_and_that_is_said() -> None:
    story = Story("ab", "xb").deviates("a", 52).deviates("b", 54)
    story.has("x", [100.0, 101.0, 99.0, 100.0, 102.0, 98.0, 100.0, 101.0])
    answer = story.told("b")
    assert "x" not in named(answer)
    assert any(each.startswith("Ended before the time looked at") and "m of x" in each for each in answer.notes)


def test_a_parent_that_begins_after_the_breach_did_but_before_it_was_noticed_is_no_cause() -> None:
    answer = Story("rd", "xd").deviates("r", 44).deviates("d", 45).deviates("x", 56, 300).told("d")
    assert named(answer) == ["r"]
    assert "not later than its effect" in reasons(answer)["x"]


@pytest.mark.parametrize("since", [12, 20, 30])
def test_a_change_that_is_older_than_half_of_the_recording_is_found_with_its_onset(since: int) -> None:
    answer = Story("ab", "bc").deviates("a", since).deviates("b", since + 1).deviates("c", since + 2).told("c")
    assert named(answer) == ["a"]
    assert answer.ranking[0].onset == START + STEP * since


def test_a_pipeline_that_goes_silent_before_the_breach_is_led_back_to_what_stopped_first() -> None:
    story = Story("ab", "bc")
    for node, last in (("a", 54), ("b", 56), ("c", 57)):
        story.has(node, list(100 + 2 * story.random.normal(size=last)))
    answer = story.told("c")
    assert named(answer) == ["a"]
    assert answer.ranking[0].onset == START + STEP * 54


def test_a_recording_that_ends_before_the_breach_is_no_silence() -> None:
    story = Story("ab", "bc")
    for node in "abc":
        story.has(node, list(100 + 2 * story.random.normal(size=50)))
    assert story.told("c").verdict == "inconclusive"


def test_times_in_milliseconds_are_taken_as_such() -> None:
    bundle = Story("ab").deviates("a", 52).deviates("b", 54).bundle("b")
    bundle["breach"]["at"] *= 1000
    answer = explain(recording_of(bundle))
    assert named(answer) == ["a"]
    assert any("milliseconds" in each for each in answer.notes)


def test_an_event_beside_what_hardly_deviates_is_no_ground() -> None:
    """Long before, upstream, and in another metric."""
    story = Story("ab", "bc").deviates("a", 38, 5, metric="x").event("a", "deploy", 37)
    answer = story.deviates("b", 52, 60).deviates("c", 54, 60).told("c")
    assert named(answer) == ["b"]


def test_what_is_as_usual_in_between_in_that_metric_keeps_a_deviation_from_the_breach() -> None:
    """Nor does it become another metric further down: nothing is named."""
    story = Story("ab", "bc").usual("a", metric="y").deviates("a", 48, 25, metric="x").usual("b", metric="x")
    assert story.deviates("c", 54).told("c").verdict == "inconclusive"


@pytest.mark.parametrize(("fed", "verdict"), [(True, "root-cause"), (False, "inconclusive")])
def test_jobs_that_are_measured_in_their_duration_only_are_looked_through(fed: bool, verdict: str) -> None:
    story = Story("aj", "jb", "bk", "kc").usual("j", "k", metric="duration").deviates("b", 50).deviates("c", 52)
    story.kinds |= {"j": "job", "k": "job"}
    if fed:
        story.usual("a")
    answer = story.told("c")
    assert answer.ranking[0].node == "b"
    assert answer.verdict == verdict


def test_a_breach_that_moves_alone_behind_a_job_broke_by_itself_if_what_feeds_the_job_is_as_usual() -> None:
    story = Story("aj", "jb").usual("a").usual("j", metric="duration").deviates("b", 50)
    story.kinds["j"] = "job"
    assert named(story.told("b")) == ["b"]


def test_the_more_nodes_in_between_tell_nothing_the_more_must_be_seen_upstream() -> None:
    """Nine in a row: what deviates just so at the far end of them is chance."""
    ways = ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi", "ij", "jk"]
    for by, expected in ((12, "a"), (7.5, "k")):
        answer = Story(*ways).deviates("a", 44, by).deviates("k", 50, 60).told("k")
        assert answer.ranking[0].node == expected


def test_what_is_over_in_another_metric_before_its_effect_begins_explains_nothing() -> None:
    answer = Story("ab").deviates("a", 42, 60, metric="x", until=46).deviates("b", 53).told("b")
    assert "a" not in named(answer)
    assert reasons(answer)["a"].endswith("in another metric than what it leads to: it explains nothing there.")


def test_what_is_over_long_before_its_effect_begins_is_rejected_with_that() -> None:
    answer = Story("ac", "bc").deviates("a", 36, 60, until=41).deviates("b", 53).deviates("c", 55).told("c")
    assert named(answer) == ["b"]
    assert reasons(answer)["a"].endswith("Nothing that deviates in time connects it to c.")


def test_what_is_explained_and_no_longer_listed_is_rejected_as_explained() -> None:
    """Twelve ways lead from the cause to the breach: it, the way of it and eight more are all that is ranked."""
    between = "bcdefghijklm"
    story = Story(*(f"a{one}" for one in between), *(f"{one}z" for one in between)).deviates("a", 50)
    for node in between:
        story.deviates(node, 52)
    answer = story.deviates("z", 54).told("z")
    assert named(answer) == ["a"]
    assert len(answer.ranking) == 10
    assert len(answer.rejected) == 3
    for said in reasons(answer).values():
        assert said.endswith("It is on a path to the breach, and what deviates upstream of it explains it.")


def test_a_second_cause_that_is_sure_by_itself_is_named_however_long_the_way_of_the_first() -> None:
    story = (
        Story("ab", "bc", "cd", "de", "ef", "fg", "gz", "xz")
        .deviates("x", 55, 60)
        .event("x", "deploy", 55)
        .deviates("z", 57, 60)
    )
    for place, node in enumerate("abcdefg"):
        story.deviates(node, 50 + place, 90)
    assert sorted(named(story.told("z"))) == ["a", "x"]


@pytest.mark.parametrize(("since", "verdict"), [(999, "root-cause"), (57, "inconclusive")])
def test_a_parent_without_metrics_is_accused_by_another_child_that_follows_later(since: int, verdict: str) -> None:
    """One that is as usual exonerates it."""
    story = Story("pb", "px", "bc").deviates("b", 50).deviates("c", 52).deviates("x", since, 30 if since < 99 else 0)
    answer = story.told("c")
    assert answer.ranking[0].node == "b"
    assert answer.verdict == verdict


def test_what_a_cause_leads_to_besides_is_rejected_as_its_effect() -> None:
    answer = Story("ab", "bc", "ax", "xy", "vw").deviates("a", 50).deviates("b", 52).deviates("c", 54).deviates(
        "x", 51, 300).deviates("y", 52, 300).deviates("w", 49, 300).told("c")  # fmt: skip
    assert named(answer) == ["a"]
    for node in "xy":
        assert reasons(answer)[node].endswith("No path leads from it to c; it is downstream of a as well.")
    assert reasons(answer)["w"].endswith("No path leads from it to c.")


def test_an_event_beside_the_way_of_the_cause_is_told_as_no_ground() -> None:
    """At u, which is not measured, and leads from the cause to what it breaks, just as b does."""
    story = Story("ab", "au", "bc", "uc").deviates("a", 50).deviates("b", 51).deviates("c", 53)
    answer = story.event("u", "deploy", 52).told("c")
    assert named(answer) == ["a"]
    assert answer.ranking[0].path == ("a", "b", "c")
    assert reasons(answer)["u"] == "Only an event (deploy): that alone is no ground."


def test_what_stops_at_the_second_node_on_its_way_is_rejected_with_that() -> None:
    answer = Story("pq", "qr", "rz", "az").deviates("p", 48, 300).deviates("q", 49, 300).usual("r").deviates(
        "a", 51).deviates("z", 53).told("z")  # fmt: skip
    assert named(answer) == ["a"]
    for node in "pq":
        assert reasons(answer)[node].endswith("r, between it and z, is as usual: it does not get that far.")


def test_a_breach_of_a_metric_that_is_not_recorded_is_led_back_to_what_deviates() -> None:
    """Somebody noticed it; when it began is not known, so that everything until then may be its cause."""
    answer = Story("ab", "bc").usual("a").deviates("b", 52).told("c", "complaints")
    assert named(answer) == ["b"]
    assert any("c is where the breach was noticed" in each for each in answer.ranking[0].evidence)
    assert answer.sentence.startswith("complaints of c broke because of b 1 hop upstream")


def test_without_any_series_nothing_can_be_told() -> None:
    answer = Story("ab", "bc").told("c")
    assert (answer.verdict, answer.rejected) == ("inconclusive", ())
    assert "m of c cannot be judged, and nothing upstream of it deviates in time." in answer.sentence


def test_series_that_all_ended_before_the_time_looked_at_tell_nothing_and_that_is_said() -> None:
    """The breach came ten hours later."""
    bundle = Story("ab").deviates("a", 50).deviates("b", 52).bundle("b")
    bundle["breach"]["at"] += 36_000
    answer = explain(recording_of(bundle))
    assert answer.verdict == "inconclusive"
    assert any(each.startswith("Ended before the time looked at") and "m of a; m of b" in each for each in answer.notes)


def test_a_series_of_few_points_is_not_judged_and_that_is_said() -> None:
    """With five before the breach nothing is usual; nor is anything known of what began after it."""
    story = Story("ab", "cb").deviates("a", 50).deviates("b", 52)
    points = [[START + STEP * (BEFORE - 4 + index), 100.0] for index in range(10)]
    story.series.append({"node": "c", "metric": "m", "points": points})
    story.series += [{"node": "c", "metric": f"x{index}", "points": points[6:]} for index in range(5)]
    answer = story.told("b")
    assert [each for each in answer.notes if each.startswith("Too few points")] == [
        "Too few points before the breach to say what is usual: m of c; x0 of c; x1 of c; x2 of c; x3 of c and 1 more."
    ]
    assert "c" not in named(answer)


def test_what_is_always_the_same_at_the_breach_is_as_usual() -> None:
    answer = Story("ab").deviates("a", 50).has("b", [7.0] * (BEFORE + AFTER)).told("b")
    assert answer.verdict == "inconclusive"
    assert "m of b is as usual around the breach." in answer.sentence

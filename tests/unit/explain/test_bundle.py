"""If this failed, a bundle would be read as something else than it says, or its errors would not say where."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from stream_lineage.errors import DecodeError
from stream_lineage.explain.bundle import parse_bundle, recording_of

BUNDLE: dict[str, Any] = {
    "graph": {
        "nodes": [{"id": "a", "kind": "dataset"}, {"id": "b", "kind": "model"}],
        "edges": [{"from": "a", "to": "b", "evidence": "header"}],
    },
    "series": [{"node": "a", "metric": "rows", "field": "x", "points": [[10, 1], [20.5, 2.5], [30, 3]]}],
    "events": [{"node": "a", "kind": "deploy", "at": 15, "detail": {"version": 3}}],
    "breach": {"node": "b", "metric": "ctr", "at": 25},
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    bundle = copy.deepcopy(BUNDLE)
    place: Any = bundle
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return bundle


def test_what_a_bundle_says_is_read() -> None:
    found = parse_bundle(json.dumps(BUNDLE))
    assert dict(found.nodes) == {"a": "dataset", "b": "model"}
    [edge] = found.edges
    assert (edge.source, edge.target, edge.evidence) == ("a", "b", ("header",))
    [series] = found.series
    assert (series.name.node, series.name.metric, series.name.field) == ("a", "rows", "x")
    assert series.times.tolist() == [10, 20.5, 30]
    assert series.values.tolist() == [1, 2.5, 3]
    assert found.events[0].detail == '{"version": 3}'
    assert (found.breach.node, found.breach.field, found.breach.at) == ("b", None, 25)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        ([], "a bundle is a JSON object, and this is an array"),
        ({}, "graph is missing; series is missing; breach is missing"),
        (changed("graph", "nodes", 1, to={"kind": "model"}), "graph.nodes[1].id is missing"),
        (changed("graph", "edges", 0, to={"source": "a", "target": "b"}), "graph.edges[0].from is missing"),
        (changed("breach", to={"node": "b", "metric": "ctr"}), "breach.at is missing"),
        (changed("breach", "at", to="noon"), "breach.at"),
        (changed("breach", "at", to=True), "breach.at"),
        (changed("series", 0, "points", to=[[1, 2], [3]]), "series[0].points[1] is not [epoch seconds, value]"),
        (changed("series", 0, "points", to=[["soon", 2]]), "series[0].points[0]: its time is no epoch seconds"),
        (changed("series", to={"a": []}), "series"),
        (changed("graph", "edges", 0, "evidence", to=7), "graph.edges[0].evidence"),
    ],
)
def test_errors_say_where(bundle: Any, said: str) -> None:
    with pytest.raises(DecodeError) as error:
        recording_of(bundle)
    assert said in error.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"graph": \n [}', "at line 2, column 3"),
        (b"\xff{}", "no UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ("nonsense", "at line 1, column 1"),
        ('{"breach": ' + "7" * 5000 + "}", "no JSON that can be read"),
    ],
)
def test_no_json_is_said(text: str | bytes, said: str) -> None:
    with pytest.raises(DecodeError) as error:
        parse_bundle(text)
    assert said in error.value.message


def test_points_are_mended_and_that_is_said() -> None:
    points = [[30, 3], [10, 1], [10, 5], [20, None], [40, float("nan")], ["2026-01-01T00:00:00Z", 7], [10, 3]]
    found = parse_bundle(json.dumps(changed("series", 0, "points", to=points)))
    [series] = found.series
    assert series.times.tolist() == [10, 30, 1_767_225_600]
    assert series.values.tolist() == [3, 3, 7]
    assert found.notes == (
        "2 points no number, left out.",
        "2 points out of order, put in order.",
        "2 points at the same time as another, replaced by their median.",
    )


def test_nodes_that_are_only_named_elsewhere_are_taken_and_said() -> None:
    bundle = changed("graph", "nodes", to=[])
    bundle["graph"]["edges"].append({"from": "b", "to": "b"})
    bundle["series"].append({"node": "c", "metric": "m", "points": []})
    found = recording_of(bundle)
    assert dict(found.nodes) == {"a": "unknown", "b": "unknown", "c": "unknown"}
    assert any("Only edges name these nodes: a, b" in each for each in found.notes)
    assert any("The graph lacks nodes that series name: c" in each for each in found.notes)
    assert any("from a node to itself" in each for each in found.notes)
    assert len(found.edges) == 1


def test_keys_that_nobody_knows_are_said() -> None:
    bundle = changed("breach", "severity", to="high")
    bundle["truth"] = "a"
    notes = recording_of(bundle).notes
    assert any("of the bundle: truth" in each for each in notes)
    assert any("of breach: severity" in each for each in notes)


def test_ids_may_be_numbers_and_evidence_several() -> None:
    bundle = changed("graph", "nodes", to=[{"id": 1}, {"id": 2}])
    bundle["graph"]["edges"] = [{"from": 1, "to": 2, "evidence": ["group", {"class": "values"}]}, {"from": 1, "to": 2}]
    bundle["series"], bundle["events"] = [], []
    bundle["breach"]["node"] = 2
    found = recording_of(bundle)
    assert list(found.nodes) == ["1", "2"]
    assert [each.evidence for each in found.edges] == [("group", "values")]


def test_a_bundle_without_events_says_so() -> None:
    bundle = copy.deepcopy(BUNDLE)
    del bundle["events"]
    found = recording_of(bundle)
    assert found.events == ()
    assert found.notes == ("The bundle has no events.",)


def test_a_node_of_several_kinds_is_of_the_first_by_name() -> None:
    bundle = copy.deepcopy(BUNDLE)
    bundle["graph"]["nodes"] += [{"id": "a", "kind": "topic"}, {"id": "b"}, {"id": "b", "kind": "model"}]
    found = recording_of(bundle)
    assert dict(found.nodes) == {"a": "dataset", "b": "model"}
    assert found.notes == ("Nodes of more than one kind, of which the first by name is taken: a.",)


def test_series_in_parts_are_put_together() -> None:
    bundle = copy.deepcopy(BUNDLE)
    bundle["series"] += [
        {"node": "a", "metric": "rows", "field": "x", "points": [[5, 9]]},
        {"node": "a", "metric": "rows", "field": "", "points": [[7, 1]]},
        {"node": "a", "metric": "rows", "points": [[8, 2]]},
    ]
    found = recording_of(bundle)
    assert [(each.name.field, each.times.tolist(), each.values.tolist()) for each in found.series] == [
        (None, [7, 8], [1, 2]),
        ("x", [5, 10, 20.5, 30], [9, 1, 2.5, 3]),
    ]
    # An empty name of a field is none.
    assert "Series that come more than once are put together: rows of a, rows of a:x." in found.notes


def test_what_is_no_value_is_no_number() -> None:
    """Such as text, an array, or an integer beyond what a float holds."""
    points = [[10, "many"], [20, [1]], [30, 10**400], [40, "2.5"], [50, 1e200]]
    found = recording_of(changed("series", 0, "points", to=points))
    [series] = found.series
    assert (series.times.tolist(), series.values.tolist()) == ([40], [2.5])
    assert found.notes == ("4 points no number, left out.",)


@pytest.mark.parametrize("point", [[[], 1], [10**400, 1], [{"at": 3}, 1], ["2026-13-01", 1]])
def test_what_is_no_time_is_refused(point: list[Any]) -> None:
    with pytest.raises(DecodeError, match=r"series\[0\]\.points\[0\]: its time is no epoch seconds"):
        recording_of(changed("series", 0, "points", to=[point]))


@pytest.mark.parametrize("other", [2.5, "many"])
def test_a_point_without_a_time_is_left_out(other: Any) -> None:
    """Whatever the points beside it are."""
    found = recording_of(changed("series", 0, "points", to=[[None, 1], [10, 5], [20, other]]))
    assert found.series[0].times.tolist()[0] == 10
    assert found.notes == (f"{1 + (other == 'many')} point{'s' if other == 'many' else ''} no number, left out.",)


def test_times_may_be_text_with_a_zone_or_in_utc() -> None:
    points = [["2026-01-01T01:00:00+01:00", 1], ["2026-01-01T00:00:10", 2], ["1767225620", 3]]
    [series] = recording_of(changed("series", 0, "points", to=points)).series
    assert series.times.tolist() == [1_767_225_600, 1_767_225_610, 1_767_225_620]


def test_milliseconds_are_taken_as_such_wherever_they_are() -> None:
    bundle = changed("series", 0, "points", to=[[1_767_225_600_000, 1], [1_767_225_601_500, 2]])
    bundle["series"].append({"node": "b", "metric": "ctr", "points": [[1_767_225_600, 3]]})
    bundle["events"][0]["at"] = 1_767_225_600_250
    found = recording_of(bundle)
    assert [each.times.tolist() for each in found.series] == [[1_767_225_600, 1_767_225_601.5], [1_767_225_600]]
    assert (found.events[0].at, found.breach.at) == (1_767_225_600.25, 25)
    assert found.notes == ("Times of events, series are milliseconds, taken as such.",)


def test_long_lists_are_cut_in_notes_and_errors() -> None:
    bundle = changed("graph", "nodes", to=[{} for _ in range(7)])
    with pytest.raises(DecodeError) as error:
        recording_of(bundle)
    assert error.value.message.endswith("graph.nodes[4].id is missing; and 2 more")
    bundle = changed("graph", "nodes", to=[])
    bundle["graph"]["edges"] = [{"from": "b", "to": f"n{number}"} for number in range(7)]
    bundle["series"], bundle["events"] = [], []
    assert recording_of(bundle).notes == ("Only edges name these nodes: b, n0, n1, n2, n3 and 3 more. They are taken as"
                                          " nodes.",)  # fmt: skip

"""If this failed, some bundle would crash the search for its cause, or its order, scale or clock change the answer."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_lineage.explain.bundle import recording_of
from stream_lineage.explain.root_cause import explain

NODES = [f"n{number}" for number in range(7)]
NUMBERS = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 10),
    st.integers(-5, 5),
    st.sampled_from([0.0, 1e308, -1e308, 5e-324]),
)
# A series may end long before the breach, which may be long after everything.
REGULAR = st.tuples(st.integers(0, 300), st.integers(6, 60), NUMBERS).map(
    lambda three: [[three[0] + index, three[2]] for index in range(three[1])]
)
POINTS = st.one_of(
    REGULAR, st.lists(st.tuples(st.one_of(st.integers(0, 80), st.floats(0, 80)), NUMBERS).map(list), max_size=40)
)
SERIES = st.fixed_dictionaries(
    {"node": st.sampled_from([*NODES, "elsewhere"]), "metric": st.sampled_from("ab"), "points": POINTS},
    optional={"field": st.sampled_from(["x", None])},
)
EDGES = st.lists(
    st.fixed_dictionaries(
        {"from": st.sampled_from(NODES), "to": st.sampled_from(NODES)},
        optional={"evidence": st.sampled_from(["header", "values", "rumour", ["group", "values"], None])},
    ),
    max_size=14,
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "node": st.sampled_from([*NODES, "nowhere"]),
            "kind": st.sampled_from(["deploy", "schema"]),
            "at": st.floats(0, 80),
        }
    ),
    max_size=3,
)
BUNDLES = st.fixed_dictionaries(
    {
        "graph": st.fixed_dictionaries(
            {
                "nodes": st.lists(st.sampled_from(NODES).map(lambda name: {"id": name}), max_size=8),
                "edges": EDGES,
            }
        ),
        "series": st.lists(SERIES, max_size=8),
        "events": EVENTS,
        "breach": st.fixed_dictionaries(
            {"node": st.sampled_from(NODES), "metric": st.sampled_from("ab"), "at": st.floats(0, 400)}
        ),
    }
)


def told(bundle: dict[str, Any]) -> dict[str, Any]:
    return explain(recording_of(bundle)).document()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(BUNDLES)
def test_any_bundle_has_an_answer_that_is_one(bundle: dict[str, Any]) -> None:
    answer = told(bundle)
    edges = {(edge["from"], edge["to"]) for edge in bundle["graph"]["edges"]}
    ranked = [each["node"] for each in answer["ranking"]]
    assert len(set(ranked)) == len(ranked)
    assert not set(ranked) & {each["node"] for each in answer["rejected"]}
    for each in answer["ranking"]:
        assert each["path"][0] == each["node"]
        assert each["path"][-1] == bundle["breach"]["node"]
        assert all(pair in edges for pair in itertools.pairwise(each["path"]))
        assert len(set(each["path"])) == len(each["path"])
        assert 0 <= each["confidence"] <= 1
        assert np.isfinite([each["score"], each["onset"], *each["onset_interval"]]).all()
    named = [each["named"] for each in answer["ranking"]]
    assert (answer["verdict"] == "root-cause") == any(named)
    assert any(named) or answer["settle"]
    assert answer["sentence"]


def incident(seed: int) -> dict[str, Any]:
    """A chain with a side branch, where the third node breaks and the rest follows."""
    random = np.random.default_rng(seed)
    names = [f"n{number}" for number in range(8)]
    edges = [{"from": one, "to": other} for one, other in itertools.pairwise(names[:6])]
    edges += [{"from": "n6", "to": "n3"}, {"from": "n7", "to": "n6"}]
    series = []
    for number, name in enumerate(names):
        values = random.gamma(4, 2, size=90) if number % 2 else 50 + 3 * random.normal(size=90)
        if 2 <= number <= 5:
            values[70 + number :] *= 4
        series.append({"node": name, "metric": "m", "points": [[30 * t, float(v)] for t, v in enumerate(values)]})
    return {
        "graph": {"nodes": [{"id": name, "kind": "dataset"} for name in names], "edges": edges},
        "series": series,
        "events": [{"node": "n2", "kind": "deploy", "at": 30 * 71}, {"node": "n7", "kind": "run", "at": 30 * 20}],
        "breach": {"node": "n5", "metric": "m", "at": 30 * 78},
    }


def kernel(answer: dict[str, Any]) -> tuple[Any, ...]:
    return (
        answer["verdict"],
        [(each["node"], each["metric"], each["path"], each["named"]) for each in answer["ranking"]],
        [each["node"] for each in answer["rejected"]],
        answer["blast_radius"],
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_order_in_the_bundle_does_not_matter(seed: int) -> None:
    bundle = incident(seed)
    mixed = copy.deepcopy(bundle)
    random = np.random.default_rng(seed)
    for each in (mixed["graph"]["nodes"], mixed["graph"]["edges"], mixed["series"], mixed["events"]):
        random.shuffle(each)
    for series in mixed["series"]:
        random.shuffle(series["points"])
    first, second = told(bundle), told(mixed)
    assert first["ranking"][0]["node"] == "n2"
    for answer in (first, second):
        del answer["notes"]  # that points were out of order is said
    assert first == second
    assert told(bundle) == told(bundle)


@pytest.mark.parametrize("seed", range(6))
def test_neither_scale_nor_clock_changes_the_answer(seed: int) -> None:
    bundle = incident(seed)
    other = copy.deepcopy(bundle)
    random = np.random.default_rng(seed)
    for series in other["series"]:
        factor = float(10 ** random.uniform(-9, 9))
        series["points"] = [[at + 1_700_000_000, value * factor] for at, value in series["points"]]
    for each in (*other["events"], other["breach"]):
        each["at"] += 1_700_000_000
    first, second = told(bundle), told(other)
    assert kernel(first) == kernel(second)
    moved = [each["onset"] + 1_700_000_000 for each in first["ranking"]]
    assert moved == [each["onset"] for each in second["ranking"]]

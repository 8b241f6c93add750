"""If this failed, ways would be sought in another graph than the recorded one, or a ring be taken for a line."""

from __future__ import annotations

import itertools

import networkx  # type: ignore[import-untyped]
import numpy as np
import pytest

from stream_lineage.explain.paths import paths_of, reached, rings, sureness
from stream_lineage.explain.recording import Breach, Edge, Recording


def test_nodes_are_numbered_and_know_their_neighbours() -> None:
    edges = (Edge("a", "c", ("group", "header")), Edge("b", "c"), Edge("c", "d", ("rumour",)))
    paths = paths_of(Recording(dict.fromkeys("abcd", "dataset"), edges, (), (), Breach("d", "m", None, 0)))
    assert list(paths.ids) == ["a", "b", "c", "d"]
    assert [list(each) for each in paths.parents] == [[], [], [0, 1], [2]]
    assert [list(each) for each in paths.children] == [[2], [2], [3], []]
    assert list(paths.into(2)) == [(0, 1.0), (1, 0.9)]
    assert (list(paths.into(3)), list(paths.into(0))) == ([(2, 0.8)], [])
    assert (paths.sure(0, 2), paths.sure(1, 2)) == (1.0, 0.9)
    assert (paths.known_by(0, 2), paths.known_by(1, 2)) == (("group", "header"), ())


@pytest.mark.parametrize(
    ("classes", "sure"), [([], 0.9), (["values"], 0.45), (["values", " GROUP"], 0.9), (["hearsay", "values"], 0.8)]
)
def test_an_edge_is_as_sure_as_its_best_evidence(classes: list[str], sure: float) -> None:
    assert sureness(classes) == sure


def test_hops_are_counted_along_the_shortest_way_from_the_nearest_start() -> None:
    neighbours = [[1, 2], [3], [3], [4], [0], [5]]
    assert reached(neighbours, [0]) == {0: 0, 1: 1, 2: 1, 3: 2, 4: 3}
    assert reached(neighbours, [0, 3]) == {0: 0, 3: 0, 1: 1, 2: 1, 4: 1}
    assert reached(neighbours, []) == {}


@pytest.mark.parametrize("seed", range(40))
def test_rings_are_what_networkx_finds_and_come_before_what_leads_to_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    nodes = range(0, 24, 2)
    pairs = {(int(a), int(b)) for a, b in random.choice(nodes, (int(random.integers(4, 30)), 2)) if a != b}
    neighbours = {a: sorted(b for one, b in pairs if one == a) for a, _ in pairs}
    found = rings(nodes, neighbours)
    graph = networkx.DiGraph(sorted(pairs))
    graph.add_nodes_from(nodes)
    assert sorted(found) == sorted(sorted(each) for each in networkx.strongly_connected_components(graph))
    place = {node: index for index, ring in enumerate(found) for node in ring}
    assert all(place[b] <= place[a] for a, b in pairs)


def test_a_ring_as_long_as_a_graph_ends_no_stack() -> None:
    count = 5000
    neighbours = {one: [other] for one, other in itertools.pairwise([*range(count), 0])}
    assert rings(range(count), neighbours) == [list(range(count))]

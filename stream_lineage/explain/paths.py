"""The graph of a recording by number, with what search needs: neighbours, reach, rings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream_lineage.explain.recording import Recording

SURENESS: Mapping[str, float] = {
    "header": 1.0,
    "openlineage": 0.97,
    "declared": 0.95,
    "transaction": 0.95,
    "group": 0.9,
    "values": 0.45,
}
"""How sure each class of evidence makes an edge."""
UNSAID, UNKNOWN = 0.9, 0.8
"""How sure an edge is of which no evidence is said, or a class that nobody knows."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Nodes are numbered in the order of their ids; neighbours are in that order too. ``evidence`` has the classes that
    the edges from the parents of each node are known by, in their order; ``sureness`` how sure these make one."""

    ids: Sequence[str]
    number: Mapping[str, int]
    children: Sequence[Sequence[int]]
    parents: Sequence[Sequence[int]]
    evidence: Sequence[Sequence[tuple[str, ...]]]
    sureness: Mapping[tuple[str, ...], float]

    def into(self, node: int) -> Iterable[tuple[int, float]]:
        """Whatever leads to a node, with how sure the edge is."""
        sureness = self.sureness
        return ((one, sureness[by]) for one, by in zip(self.parents[node], self.evidence[node], strict=True))

    def known_by(self, one: int, other: int) -> tuple[str, ...]:
        """The classes of evidence of an edge."""
        return self.evidence[other][self.parents[other].index(one)]

    def sure(self, one: int, other: int) -> float:
        """How sure an edge is, 0 to 1."""
        return self.sureness[self.known_by(one, other)]


def paths_of(recording: Recording) -> Paths:
    """The graph of a recording."""
    ids = list(recording.nodes)
    number = {name: index for index, name in enumerate(ids)}
    children: list[list[int]] = [[] for _ in ids]
    parents: list[list[int]] = [[] for _ in ids]
    evidence: list[list[tuple[str, ...]]] = [[] for _ in ids]
    for edge in recording.edges:
        source, target = number[edge.source], number[edge.target]
        children[source].append(target)
        parents[target].append(source)
        evidence[target].append(edge.evidence)
    classes = {edge.evidence for edge in recording.edges}
    return Paths(ids, number, children, parents, evidence, {each: sureness(each) for each in classes})


def sureness(classes: Sequence[str]) -> float:
    """Of an edge that is known by these classes of evidence: that of the best."""
    return max((SURENESS.get(each.strip().lower(), UNKNOWN) for each in classes), default=UNSAID)


def reached(neighbours: Sequence[Sequence[int]], start: Iterable[int]) -> dict[int, int]:
    """What can be reached, with the number of hops; 0 for the start itself."""
    hops = dict.fromkeys(start, 0)
    level = list(hops)
    while level:
        following = []
        for node in level:
            for other in neighbours[node]:
                if other not in hops:
                    hops[other] = hops[node] + 1
                    following.append(other)
        level = following
    return hops


def rings(nodes: Sequence[int], neighbours: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Strongly connected components (Tarjan 1972, without recursion): those that others lead to come after them in
    reverse, so that a component comes before all that lead to it."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stacked: set[int] = set()
    stack: list[int] = []
    found: list[list[int]] = []
    for root in nodes:
        if root in index:
            continue
        work = [(root, 0)]
        while work:
            node, place = work.pop()
            if place == 0:
                index[node] = low[node] = len(index)
                stack.append(node)
                stacked.add(node)
            others = neighbours.get(node, ())
            for position in range(place, len(others)):
                other = others[position]
                if other not in index:
                    work.append((node, position + 1))
                    work.append((other, 0))
                    break
                if other in stacked:
                    low[node] = min(low[node], index[other])
            else:
                if low[node] == index[node]:
                    ring = []
                    while True:
                        member = stack.pop()
                        stacked.discard(member)
                        ring.append(member)
                        if member == node:
                            break
                    found.append(sorted(ring))
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
    return found

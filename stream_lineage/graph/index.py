"""Who leads to whom, as arrays: the edges of each node lie side by side."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Index:
    """``sources``, ``targets`` and ``confidences`` by number of the edge. The edges that leave node n are
    ``outgoing[outgoing_begins[n]:outgoing_begins[n + 1]]``, and likewise those that lead to it."""

    sources: Numbers
    targets: Numbers
    confidences: NDArray[np.float64]
    outgoing_begins: Numbers
    outgoing: Numbers
    incoming_begins: Numbers
    incoming: Numbers

    def edges_of(self, node: int) -> tuple[Numbers, Numbers]:
        """The numbers of the edges that lead to a node, and of those that leave it."""
        return (
            self.incoming[self.incoming_begins[node] : self.incoming_begins[node + 1]],
            self.outgoing[self.outgoing_begins[node] : self.outgoing_begins[node + 1]],
        )


def indexed(nodes: int, sources: array[int], targets: array[int], confidences: array[float]) -> Index:
    """A copy: what is added later is not in it."""
    one, other = (np.array(ends, np.int64) for ends in (sources, targets))
    return Index(one, other, np.array(confidences, np.float64), *_sides(nodes, one), *_sides(nodes, other))


def _sides(nodes: int, ends: Numbers) -> tuple[Numbers, Numbers]:
    begins = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(ends, minlength=nodes), out=begins[1:])
    return begins, np.argsort(ends, kind="stable")

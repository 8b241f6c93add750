"""From a record to all records that it was made from, or to all that were made from it: by ranges, hop by hop.

Each record is visited once, so that topics which feed themselves come to an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stream_lineage.index.ranges import Ranges, overlapping, union
from stream_lineage.index.reader import Logs, ProvenanceIndex
from stream_lineage.index.strip_table import (
    FLAGS,
    FROM_FIRST,
    OUT_FIRST,
    OUT_LAST,
    OUT_LOG,
    PARENT_FIRST,
    PARENT_LAST,
    PARENT_LOG,
    TO_LAST,
    WIDTH,
    StripIndex,
    Table,
    by_log,
    cut_outputs,
    cut_parents,
    incomplete,
    renamed,
    stacked,
    unclear,
    widened,
)

Direction = Literal["upstream", "downstream"]
MOST_STRIPS = 1_000_000
"""Strips that one answer may hold."""


@dataclass(slots=True)
class Walk:
    """What was found, by partition.

    ``reached`` is everything but the start, ``hops`` the same by distance. ``uncertain`` is what only a widened range
    says, or one that may be of another life of its topic: it may be no ancestor (or no descendant) at all. ``ends`` is
    what leads no further, the start among it if it does not. ``unknown``: records that have, or may have, parents of
    which nobody knows. ``unclear``: parents that are of this life of their topic or of another. ``back`` tells that
    something led back to what had been visited before; ``cut`` that not everything was looked at.
    """

    direction: Direction
    start: Mapping[int, Ranges]
    reached: dict[int, Ranges] = field(default_factory=dict)
    hops: list[dict[int, Ranges]] = field(default_factory=list)
    strips: Table = field(default_factory=lambda: stacked(()))
    uncertain: dict[int, Ranges] = field(default_factory=dict)
    ends: dict[int, Ranges] = field(default_factory=dict)
    unknown: dict[int, Ranges] = field(default_factory=dict)
    unclear: dict[int, Ranges] = field(default_factory=dict)
    back: bool = False
    cut: bool = False

    def count(self) -> int:
        """How many records were reached."""
        return sum(ranges.count for ranges in self.reached.values())


def walk(
    index: ProvenanceIndex,
    start: Mapping[int, Ranges],
    direction: Direction = "upstream",
    *,
    depth: int | None = None,
    most_strips: int = MOST_STRIPS,
) -> Walk:
    """Walk from records to their sources or to what became of them.

    Args:
        index: where the edges are.
        start: offsets by partition, by the numbers that the index has for them.
        direction: ``upstream`` to the sources.
        depth: hops at most; all where null.
        most_strips: how large the answer may become.
    """
    with index.explained(), index.snapshot():
        found = _walked(index, start, direction, depth, most_strips)
        doubtful = unclear(found.strips)
        found.unclear = _joined(found.unclear, _parents(found.strips[doubtful]))
        if (widened(found.strips) | doubtful).any():
            _mark_uncertain(found)
    return found


def _walked(
    index: ProvenanceIndex, start: Mapping[int, Ranges], direction: Direction, depth: int | None, most_strips: int
) -> Walk:
    found, logs = Walk(direction, start), index.logs
    strips_of = StripIndex(index.connection)
    visited: dict[int, Ranges] = dict(start)
    frontier = dict(start)
    tables: list[Table] = []
    led: list[dict[int, Ranges]] = []
    room = most_strips
    bound_met = False
    while frontier and (depth is None or len(found.hops) < depth):
        if direction == "upstream":
            strips, more = _above(found, strips_of, logs, frontier, room)
            led.append(_outputs(strips))
            next_ = _parents(strips)
        else:
            strips, more = _children(found, strips_of, logs, frontier, room)
            led.append(_parents(strips))
            next_ = _outputs(strips)
        if more:
            found.cut = bound_met = True
            break
        room -= len(strips)
        tables.append(strips)
        frontier = {}
        for log, ranges in next_.items():
            new = ranges - visited[log] if log in visited else ranges
            if log in visited and not found.back:
                found.back = bool(ranges & visited[log])
            if new:
                frontier[log] = new
                visited[log] = visited[log] | new if log in visited else new
        if frontier:
            found.hops.append(frontier)
    if frontier and not bound_met:
        # The hop after the last that was asked for: not told, but where the path ends or is not known is seen by it.
        look = _above if direction == "upstream" else _children
        strips, bound_met = look(found, strips_of, logs, frontier, room)
        led.append(_outputs(strips) if direction == "upstream" else _parents(strips))
        found.cut = bound_met or len(strips) > 0
    found.strips = stacked(tables)
    found.reached = {log: rest for log, all_ in visited.items() if (rest := all_ - start.get(log, Ranges.empty()))}
    through = _all(led)
    unasked = frontier if bound_met else {}
    found.ends = {
        log: rest
        for log, all_ in visited.items()
        if (rest := all_ - through.get(log, Ranges.empty()) - unasked.get(log, Ranges.empty()))
    }
    return found


def _above(
    found: Walk, strips_of: StripIndex, logs: Logs, frontier: Mapping[int, Ranges], most: int
) -> tuple[Table, bool]:
    """What records were made from, and whether there is more than ``most`` of it; what is not known is noted."""
    strips = renamed(strips_of.leading_to(frontier, most + 1), logs)
    lacking = incomplete(strips)
    if lacking.any():
        found.unknown = _joined(found.unknown, _outputs(strips[lacking]))
    known = strips[:, PARENT_LOG] >= 0
    return strips if known.all() else strips[known], len(strips) > most


def _children(
    found: Walk, strips_of: StripIndex, logs: Logs, frontier: Mapping[int, Ranges], most: int
) -> tuple[Table, bool]:
    """What was made of records, and whether there is more than ``most`` of it: their partition may stand in edges with
    the life of its topic, or without."""
    tables: list[Table] = []
    looked_at = 0
    waiting = dict(frontier)
    while waiting:
        # Two lives of a topic share the name that stands for neither: one after the other.
        turn: dict[int, int | None] = {}
        for log in waiting:
            alias = logs.unnamed(log)
            if alias is None or alias not in turn.values():
                turn[log] = alias
        wanted = {log: waiting.pop(log) for log in turn}
        for log, alias in turn.items():
            if alias is not None:
                wanted[alias] = wanted[alias] | wanted[log] if alias in wanted else wanted[log]
        strips = renamed(strips_of.leading_from(wanted, most - looked_at + 1), logs)
        looked_at += len(strips)
        mine = np.isin(strips[:, PARENT_LOG], list(turn))
        # What is counted to another life may have been made of this one.
        found.unclear = _joined(found.unclear, _parents(strips[~mine & unclear(strips)]))
        tables.append(strips[mine])
        if looked_at > most:
            break
    return stacked(tables), looked_at > most


def _mark_uncertain(found: Walk) -> None:
    """Walk once more, over what was found, by what is exact: what is not reached so is uncertain. Both ends of a
    widened range are exact. Of what may be of another life of its topic nothing is."""
    known = found.strips[~unclear(found.strips)]
    inexact = widened(known)
    exact, ends = known[~inexact], known[inexact]
    if found.direction == "upstream":
        low, high = ends.copy(), ends.copy()
    else:
        low, high = (ends[(ends[:, FLAGS] & flag) > 0] for flag in (FROM_FIRST, TO_LAST))
    low[:, WIDTH] = high[:, WIDTH] = 0
    low[:, PARENT_LAST], high[:, PARENT_FIRST] = low[:, PARENT_FIRST], high[:, PARENT_LAST]
    strips = stacked((exact, low, high))
    certain: dict[int, Ranges] = dict(found.start)
    frontier: dict[int, Ranges] = dict(found.start)
    while frontier:
        _, far = near_and_far(found.direction)
        steps = by_log(*stacked_touching(strips, frontier, found.direction)[:, far].T)
        frontier = {}
        for log, ranges in steps.items():
            new = ranges - certain[log] if log in certain else ranges
            if new:
                frontier[log] = new
                certain[log] = certain[log] | new if log in certain else new
    found.uncertain = {
        log: rest for log, all_ in found.reached.items() if (rest := all_ - certain.get(log, Ranges.empty()))
    }


def near_and_far(direction: Direction) -> tuple[list[int], list[int]]:
    """The columns of the end of a strip that a walk comes from, and of the one that it goes to."""
    outputs, parents = [OUT_LOG, OUT_FIRST, OUT_LAST], [PARENT_LOG, PARENT_FIRST, PARENT_LAST]
    return (outputs, parents) if direction == "upstream" else (parents, outputs)


def stacked_touching(strips: Table, wanted: Mapping[int, Ranges], direction: Direction) -> Table:
    """The strips that begin at these records, cut to them."""
    (log, first, last), _ = near_and_far(direction)
    cut = cut_outputs if direction == "upstream" else cut_parents
    found = []
    for number, ranges in wanted.items():
        mine = strips[strips[:, log] == number]
        which, of = overlapping(mine[:, first], mine[:, last], ranges)
        found.append(cut(mine[which], ranges.firsts[of], ranges.lasts[of]))
    return stacked(found)


def _outputs(strips: Table) -> dict[int, Ranges]:
    return _by_log(strips, OUT_LOG, OUT_FIRST, OUT_LAST)


def _parents(strips: Table) -> dict[int, Ranges]:
    return _by_log(strips, PARENT_LOG, PARENT_FIRST, PARENT_LAST)


def _by_log(strips: Table, log: int, first: int, last: int) -> dict[int, Ranges]:
    """Of these columns."""
    if len(strips) != 1:
        return by_log(strips[:, log], strips[:, first], strips[:, last])
    [row] = strips.tolist()
    return {row[log]: Ranges.single(row[first], row[last])}


def _joined(one: dict[int, Ranges], other: Mapping[int, Ranges]) -> dict[int, Ranges]:
    return {log: union(part[log] for part in (one, other) if log in part) for log in one.keys() | other.keys()}


def _all(parts: list[dict[int, Ranges]]) -> dict[int, Ranges]:
    logs = {log for part in parts for log in part}
    return {log: union(part[log] for part in parts if log in part) for log in logs}

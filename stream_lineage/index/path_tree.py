"""A path as a tree of a size that people can read: records of one topic together, single ones by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Logs
from stream_lineage.index.strip_table import by_log, unclear, widened
from stream_lineage.index.trace import Trace
from stream_lineage.index.walk import near_and_far, stacked_touching

_SINGLE = 4
"""Up to so many records of one topic stand by themselves."""
_Name = tuple[str, str | None, str | None]


@dataclass(slots=True)
class Branch:
    """Records of one topic, by the numbers of their partitions, and where they lead.

    ``unclear``: they may be of another life of the topic. ``itself``: how many of them were reached from others among
    them. ``above``: where they lead is shown elsewhere.
    ``more``: they lead further, for which there was no room.
    """

    records: dict[int, Ranges]
    widened: bool = False
    unclear: bool = False
    itself: int = 0
    above: bool = False
    more: bool = False
    children: list[Branch] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(ranges.count for ranges in self.records.values())


def path_tree(found: Trace, logs: Logs, *, most_branches: int = 120, deepest: int = 40) -> Branch:
    """The path as a tree of ``most_branches`` at most. Where records lead is shown where they are met first."""
    root = Branch({found.number: Ranges.single(found.offset)})
    drawn: dict[int, Ranges] = {}
    waiting = [(root, 0)]
    room = most_branches
    while waiting:
        branch, depth = waiting.pop(0)
        new = {log: rest for log, ranges in branch.records.items() if (rest := ranges - drawn.get(log, Ranges.empty()))}
        _draw(drawn, new)
        new = _with_own(found, logs, branch, new, drawn)
        children = [child for child in _children(found, logs, new) if not (branch.itself and _within(child, branch))]
        branch.above = not new and bool(_children(found, logs, branch.records))
        if children and (len(children) > room or depth >= deepest):
            branch.more = True
            continue
        room -= len(children)
        branch.children = children
        waiting += [(child, depth + 1) for child in children]
    return root


def _children(found: Trace, logs: Logs, records: Mapping[int, Ranges]) -> list[Branch]:
    strips = stacked_touching(found.walk.strips, records, found.walk.direction)
    _, far = near_and_far(found.walk.direction)
    groups: dict[_Name, dict[int, Ranges]] = {}
    for log, ranges in by_log(*strips[:, far].T).items():
        known = logs[log]
        groups.setdefault((known.topic, known.topic_id, known.cluster), {})[log] = ranges
    inexact = set(strips[widened(strips)][:, far[0]].tolist())
    doubtful = set(strips[unclear(strips)][:, far[0]].tolist())
    out: list[Branch] = []
    for _, group in sorted(groups.items(), key=lambda item: tuple(part or "" for part in item[0])):
        branch = Branch(group, bool(inexact & group.keys()), bool(doubtful & group.keys()))
        if 1 < branch.count <= _SINGLE and not branch.widened:
            out += [
                Branch({log: Ranges.single(offset)}, unclear=branch.unclear)
                for log, ranges in sorted(group.items())
                for first, last in ranges
                for offset in range(first, last + 1)
            ]
        else:
            out.append(branch)
    return out


def _with_own(
    found: Trace, logs: Logs, branch: Branch, new: dict[int, Ranges], drawn: dict[int, Ranges]
) -> dict[int, Ranges]:
    """A topic that feeds itself is one branch, however often it does so."""
    if not new:
        return new
    known = logs[next(iter(new))]
    name = (known.topic, known.topic_id, known.cluster)
    everything, frontier = dict(new), dict(new)
    while frontier:
        strips = stacked_touching(found.walk.strips, frontier, found.walk.direction)
        _, far = near_and_far(found.walk.direction)
        frontier = {}
        for log, ranges in by_log(*strips[:, far].T).items():
            other = logs[log]
            rest = ranges - drawn.get(log, Ranges.empty())
            if (other.topic, other.topic_id, other.cluster) == name and rest:
                frontier[log] = rest
        _draw(drawn, frontier)
        _draw(everything, frontier)
        branch.itself += sum(ranges.count for ranges in frontier.values())
    _draw(branch.records, everything)
    return everything


def _within(child: Branch, branch: Branch) -> bool:
    return all(not ranges - branch.records.get(log, Ranges.empty()) for log, ranges in child.records.items())


def _draw(into: dict[int, Ranges], more: Mapping[int, Ranges]) -> None:
    for log, ranges in more.items():
        into[log] = into[log] | ranges if log in into else ranges

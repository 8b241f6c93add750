"""Which nodes may have caused a breach: back along real edges, through what deviates or is not measured."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from stream_lineage.explain.paths import Paths, reached, rings
from stream_lineage.explain.recording import Event, Recording
from stream_lineage.explain.symptoms import STRONG, Deviation, Symptoms

_EVENT_STEPS = 10
"""So many points before an onset an event still explains it."""
_COSTS_FAINT, _COSTS_BLIND, _COSTS_HOP = 0.7, 0.6, 0.1


class State(Enum):
    """Of a node. One that is measured in no metric that deviates upstream of the breach is as good as not measured."""

    STRONG = "deviates"
    FAINT = "may deviate"
    BLIND = "is not measured"
    QUIET = "is as usual"


@dataclass(frozen=True, slots=True)
class Step:
    """On the way back from the breach: the next node towards it, what the way costs, and by when what it explains
    began."""

    towards: int | None
    cost: float
    latest: float


@dataclass(frozen=True, slots=True)
class Descent:
    """``lead`` is the deviation of a node that counts (of its largest ones the earliest); ``steps`` are of the nodes
    from which the deviation may have reached the breach; ``sources`` those of them that nothing upstream explains;
    ``late`` what deviates only after what it leads to does; ``events`` those near the onset of a node."""

    paths: Paths
    states: Sequence[State]
    lead: Mapping[int, Deviation]
    events: Mapping[int, tuple[Event, ...]]
    ancestors: Mapping[int, int]
    steps: Mapping[int, Step]
    sources: tuple[int, ...]
    late: Mapping[int, int]
    breach: int

    def path(self, node: int) -> list[int]:
        """From a node to the breach."""
        found = [node]
        while (towards := self.steps[found[-1]].towards) is not None:
            found.append(towards)
        return found


def descend(recording: Recording, paths: Paths, known: Symptoms) -> Descent:
    """Searches from the breach upstream."""
    breach = paths.number[recording.breach.node]
    ancestors = reached(paths.parents, [breach])
    lead = {paths.number[node]: _lead(found, recording) for node, found in known.deviations.items() if found}
    states = _states(recording, paths, known, lead, ancestors)
    events = _events(recording, paths, known, lead, states)
    steps, late = _back(paths, states, lead, events, breach, recording.breach.at + known.step, known.step)
    sources = _sources(paths, states, lead, events, steps, known.step)
    return Descent(paths, states, lead, events, ancestors, steps, sources, late, breach)


def _lead(found: Sequence[Deviation], recording: Recording) -> Deviation:
    """Of the deviations of a node the one that the breach is about, else the earliest of those not much smaller."""
    breach = recording.breach
    for each in found:
        if (each.name.node, each.name.metric, each.name.field) == (breach.node, breach.metric, breach.field):
            return each
    large = [each for each in found if each.ratio >= max(0.5 * found[0].ratio, min(STRONG, found[0].ratio))]
    return min(large, key=lambda each: (each.latest, -each.ratio, str(each.name)))


def _states(
    recording: Recording, paths: Paths, known: Symptoms, lead: Mapping[int, Deviation], ancestors: Mapping[int, int]
) -> list[State]:
    telling = {each.name.metric for node, each in lead.items() if node in ancestors and each.ratio >= STRONG}
    telling.add(recording.breach.metric)
    found = []
    for node, name in enumerate(paths.ids):
        deviation = lead.get(node)
        if deviation is not None:
            found.append(State.STRONG if deviation.ratio >= STRONG else State.FAINT)
        else:
            metrics = known.measured.get(name, frozenset())
            found.append(State.QUIET if metrics & telling else State.BLIND)
    # Whatever the breach's own series say, somebody has noticed it.
    found[paths.number[recording.breach.node]] = State.STRONG
    return found


def _events(
    recording: Recording, paths: Paths, known: Symptoms, lead: Mapping[int, Deviation], states: Sequence[State]
) -> dict[int, tuple[Event, ...]]:
    """Events at the onset of what they are at, or, at a node that is not measured, of what it leads to."""
    found: dict[int, list[Event]] = {}
    for event in recording.events:
        node = paths.number[event.node]
        onsets = [lead[node]] if node in lead else []
        if states[node] is State.BLIND:
            onsets = [lead[child] for child in paths.children[node] if child in lead and lead[child].ratio >= STRONG]
        for each in onsets:
            early = _EVENT_STEPS * max(known.step, each.step)
            if each.earliest - early <= event.at <= each.latest + max(known.step, each.step):
                found.setdefault(node, []).append(event)
                break
    return {node: tuple(each) for node, each in found.items()}


def _back(
    paths: Paths,
    states: Sequence[State],
    lead: Mapping[int, Deviation],
    events: Mapping[int, Sequence[Event]],
    breach: int,
    until: float,
    step: float,
) -> tuple[dict[int, Step], dict[int, int]]:
    """The cheapest way from each node, and what is later than what it leads to, with that (Dijkstra)."""
    latest = lead[breach].latest if breach in lead else until
    steps: dict[int, Step] = {}
    late: dict[int, int] = {}
    waiting: list[tuple[float, int, int | None, float]] = [(0.0, breach, None, max(latest, until))]
    while waiting:
        cost, node, towards, by = heapq.heappop(waiting)
        if node in steps:
            continue
        steps[node] = Step(towards, cost, by)
        late.pop(node, None)
        for parent in paths.parents[node]:
            if parent in steps or states[parent] is State.QUIET:
                continue
            extra, began = _COSTS_HOP - math.log(paths.sureness[parent, node]), by
            deviation = lead.get(parent)
            if deviation is not None:
                if deviation.earliest > by + max(step, deviation.step):
                    late.setdefault(parent, node)
                    continue
                began = min(by, deviation.latest) if deviation.ratio >= STRONG else by
                extra += 0 if deviation.ratio >= STRONG else _COSTS_FAINT
            else:
                extra += _COSTS_BLIND
                if parent in events:
                    extra -= _COSTS_BLIND / 2
            heapq.heappush(waiting, (cost + extra, parent, node, began))
    return steps, late


def _sources(
    paths: Paths,
    states: Sequence[State],
    lead: Mapping[int, Deviation],
    events: Mapping[int, Sequence[Event]],
    steps: Mapping[int, Step],
    step: float,
) -> tuple[int, ...]:
    """Of what deviates, the first of each way: nothing that deviates leads to it in time. Of a ring the earliest."""

    def grounds(node: int) -> bool:
        return states[node] is State.STRONG or (node in events)

    def in_time(node: int, other: int) -> bool:
        if node not in lead or other not in lead:
            return True
        return lead[node].earliest <= lead[other].latest + max(step, lead[node].step, lead[other].step)

    neighbours = {
        node: [other for other in paths.children[node] if other in steps and in_time(node, other)] for node in steps
    }
    components = rings(sorted(steps), neighbours)
    place = {node: index for index, members in enumerate(components) for node in members}
    above = [False] * len(components)
    found = []
    for index in reversed(range(len(components))):
        members = components[index]
        grounded = [node for node in members if grounds(node)]
        if grounded and not above[index]:
            found.append(min(grounded, key=lambda node: _first(node, lead, events)))
        if grounded or above[index]:
            for node in members:
                for other in neighbours[node]:
                    above[place[other]] = above[place[other]] or place[other] != index
    return tuple(sorted(found))


def _first(node: int, lead: Mapping[int, Deviation], events: Mapping[int, Sequence[Event]]) -> tuple[float, float, int]:
    if node in lead:
        return (lead[node].latest, -lead[node].ratio, node)
    return (min((event.at for event in events.get(node, ())), default=math.inf), 0.0, node)

"""Which nodes may have caused a breach: back along real edges, through what deviates or is not measured."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from stream_lineage.explain.paths import Paths, reached, rings
from stream_lineage.explain.recording import Event, Recording
from stream_lineage.explain.symptoms import FAINT, STRONG, Deviation, Measure, Symptoms

ANOTHER, OTHER_MEASURE, CROSSED, BOTH = 2.0, 2.5, 8.0, 16.0
"""What a deviation must be, at least, to explain one in another metric, which more of a node's metrics do by chance; if
that one is as usual at its own node; if its own metric is as usual where it leads to; if both are so."""
SOON_STEPS, _RARER = 10, 0.75
"""So many points before its effect a cause is expected at most; of an earlier one more must be seen, this much for each
doubling."""
_BLIND, _MOST_BLIND = 0.1, 3
"""So much more must be seen for each node in between of which nobody knows, after the first; for so many at most."""
_HIDES = 1.5
"""So much more must be seen of a deviation that is explained by one of another metric, for each node in between after
the first."""
_EVENT_STEPS = 10
"""So many points before an onset an event still explains it."""
_RIGHT_AT = 3
"""So many points from an onset at most an event stands right at it."""
_OVER_STEPS, _OVER_STEPS_OF_OTHER = 10, 4
"""What was over so many points before explains nothing; the second: in another metric."""
_COST_OF_HOP = 0.1
_FAINT_PASSES, _BARE_PASSES, _OTHER_PASSES, _CROSSED_PASSES = 0.5, 0.8, 0.6, 0.6
"""What is left of a score by a node that only may deviate, that is not measured, that is as usual in what it is
measured in, and by a deviation that is explained by one of another metric although both are measured."""


class State(Enum):
    """Of a node, beside one downstream of it: it deviates so that it explains the other; is not measured at all; is as
    usual in other metrics than the ones that deviate there; is as usual in one of those."""

    DEVIATES = "deviates"
    BARE = "is not measured"
    OTHERWISE = "is as usual in other metrics"
    QUIET = "is as usual"


@dataclass(frozen=True, slots=True)
class Step:
    """A node on the way back from the breach. ``towards`` is the next one to the breach, so many ``blind`` ones before
    it tell nothing of what deviates; ``own`` the deviation of the
    node that explains what follows; ``faith`` is what is left of a score on the way. What is upstream must explain
    deviations of ``wanted``, ``first`` of all, which began by the times given; ``quiet`` is what was as usual on the
    way to them."""

    towards: int | None
    faith: float
    own: Deviation | None
    wanted: Mapping[Measure, float]
    first: Measure
    quiet: frozenset[Measure]
    latest: float
    earliest: float
    blind: int = 0


@dataclass(frozen=True, slots=True)
class Descent:
    """``steps`` are of the nodes from which the deviation may have reached the breach; ``sources`` those of them that
    nothing upstream explains; ``late`` what deviates only after what it leads to does; ``events`` those near the onset
    of a node; ``lead`` is the deviation of a node that counts."""

    paths: Paths
    known: Symptoms
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

    def own(self, node: int) -> Deviation | None:
        """The deviation of a node that explains what follows on its path."""
        step = self.steps.get(node)
        return self.lead.get(node) if step is None else step.own

    def strong(self, node: int) -> bool:
        """Whether it deviates for sure."""
        lead = self.own(node)
        return lead is not None and lead.ratio >= STRONG

    def state(self, node: int, beside: int) -> State:
        """How a node is beside one downstream of it, which is on the way."""
        measured = self.known.measured.get(self.paths.ids[node])
        if not measured:
            return State.BARE
        step = self.steps[beside]
        if explains(self.known, self.paths.ids[node], step) is not None:
            return State.DEVIATES
        return State.QUIET if among(step.first, measured) else State.OTHERWISE


def among(measure: Measure, others: Iterable[Measure]) -> bool:
    """Whether it is one of them. A metric of a node as a whole is that of each field too."""
    metric, part = measure
    return any(metric == name and (part == field or part is None or field is None) for name, field in others)


def descend(recording: Recording, paths: Paths, known: Symptoms) -> Descent:
    """Searches from the breach upstream."""
    breach = paths.number[recording.breach.node]
    lead = {paths.number[node]: _lead(found) for node, found in known.deviations.items() if found}
    return descend_from(recording, paths, known, breach, _first_step(recording, known), lead)


def descend_from(
    recording: Recording, paths: Paths, known: Symptoms, breach: int, first: Step, lead: dict[int, Deviation]
) -> Descent:
    """The same for what ``first`` wants. ``lead`` is of nodes that are not on the way; those that are are added."""
    ancestors = reached(paths.parents, [breach])
    steps, late = _back(paths, known, breach, first)
    for node, step in steps.items():
        if step.own is not None:
            lead[node] = step.own
    events = _events(recording, paths, known, lead, steps)
    sources = _sources(paths, known, events, steps)
    return Descent(paths, known, lead, events, ancestors, steps, sources, late, breach)


def _lead(found: Sequence[Deviation]) -> Deviation:
    """Of several deviations the earliest of those not much smaller than the largest."""
    largest = max(each.ratio for each in found)
    large = [each for each in found if each.ratio >= max(0.5 * largest, min(STRONG, largest))]
    return min(large, key=lambda each: (each.latest, -each.ratio, str(each.name)))


def explains(known: Symptoms, node: str, step: Step) -> tuple[Deviation, float] | None:
    """The deviation of a node that explains a step downstream of it, with what is left of the score; or null."""
    deviations = known.deviations.get(node, ())
    if not deviations:
        return None
    usual = known.measured.get(node, frozenset()) - {each.measure for each in deviations}
    found: list[tuple[float, Deviation]] = []
    for each in deviations:
        tolerance = max(known.step, each.step)
        by = step.wanted.get(each.measure)
        if each.earliest > (step.latest if by is None else by) + tolerance:
            continue
        if each.last < step.earliest - _OVER_STEPS * tolerance:
            continue
        ahead = (step.earliest - each.latest) / (SOON_STEPS * tolerance)
        least, left = ANOTHER, 0.9
        if by is not None or among(each.measure, step.wanted):
            least, left = FAINT, 1.0 if each.ratio >= STRONG else _FAINT_PASSES
        elif each.last < step.earliest - _OVER_STEPS_OF_OTHER * tolerance:
            continue
        elif among(each.measure, step.quiet):
            least, left = BOTH if among(step.first, usual) else CROSSED, _CROSSED_PASSES
            least *= _HIDES ** max(0, step.blind - 1)
        elif among(step.first, usual):
            least = OTHER_MEASURE
        least *= _chance(step)
        if ahead > 1:
            least = max(least, STRONG) * (1 + _RARER * math.log2(ahead))
        if each.ratio >= least:
            found.append((left, each))
    if not found:
        return None
    faith = max(each for each, _ in found)
    return _lead([deviation for left, deviation in found if left == faith]), faith


def _chance(step: Step) -> float:
    """How much more must be seen upstream of a step: the more ways lead there, the more often something deviates by
    chance."""
    return 1 + _BLIND * min(max(0, step.blind - 1), _MOST_BLIND)


def near(one: Deviation, other: Deviation, known: Symptoms) -> bool:
    """Whether two deviations begin at about the same time."""
    soon = SOON_STEPS * max(known.step, one.step, other.step)
    return one.earliest <= other.latest + soon and other.earliest <= one.latest + soon


def _back(paths: Paths, known: Symptoms, breach: int, first_step: Step) -> tuple[dict[int, Step], dict[int, int]]:
    """The most credible way from each node, and what is later than what it leads to, with that (Dijkstra)."""
    steps: dict[int, Step] = {}
    late: dict[int, int] = {}
    waiting: list[tuple[float, int, int, Step]] = [(0.0, breach, breach, first_step)]
    while waiting:
        cost, node, _, step = heapq.heappop(waiting)
        if node in steps:
            continue
        steps[node] = step
        late.pop(node, None)
        for parent, sureness in paths.into(node):
            if parent in steps:
                continue
            following = _following(known, paths.ids[parent], node, step, sureness)
            if following is None:
                first = known.deviations.get(paths.ids[parent], ())
                if first and first[0].earliest > step.latest:
                    late.setdefault(parent, node)
                continue
            more = _COST_OF_HOP + math.log(step.faith / following.faith)
            heapq.heappush(waiting, (cost + more, parent, node, following))
    return steps, late


def _first_step(recording: Recording, known: Symptoms) -> Step:
    breach = recording.breach
    deviations = known.deviations.get(breach.node, ())
    own = [
        each
        for each in deviations
        if each.measure[0] == breach.metric and (breach.field is None or each.measure[1] == breach.field)
    ]
    until = breach.at + known.step
    lead = _lead(own) if own else None
    # Its own onset is the bound; the time at which it was noticed only where nobody is sure of that.
    latest = until if lead is None else _by(lead, until)
    earliest = lead.earliest if lead is not None else breach.at - known.horizon
    wanted: dict[Measure, float] = {(breach.metric, breach.field): latest}
    wanted |= {each.measure: _by(each, until) for each in own}
    for each in deviations:
        if each.ratio >= STRONG and (lead is None or near(each, lead, known)) and each.earliest <= until:
            wanted.setdefault(each.measure, each.latest)
    quiet = known.measured.get(breach.node, frozenset()) - {each.measure for each in deviations} - wanted.keys()
    return Step(
        None, 1.0, lead, wanted, (breach.metric, breach.field), frozenset(quiet), latest, min(earliest, breach.at)
    )


def _by(deviation: Deviation, until: float) -> float:
    """When what explains a deviation of the breach's metric has begun, at the latest."""
    return deviation.latest if deviation.ratio >= STRONG else max(deviation.latest, until)


def _following(known: Symptoms, node: str, towards: int, step: Step, sureness: float) -> Step | None:
    """The step to a node upstream of another; null where the way ends."""
    measured = known.measured.get(node, frozenset())
    explained = explains(known, node, step)
    if explained is None:
        if among(step.first, measured):
            return None
        left = _OTHER_PASSES if measured else _BARE_PASSES
        return replace(
            step,
            towards=towards,
            faith=step.faith * left * sureness,
            own=None,
            quiet=step.quiet | measured,
            blind=step.blind + 1,
        )
    own, left = explained
    deviations = known.deviations[node]
    if own.ratio < STRONG:  # what may deviate passes on what is wanted, with its own time no bound
        return replace(step, towards=towards, faith=step.faith * left * sureness, own=own, blind=0)
    wanted = {
        each.measure: each.latest
        for each in deviations
        if each is own or (each.ratio >= STRONG and near(each, own, known))
    }
    quiet = frozenset(measured - {each.measure for each in deviations})
    return Step(towards, step.faith * left * sureness, own, wanted, own.measure, quiet, own.latest, own.earliest)


def _events(
    recording: Recording, paths: Paths, known: Symptoms, lead: Mapping[int, Deviation], steps: Mapping[int, Step]
) -> dict[int, tuple[Event, ...]]:
    """Events at the onset of what they are at, or, at a node that is not measured, of what it leads to."""
    found: dict[int, list[Event]] = {}
    for event in recording.events:
        node = paths.number[event.node]
        step = steps.get(node)
        own = lead.get(node) if step is None else step.own
        onsets = [own] if own is not None and (own.ratio >= STRONG or _tight(known, event, own, step, steps)) else []
        if not known.measured.get(event.node):
            onsets = [
                own
                for child in paths.children[node]
                if child in steps and (own := steps[child].own) is not None and own.ratio >= STRONG
            ]
        for each in onsets:
            early = _EVENT_STEPS * max(known.step, each.step)
            if each.earliest - early <= event.at <= each.latest + max(known.step, each.step):
                found.setdefault(node, []).append(event)
                break
    return {node: tuple(each) for node, each in found.items()}


def _tight(known: Symptoms, event: Event, own: Deviation, step: Step | None, steps: Mapping[int, Step]) -> bool:
    """Whether an event stands right at the onset of what only may deviate, and what that leads to follows soon."""
    if step is None or step.towards is None:
        return False
    tolerance = max(known.step, own.step)
    soon = steps[step.towards].earliest - own.latest <= SOON_STEPS * tolerance
    return soon and abs(event.at - own.onset) <= _RIGHT_AT * tolerance


def _sources(
    paths: Paths, known: Symptoms, events: Mapping[int, Sequence[Event]], steps: Mapping[int, Step]
) -> tuple[int, ...]:
    """Of what deviates, the first of each way: nothing that explains it leads to it. Of a ring the earliest."""

    def grounds(node: int) -> bool:
        own = steps[node].own
        towards = steps[node].towards
        if towards is None:  # whatever its series say, somebody has noticed the breach
            return True
        least = STRONG * _chance(steps[towards])
        return node in events or (own is not None and own.ratio >= least)

    def leads(node: int, other: int) -> bool:
        if other not in steps:
            return False
        if steps[node].own is None:
            return not among(steps[other].first, known.measured.get(paths.ids[node], frozenset()))
        return explains(known, paths.ids[node], steps[other]) is not None

    neighbours = {node: [other for other in paths.children[node] if leads(node, other)] for node in steps}
    components = rings(sorted(steps), neighbours)
    place = {node: index for index, members in enumerate(components) for node in members}
    above = [False] * len(components)
    found = []
    for index in reversed(range(len(components))):
        members = components[index]
        grounded = [node for node in members if grounds(node)]
        if grounded and not above[index]:
            found.append(min(grounded, key=lambda node: _first(node, steps, events)))
        if grounded or above[index]:
            for node in members:
                for other in neighbours[node]:
                    above[place[other]] = above[place[other]] or place[other] != index
    return tuple(sorted(found))


def _first(node: int, steps: Mapping[int, Step], events: Mapping[int, Sequence[Event]]) -> tuple[float, float, int]:
    own = steps[node].own
    if own is not None:
        return (own.latest, -own.ratio, node)
    return (min((event.at for event in events.get(node, ())), default=math.inf), 0.0, node)

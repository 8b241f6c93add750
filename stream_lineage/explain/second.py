"""Another cause beside one that is known: what speaks for it where the two meet, and the same search once more for what
the known one leaves unexplained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stream_lineage.explain.descent import SOON_STEPS, Descent, Step, among, descend_from, near
from stream_lineage.explain.paths import reached
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.remainder import Remainder
from stream_lineage.explain.symptoms import STRONG, Deviation, Symptoms

_SOON, _SOON_OF_OTHER, _SOON_OF_LATER, _SOON_OF_LEFT = 5, 3, 10, 30
"""So many points at most, for each hop, after the one deviates what it leads to does: where the cause explains that as
well; where it shows in another metric; where something changed once more; where nothing else explains it."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What may be said beside a cause: ``below`` and ``above`` are the nodes that it leads to, and that lead to it,
    itself in both; ``causes`` is what deviates at it, ``remainder`` what that leaves unexplained."""

    recording: Recording
    known: Symptoms
    descent: Descent
    below: Mapping[int, int]
    above: Mapping[int, int]
    causes: Sequence[Deviation]
    remainder: Remainder

    def independent(self, found: Descent, node: int) -> bool:
        """Whether a candidate, where its way comes to what the cause leads to, explains something there: what is left
        unexplained or began at that time, in the same metric and direction, or in one that could not be the same."""
        if node in self.below or node in self.above:
            return False
        path, ids = found.path(node), found.paths.ids
        join = next(place for place, each in enumerate(path) if each in self.below)
        along = [(place, own) for place, each in enumerate(path[:join]) if (own := found.own(each)) is not None]
        if not along:
            return False  # an event alone is not enough beside a cause
        ends = {along[0][0]: along[0][1], along[-1][0]: along[-1][1]}
        before = [(place, each) for place, own in ends.items() for each in _with(self.known, own)]
        until = self.recording.breach.at + self.known.step
        for met in range(1, len(path)):
            name = ids[path[met]]
            there = [each for each in self.known.deviations.get(name, ()) if each.earliest <= until]
            known = [(place, one) for place, one in before if place < met]
            if met >= join and any(self._explains(one, name, there, met - place) for place, one in known):
                return True
            quiet = self.known.measured.get(name, frozenset()) - {each.measure for each in there}
            if any(among(one.measure, quiet) for _, one in known):
                return False
        return found is self.descent and not self.known.measured.get(ids[found.breach])

    def _explains(self, one: Deviation, node: str, there: Sequence[Deviation], hops: int) -> bool:
        """Whether what deviates may have led to what deviates at a node so many hops on: at once to anything, within
        some time to what changed later, within a long time to what the cause does not explain at all."""
        left = self.remainder.left(node)
        for each in (*there, *(one for one in left if one not in there)):
            other = _SOON_OF_OTHER * hops
            if each not in left:
                soon, other = _SOON, 0 if self._says(each) else other
            else:
                soon = _SOON_OF_LEFT if each in there else _SOON_OF_LATER
            if _leads(self.known, one, each, soon * hops, other):
                return True
        return False

    def _says(self, deviation: Deviation) -> bool:
        """Whether the cause deviates in that metric, be it of another field."""
        return any(deviation.name.metric == each.name.metric for each in self.causes)

    def search(self) -> Descent | None:
        """The way back from the breach's node round what the cause explains; its ``sources`` are independent. Null
        where nothing else deviates that might be one."""
        if not self._others():
            return None
        rest = replace(self.known, deviations=self.remainder)
        step = _first_step(self.recording, rest)
        if step is None:
            return None
        found = descend_from(self.recording, self.descent.paths, rest, self.descent.breach, step, {})
        return replace(found, sources=tuple(node for node in found.sources if self.independent(found, node)))

    def _others(self) -> bool:
        """Whether anything else that might be one deviates at all."""
        number = self.descent.paths.number
        return any(
            found and found[0].ratio >= STRONG and (node := number[name]) in self.descent.ancestors
            and node not in self.below and node not in self.above
            for name, found in self.known.deviations.items()
        )  # fmt: skip


def beside(recording: Recording, known: Symptoms, descent: Descent, cause: int) -> Beside:
    """What is known beside a cause."""
    paths = descent.paths
    below, above = reached(paths.children, [cause]), reached(paths.parents, [cause])
    own = descent.own(cause)
    deviations = known.deviations.get(paths.ids[cause], ())
    causes = tuple(each for each in deviations if each.ratio >= STRONG or each is own)
    remainder = Remainder(
        recording,
        known,
        causes,
        frozenset(paths.ids[node] for node in below if node != cause),
        frozenset(paths.ids[node] for node in above),
    )
    return Beside(recording, known, descent, below, above, causes, remainder)


def in_kind(descent: Descent, node: int) -> bool:
    """Whether all that deviates on the way of a candidate may have led to the next, by its metric, direction and
    time."""
    along = [own for each in descent.path(node) if (own := descent.own(each)) is not None]
    return all(
        any(
            _leads(descent.known, one, other, SOON_STEPS, SOON_STEPS)
            for one in _with(descent.known, before)
            for other in _with(descent.known, after)
        )
        for before, after in itertools.pairwise(along)
    )


def _with(known: Symptoms, own: Deviation) -> list[Deviation]:
    """What deviates for sure at the same node at about that time."""
    return [each for each in known.deviations[own.name.node] if each.ratio >= STRONG and near(each, own, known)]


def _leads(known: Symptoms, one: Deviation, other: Deviation, soon: int, soon_of_other: int) -> bool:
    """Whether what deviates at one node may have led to that at another: in the same metric, and in the same direction;
    or neither is measured in what the other is."""
    measured = known.measured
    if among(one.measure, [other.measure]):
        if _sign(one) * _sign(other) < 0:
            return False
    elif among(other.measure, measured[one.name.node]) or among(one.measure, measured[other.name.node]):
        return False
    else:
        soon = soon_of_other
    point = max(known.step, one.step, other.step)
    return (
        other.ratio >= STRONG and other.latest >= one.earliest - point and other.earliest - one.latest <= soon * point
    )


def _sign(deviation: Deviation) -> int:
    """Upwards or downwards; 0 where that cannot be said."""
    if deviation.shape == "spread":
        return 0
    if deviation.found is None or deviation.found < deviation.usual:
        return -1
    return 1 if deviation.found > deviation.usual else 0


def _first_step(recording: Recording, rest: Symptoms) -> Step | None:
    """From what deviates at the breach's node, each of it since its own time."""
    node, until = recording.breach.node, recording.breach.at + rest.step
    strong = [each for each in rest.deviations.get(node, ()) if each.ratio >= STRONG and each.earliest <= until]
    if not strong:
        return None
    lead = strong[0]
    wanted = {each.measure: each.latest for each in strong}
    quiet = rest.measured.get(node, frozenset()) - wanted.keys()
    return Step(None, 1.0, lead, wanted, lead.measure, frozenset(quiet), lead.latest, lead.earliest)

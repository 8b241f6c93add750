"""What speaks against a candidate, and what would settle it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream_lineage.explain.descent import Descent, State, among, near
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.symptoms import FAINT, Measure, Symptoms

SELDOM, SELDOM_OF_JOBS = 0.3, 0.6
"""Kinds of nodes of which less than this part is measured are looked through: what they read tells. The second: of
those that pass on what they read, as jobs do."""
_ALSO = 2.5
"""What another metric of the breach's node must deviate, at least, to ground a cause there."""
_ALONE, _LASTS = 2.2, 1.9
"""What the breach's own metric must deviate, at least, and for how many points, if nothing else grounds it."""
LIMIT_OF_BREACH = FAINT
"""With a smaller ratio the breach's metric is as usual."""
_PASSES_ON = frozenset(
    {"job", "consumer_group", "consumer-group", "group", "application", "app", "connector", "task", "process",
     "service", "transform", "processor", "stream", "query", "pipeline", "operator", "flink_job", "dag", "step"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Doubt:
    """``serious``: with it no cause is named."""

    reason: str
    settle: str
    serious: bool = True


class Seldom:
    """Kinds of nodes that hardly have any metrics, or not in what is asked about. ``measured`` are the metrics of each
    node of a kind, none where it has none."""

    def __init__(self, measured: Mapping[str, Sequence[frozenset[Measure]]]) -> None:
        self._measured = measured
        self._told: dict[tuple[str, Measure], bool] = {}
        self._kinds = frozenset(
            kind
            for kind, nodes in measured.items()
            if sum(map(bool, nodes)) < (SELDOM_OF_JOBS if _passes_on(kind) else SELDOM) * len(nodes)
        )

    def __contains__(self, kind: str) -> bool:
        return kind in self._kinds

    def told(self, kind: str, measure: Measure) -> bool:
        """Whether nodes of a kind that passes on what it reads are usually measured in something."""
        if (kind, measure) not in self._told:
            nodes = self._measured[kind]
            told = sum(among(measure, each) for each in nodes)
            self._told[kind, measure] = told >= SELDOM_OF_JOBS * len(nodes)
        return self._told[kind, measure]


def seldom_measured(recording: Recording, descent: Descent) -> Seldom:
    """Of what kinds nodes hardly have any metrics here."""
    found: dict[str, list[frozenset[Measure]]] = {}
    for name in descent.paths.ids:
        found.setdefault(recording.nodes[name], []).append(descent.known.measured.get(name, frozenset()))
    return Seldom(found)


def _passes_on(kind: str) -> bool:
    """Whether nodes of a kind hand on what they read, as jobs do."""
    return kind.strip().lower() in _PASSES_ON


def doubts_about(
    recording: Recording,
    known: Symptoms,
    descent: Descent,
    node: int,
    seldom: Seldom,
    breach_ratio: float | None,
) -> list[Doubt]:
    """Why a source of the descent may not be the cause. ``seldom``: the kinds of nodes that are looked through;
    ``breach_ratio``: how much the breach's metric deviates, null where it is not judged."""
    ids = descent.paths.ids
    if node in descent.events:
        return []
    name = ids[node]
    found = []
    unmeasured = _unmeasured(recording, descent, node, seldom)
    if unmeasured:
        shown = ", ".join(ids[each] for each in unmeasured[:3])
        found.append(
            Doubt(
                f"{shown}, just upstream of {name}, {'is' if len(unmeasured) == 1 else 'are'} not measured: what "
                f"deviates at {name} may come from there.",
                f"Metrics of {shown} around the onset.",
            )
        )
    if node == descent.breach and not found and not _own_grounds(recording, known, descent):
        metric = recording.breach.metric
        if descent.paths.parents[node] and (breach_ratio is None or breach_ratio >= LIMIT_OF_BREACH):
            found.append(
                Doubt(
                    f"{metric} of {name} cannot be judged, and nothing upstream of it deviates in time."
                    if breach_ratio is None
                    else f"Only {metric} of {name} deviates: nothing upstream of it does in time.",
                    f"What changed at {name} itself (a deploy, a run, another metric of it), or metrics of what feeds "
                    "it that are not recorded.",
                    serious=not _alone(recording, descent, seldom),
                )
            )
    return found


def _alone(recording: Recording, descent: Descent, seldom: Seldom) -> bool:
    """Whether the breach's own metric deviates for sure and for long, and all that feeds its node is measured in that
    very metric, and as usual in it: then it broke there."""
    lead = descent.own(descent.breach)
    if lead is None or lead.ratio < _ALONE or lead.last - lead.onset < _LASTS * lead.step:
        return False
    seen, waiting, quiet = {descent.breach}, list(descent.paths.parents[descent.breach]), False
    while waiting:
        parent = waiting.pop()
        if parent in seen:
            continue
        seen.add(parent)
        if descent.state(parent, descent.breach) is State.QUIET:
            quiet = True
        elif _looked_through(recording, descent, parent, descent.breach, seldom):
            waiting.extend(descent.paths.parents[parent])
        elif parent not in descent.late:
            return False
    return quiet


def _own_grounds(recording: Recording, known: Symptoms, descent: Descent) -> bool:
    """Whether more than the breach's metric deviates at its node."""
    breach = recording.breach
    lead = descent.own(descent.breach)
    return any(
        each.ratio >= _ALSO and each.name.metric != breach.metric and (lead is None or near(each, lead, known))
        for each in known.deviations.get(breach.node, ())
    )


def _unmeasured(recording: Recording, descent: Descent, node: int, seldom: Seldom) -> list[int]:
    """Nodes just upstream of which nobody knows how they are, and which nothing exonerates. What is seldom measured, as
    jobs are, is looked through."""
    found, seen, waiting = [], {node}, list(descent.paths.parents[node])
    while waiting:
        parent = waiting.pop()
        if parent in seen:
            continue
        seen.add(parent)
        state = descent.state(parent, node)
        if state not in (State.BARE, State.OTHERWISE):
            continue
        if _looked_through(recording, descent, parent, node, seldom):
            waiting.extend(descent.paths.parents[parent])
        elif state is State.BARE and not _exonerated(descent, parent, node):
            found.append(parent)
    return sorted(found)


def _looked_through(recording: Recording, descent: Descent, parent: int, node: int, seldom: Seldom) -> bool:
    """Whether what a node reads tells more than it does: of a kind that is seldom measured, or that passes on what it
    reads and is seldom measured in what deviates after it."""
    kind = recording.nodes[descent.paths.ids[parent]]
    if kind in seldom:
        return True
    if not _passes_on(kind) or descent.state(parent, node) not in (State.BARE, State.OTHERWISE):
        return False
    return not seldom.told(kind, descent.steps[node].first)


def _exonerated(descent: Descent, parent: int, node: int) -> bool:
    """Something else that it feeds is as usual in what deviates, and nothing else that it feeds deviates in it, be it
    sooner or later."""
    known, first = descent.known, descent.steps[node].first
    quiet = False
    for each in descent.paths.children[parent]:
        name = descent.paths.ids[each]
        if each == node or not among(first, known.measured.get(name, ())):
            continue
        if any(among(first, [deviation.measure]) for deviation in known.deviations.get(name, ())):
            return False
        quiet = True
    return quiet

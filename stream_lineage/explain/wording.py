"""What is found, in plain words."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from stream_lineage.explain.answer import Affected, Ranked
from stream_lineage.explain.descent import Descent, State
from stream_lineage.explain.doubts import Doubt
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.symptoms import STRONG, Deviation

_SHAPES = {
    "shift": "is at {found} since {onset}, usual was {usual}",
    "ramp": "moves away from {usual} since {onset}, to {found}",
    "spike": "jumps to {found} at {onset}, usual is {usual}",
    "spread": "varies as it never did since {onset} (about {usual} before)",
    "silence": "has no points since {onset}, usual was {usual}",
}


def moment(at: float) -> str:
    """RFC 3339 where the calendar reaches, else seconds."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{at:g} s"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def said(deviation: Deviation) -> str:
    """What a series does."""
    found = "nothing" if deviation.found is None else _number(deviation.found)
    text = _SHAPES[deviation.shape].format(found=found, usual=_number(deviation.usual), onset=moment(deviation.onset))
    return f"{deviation.name} {text}"


def evidence_of(recording: Recording, descent: Descent, node: int) -> tuple[str, ...]:
    """Why a node is taken for the cause, the strongest ground first."""
    ids, path = descent.paths.ids, descent.path(node)
    found = []
    lead = descent.own(node)
    if lead is not None:
        between = f"between {moment(lead.earliest)} and {moment(lead.latest)}"
        found.append(f"{said(lead)}: {lead.ratio:.3g} times the limit of what is usual; it began {between}.")
    for event in descent.events.get(node, ()):
        detail = f" ({event.detail})" if event.detail else ""
        found.append(f"{event.kind} at {ids[node]} at {moment(event.at)}{detail}, in time for that.")
    for one, other in itertools.pairwise(path):
        classes = ", ".join(descent.paths.known_by(one, other)) or "not said"
        found.append(f"{ids[one]} leads to {ids[other]} (evidence: {classes}); {_state(descent, other)}.")
    parents = descent.paths.parents[node]
    for state, what in (
        (State.QUIET, "as usual"),
        (State.OTHERWISE, "as usual in other metrics"),
        (State.BARE, "not measured"),
    ):
        of_state = [ids[each] for each in parents if descent.state(each, node) is state]
        if of_state:
            found.append(f"Upstream of it {_listed(of_state)} {'is' if len(of_state) == 1 else 'are'} {what}.")
    if not parents:
        found.append("Nothing is upstream of it.")
    return tuple(found)


def _state(descent: Descent, node: int) -> str:
    name = descent.paths.ids[node]
    own = descent.own(node)
    if own is not None:
        strength = "deviates" if own.ratio >= STRONG else "may deviate"
        return f"there {own.name.metric} {strength} since {moment(own.onset)}"
    if node == descent.breach:
        return f"{name} is where the breach was noticed"
    if descent.known.measured.get(name):
        return f"{name} is measured only in what is as usual, and is passed through"
    return f"{name} has no metrics and is passed through"


def sentence(
    recording: Recording,
    named: Sequence[Ranked],
    ranked: Sequence[Ranked],
    doubts: Sequence[Doubt],
    affected: Sequence[Affected],
) -> str:
    """The answer for people."""
    breach = recording.breach
    what = breach.metric if breach.field is None else f"{breach.metric} of {breach.field}"
    if not named:
        reasons = " ".join(dict.fromkeys(each.reason for each in doubts)) or "Nothing grounds a cause."
        first = f" The first that deviates is {ranked[0].node}." if ranked and ranked[0].node != breach.node else ""
        return f"What broke {what} of {breach.node} cannot be told: {reasons}{first}"
    joined = "; and, independently, because of ".join(_cause(each) for each in named)
    hit = Counter(each.kind for each in affected)
    count = ", ".join(f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in sorted(hit.items()))
    tail = f" Downstream of it: {count}." if count else ""
    return f"{what} of {breach.node} broke because of {joined}. Confidence {named[0].confidence:.2f}.{tail}"


def _cause(each: Ranked) -> str:
    own = [deviation for deviation in each.deviations if deviation.name.node == each.node]
    how = said(own[0]) if own else each.metric
    hops = len(each.path) - 1
    where = "itself" if not hops else f"{hops} hop{'s' if hops > 1 else ''} upstream"
    return f"{each.node} {where}: {how}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

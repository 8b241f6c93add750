"""Nodes that deviate and are not the cause, each with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from stream_lineage.explain.answer import Ranked, Rejected
from stream_lineage.explain.descent import Descent
from stream_lineage.explain.paths import reached
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.symptoms import STRONG, Deviation, Symptoms
from stream_lineage.explain.wording import duration


def rejections(
    recording: Recording,
    known: Symptoms,
    descent: Descent,
    causes: Sequence[int],
    answers: Sequence[Ranked],
) -> tuple[Rejected, ...]:
    """The largest deviation first. What lies on the path of a cause is its effect and not told again."""
    ids = descent.paths.ids
    number = descent.paths.number
    explained = {number[name] for each in answers for name in (each.path if each.named else (each.node,))}
    below = reached(descent.paths.children, causes)
    after = reached(descent.paths.children, [descent.breach])
    top = max((each.deviations[0].ratio for each in answers if each.deviations), default=0.0)
    found = []
    for node, lead in sorted(descent.lead.items(), key=lambda item: (-item[1].ratio, item[0])):
        if node in explained or lead.ratio < STRONG:
            continue
        louder = " Louder than what was found, and still:" if lead.ratio > top > 0 else ""
        reason = _reason(recording, known, descent, node, lead, below, after, causes)
        found.append(Rejected(ids[node], f"{_what(lead, recording)}.{louder} {reason}"))
    for node, events in sorted(descent.events.items()):
        if node not in explained and node not in descent.lead:
            kinds = ", ".join(event.kind for event in events)
            found.append(Rejected(ids[node], f"Only an event ({kinds}): that alone is no ground."))
    return tuple(found)


def _what(lead: Deviation, recording: Recording) -> str:
    side = "before" if lead.onset <= recording.breach.at else "after"
    field = "" if lead.name.field is None else f" of {lead.name.field}"
    return (
        f"{lead.name.metric}{field} deviates {lead.ratio:.3g} times its limit since "
        f"{duration(abs(lead.onset - recording.breach.at))} {side} the breach"
    )


def _reason(
    recording: Recording,
    known: Symptoms,
    descent: Descent,
    node: int,
    lead: Deviation,
    below: dict[int, int],
    after: dict[int, int],
    causes: Sequence[int],
) -> str:
    ids = descent.paths.ids
    breach = ids[descent.breach]
    if node not in descent.ancestors:
        cause = next((ids[each] for each in causes if node in below), None)
        if node in after:
            return f"It is downstream of the breach, so an effect: no path leads from it to {breach}."
        if cause is not None:
            return f"No path leads from it to {breach}; it is downstream of {cause} as well."
        return f"No path leads from it to {breach}."
    if node in descent.late:
        other = descent.late[node]
        began = descent.lead[other].onset if other in descent.lead else recording.breach.at
        later = lead.onset - began
        when = f"{duration(later)} after" if later > 0 else "after"
        return f"It begins {when} {ids[other]}, which it leads to: a cause is not later than its effect."
    if node in descent.steps:
        if descent.steps[node].own is None:
            return "Too early, too small, or in another metric than what it leads to: it explains nothing there."
        return "It is on a path to the breach, and what deviates upstream of it explains it."
    between = _as_usual_between(descent, node)
    if between is not None:
        return f"{ids[between]}, between it and {breach}, is as usual: it does not get that far."
    return f"Nothing that deviates in time connects it to {breach}."


def _as_usual_between(descent: Descent, node: int) -> int | None:
    """The first node as usual on a shortest way to the breach."""
    here = node
    while here != descent.breach:
        nearer = [
            child
            for child in descent.paths.children[here]
            if child in descent.ancestors and descent.ancestors[child] < descent.ancestors[here]
        ]
        here = min(nearer)
        if here not in descent.lead and descent.known.measured.get(descent.paths.ids[here]):
            return here
    return None

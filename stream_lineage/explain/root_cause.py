"""The root cause of a recorded incident, or that it cannot be told.

The upstream-most node on a real path to the breach whose own data deviate, since no later than what it leads to; ranked
by the sum along its path. An event alone is never enough. Where the breach itself is as usual, where nothing grounds a
cause, or where the node just before the candidate is not measured, the answer is ``inconclusive``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

from stream_lineage.explain.answer import Affected, Answer, Hop, Ranked
from stream_lineage.explain.confidence import Features, confidence
from stream_lineage.explain.descent import Descent, descend
from stream_lineage.explain.doubts import LIMIT_OF_BREACH, Doubt, doubts_about, seldom_measured
from stream_lineage.explain.paths import paths_of, reached
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.rejection import rejections
from stream_lineage.explain.second import beside, in_kind
from stream_lineage.explain.symptoms import Deviation, Symptoms, symptoms
from stream_lineage.explain.wording import evidence_of, sentence

ENOUGH = 0.5
"""The least confidence with which a cause is named."""
_BESIDE = 0.4
"""The least confidence of a cause while all others speak against it; those that are independent do not."""
SECOND = 0.5
"""The least confidence with which the cause of what is left is named."""
_MOST_RANKED = 10
_OF_ITSELF = 0.75
"""How sure it is, at most, that a node broke by itself of which nothing but the breach's metric tells."""


def explain(recording: Recording) -> Answer:
    """What broke first. Deterministic, and the same whatever the order in the recording."""
    paths = paths_of(recording)
    known = symptoms(recording)
    descent = descend(recording, paths, known)
    doubts: list[Doubt] = []
    breach_ratio, doubt = _breach(recording, known)
    if doubt is not None:
        doubts.append(doubt)
    ranked, more = _ranking(recording, known, descent, breach_ratio)
    doubts += more
    named = [] if doubt is not None else [each for each in ranked if each.named]
    if not named:
        ranked = [_unnamed(each) for each in ranked]
    causes = [paths.number[each.node] for each in named]
    hit = reached(paths.children, causes or [descent.breach])
    affected = tuple(
        Affected(paths.ids[node], recording.nodes[paths.ids[node]], hops)
        for node, hops in sorted(hit.items(), key=lambda item: (item[1], item[0]))
        if hops
    )
    rejected = rejections(recording, known, descent, causes, ranked)
    settle = tuple(dict.fromkeys(each.settle for each in doubts))
    if not named and not settle:
        settle = (f"Metrics of {recording.breach.node} and of what is upstream of it, from before the breach.",)
    return Answer(
        "root-cause" if named else "inconclusive",
        sentence(recording, named, ranked, doubts, affected),
        tuple(ranked),
        rejected,
        affected,
        settle,
        (*recording.notes, *known.notes, *(each.reason for each in doubts if named)),
    )


def _breach(recording: Recording, known: Symptoms) -> tuple[float | None, Doubt | None]:
    """How much the breach's metric deviates (null where that cannot be judged), and the doubt if it does not."""
    breach = recording.breach
    of_metric = [
        ratio
        for name, ratio in known.judged.items()
        if name.node == breach.node and name.metric == breach.metric
        and (breach.field is None or name.field == breach.field)
    ]  # fmt: skip
    if not of_metric:
        return None, None
    ratio = max(of_metric)
    if ratio >= LIMIT_OF_BREACH:
        return ratio, None
    what = f"{breach.metric} of {breach.node}"
    return ratio, Doubt(
        f"{what} is as usual around the breach.",
        f"A time at which {what} deviates from its own trend, or a longer history of it.",
    )


def _ranking(
    recording: Recording, known: Symptoms, descent: Descent, breach_ratio: float | None
) -> tuple[list[Ranked], list[Doubt]]:
    ids = descent.paths.ids
    others = [node for node in descent.steps if node not in descent.sources and descent.strong(node)]
    scores = {node: _score(descent, node) for node in (*descent.sources, *others)}
    sources = sorted(descent.sources, key=lambda node: (-scores[node], ids[node]))
    others = sorted(others, key=lambda node: (-scores[node], ids[node]))[: max(0, _MOST_RANKED - len(sources))]
    seldom = seldom_measured(recording, descent)
    about = {node: doubts_about(recording, known, descent, node, seldom, breach_ratio) for node in sources}

    def judged(node: int, rivals: Iterable[int]) -> tuple[float, Features]:
        rival = max((scores[other] for other in rivals if other != node), default=0.0)
        doubts = about.get(node, [])
        features = _features(descent, known, node, scores[node], rival, breach_ratio, doubts)
        most = ENOUGH - 0.05 if any(each.serious for each in doubts) else _OF_ITSELF if doubts else 1.0
        return min(confidence(features), most), features

    sure = {node: judged(node, sources) for node in (*sources, *others)}
    free = [node for node in sources if not any(each.serious for each in about[node]) and sure[node][0] >= _BESIDE]
    kind = {node: in_kind(descent, node) for node in sources}
    best = max(free, key=lambda node: (kind[node], scores[node]), default=None)
    named: set[int] = set()
    second: Ranked | None = None
    if best is not None:
        around = beside(recording, known, descent, best)
        able = [node for node in sources if not any(each.serious for each in about[node])]
        together = {best, *(node for node in able if around.independent(descent, node))}
        rivals = [node for node in sources if node not in together and kind[node] >= kind[best]]
        sure |= {node: judged(node, rivals) for node in together}
        named = {node for node in together if sure[node][0] >= ENOUGH} if sure[best][0] >= ENOUGH else set()
        second = _second(recording, around.search()) if len(named) == 1 else None
    left = min((1 - sure[node][0] for node in sources), default=1.0)
    found = []
    for node in (*sources, *others):
        least, features = sure[node]
        if node not in about:
            least = min(least, 0.5 * left)
            left = min(left, 1 - least)
        found.append(_ranked(recording, descent, node, scores[node], least, node in named, features))
    if second is not None:
        found = [*(each for each in found if each.node != second.node), second]
    # A cause that is named comes before what is not, and the best one before others.
    found.sort(
        key=lambda each: (not each.named, best is None or each.node != ids[best], -each.score if each.named else 0)
    )
    doubts = [each for node in sources for each in about[node]]
    return found[:_MOST_RANKED] if len(sources) <= _MOST_RANKED else found[: len(sources)], doubts


def _second(recording: Recording, rest: Descent | None) -> Ranked | None:
    """The best of what explains the rest."""
    if rest is None or not rest.sources:
        return None
    scores = {node: _score(rest, node) for node in rest.sources}
    node = min(rest.sources, key=lambda each: (-scores[each], rest.paths.ids[each]))
    ratio = rest.lead[rest.breach].ratio
    about = doubts_about(recording, rest.known, rest, node, seldom_measured(recording, rest), ratio)
    rival = max((scores[other] for other in rest.sources if other != node), default=0.0)
    features = _features(rest, rest.known, node, scores[node], rival, ratio, about)
    sure = confidence(features)
    if about or sure < SECOND:
        return None
    return _ranked(recording, rest, node, scores[node], sure, True, features)


def _score(descent: Descent, node: int) -> float:
    """The sum of what deviates along the path, less for edges that are unsure, more for an event in time."""
    path = descent.path(node)
    total = sum(math.log1p(own.ratio) for each in path if (own := descent.own(each)) is not None)
    event = 1.2 if node in descent.events else 1.0
    return float(total * math.sqrt(descent.steps[node].faith) * event)


def _features(
    descent: Descent,
    known: Symptoms,
    node: int,
    score: float,
    rival: float,
    breach_ratio: float | None,
    about: list[Doubt],
) -> Features:
    path = descent.path(node)
    along = [own for each in path if (own := descent.own(each)) is not None]
    lead = descent.own(node)
    pairs = list(itertools.pairwise(path))
    return Features(
        ratio=lead.ratio if lead is not None else max((own.ratio for own in along), default=0.0),
        breach_ratio=breach_ratio,
        length=len(path),
        observed=len(along) / len(path),
        sureness=min((descent.paths.sure(*pair) for pair in pairs), default=1.0),
        margin=score / (score + rival) if score + rival > 0 else 0.0,
        event=node in descent.events,
        doubts=len(about),
        ordered=_ordered(along),
        ahead=_ahead(along, known),
        rarest=min((own.ratio for own in along), default=0.0),
        faith=descent.steps[node].faith,
    )


def _ordered(along: list[Deviation]) -> float:
    """The share of neighbours along the path of which the first one clearly does not begin later."""
    pairs = list(itertools.pairwise(along))
    return sum(one.onset <= other.onset for one, other in pairs) / len(pairs) if pairs else 1.0


def _ahead(along: list[Deviation], known: Symptoms) -> float:
    """The largest time between neighbours along the path, in points."""
    return max(
        (
            (other.earliest - one.latest) / max(known.step, one.step, other.step)
            for one, other in itertools.pairwise(along)
        ),
        default=0.0,
    )


def _ranked(
    recording: Recording, descent: Descent, node: int, score: float, sure: float, named: bool, features: Features
) -> Ranked:
    paths = descent.paths
    path = descent.path(node)
    ids = [paths.ids[each] for each in path]
    hops = tuple(
        Hop(paths.ids[one], paths.ids[other], paths.known_by(one, other), round(paths.sure(one, other), 3))
        for one, other in itertools.pairwise(path)
    )
    lead = descent.own(node)
    events = descent.events.get(node, ())
    if lead is not None:
        metric, field, onset, interval = lead.name.metric, lead.name.field, lead.onset, (lead.earliest, lead.latest)
    elif events:
        metric, field, onset, interval = events[0].kind, None, events[0].at, (events[0].at, events[-1].at)
    else:
        breach = recording.breach
        metric, field, onset, interval = breach.metric, breach.field, breach.at, (breach.at, breach.at)
    return Ranked(
        paths.ids[node], recording.nodes[paths.ids[node]], metric, field, onset, interval, score, sure, named,
        tuple(ids), hops, evidence_of(recording, descent, node),
        tuple(own for each in path if (own := descent.own(each)) is not None), features,
    )  # fmt: skip


def _unnamed(each: Ranked) -> Ranked:
    return replace(each, named=False, confidence=min(each.confidence, ENOUGH - 0.05))

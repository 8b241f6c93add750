"""Incidents with two causes at once, and with one beside which another node misbehaves: for ``root_cause.py --two``.

The pipelines, metrics, faults, decoys and gaps are those of ``incidents.py``. Two faults, of the same kind or not,
begin at two nodes of which neither leads to the other, and both reach the node of the breach, 0 to 15 points apart, one
up to six times as strong as the other. Both can be seen there beside each other: in the breach's own metric, or one of
them in another metric or field of its node.

In a third of the incidents there is one cause only, and in half of those there is bait: a node that feeds the way of
the fault deviates by itself, at another time than that way does, and nothing of it is seen where it leads to.

``Truth.scenario``: *together* (both in the breach's metric, at most two points apart), *apart*, *another metric*; or
*one*, *bait*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from incidents import (
    FAULTS,
    Random,
    Truth,
    World,
    add_decoys,
    add_events,
    breach_of,
    distances,
    edge_of,
    is_open,
    lose_metrics,
    pipeline,
    plant,
    series_of,
    shows,
    touches,
)

SCENARIOS = ("together", "apart", "another metric", "one", "bait")
MOST_APART, TOGETHER = 15, 2
"""Points at the breach."""


def incident(seed: int) -> tuple[dict[str, Any], Truth]:
    """A bundle and what is true of it."""
    random = np.random.default_rng([seed, 2])
    wanted = str(random.choice(SCENARIOS, p=[0.22, 0.22, 0.22, 0.17, 0.17]))
    while True:
        made = _attempt(random, wanted)
        if made is not None:
            return made


def _attempt(random: Random, wanted: str) -> tuple[dict[str, Any], Truth] | None:
    world = pipeline(random)
    breach = breach_of(world)
    above = distances(world.parents, breach)
    causes = _causes(world, above, 1 if wanted in ("one", "bait") else 2)
    if causes is None:
        return None
    late = world.at - random.uniform(0, 4) * world.step
    most = TOGETHER if wanted == "together" else MOST_APART
    apart = [0.0, float(random.uniform(0 if wanted != "apart" else TOGETHER, most))]
    random.shuffle(apart)  # type: ignore[arg-type]
    first = str(random.choice(FAULTS))
    for place, cause in enumerate(causes):
        fault = first if place == 0 or random.random() < 0.4 else str(random.choice(FAULTS))
        arrives = late - apart[place] * world.step
        if not any(touches(fault, metric) for metric in world.metrics[cause]) or not plant(
            world, cause, fault, breach, above, arrives, crosses=0.85
        ):
            return None
    if len(world.effects[breach]) != len(causes):
        return None
    bare: set[int] = set()
    on_way = {node for cause in causes for node in above if node in distances(world.children, cause)}
    truth = Truth("observable", wanted, first, len(world.names))
    lose_metrics(world, causes, on_way, breach, bare)
    if wanted == "bait" and not _bait(world, causes[0], above, on_way, bare, truth):
        return None
    add_decoys(world, breach, above, causes, on_way, bare, truth)
    events: list[dict[str, Any]] = []
    add_events(world, causes, events, wanted)
    world.visible = dict.fromkeys([*causes, breach], False)
    series = series_of(world, bare, causes, breach)
    metric = _metric(world, breach, wanted)
    if metric is None or not all(world.visible.values()):
        return None
    for cause in causes:
        name = world.names[cause]
        truth.causes.append(name)
        truth.metrics[name] = {
            each.name for each in world.metrics[cause] for effect in world.effects[cause] if touches(effect[0], each)
        }
        truth.onsets[name] = min(effect[1] for effect in world.effects[cause])
    if any(is_open(world, cause, bare) for cause in causes):
        truth.group = "ambiguous"
    nodes = [{"id": name, "kind": kind} for name, kind in zip(world.names, world.kinds, strict=True)]
    edges = [edge_of(world, pair) for pair in world.edges]
    for listed in (nodes, edges, series, events):
        random.shuffle(listed)  # type: ignore[arg-type]
    where: dict[str, Any] = {"node": world.names[breach], "metric": metric.name, "at": world.at}
    if metric.part is not None:
        where["field"] = metric.part
    return {"graph": {"nodes": nodes, "edges": edges}, "series": series, "events": events, "breach": where}, truth


def _causes(world: World, above: dict[int, int], count: int) -> list[int] | None:
    random = world.random
    options = [node for node in above if 1 <= above[node] <= 12 and world.kinds[node] != "job"]
    if not options:
        return None
    first = int(random.choice(options))
    if count == 1:
        return [first]
    related = distances(world.parents, first).keys() | distances(world.children, first).keys()
    others = [node for node in options if node not in related]
    return [first, int(random.choice(others))] if others else None


def _metric(world: World, breach: int, wanted: str) -> Any:
    """The breach's: all effects can be seen in it, or, in the scenario *another metric*, one in it and one beside."""
    effects = set(world.effects[breach])
    seen = {place: found for place, found in world.each_seen.items() if found}
    if wanted == "another metric":
        if set().union(*seen.values()) != effects:
            return None
        options = [place for place, found in seen.items() if len(found) == 1 and not _touched(world, breach, place) - 1]
    else:
        options = [place for place, found in seen.items() if found == effects]
    return world.metrics[breach][int(world.random.choice(options))] if options else None


def _touched(world: World, node: int, place: int) -> int:
    return sum(touches(effect[0], world.metrics[node][place]) for effect in world.effects[node])


def _bait(world: World, cause: int, above: dict[int, int], on_way: set[int], bare: set[int], truth: Truth) -> bool:
    """A node beside the way, which feeds it and does not get through, as anybody can see: what it feeds is measured in
    that, and does not change with it."""
    random = world.random
    related = distances(world.parents, cause).keys() | distances(world.children, cause).keys()
    begins = {node: world.effects[node][0][1] for node in on_way if world.effects[node]}
    beside = [
        node
        for node in above
        if node not in related
        and node not in bare
        and world.kinds[node] != "job"
        and any(child in begins for child in world.children[node])
    ]
    random.shuffle(beside)
    for node in beside:
        for fault in random.permutation(np.array(FAULTS)):
            fed = world.children[node]
            if not any(touches(fault, each) for each in world.metrics[node]):
                continue
            if not all(shows(world, child, str(fault), bare) for child in fed):
                continue
            first = min(begins[child] for child in fed if child in begins)
            last = max(begins[child] for child in fed if child in begins)
            step = max(world.steps[each] for each in (node, *fed))
            since = first - random.uniform(8, 16) * step if random.random() < 0.5 else last + 6 * step
            if since > world.at - 3 * world.step or since < world.start + 0.6 * (world.at - world.start):
                continue
            world.effects[node].append((str(fault), since, float(random.uniform(8, 40)), np.inf))
            truth.decoys.append(world.names[node])
            return True
    return False

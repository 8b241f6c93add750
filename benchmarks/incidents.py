"""Incidents that never happened, with what is true of them: for ``root_cause.py``, which knows nothing of this.

A pipeline of 5 to 500 nodes (layers, or datasets and jobs in turn; some with rings) lives for a while: metrics of
several families, sampled every 10 s to an hour, some off the grid, with holes; counts follow the day and what they
read, so that neighbours are correlated without any fault. Then one of eight faults begins at one node and spreads
along edges with delays, gains and edges that it does not cross. Beside it: louder faults that lead nowhere near the
breach, faults upstream that stop on the way or come too late, deploys and runs that have nothing to do with it, nodes
without metrics.

``Truth.group`` is *observable* (the cause deviates in its own metrics, and so does, in its own, or not, all that feeds
it), *ambiguous* (the cause is measured, but something that feeds it directly is not: it might as well have come from
there) or *none* (nothing happened at all; the cause is not measured; or only the breach moves, and what feeds it is
not measured in its metric: where it is, the breach's node is the cause, and observable).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Random = np.random.Generator
Array = NDArray[np.float64]
DAY = 86_400.0
FAULTS = ("schema change", "null surge", "drop", "duplication", "unit change", "delay", "new category", "silent stop")
STARTS = 1_767_571_200.0


@dataclass
class Truth:
    """``causes`` is empty in the group *none*. ``fault`` is of the first cause."""

    group: str
    scenario: str
    fault: str
    nodes: int
    causes: list[str] = field(default_factory=list)
    metrics: dict[str, set[str]] = field(default_factory=dict)
    onsets: dict[str, float] = field(default_factory=dict)
    decoys: list[str] = field(default_factory=list)


@dataclass
class Metric:
    """``shape`` says what the family does over time; ``noise`` is the standard deviation around it."""

    name: str
    part: str | None
    family: str
    level: float
    noise: float
    memory: float
    daily: float = 0.0
    alone: int = 0
    """Its place among the metrics of its node."""


@dataclass
class World:
    random: Random
    names: list[str]
    kinds: list[str]
    edges: list[tuple[int, int]]
    step: float
    start: float
    end: float
    at: float
    children: list[list[int]]
    parents: list[list[int]]
    metrics: list[list[Metric]]
    steps: list[float]
    load: list[Array] = field(default_factory=list)
    visible: dict[int, bool] = field(default_factory=dict)
    """Of the causes and the breach: whether anybody could see it in a metric."""
    each_seen: dict[int, set[tuple[str, float, float, float]]] = field(default_factory=dict)
    """Of a metric of the breach, by its place: those effects that anybody could see beside the others."""
    effects: list[list[tuple[str, float, float, float]]] = field(default_factory=list)
    """Of each node: (fault, since, strength, until)."""


VOCABULARY: dict[str, tuple[str, ...]] = {
    "count": ("records", "rows", "throughput", "events_per_min", "msgs", "cnt"),
    "nulls": ("null_ratio", "missing_pct", "nulls", "empty_share"),
    "value": ("mean", "avg_amount", "p50", "price.mean", "val"),
    "distinct": ("distinct", "categories", "cardinality", "n_unique"),
    "lag": ("lag_seconds", "freshness", "delay_p95", "consumer_lag", "latency"),
    "quality": ("accuracy", "ctr", "score", "auc", "conversion"),
}


def incident(seed: int) -> tuple[dict[str, Any], Truth]:
    """A bundle and what is true of it."""
    random = np.random.default_rng(seed)
    while True:
        made = _attempt(random)
        if made is not None:
            return made


def _attempt(random: Random) -> tuple[dict[str, Any], Truth] | None:
    world = pipeline(random)
    breach = breach_of(world)
    above = distances(world.parents, breach)
    scenario = str(
        random.choice(
            ["one", "two", "self", "nothing", "only the breach", "not measured"], p=[0.56, 0.08, 0.06, 0.08, 0.11, 0.11]
        )
    )
    fault = str(random.choice(FAULTS))
    truth = Truth("observable", scenario, fault, len(world.names))
    bare: set[int] = set()
    events: list[dict[str, Any]] = []
    upstream = [node for node in above if 1 <= above[node] <= 12]
    causes: list[int] = []
    late = world.at - random.uniform(0, 4) * world.step
    if scenario in ("one", "two", "not measured"):
        far = [node for node in upstream if above[node] >= 2] or upstream
        sources = [node for node in far if world.kinds[node] != "job"]
        if not sources:
            return None
        causes = [int(random.choice(sources))]
        if scenario == "two":
            others = [
                node
                for node in sources
                if node not in distances(world.parents, causes[0]) and node not in distances(world.children, causes[0])
            ]
            if not others:
                return None
            causes.append(int(random.choice(others)))
        for cause in causes:
            which = fault if cause == causes[0] else str(random.choice(FAULTS))
            if not any(touches(which, metric) for metric in world.metrics[cause]):
                return None  # nobody could see it
            if not plant(world, cause, which, breach, above, late, crosses=0.85):
                return None
        if scenario == "not measured":
            bare.add(causes[0])
    elif scenario == "self":
        causes = [breach]
        strength = float(random.uniform(5, 25))
        world.effects[breach].append((fault, late, strength, np.inf))
    elif scenario == "only the breach":
        chosen = int(random.integers(len(world.metrics[breach])))
        world.effects[breach].append((f"only {chosen}", late, float(random.uniform(5, 25)), np.inf))
    felt = any(touches(effect[0], metric) for effect in world.effects[breach] for metric in world.metrics[breach])
    if not felt and scenario != "nothing":
        return None
    on_way = {node for cause in causes for node in above if node in distances(world.children, cause)}
    lose_metrics(world, causes, on_way, breach, bare)
    add_decoys(world, breach, above, causes, on_way, bare, truth)
    add_events(world, causes if scenario != "not measured" else [], events, scenario)
    measured = [cause for cause in causes if cause not in bare]
    world.visible = dict.fromkeys([*measured, *([] if scenario == "nothing" else [breach])], False)
    series = series_of(world, bare, causes, breach)
    if not all(world.visible.values()):
        return None
    metric = metric_of_breach(world, breach, scenario)
    truth.causes = [world.names[cause] for cause in causes]
    for cause in causes:
        truth.metrics[world.names[cause]] = {
            each.name for each in world.metrics[cause] for effect in world.effects[cause] if touches(effect[0], each)
        }
        truth.onsets[world.names[cause]] = min(effect[1] for effect in world.effects[cause])
    if scenario in ("nothing", "only the breach", "not measured"):
        truth.group, truth.causes = "none", []
    elif scenario == "self":
        own = {
            each.name for each in world.metrics[breach] for effect in world.effects[breach] if touches(effect[0], each)
        }
        if not (len(own) > 1 or any(each["node"] == world.names[breach] for each in events)):
            truth.group, truth.causes, truth.scenario = "none", [], "only the breach"
    if truth.scenario == "only the breach" and _fed_alike(world, breach, metric, bare):
        name = world.names[breach]
        truth.group, truth.causes, truth.metrics[name] = "observable", [name], {metric.name}
        truth.onsets[name] = min(effect[1] for effect in world.effects[breach])
    if truth.causes and any(is_open(world, cause, bare) for cause in causes):
        truth.group = "ambiguous"
    nodes = [{"id": name, "kind": kind} for name, kind in zip(world.names, world.kinds, strict=True)]
    edges = [edge_of(world, pair) for pair in world.edges]
    for listed in (nodes, edges, series, events):
        random.shuffle(listed)  # type: ignore[arg-type]
    at = world.at if random.random() < 0.5 else round(world.at)
    chosen = {"node": world.names[breach], "metric": metric.name, "at": at}
    if metric.part is not None:
        chosen["field"] = metric.part
    graph = {"nodes": nodes, "edges": edges}
    return {"graph": graph, "series": series, "events": events, "breach": chosen}, truth


# The pipeline.


def pipeline(random: Random) -> World:
    count = int(
        random.choice([5, 8, 12, 20, 40, 80, 150, 300, 500], p=[0.1, 0.13, 0.15, 0.17, 0.15, 0.12, 0.08, 0.06, 0.04])
    )
    jobs = random.random() < 0.5
    layers = max(3, min(count, int(random.integers(3, 9)) * (2 if jobs and count > 12 else 1)))
    layer = np.sort(np.concatenate((np.arange(layers), random.integers(0, layers, count - layers))))
    edges: set[tuple[int, int]] = set()
    for node in range(count):
        if layer[node] == 0:
            continue
        before = np.flatnonzero(layer == layer[node] - 1)
        for parent in random.choice(
            before, size=min(len(before), int(random.choice([1, 1, 1, 2, 2, 3]))), replace=False
        ):
            edges.add((int(parent), node))
        if random.random() < 0.1 and layer[node] >= 2 and not jobs:
            edges.add((int(random.choice(np.flatnonzero(layer < layer[node] - 1))), node))
    kinds = []
    for node in range(count):
        if layer[node] == layers - 1 and random.random() < 0.5:
            kinds.append(str(random.choice(["model", "dashboard"])))
        elif jobs and layer[node] % 2 == 1 and layer[node] < layers - 1:
            kinds.append("job")
        else:
            kinds.append("dataset")
    if random.random() < 0.2:  # a feedback
        for _ in range(int(random.integers(1, 3))):
            low, high = sorted(int(each) for each in random.choice(count, 2, replace=False))
            if layer[low] < layer[high]:
                edges.add((high, low))
    step = float(random.choice([10, 60, 60, 60, 300, 300, 3600]))
    before = int(random.choice([60, 90, 120, 240, 500]))
    if step >= 300 and random.random() < 0.5:
        before = int(random.uniform(3, 16) * DAY / step)
    if count > 100:
        before = min(before, 500)
    after = int(random.choice([0, 3, 10, 20]))
    start = STARTS + random.uniform(0, 7 * DAY)
    style = random.random()
    names = [
        f"{kinds[n][:2]}-{n:03d}"
        if style < 0.4
        else f"node_{random.integers(1e9):09d}"
        if style < 0.7
        else f"team{n % 7}.topic-{n}"
        for n in range(count)
    ]
    children: list[list[int]] = [[] for _ in range(count)]
    parents: list[list[int]] = [[] for _ in range(count)]
    for source, target in sorted(edges):
        children[source].append(target)
        parents[target].append(source)
    words = {kind: str(random.choice(options)) for kind, options in VOCABULARY.items()}
    fields = ["amount", "user_id", "status"]
    metrics: list[list[Metric]] = []
    several = random.random() < 0.7
    flows: dict[int, float] = {}
    for node in range(count):
        found = _metrics(random, kinds[node], words, fields, several)
        fed = [flows[parent] for parent in parents[node] if parent in flows]
        flows[node] = max(8.0, fed[0] * random.uniform(0.4, 2)) if fed else 10 ** random.uniform(1.2, 4.5)
        for each in found:  # about as many as it reads
            if each.family == "count":
                each.level = flows[node]
        metrics.append(found)
    mixed = random.random() < 0.3
    steps = [step * float(random.choice([1, 1, 2, 5])) if mixed and before >= 120 else step for _ in range(count)]
    world = World(
        random,
        names,
        kinds,
        sorted(edges),
        step,
        start,
        start + (before + after) * step,
        start + before * step,
        children,
        parents,
        metrics,
        steps,
    )
    world.effects = [[] for _ in range(count)]
    for each in metrics:
        for place, metric in enumerate(each):
            metric.alone = place
    return world


def _metrics(random: Random, kind: str, words: dict[str, str], fields: list[str], several: bool) -> list[Metric]:
    def one(family: str, part: str | None = None) -> Metric:
        level = {
            "count": 0.0,
            "nulls": 10 ** random.uniform(-3, -1),
            "value": 10 ** random.uniform(-1, 3),
            "distinct": float(random.integers(3, 60)),
            "lag": 10 ** random.uniform(0, 2),
            "quality": random.uniform(0.1, 0.95),
        }[family]
        share = {
            "count": random.uniform(0.02, 0.12),
            "nulls": random.uniform(0.05, 0.3),
            "value": random.uniform(0.01, 0.1),
            "distinct": random.choice([0.0, 0.03]),
            "lag": random.choice([0.1, 0.2, 0.4]),
            "quality": random.uniform(0.01, 0.05),
        }[family]
        noise = float(level * share)
        daily = float(random.uniform(0.2, 0.7)) if family == "count" and random.random() < 0.5 else 0.0
        return Metric(
            words[family], part, family, float(level), noise, float(random.choice([0, 0, 0.3, 0.7, 0.9])), daily
        )

    if kind == "job":
        return [one("lag")] if random.random() < 0.3 else []
    if kind in ("model", "dashboard"):
        found = [one("quality")]
        return [*found, one("count")] if several and random.random() < 0.5 else found
    found = [one("count")]
    if several:
        for part in random.choice(fields, size=int(random.integers(1, 3)), replace=False):
            found.append(one("nulls", str(part)))
            if random.random() < 0.6:
                found.append(one("value", str(part)))
        if random.random() < 0.6:
            found.append(one("lag"))
        if random.random() < 0.6:
            found.append(one("distinct", fields[2]))
    else:
        found += [one("nulls", fields[0]), one("value", fields[0]), one("lag"), one("distinct", fields[2])]
    return found


def breach_of(world: World) -> int:
    with_parents = [
        node
        for node in range(len(world.names))
        if world.parents[node] and world.metrics[node] and world.kinds[node] != "job"
    ]
    ends = [node for node in with_parents if not world.children[node]]
    return int(world.random.choice(ends if ends and world.random.random() < 0.8 else with_parents))


def distances(neighbours: Sequence[Sequence[int]], start: int) -> dict[int, int]:
    found, level = {start: 0}, [start]
    while level:
        following = []
        for node in level:
            for other in neighbours[node]:
                if other not in found:
                    found[other] = found[node] + 1
                    following.append(other)
        level = following
    return found


# Faults.


def plant(
    world: World, cause: int, fault: str, breach: int, above: dict[int, int], late: float, *, crosses: float
) -> bool:
    """The fault at the cause and what comes of it, dated back from when it reaches the breach. False: it cannot."""
    random = world.random
    reached: dict[int, tuple[float, float]] = {cause: (0.0, float(random.uniform(5, 30)))}
    waiting = [cause]
    way = _way(world, cause, breach)
    must = set(itertools.pairwise(way))
    while waiting:
        node = waiting.pop(0)
        since, strength = reached[node]
        for child in world.children[node]:
            if child in reached or child == cause:
                continue
            if (node, child) in must or random.random() < crosses:
                delay = random.exponential(1.0) * world.step * random.choice([0.0, 1.0, 3.0])
                gain = random.uniform(0.6, 1.5)
                reached[child] = (since + delay, float(np.clip(strength * gain, 4.5, 60)))
                waiting.append(child)
    if breach not in reached:
        return False
    begins = late - reached[breach][0]
    if begins < world.start + 0.62 * (world.at - world.start):
        return False
    ends = np.inf if random.random() < 0.85 else world.at + 2 * world.step
    for node, (since, strength) in reached.items():
        world.effects[node].append((fault, begins + since, strength, ends))
    if random.random() < 0.15:  # the cause grows slowly, its effects come at once: it began earlier
        name, since, strength, ends = world.effects[cause][-1]
        early = since - random.uniform(4, 10) * world.step
        if early > world.start + 0.6 * (world.at - world.start):
            world.effects[cause][-1] = (name + " slowly", early, max(strength, 12.0), ends)
    return True


def _way(world: World, cause: int, breach: int) -> list[int]:
    """One shortest path."""
    far = distances(world.parents, breach)
    way = [cause]
    while way[-1] != breach:
        nearer = [child for child in world.children[way[-1]] if far.get(child, 1e9) < far[way[-1]]]
        way.append(int(world.random.choice(nearer)))
    return way


def add_decoys(
    world: World, breach: int, above: dict[int, int], causes: list[int], on_way: set[int], bare: set[int], truth: Truth
) -> None:
    random = world.random
    elsewhere = [node for node in range(len(world.names)) if node not in above and not world.effects[node]]
    for node in _some(random, elsewhere, int(random.integers(0, 4))):
        since = world.at - random.uniform(0, 20) * world.step
        strength = float(random.uniform(10, 80))
        world.effects[node].append((str(random.choice(FAULTS)), since, strength, np.inf))
        truth.decoys.append(world.names[node])
        for child in world.children[node]:  # it spreads as well
            if child not in above and random.random() < 0.5:
                world.effects[child].append((str(random.choice(FAULTS)), since + world.step, strength / 2, np.inf))
    # Upstream of the breach, and it does not get that far: all children are as usual.
    stuck = [
        node
        for node in above
        if node not in on_way
        and node not in causes
        and node != breach
        and above[node] >= 2
        and not any(world.effects[child] for child in world.children[node])
        and not any(child in on_way or child == breach for child in world.children[node])
    ]
    if random.random() < 0.35:
        for node in _some(random, stuck, 1):
            since = world.at - random.uniform(1, 15) * world.step
            fault = str(random.choice(FAULTS))
            if not all(shows(world, child, fault, bare) for child in world.children[node]):
                continue  # nobody could tell whether it got further
            world.effects[node].append((fault, since, float(random.uniform(8, 40)), np.inf))
            truth.decoys.append(world.names[node])
    # Upstream of the cause, and too late.
    if causes and world.end > world.at + 6 * world.step and random.random() < 0.2:
        for node in _some(random, [each for each in world.parents[causes[0]] if each not in on_way], 1):
            since = world.at + 3 * world.step
            world.effects[node].append((str(random.choice(FAULTS)), since, float(random.uniform(10, 40)), np.inf))
            truth.decoys.append(world.names[node])


def shows(world: World, node: int, fault: str, bare: set[int]) -> bool:
    return node not in bare and any(touches(fault, each) for each in world.metrics[node])


def _some(random: Random, options: Sequence[int], count: int) -> list[int]:
    if not options or not count:
        return []
    return [int(each) for each in random.choice(options, size=min(count, len(options)), replace=False)]


def add_events(world: World, causes: list[int], events: list[dict[str, Any]], scenario: str) -> None:
    random = world.random
    for cause in causes:
        fault, since, _, _ = world.effects[cause][0]
        likely = 0.9 if fault.startswith("schema") else 0.4
        if random.random() < likely:
            kind = "schema-change" if fault.startswith("schema") else str(random.choice(["deploy", "run", "config"]))
            at = since - random.exponential(0.5) * world.step
            event = {"node": world.names[cause], "kind": kind, "at": float(at)}
            events.append(event | ({"detail": "v2"} if random.random() < 0.5 else {}))
    for _ in range(int(random.poisson(0.02 * len(world.names) + 0.5))):
        node = int(random.integers(len(world.names)))
        kind = str(random.choice(["deploy", "run", "schema-change", "graph-change"]))
        events.append({"node": world.names[node], "kind": kind, "at": float(random.uniform(world.start, world.end))})


def lose_metrics(world: World, causes: list[int], on_way: set[int], breach: int, bare: set[int]) -> None:
    """Nodes without metrics: never a cause that must be found, often others on the way."""
    random = world.random
    share = float(random.choice([0.0, 0.0, 0.1, 0.25]))
    for node in range(len(world.names)):
        if node in causes or node == breach:
            continue
        if random.random() < (share + 0.1 if node in on_way and share else share):
            bare.add(node)


def is_open(world: World, cause: int, bare: set[int]) -> bool:
    """Whether something that feeds it directly, or by jobs, is not measured."""
    seen, waiting = {cause}, list(world.parents[cause])
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if world.kinds[node] == "job":
            waiting.extend(world.parents[node])
        elif node in bare or not world.metrics[node]:
            return True
    return False


def _fed_alike(world: World, breach: int, metric: Metric, bare: set[int]) -> bool:
    """Whether all that feeds the breach, directly or by jobs, is measured in the breach's metric: then it is seen that
    nothing came from there."""
    seen, waiting = {breach}, list(world.parents[breach])
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if world.kinds[node] == "job":
            waiting.extend(world.parents[node])
        elif node in bare or (metric.name, metric.part) not in {(each.name, each.part) for each in world.metrics[node]}:
            return False
    return True


def edge_of(world: World, pair: tuple[int, int]) -> dict[str, Any]:
    random = world.random
    edge: dict[str, Any] = {"from": world.names[pair[0]], "to": world.names[pair[1]]}
    if random.random() < 0.8:
        edge["evidence"] = str(random.choice(["header", "openlineage", "declared", "group", "transaction"]))
    return edge


# Series.


def touches(fault: str, metric: Metric) -> bool:
    """Whether the fault shows in the metric. What nobody else measures, models feel."""
    name = fault.removesuffix(" slowly")
    if name.startswith("only "):
        return bool(metric.alone == int(name[5:]))
    first = metric.part in (None, "amount", "status")
    return {
        "schema change": metric.family in ("nulls", "distinct") and first,
        "null surge": metric.family == "nulls" and first,
        "drop": metric.family == "count",
        "duplication": metric.family == "count",
        "unit change": metric.family == "value" and first,
        "delay": metric.family == "lag",
        "new category": metric.family == "distinct",
        "silent stop": metric.family == "count",
    }[name] or (metric.family == "quality")


def metric_of_breach(world: World, breach: int, scenario: str) -> Metric:
    random = world.random
    options = [
        each for each in world.metrics[breach] for effect in world.effects[breach] if touches(effect[0], each)
    ] or world.metrics[breach]
    return options[int(random.integers(len(options)))]


def series_of(world: World, bare: set[int], causes: list[int], breach: int) -> list[dict[str, Any]]:
    random = world.random
    found = []
    order = _upstream_first(world)
    grid = np.arange(world.start, world.end + world.step / 2, world.step)
    loads: dict[int, Array] = {}
    for node in order:
        own = _noise(random, len(grid), 0.8) * 0.03
        fed = [loads[each] for each in world.parents[node] if each in loads]
        loads[node] = own + (sum(fed) / len(fed) if fed else _noise(random, len(grid), 0.95) * 0.05)
    phase = random.uniform(0, 1)
    for node in range(len(world.names)):
        if node in bare:
            continue
        step = world.steps[node]
        times = np.arange(world.start + random.uniform(0, step), world.end + step / 2, step)
        if random.random() < 0.15:
            times = np.sort(times + random.uniform(-0.3, 0.3, len(times)) * step)
        load = np.interp(times, grid, loads[node])
        stopped = any(effect[0] == "silent stop" for effect in world.effects[node]) and random.random() < 0.5
        for metric in world.metrics[node]:
            values = usual = usual_values(random, metric, times, load, phase)
            shown = np.ones(len(times), dtype=np.bool_)
            for fault, since, strength, until in world.effects[node]:
                if touches(fault, metric):
                    values = broken(random, metric, times, values, fault, since, strength, until)
                    if fault == "silent stop" and stopped and metric.family == "count" and node in causes:
                        shown &= times < since
            if node in world.visible and is_seen(times, usual, np.where(shown, values, np.nan)):
                world.visible[node] = True
            if node == breach:
                _seen_beside(world, breach, metric, times, usual)
            if random.random() < 0.1:  # a hole
                first = int(random.integers(len(times)))
                if (node not in causes and node != breach) or times[min(first + 5, len(times) - 1)] < world.at - 0.4 * (
                    world.at - world.start
                ):
                    shown[first : first + int(random.integers(2, 8))] = False
            points = [[_time(t), _number(v)] for t, v in zip(times[shown], values[shown], strict=True)]
            for place in np.flatnonzero(random.random(len(points)) < 0.002):
                points[int(place)][1] = None
            each: dict[str, Any] = {"node": world.names[node], "metric": metric.name, "points": points}
            if metric.part is not None:
                each["field"] = metric.part
            found.append(each)
    return found


def is_seen(times: Array, usual: Array, values: Array) -> bool:
    """What would have been is known here: the difference is four times what the metric does by itself from point to
    point, at three points or more; or it has stopped for four."""
    stopped = np.isnan(values)
    if stopped.any():
        return int(stopped.sum()) >= 4
    off = np.abs(values - usual)[values != usual]
    rough = float(np.abs(np.diff(usual)).mean()) / 1.128
    return len(off) >= 3 and float(np.median(off)) >= 4 * max(rough, 0.5 * float(usual.std()))


def _seen_beside(world: World, node: int, metric: Metric, times: Array, usual: Array) -> None:
    """Which faults would be missed in a metric if they had not been, the others being there."""
    effects = [each for each in world.effects[node] if touches(each[0], metric)]
    for place, effect in enumerate(effects):
        without = usual
        for other in effects[:place] + effects[place + 1 :]:
            without = broken(np.random.default_rng(1), metric, times, without, *other)
        beside = broken(np.random.default_rng(1), metric, times, without, *effect)
        off = np.abs(beside - without)[beside != without]
        rough = float(np.abs(np.diff(usual)).mean()) / 1.128
        if len(off) >= 3 and float(np.median(off)) >= 4 * max(rough, 0.5 * float(usual.std())):
            world.each_seen.setdefault(metric.alone, set()).add(effect)


def _time(value: float) -> float | int:
    return int(value) if value % 1 < 1e-9 else round(float(value), 3)


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def _upstream_first(world: World) -> list[int]:
    left = [len(each) for each in world.parents]
    ready = [node for node, count in enumerate(left) if not count]
    order: list[int] = []
    while len(order) < len(left):
        if not ready:  # a ring
            ready = [min(node for node in range(len(left)) if node not in set(order))]
        node = ready.pop()
        if node in order:
            continue
        order.append(node)
        for child in world.children[node]:
            left[child] -= 1
            if left[child] == 0:
                ready.append(child)
    return order


def _noise(random: Random, count: int, memory: float) -> Array:
    steps = random.normal(0, np.sqrt(1 - memory**2), count)
    values = np.empty(count)
    last = random.normal()
    for index in range(count):
        last = memory * last + steps[index]
        values[index] = last
    return values


def usual_values(random: Random, metric: Metric, times: Array, load: Array, phase: float) -> Array:
    count = len(times)
    if metric.family == "count":
        day = 1 + metric.daily * np.sin(2 * np.pi * (times / DAY - phase))
        rate = metric.level * day * np.exp(load + 0.02 * _noise(random, count, metric.memory))
        return random.poisson(np.maximum(rate, 0)).astype(np.float64)
    if metric.family == "lag":
        return metric.level * np.exp(metric.noise / metric.level * _noise(random, count, metric.memory))
    if metric.family == "distinct":
        return np.round(metric.level + metric.noise * _noise(random, count, 0.0))
    values = metric.level + metric.noise * _noise(random, count, metric.memory)
    if metric.family == "nulls":
        return np.clip(values, 0, 1)
    return values


def broken(
    random: Random, metric: Metric, times: Array, values: Array, fault: str, since: float, strength: float, until: float
) -> Array:
    """``strength`` is in standard deviations of the metric's noise, at least; some faults are much larger."""
    on = (times >= since) & (times < until)
    slowly = fault.endswith(" slowly")
    name = fault.removesuffix(" slowly")
    grown = np.clip((times - since) / (12 * float(np.median(np.diff(times)))), 0, 1) if slowly else np.ones(len(times))
    off = metric.noise * strength * grown
    if metric.family == "count":
        share = strength * float(np.sqrt(1 / metric.level + 0.06**2))
        if name == "silent stop":
            changed = values * (0 if random.random() < 0.7 else 0.02)
        elif name == "drop":
            changed = values * (1 - np.clip(share, 0.35, 0.95) * grown)
        else:
            changed = values * (1 + np.clip(share, 0.4, 3.0) * grown)
    elif metric.family == "lag":
        changed = values * np.exp(np.clip(strength * metric.noise / metric.level, 1.2, 3.5) * grown)
    elif metric.family == "quality":
        changed = values - np.minimum(off, 0.8 * metric.level)
    elif metric.family == "value":
        changed = values * (100.0 if random.random() < 0.5 and not slowly else 1) + off
    elif metric.family == "distinct":
        changed = values + np.maximum(np.round(off), 1 + metric.noise * 3)
    else:
        changed = np.clip(values + off, 0, 1)
    return np.where(on, changed, values)

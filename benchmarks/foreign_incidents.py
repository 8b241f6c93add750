"""Incidents as somebody else might write them down: for ``root_cause.py --foreign``, beside two other generators.

Nothing of those is used. Here noise remembers, has heavy tails, and is wider at some times than others; curves repeat
after a day, or after any number of points, as sines or as working hours; counts are whole numbers, ratios lie near 0 or
1; series have 100 to 2,000 points, each node its own spacing. A fault is a step, a ramp, comes in bursts or fades; on
the way it gets weaker, comes up to ten points later at each hop, does not cross each edge, and reaches models and
dashboards as accuracy or click-through rate. Beside it: louder nodes elsewhere, ancestors whose trouble stays where it
is, some that were over long before, deploys that have nothing to do with it; nodes without metrics, metrics without
points, breaches without a series.

*Visible* is what is off by ``VISIBLE`` times the standard deviation of the metric's noise at that time, on average over
its first points; where less than two repetitions of a curve are known, by half of the curve as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from incidents import Truth
from numpy.typing import NDArray

Random = np.random.Generator
Array = NDArray[np.float64]
DAY = 86_400.0
EPOCH = 1_790_000_000.0
VISIBLE = 3.5
STEPS_SEEN = 4
FAULTS: dict[str, tuple[str, ...]] = {
    "schema change": ("null_ratio", "parse_errors"),
    "null surge": ("null_ratio",),
    "drop": ("row_count",),
    "duplication": ("row_count", "duplicate_ratio"),
    "unit change": ("mean", "p95"),
    "delay": ("latency",),
    "new category": ("distinct_count",),
    "silent stop": ("row_count",),
}
FELT = {"model": ("accuracy", "prediction_mean"), "dashboard": ("ctr",), "job": ("duration",)}
DATA = ("row_count", "null_ratio", "mean", "p95", "latency", "distinct_count", "duplicate_ratio", "parse_errors")
RATIOS = ("null_ratio", "duplicate_ratio", "parse_errors", "accuracy", "ctr")
UP = ("latency", "duration", "null_ratio", "duplicate_ratio", "parse_errors", "distinct_count")
SCENARIOS = {"cause": 0.48, "two causes": 0.07, "breach itself": 0.07, "quiet": 0.11, "breach alone": 0.12,
             "cause not measured": 0.15}  # fmt: skip


@dataclass
class Effect:
    fault: str
    since: float
    size: float
    """In standard deviations of the metric's noise."""
    shape: str
    until: float = np.inf


@dataclass
class Node:
    name: str
    kind: str
    children: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    hit: dict[str, Effect] = field(default_factory=dict)
    seen: dict[str, bool] = field(default_factory=dict)
    """Of each metric that was hit: whether anybody could see it."""


@dataclass
class Times:
    step: float
    start: float
    at: float
    end: float
    period: float


def incident(seed: int) -> tuple[dict[str, Any], Truth]:
    """A bundle and what is true of it."""
    return _made(np.random.default_rng([seed, 4711]), SCENARIOS)


def incident_of_two(seed: int) -> tuple[dict[str, Any], Truth]:
    """The same with two causes that reach the breach, or, in a third, with one."""
    random = np.random.default_rng([seed, 4712])
    return _made(random, {"two causes" if random.random() < 2 / 3 else "cause": 1.0})


def _made(random: Random, scenarios: dict[str, float]) -> tuple[dict[str, Any], Truth]:
    while True:
        made = _attempt(random, scenarios)
        if made is not None:
            return made


def _attempt(random: Random, scenarios: dict[str, float]) -> tuple[dict[str, Any], Truth] | None:
    nodes = _graph(random)
    when = _times(random, len(nodes))
    breach = _breach(random, nodes)
    if breach is None:
        return None
    above, scenario = _above(nodes, breach), str(random.choice(list(scenarios), p=list(scenarios.values())))
    fault = str(random.choice(list(FAULTS)))
    causes = _causes(random, nodes, breach, above, scenario, fault)
    if causes is None:
        return None
    late = float(random.integers(0, 7 if random.random() < 0.7 else 30)) * when.step
    for cause in causes:
        felt = [each for each in FAULTS if _felt(nodes[cause], each)]
        which = fault if cause == causes[0] else str(random.choice(felt))
        if not _spread(random, nodes, cause, which, breach, when, late):
            return None
    if scenario == "breach alone":
        metric = str(random.choice(nodes[breach].metrics))
        nodes[breach].hit[metric] = Effect("alone", when.at - late - 3 * when.step, random.uniform(4, 25), "step")
    on_way = {node for cause in causes for node in above if node in _below(nodes, cause)}
    hidden = {causes[0]} if scenario == "cause not measured" else set()
    share = float(random.choice([0.0, 0.1, 0.3]))
    hidden |= {n for n in range(len(nodes)) if n not in causes and n != breach and random.random() < share}
    decoys = _decoys(random, nodes, breach, above, on_way | set(causes), when)
    breach_metric = _breach_metric(random, nodes[breach])
    events = _events(random, nodes, causes if scenario != "cause not measured" else [], when)
    series = [each for number, node in enumerate(nodes) for each in _series(random, node, when, number in hidden)]
    if not all(any(nodes[each].seen.values()) for each in causes) or (
        causes and not nodes[breach].seen.get(breach_metric)
    ):
        return None
    if scenario == "breach alone" and not nodes[breach].seen.get(breach_metric):
        return None
    where: dict[str, Any] = {"node": nodes[breach].name, "metric": breach_metric, "at": round(when.at)}
    truth = Truth("observable", scenario, fault, len(nodes), [nodes[each].name for each in causes])
    for each in causes:
        truth.metrics[nodes[each].name] = set(nodes[each].hit)
        truth.onsets[nodes[each].name] = min(effect.since for effect in nodes[each].hit.values())
    _group(truth, nodes, breach, breach_metric, causes, hidden, events)
    if scenario in ("cause", "two causes") and random.random() < 0.12:  # somebody else's metric, without a series
        if random.random() < 0.5:
            series = [each for each in series if each["node"] != nodes[breach].name]
        where["metric"] = "complaints"
    truth.decoys = [nodes[each].name for each in decoys]
    graph = {
        "nodes": [{"id": node.name, "kind": node.kind} for node in nodes],
        "edges": [_edge(random, node.name, nodes[child].name) for node in nodes for child in node.children],
    }
    return {"graph": graph, "series": series, "events": events, "breach": where}, truth


def _group(
    truth: Truth, nodes: list[Node], breach: int, metric: str, causes: list[int], hidden: set[int],
    events: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Who could tell: nobody, where nothing happened or the cause is not measured; and not for sure where something
    that feeds the cause is not, or only in other metrics while the breach moves alone."""
    fed = _fed(nodes, breach)
    alike = bool(fed) and all(each not in hidden and metric in nodes[each].metrics for each in fed)
    if truth.scenario == "breach alone" and alike:
        truth.causes = [nodes[breach].name]
        truth.onsets[truth.causes[0]] = nodes[breach].hit[metric].since
        truth.metrics[truth.causes[0]] = {metric}
    elif truth.scenario in ("quiet", "breach alone", "cause not measured"):
        truth.group, truth.causes = "none", []
    elif truth.scenario == "breach itself":
        several = sum(nodes[breach].seen.values()) > 1
        if not (alike or several or any(each.get("detail") == "own" for each in events)):
            truth.group, truth.causes = "none", []
    if truth.scenario == "cause not measured" and not all(
        child in hidden or not nodes[child].hit or any(nodes[child].seen.values())
        for child in nodes[causes[0]].children
    ):
        truth.group, truth.causes = "ambiguous", [nodes[causes[0]].name]
    if truth.causes and any(
        parent in hidden or not nodes[parent].metrics for each in causes for parent in _fed(nodes, each)
    ):
        truth.group = "ambiguous"


def _fed(nodes: list[Node], node: int) -> list[int]:
    """What feeds it, directly or by jobs."""
    found, seen, waiting = [], {node}, list(nodes[node].parents)
    for each in waiting:
        if each in seen:
            continue
        seen.add(each)
        if nodes[each].kind == "job":
            waiting.extend(nodes[each].parents)
        else:
            found.append(each)
    return found


# The pipeline.


def _graph(random: Random) -> list[Node]:
    count = (
        int(np.exp(random.uniform(np.log(5), np.log(80)))) if random.random() < 0.93 else int(random.integers(80, 501))
    )
    jobs, width = random.random() < 0.4, int(random.integers(2, 12))
    style = str(random.choice(["alike", "some", "one"], p=[0.4, 0.45, 0.15]))
    common = ["row_count", "null_ratio", *(str(each) for each in random.choice(DATA[2:], 2, replace=False))]
    prefix = str(random.choice(["raw", "svc", "n", "warehouse"]))
    nodes: list[Node] = []
    for number in range(count):
        last = number > 0.75 * count
        kind = str(random.choice(["model", "dashboard", "table"])) if last and random.random() < 0.6 else "topic"
        if jobs and not last and number and random.random() < 0.35:
            kind = "job"
        node = Node(f"{prefix}.{kind}.{number}", kind)
        if kind in FELT:
            node.metrics = list(FELT[kind])[: int(random.integers(0 if kind == "job" else 1, 3))]
            if kind == "model" and random.random() < 0.4:
                node.metrics.append("row_count")
        elif style == "alike":
            node.metrics = list(common)
        elif style == "one":
            node.metrics = [str(random.choice(DATA))]
        else:
            node.metrics = [each for each in DATA if random.random() < 0.4] or ["row_count"]
        if number:
            low = max(0, number - width)
            for parent in sorted(
                {int(each) for each in random.integers(low, number, int(random.choice([1, 1, 2, 3])))}
            ):
                if nodes[parent].kind not in ("model", "dashboard") and random.random() < 0.95:
                    node.parents.append(parent)
                    nodes[parent].children.append(number)
        nodes.append(node)
    if random.random() < 0.12 and count > 6:  # what comes out goes in again
        low, high = sorted(int(each) for each in random.choice(count, 2, replace=False))
        if low not in nodes[high].children:
            nodes[high].children.append(low)
            nodes[low].parents.append(high)
    return nodes


def _times(random: Random, count: int) -> Times:
    step = float(random.choice([10, 30, 60, 60, 300, 900, 3600]))
    points = int(np.exp(random.uniform(np.log(100), np.log(2000 if count < 40 else 400))))
    at = EPOCH + float(random.uniform(0, 7 * DAY))
    after = int(random.choice([0, 2, 15, 40]))
    period = DAY if random.random() < 0.5 else step * float(random.integers(12, 200))
    return Times(step, at - points * step, at, at + min(after, points // 5) * step, period)


def _breach(random: Random, nodes: list[Node]) -> int | None:
    options = [n for n, node in enumerate(nodes) if node.parents and node.metrics and node.kind != "job"]
    ends = [each for each in options if not nodes[each].children]
    return int(random.choice(ends if ends and random.random() < 0.7 else options)) if options else None


def _above(nodes: list[Node], breach: int) -> dict[int, int]:
    found, waiting = {breach: 0}, [breach]
    for node in waiting:
        for parent in nodes[node].parents:
            if parent not in found:
                found[parent] = found[node] + 1
                waiting.append(parent)
    return found


def _below(nodes: list[Node], cause: int) -> set[int]:
    found, waiting = {cause}, [cause]
    for node in waiting:
        waiting.extend(child for child in nodes[node].children if child not in found)
        found.update(nodes[node].children)
    return found


def _causes(
    random: Random, nodes: list[Node], breach: int, above: dict[int, int], scenario: str, fault: str
) -> list[int] | None:
    if scenario in ("quiet", "breach alone"):
        return []
    if scenario == "breach itself":
        return [breach] if _felt(nodes[breach], fault) else None
    options = [each for each in above if each != breach and nodes[each].kind == "topic" and _felt(nodes[each], fault)]
    if not options:
        return None
    first = int(random.choice(options))
    if scenario != "two causes":
        return [first]
    apart = [each for each in options if first not in _below(nodes, each) and each not in _below(nodes, first)]
    return [first, int(random.choice(apart))] if apart else None


def _felt(node: Node, fault: str) -> list[str]:
    own = FELT.get(node.kind, ())
    return [each for each in node.metrics if each in FAULTS[fault] or (each in own and each != "duration")]


def _spread(
    random: Random, nodes: list[Node], cause: int, fault: str, breach: int, when: Times, late: float
) -> bool:  # fmt: skip
    """From the cause on, dated back from when it reaches the breach. False: it does not, or began too early."""
    shape = str(random.choice(["step", "ramp", "bursts", "fades"], p=[0.6, 0.2, 0.1, 0.1]))
    shape = "step" if fault == "silent stop" else shape
    slowest, weakest = int(random.choice([0, 1, 3, 10])), float(random.uniform(0.6, 1.0))
    felt: dict[int, tuple[float, float]] = {cause: (0.0, float(np.exp(random.uniform(np.log(4), np.log(40)))))}
    waiting = [cause]
    must = _way(nodes, cause, breach)
    for node in waiting:
        since, size = felt[node]
        for child in nodes[node].children:
            if child not in felt and ((node, child) in must or random.random() < 0.85):
                delay = int(random.integers(0, slowest + 1)) * when.step
                felt[child] = (since + delay, max(3.0, size * float(random.uniform(weakest, 1.1))))
                waiting.append(child)
    if breach not in felt:
        return False
    began = when.at - late - (3 + int(random.integers(0, 4))) * when.step - felt[breach][0]
    if began < when.start + 0.6 * (when.at - when.start):
        return False
    for node, (since, size) in felt.items():
        for metric in _felt(nodes[node], fault):
            kept = nodes[node].hit.get(metric)
            if kept is None or kept.size < size:
                nodes[node].hit[metric] = Effect(fault, began + since, size, shape)
    return True


def _way(nodes: list[Node], cause: int, breach: int) -> set[tuple[int, int]]:
    above, here, found = _above(nodes, breach), cause, set()
    while here != breach:
        following = min((child for child in nodes[here].children if child in above), key=lambda each: above[each])
        found.add((here, following))
        here = following
    return found


def _decoys(
    random: Random, nodes: list[Node], breach: int, above: dict[int, int], used: set[int], when: Times
) -> list[int]:
    found = []
    aside = [n for n in range(len(nodes)) if n not in above and not nodes[n].hit and nodes[n].metrics]
    for node in random.permutation(np.array(aside, dtype=np.int64))[: int(random.integers(0, 4))]:
        since = when.at - float(random.uniform(0, 25)) * when.step
        metric = str(random.choice(nodes[node].metrics))
        nodes[node].hit[metric] = Effect("decoy", since, float(random.uniform(15, 90)), "step")
        found.append(int(node))
    # Upstream of the breach: over long before, or it does not get further, as all can see that it feeds.
    for node in above:
        if node in used or node == breach or not nodes[node].metrics or random.random() > 0.06:
            continue
        metric = str(random.choice(nodes[node].metrics))
        length = when.at - when.start
        if random.random() < 0.5:
            since = when.start + length * float(random.uniform(0.1, 0.5))
            nodes[node].hit[metric] = Effect("decoy", since, 12.0, "step", since + 0.04 * length)
        elif all(
            child not in used and child != breach and metric in nodes[child].metrics for child in nodes[node].children
        ):
            nodes[node].hit[metric] = Effect("decoy", when.at - random.uniform(3, 20) * when.step, 20.0, "step")
        else:
            continue
        found.append(node)
    return found


def _breach_metric(random: Random, node: Node) -> str:
    return str(random.choice(sorted(node.hit) or node.metrics))


def _events(random: Random, nodes: list[Node], causes: list[int], when: Times) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for cause in causes:
        effect = next(iter(nodes[cause].hit.values()))
        if effect.fault == "schema change" or random.random() < 0.3:
            kind = (
                "schema-change" if effect.fault == "schema change" else str(random.choice(["deploy", "config-change"]))
            )
            at = effect.since - random.uniform(0, 2) * when.step
            found.append({"node": nodes[cause].name, "kind": kind, "at": round(at), "detail": "own"})
    for _ in range(int(random.poisson(1.0 + 0.02 * len(nodes)))):
        node, kind = nodes[int(random.integers(len(nodes)))], str(random.choice(["deploy", "schema-change", "restart"]))
        found.append({"node": node.name, "kind": kind, "at": round(float(random.uniform(when.start, when.end)))})
    return found


def _edge(random: Random, source: str, target: str) -> dict[str, Any]:
    edge: dict[str, Any] = {"from": source, "to": target}
    if random.random() < 0.4:
        edge["evidence"] = str(random.choice(["header", "declared", "openlineage", "config"]))
    return edge


# Series.


def _series(random: Random, node: Node, when: Times, hidden: bool) -> list[dict[str, Any]]:
    step = when.step * (1 if random.random() < 0.85 or when.at - when.start < 300 * when.step else 2)
    times = np.arange(when.start + random.uniform(0, step), when.end + 1e-6, step)
    lost = float(random.choice([0, 0, 0.02, 0.08]))
    found = []
    for metric in node.metrics:
        usual, noise, values = _lived(random, metric, node.hit.get(metric), times, when)
        effect = node.hit.get(metric)
        if effect is not None:
            node.seen[metric] = _visible(usual, noise, values, effect, times, when)
        if hidden:
            continue
        kept = ~np.isnan(values) & (random.random(len(times)) >= lost)
        if random.random() < 0.05:
            hole = int(random.integers(len(times) // 2 + 1))
            kept[hole : hole + len(times) // 20] = False
        points = [[round(float(t), 1), float(f"{v:.6g}")] for t, v in zip(times[kept], values[kept], strict=True)]
        found.append({"node": node.name, "metric": metric, "points": points})
        if metric in ("mean", "p95", "distinct_count"):
            found[-1]["field"] = "price"
    return found


def _lived(
    random: Random, metric: str, effect: Effect | None, times: Array, when: Times
) -> tuple[tuple[Array, float], Array, Array]:
    """What was expected, with the height of its curve; how wide the noise was; what was."""
    count = len(times)
    memory = float(random.choice([0.0, 0.0, 0.5, 0.8, 0.95]))
    rare = random.standard_t(3, count) / np.sqrt(3) if random.random() < 0.25 else random.normal(size=count)
    noise = np.empty(count)
    last = random.normal()
    for place, each in enumerate(rare * np.sqrt(1 - memory**2)):
        noise[place] = last = memory * last + each
    phase = (times / when.period + random.uniform(0, 0.1)) % 1
    curve = np.sin(2 * np.pi * phase)
    if random.random() < 0.4 and when.at - when.start > 2.5 * when.period:  # working hours, if anybody could know them
        curve = np.where((phase > 0.3) & (phase < 0.75), 1.0, -0.5)
    wide = 1 + (0.5 * curve if random.random() < 0.3 else 0.0)
    height = float(random.choice([0.0, 0.1, 0.4])) if metric in ("row_count", "latency", "mean", "ctr") else 0.0
    on = _shape(random, effect, times, when.step)
    size = 0.0 if effect is None else effect.size
    stops = effect is not None and effect.fault == "silent stop" and metric == "row_count"
    if metric in RATIOS:
        rows = 10 ** random.uniform(2.5, 5)
        level = float(random.choice([0.0, 0.001, 0.02, 0.1])) if metric != "ctr" else 0.05
        level = float(random.choice([0.8, 0.93, 0.99])) if metric == "accuracy" else level
        center = level * (1 + height * curve * 0.5)
        sigma = np.full(count, np.sqrt(max(level * (1 - level), 0.2 / rows) / rows) + 0.03 * level * (1 - level)) * wide
        sign = 1.0 if metric in UP else -1.0
        moved = np.clip(center + sigma * noise + sign * np.maximum(sigma * size, min(0.02, level or 0.02)) * on, 0, 1)
        still = np.clip(center + sigma * noise, 0, 1)
        if random.random() < 0.5:
            moved, still = (np.round(each * rows) / rows for each in (moved, still))
        return (still, height * level), sigma, moved
    level = 10 ** random.uniform(1, 5) if metric == "row_count" else 10 ** random.uniform(0, 3)
    width = float(random.uniform(0.01, 0.12)) * wide
    center = level * (1 + height * curve)
    if metric == "distinct_count":
        level = float(random.integers(3, 80))
        sigma = np.full(count, 0.02 * level if random.random() < 0.4 else 1e-9)
        still = np.round(level + sigma * noise)
        return (still, 0.0), np.maximum(sigma, 0.3), still + np.maximum(1, np.round(sigma * size)) * (on > 0.5)
    still = center * np.exp(width * noise)
    sigma = center * width
    sign = 1.0 if metric in UP or random.random() < 0.5 else -1.0
    factor = 1 + sign * np.minimum(width * size, 0.9 if sign < 0 else 20.0) * on
    if effect is not None and effect.fault == "drop" and metric == "row_count":
        factor = 1 - np.minimum(width * size, 0.95) * on
    if effect is not None and effect.fault == "duplication" and metric == "row_count":
        factor = 1 + np.minimum(width * size, 1.0) * on
    if effect is not None and effect.fault == "unit change" and random.random() < 0.4:
        factor = np.where(on > 0, 100.0 if random.random() < 0.5 else 0.01, 1.0)
    moved = still * factor
    if metric == "row_count":
        still, moved = random.poisson(still).astype(np.float64), random.poisson(moved).astype(np.float64)
        moved = np.where(on > 0, moved, still)
        sigma = np.sqrt(sigma**2 + center)
    if stops:
        moved = np.where(on > 0, np.nan if random.random() < 0.5 else 0.0, still)
    return (still, 2 * height * level), sigma, moved


def _shape(random: Random, effect: Effect | None, times: Array, step: float) -> Array:
    """How much of the effect there is at each time, 0 to 1."""
    if effect is None:
        return np.zeros(len(times))
    since = (times - effect.since) / step
    on = ((since >= 0) & (times < effect.until)).astype(np.float64)
    if effect.shape == "ramp":
        return on * np.clip((since + 1) / 8, 0, 1)
    if effect.shape == "bursts":
        return on * (since % 5 < 3.5)
    if effect.shape == "fades":
        return on * np.exp(-np.maximum(since, 0) / 20)
    return on


def _visible(
    usual: tuple[Array, float], noise: Array, values: Array, effect: Effect, times: Array, when: Times
) -> bool:  # fmt: skip
    still, height = usual
    until = (times >= effect.since) & (times <= when.at)
    if np.isnan(values[until]).any():
        return int(np.isnan(values[until]).sum()) >= STEPS_SEEN
    first = np.flatnonzero(until & (values != still))[:12]
    if len(first) < STEPS_SEEN:
        return False
    off = np.abs(values - still)[first]
    known = (effect.since - when.start) / when.period
    least = 0.5 * height if known < 2 else 0.0
    return float(np.mean(off / noise[first])) >= VISIBLE and float(np.mean(off)) >= least

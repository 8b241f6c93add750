"""Incidents with other habits than those of ``incidents.py``: whether what holds for the one holds for the other.

Nothing of the one is used in the other. Here a pipeline is a growing graph of 4 to 60 nodes; it is watched for 2 hours
to 14 days, every 10 s to an hour; metrics have the names that others give them (``row_count``, ``null_ratio``,
``mean``, ``p95``, ``distinct``, ``freshness``, ``error_rate``), all nodes the same ones or each its own; noise is
log-normal, binomial, Student's or none; days and weeks have rush hours and week-ends. What a fault changes others
further down may feel in other metrics (rows that are missing make data stale; nulls shift means). Recordings end at
the breach or after it; points are missing; single points are wild. Some causes have only events, some breaches no
series at all.

An oracle that knows the onset, and what each value would have been, says what could be seen: the squared difference, in
squared standard deviations of the metric from one point to the next, summed over at most ten points from the onset
on, is at least ``VISIBLE``. Incidents whose cause or breach cannot be seen so are drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from incidents import Truth
from numpy.typing import NDArray

Random = np.random.Generator
Array = NDArray[np.float64]
HOUR, DAY = 3600.0, 86_400.0
EPOCH = 1_780_272_000.0
VISIBLE = 60.0
"""Such a sum has a mean of 10 where nothing happened; that it reaches 60 by chance has a probability below 1e-8."""
FAULTS: dict[str, tuple[str, ...]] = {
    "rows lost": ("row_count",),
    "rows doubled": ("row_count",),
    "nulls": ("null_ratio",),
    "unit": ("mean", "p95"),
    "stale": ("freshness",),
    "new values": ("distinct",),
    "errors": ("error_rate",),
    "stopped": ("row_count", "freshness"),
    "new schema": ("null_ratio", "distinct"),
}
BECOMES = {
    "row_count": ("row_count", "freshness"),
    "null_ratio": ("null_ratio", "mean"),
    "mean": ("mean", "p95"),
    "p95": ("p95", "mean"),
    "freshness": ("freshness", "row_count"),
    "distinct": ("distinct", "error_rate"),
    "error_rate": ("error_rate", "row_count"),
}
SCENARIOS = ("cause", "cause with a decoy", "breach itself", "quiet", "cause unseen", "breach unseen", "event only")


@dataclass
class Habit:
    """Of one metric at one node: its level and how it moves by itself."""

    metric: str
    level: float
    noise: float
    rush: float = 0.0
    sleepy_weekend: float = 1.0
    drift: float = 0.0
    tail: float = 0.0


@dataclass
class Node:
    name: str
    kind: str
    feeds: list[int] = field(default_factory=list)
    fed_by: list[int] = field(default_factory=list)
    habits: list[Habit] = field(default_factory=list)
    hit: dict[str, tuple[str, float, float]] = field(default_factory=dict)
    """By metric: the fault, since when, how strong (0 to 1)."""


def incident(seed: int) -> tuple[dict[str, Any], Truth]:
    """A bundle and what is true of it."""
    random = np.random.default_rng([seed, 77])
    while True:
        made = _attempt(random)
        if made is not None:
            return made


def _attempt(random: Random) -> tuple[dict[str, Any], Truth] | None:
    step = float(random.choice([10, 30, 60, 60, 120, 300, 600, 900, 3600]))
    length = float(np.clip(np.exp(random.uniform(np.log(2 * HOUR), np.log(14 * DAY))), 60 * step, 2500 * step))
    at = EPOCH + random.uniform(0, 7 * DAY)
    start, end = at - length, at + float(random.choice([0, 0, 5, 30])) * step
    nodes = _pipeline(random)
    breach = _breach(random, nodes)
    if breach is None:
        return None
    scenario = str(random.choice(SCENARIOS, p=[0.34, 0.2, 0.08, 0.13, 0.13, 0.06, 0.06]))
    above = _above(nodes, breach)
    far = [node for node, hops in above.items() if hops >= 1]
    if not far:
        return None
    cause = breach if scenario == "breach itself" else int(random.choice(far))
    fault = str(random.choice(list(FAULTS)))
    since = at - float(random.uniform(3, 25)) * step
    if scenario != "quiet" and not _spread(random, nodes, cause, fault, since, step, above):
        return None
    if scenario != "quiet" and (not nodes[breach].hit or min(hit[1] for hit in nodes[breach].hit.values()) > at - step):
        return None
    decoys: list[int] = []
    if scenario in ("cause with a decoy", "quiet", "cause unseen"):
        aside = [node for node in range(len(nodes)) if node not in above and not nodes[node].hit]
        for place in [int(each) for each in random.choice(aside, min(len(aside), 2), replace=False)]:
            habit = nodes[place].habits[int(random.integers(len(nodes[place].habits)))]
            nodes[place].hit[habit.metric] = ("decoy", at - float(random.uniform(2, 30)) * step, 1.0)
            decoys.append(place)
    unseen = (
        {cause} if scenario in ("cause unseen", "event only") else {breach} if scenario == "breach unseen" else set()
    )
    hidden = set(unseen)
    if random.random() < 0.3:
        safe = {cause, breach, *nodes[cause].fed_by}
        hidden |= {node for node in range(len(nodes)) if node not in safe and random.random() < 0.2}
    series: list[dict[str, Any]] = []
    seen: dict[int, float] = {}
    metric_seen: dict[tuple[int, str], float] = {}
    jitter = random.random() < 0.3
    losses = float(random.choice([0, 0, 0.01, 0.05]))
    for number, node in enumerate(nodes):
        times = np.arange(start, end + step / 2, step) + (random.uniform(0, step) if jitter else 0.0)
        times = times[times <= end]
        for habit in node.habits:
            usual, values = _lived(random, habit, node.hit.get(habit.metric), times, step)
            gone = np.isnan(values)
            metric_seen[number, habit.metric] = _evidence(usual, values, at + 5 * step, times)
            seen[number] = max(seen.get(number, 0.0), metric_seen[number, habit.metric])
            if number in hidden:
                continue
            kept = ~gone & (random.random(len(times)) >= losses)
            points = [[float(t), float(f"{v:.6g}")] for t, v in zip(times[kept], values[kept], strict=True)]
            series.append({"node": node.name, "metric": habit.metric, "points": points})
    if scenario != "quiet" and (seen[cause] < VISIBLE or seen[breach] < VISIBLE):
        return None
    hurt = [each for each in nodes[breach].hit if metric_seen[breach, each] >= VISIBLE] or [
        habit.metric for habit in nodes[breach].habits
    ]
    events = [
        {"node": nodes[int(random.integers(len(nodes)))].name, "kind": "deploy", "at": float(random.uniform(start, at))}
        for _ in range(int(random.poisson(0.7)))
    ]
    if scenario != "quiet" and (scenario == "event only" or (scenario != "cause unseen" and random.random() < 0.35)):
        kind = "schema-change" if fault == "new schema" else str(random.choice(["deploy", "config-change"]))
        events.append({"node": nodes[cause].name, "kind": kind, "at": since - random.uniform(0, 1) * step})
    truth = Truth("observable", scenario, fault, len(nodes))
    if scenario in ("quiet", "cause unseen"):
        truth.group = "none"
    else:
        truth.causes = [nodes[cause].name]
        truth.metrics[nodes[cause].name] = set(nodes[cause].hit)
        truth.onsets[nodes[cause].name] = since
    if scenario == "breach itself" and not _grounded(nodes, breach, hidden, events, hurt, step):
        truth.group, truth.causes = "none", []
    truth.decoys = [nodes[node].name for node in decoys]
    graph = {
        "nodes": [{"id": node.name, "kind": node.kind} for node in nodes],
        "edges": [{"from": node.name, "to": nodes[other].name} for node in nodes for other in node.feeds],
    }
    where = {"node": nodes[breach].name, "metric": str(random.choice(hurt)), "at": at}
    return {"graph": graph, "series": series, "events": events, "breach": where}, truth


def _grounded(
    nodes: list[Node], breach: int, hidden: set[int], events: list[dict[str, Any]], hurt: list[str], step: float,
) -> bool:  # fmt: skip
    """Whether anybody can tell that it broke by itself: all that feeds it is measured, in all that deviates there."""
    began = min(hit[1] for hit in nodes[breach].hit.values())
    if any(each["node"] == nodes[breach].name and abs(each["at"] - began) <= 2 * step for each in events):
        return True
    measured = [{habit.metric for habit in nodes[node].habits} for node in nodes[breach].fed_by if node not in hidden]
    return len(measured) == len(nodes[breach].fed_by) and all(set(hurt) <= each for each in measured)


def _pipeline(random: Random) -> list[Node]:
    count = int(np.exp(random.uniform(np.log(4), np.log(60))))
    alike = random.random() < 0.5
    common = ["row_count", *(str(each) for each in random.choice(
        ["null_ratio", "mean", "p95", "distinct", "freshness", "error_rate"], int(random.integers(1, 5)), replace=False
    ))]  # fmt: skip
    nodes: list[Node] = []
    for number in range(count):
        kind = str(random.choice(["topic", "topic", "table", "service"]))
        node = Node(f"{kind}.{number}", kind)
        metrics = common if alike else [each for each in BECOMES if random.random() < 0.5] or ["row_count"]
        node.habits = [_habit(random, each) for each in metrics]
        for other in (
            {int(each) for each in random.integers(max(0, number - 6), number, random.choice([1, 1, 2]))}
            if number
            else ()
        ):
            if random.random() < 0.93:
                node.fed_by.append(other)
                nodes[other].feeds.append(number)
        nodes.append(node)
    return nodes


def _habit(random: Random, metric: str) -> Habit:
    rush = float(random.choice([0.0, 0.3, 0.8]))
    weekend = float(random.choice([1.0, 1.0, 0.5]))
    level, noise, tail = 10 ** random.uniform(0, 3), random.uniform(0.005, 0.08), float(random.choice([0, 5]))
    if metric == "row_count":
        return Habit(metric, 10 ** random.uniform(1.5, 5.5), random.uniform(0.01, 0.15), rush, weekend)
    if metric in ("null_ratio", "error_rate"):  # noise is the number of rows
        levels = [0.0, 0.002, 0.02, 0.1] if metric == "null_ratio" else [0.0005, 0.005, 0.02]
        return Habit(metric, float(random.choice(levels)), 10 ** random.uniform(2, 4))
    if metric == "mean":
        return Habit(metric, level, noise, tail=tail)
    if metric == "p95":
        return Habit(metric, 10 * level, 2 * noise + 0.05, tail=tail)
    if metric == "distinct":
        still, drift = float(random.choice([0.0, 0.0, 0.02])), float(random.choice([0, 0.05]))
        return Habit(metric, float(random.integers(4, 400)), still, drift=drift)
    return Habit(metric, 3 * level, 4 * noise + 0.05)


def _breach(random: Random, nodes: list[Node]) -> int | None:
    options = [number for number, node in enumerate(nodes) if node.fed_by]
    return int(random.choice(options[len(options) // 3 :])) if options else None


def _above(nodes: list[Node], breach: int) -> dict[int, int]:
    found, waiting = {breach: 0}, [breach]
    for node in waiting:
        for other in nodes[node].fed_by:
            if other not in found:
                found[other] = found[node] + 1
                waiting.append(other)
    return found


def _spread(
    random: Random, nodes: list[Node], cause: int, fault: str, since: float, step: float, above: dict[int, int]
) -> bool:
    """From node to node as they are numbered, which is a topological order. False: the cause cannot feel it."""
    own = {habit.metric for habit in nodes[cause].habits} & set(FAULTS[fault])
    if not own:
        return False
    size = float(random.uniform(0.15, 1.0))
    nodes[cause].hit = {metric: (fault, since, size) for metric in own}
    felt = {cause: (set(FAULTS[fault]), since, size)}
    slow = float(random.choice([0.0, 0.5, 2.0]))
    for number in range(cause + 1, len(nodes)):
        sources = [felt[other] for other in nodes[number].fed_by if other in felt]
        if not sources or random.random() < 0.05:
            continue
        metrics, began, strength = min(sources, key=lambda each: each[1])
        began += float(random.exponential(slow)) * step
        strength = float(np.clip(strength * random.uniform(0.7, 1.2), 0.1, 1.0))
        carried = set()
        for metric in sorted(metrics):
            first, second = BECOMES[metric]
            carried |= {first} if random.random() < 0.8 else {first, second}
        felt[number] = (carried, began, strength)
        mine = {habit.metric for habit in nodes[number].habits} & carried
        nodes[number].hit = {metric: (fault, began, strength) for metric in sorted(mine)}
    return True


def _lived(
    random: Random, habit: Habit, hit: tuple[str, float, float] | None, times: Array, step: float
) -> tuple[Array, Array]:
    """What would have been, and what was; without a number where there was nothing."""
    count = len(times)
    hour, weekday = times % DAY / HOUR, np.floor(times / DAY) % 7
    busy = 1 + habit.rush * (np.exp(-(((hour - 9.5) / 2.5) ** 2)) + np.exp(-(((hour - 19) / 3) ** 2)))
    busy = busy * np.where(weekday >= 5, habit.sleepy_weekend, 1.0)
    rare = random.standard_t(habit.tail, count) if habit.tail else random.normal(size=count)
    on = np.zeros(count, dtype=np.bool_) if hit is None else times >= hit[1]
    size = 0.0 if hit is None else hit[2]
    fault = "" if hit is None else hit[0]
    usual: Array
    if habit.metric == "row_count":
        usual = np.round(habit.level * busy * np.exp(habit.noise * rare))
        factor = {"rows doubled": 1 + size, "stopped": 0.0, "decoy": 3.0}.get(fault, 1 - 0.9 * size)
        values = np.where(on, np.round(usual * factor), usual)
        if fault == "stopped" and size > 0.6:
            values = np.where(on, np.nan, usual)
    elif habit.metric in ("null_ratio", "error_rate"):
        rows = int(habit.noise)
        usual = random.binomial(rows, habit.level, count) / rows
        values = np.where(on, random.binomial(rows, min(1.0, habit.level + 0.6 * size), count) / rows, usual)
    elif habit.metric in ("mean", "p95"):
        usual = habit.level * np.exp(habit.noise * rare)
        factor = {"unit": 100.0, "decoy": 4.0}.get(fault, 1 + 0.8 * size)
        values = np.where(on, usual * factor, usual)
    elif habit.metric == "distinct":
        grown = habit.drift * np.arange(count) / max(count, 1) * habit.level
        usual = np.round(habit.level + grown + habit.noise * habit.level * random.normal(size=count))
        values = np.where(on, usual + max(1, round(0.5 * size * habit.level)), usual)
    else:
        usual = habit.level * np.exp(habit.noise * rare)
        late = 0.0 if hit is None else np.maximum(0.0, times - hit[1])
        slow = np.where(on, usual + size * (late + step) * (1.0 if fault in ("stale", "stopped") else 0.2), usual)
        values = slow
    for place in np.flatnonzero(random.random(count) < 0.0007):
        values[place] = usual[place] = usual[place] * float(random.uniform(1.5, 4))
    return usual, values


def _evidence(usual: Array, values: Array, until: float, times: Array) -> float:
    stopped = np.isnan(values) & (times <= until)
    if stopped.any():
        return np.inf if stopped.sum() >= 4 else 0.0
    off = np.flatnonzero((values != usual) & (times <= until))[:10]
    if not len(off):
        return 0.0
    rough = float(np.median(np.abs(np.diff(usual)))) / 0.954 + 1e-3 * abs(float(np.median(usual)))
    rough = max(rough, float(np.quantile(np.abs(np.diff(usual)), 0.9)) / 2.33, 1e-12)
    return float((((values - usual)[off] / rough) ** 2).clip(max=100).sum())

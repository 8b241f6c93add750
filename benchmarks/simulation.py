"""Whether metric anomalies are told when something breaks, and only then: a day of twenty topics, again with faults.

    python benchmarks/simulation.py --seed N [--faults | --no-faults] [--hours H] [--warm-up-days D] [--topics N]

Windows of ten seconds go through the production detector, which knows only the warm-up days before. Then the same day
is judged twice: as it is, and with four faults of each of twelve kinds planted in it. What a window's profile would say
is drawn from the distributions that the records have, with the errors of the sketches, instead of from records.

A fault is found when an alert of its topic, which names its field where it has one, is told in one of the twenty
windows from its start on; a delay of 1 is the window in which it began. All other opened alerts are false, but for
those of the same topic until half an hour after a fault.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.series.detector import DEFAULT_SENSITIVITY
from stream_lineage.detect.shift.digest import EVEN_RANKS, single
from stream_lineage.detect.window import FieldWindow, Window

SECONDS = 10
PER_HOUR = 3600 // SECONDS
PER_DAY = 24 * PER_HOUR
MONDAY = 1_767_571_200.0
"""2026-01-05 00:00 UTC; a run starts on the day of the week that its seed says."""
FOUND_WITHIN = 20
FOLLOW_UP_WINDOWS = 180
FAULTS_OF_A_KIND = 4
PARTS = 4
SKETCH_ERROR = 0.013
RANK_ERROR = 0.008
RANK_BOUND = 0.04
"""The standard deviation of ranks that a sketch of the profiles' size (k = 64) gives, merged from ten, and the bound of
its error that the sketch itself states."""
Random = np.random.Generator
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Number:
    """Numbers with this mean and deviation. ``daily``: part of the mean that it moves by over a day. ``wander``:
    standard deviation of slow noise, in deviations. ``heavy``: log-normal. ``grows``: a counter, by its mean each day,
    which starts again at each deployment."""

    path: str
    mean: float
    deviation: float
    daily: float = 0.0
    wander: float = 0.1
    nulls: float = 0.0
    missing: float = 0.0
    heavy: bool = False
    grows: bool = False


@dataclass(frozen=True)
class Category:
    """Categories with these shares; ``daily``: part of its share that the first one moves by over a day."""

    path: str
    shares: Mapping[str, float]
    daily: float = 0.0
    nulls: float = 0.0
    missing: float = 0.0


@dataclass(frozen=True)
class Text:
    """Identifiers from a pool of this many; null: each is new."""

    path: str
    pool: float | None = None
    nulls: float = 0.0
    missing: float = 0.0


Column = Number | Category | Text


@dataclass(frozen=True)
class Topic:
    """``rate``: records in a window. ``daily``: how far the rate moves over a day. ``weekend``: factor. ``noise`` and
    ``memory``: of slow noise of its logarithm. ``bursts``: of a minute or so, each day, to five times. ``batch``: hour
    of the day in which nearly everything comes."""

    name: str
    rate: float
    columns: tuple[Column, ...]
    daily: float = 0.0
    weekend: float = 1.0
    noise: float = 0.05
    memory: float = 0.98
    bursts: float = 0.0
    batch: float | None = None
    keys: float | None = None
    size: float = 200.0
    disorder: float = 0.001


EVENTS = Category("event_type", {"view": 0.62, "click": 0.26, "add": 0.08, "buy": 0.04}, daily=0.05)
DEVICE = Category("device", {"mobile": 0.6, "desktop": 0.34, "tablet": 0.06}, daily=0.15)
CURRENCY = Category("currency", {"EUR": 0.55, "USD": 0.3, "GBP": 0.15})
TOPICS: tuple[Topic, ...] = (
    Topic("clicks", 900, (Text("user_id", 4e4, nulls=0.06), EVENTS, DEVICE, Number("dwell_ms", 5200, 9000, 0.1,
          heavy=True, nulls=0.03)), daily=0.7, weekend=1.25, keys=4e4),
    Topic("page-views", 2500, (Text("user_id", 1e5, nulls=0.3), DEVICE, Text("url", 3000)), daily=0.65, weekend=1.15,
          noise=0.04, keys=1e5),
    Topic("orders", 120, (Text("order_id"), Number("amount", 62, 55, 0.1, heavy=True),
          Category("status", {"placed": 0.5, "paid": 0.44, "cancelled": 0.06}), Text("voucher", 300, nulls=0.85)),
          daily=0.75, weekend=1.3, noise=0.08, bursts=3),
    Topic("payments", 220, (Text("payment_id"), Number("amount", 71, 90, 0.15, heavy=True), CURRENCY,
          Category("method", {"card": 0.7, "wallet": 0.22, "transfer": 0.08})), daily=0.7, noise=0.06),
    Topic("refunds", 8, (Text("payment_id"), Number("amount", 44, 40, heavy=True), CURRENCY), daily=0.6, noise=0.15),
    Topic("temperature", 400, (Text("sensor", 400), Number("celsius", 19, 4, 0.15, wander=0.2),
          Number("battery", 71, 18, wander=0.05)), noise=0.005, keys=400),
    Topic("vibration", 1600, (Text("machine", 160), Number("rms", 0.9, 0.35, 0.2, heavy=True, nulls=0.02)),
          daily=0.15, weekend=0.8, noise=0.02, keys=160),
    Topic("meter-readings", 260, (Text("meter", 2e4), Number("kwh", 0.42, 0.3, 0.4, heavy=True, missing=0.02)),
          noise=0.03, keys=2e4),
    Topic("locations", 700, (Text("vehicle", 900), Number("speed", 41, 18, 0.2), Number("heading", 180, 104,
          nulls=0.05)), daily=0.5, weekend=0.6, noise=0.05, keys=900),
    Topic("request-log", 3200, (Category("method", {"GET": 0.8, "POST": 0.17, "PUT": 0.03}), Number("status", 214, 48,
          wander=0.05), Number("latency_ms", 48, 70, 0.25, wander=0.2, heavy=True)), daily=0.5, noise=0.07, bursts=6),
    Topic("audit", 0.06, (Text("actor", 40), Category("action", {"read": 0.7, "write": 0.3})), daily=0.8, weekend=0.2),
    Topic("admin-events", 0.4, (Text("actor", 90), Category("action", {"login": 0.8, "grant": 0.2})), daily=0.7,
          weekend=0.3, noise=0.2),
    Topic("sign-ups", 3.0, (Text("user_id"), Category("channel", {"web": 0.6, "app": 0.4}), Text("referrer", 50,
          nulls=0.6)), daily=0.7, noise=0.15),
    Topic("price-list", 60, (Text("sku", 9000), Number("price", 24, 31, heavy=True)), noise=0.1, batch=2, keys=9000),
    Topic("stock-levels", 90, (Text("sku", 9000), Number("quantity", 140, 220, 0.05, heavy=True, nulls=0.02)),
          daily=0.6, weekend=0.8, noise=0.1, bursts=4, keys=9000),
    Topic("shipments", 45, (Text("shipment_id"), Number("weight_kg", 3.1, 4, heavy=True, nulls=0.04),
          Category("carrier", {"north": 0.5, "south": 0.35, "air": 0.15})), daily=0.8, weekend=0.4, noise=0.12),
    Topic("packet-counters", 300, (Text("port", 300), Number("packets", 5e7, 2e7, grows=True)), noise=0.005, keys=300),
    Topic("heartbeats", 60, (Text("service", 60), Category("state", {"up": 1.0})), noise=0.0, keys=60),
    Topic("features", 350, (Text("entity", 5e4), Number("score", 0.42, 0.2, 0.05), Number("age_days", 410, 300,
          heavy=True, missing=0.05), Category("segment", {"a": 0.5, "b": 0.3, "c": 0.2}, nulls=0.03)),
          daily=0.6, keys=5e4),
    Topic("recommendations", 800, (Text("user_id", 4e4), Number("rank", 5.5, 2.9, wander=0.03), Number("ctr", 0.031,
          0.02, 0.1, heavy=True), Category("model", {"v12": 0.9, "v11": 0.1})),
          daily=0.7, weekend=1.2, noise=0.05, keys=4e4),
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """``size`` from 0 to 1, the higher the plainer. ``path`` is null where the topic as a whole is hit."""

    kind: str
    topic: str
    path: str | None
    start: int
    length: int
    size: float


@dataclass
class Result:
    """Of one topic: alerts opened in the warm-up by day, on the clean day, on the day with faults, and what was found:
    the delay of each fault, null where it was not."""

    topic: str
    warm_up: list[tuple[int, str]] = field(default_factory=list)
    clean: list[tuple[int, str]] = field(default_factory=list)
    beside: list[tuple[int, str]] = field(default_factory=list)
    found: list[tuple[Fault, int | None, str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    windows: int = 0
    fields: int = 0


def wave(random: Random, count: int, memory: float) -> Array:
    """Autocorrelated noise of standard deviation 1."""
    steps = random.normal(0, math.sqrt(1 - memory**2), count).tolist()
    values, value = [], float(random.normal())
    for step in steps:
        value = memory * value + step
        values.append(value)
    return np.array(values)


def tail(random: Random, records: Array) -> Array:
    """The largest of so many normal values (Abramowitz and Stegun, 26.2.23)."""
    chance = np.clip(-np.log(random.random(len(records))) / np.maximum(records, 2), 1e-300, 0.5)
    t = np.sqrt(-2 * np.log(chance))
    return np.asarray(
        t - (2.515517 + 0.802853 * t + 0.010328 * t**2) / (1 + 1.432788 * t + 0.189269 * t**2 + 0.001308 * t**3)
    )


def normal_at(shares: Sequence[float]) -> Array:
    """The quantiles of the normal distribution."""
    return np.array([statistics.NormalDist().inv_cdf(each) for each in shares])


def sketched(random: Random, exact: Array) -> Array:
    """What a sketch says of so many distinct values: a few are exact."""
    return np.where(exact < 150, exact, exact * (1 + SKETCH_ERROR * random.normal(size=len(exact))))


def distinct(random: Random, records: Array, pool: float | None) -> Array:
    if pool is None:
        return sketched(random, records)
    expected = pool * -np.expm1(-records / pool)
    sampling = np.sqrt(np.maximum(expected * (1 - expected / np.maximum(records, 1)), 0))
    exact = np.rint(np.clip(expected + 0.5 * sampling * random.normal(size=len(records)), 1, np.maximum(records, 1)))
    return sketched(random, np.where(records > 0, exact, 0))


@dataclass
class Traffic:
    """The windows of one topic, all days of them, as arrays; ``changes`` tells what was deployed and what shifted."""

    topic: Topic
    start: float
    records: Array
    lag: Array
    disorder: Array
    keys: Array | None
    bytes: Array
    columns: list[dict[str, Array]]
    new_field: int | None
    changes: list[tuple[int, str]]

    def windows(self, first: int, last: int) -> Iterator[Window]:
        offset = int(self.records[:first].sum())
        for at in range(first, last):
            records = int(self.records[at])
            begin = self.start + at * SECONDS
            if not records:
                yield Window("simulation", self.topic.name, begin, SECONDS)
                continue
            fields = [_field(each, rows, at, records) for each, rows in
                      zip(self.topic.columns, self.columns, strict=True)]  # fmt: skip
            if self.new_field is not None and at >= self.new_field:
                fields.append(FieldWindow("added", records, records // 5, 0, distinct=min(records, 12),
                                          types={"string": records - records // 5}))  # fmt: skip
            yield Window(
                "simulation", self.topic.name, begin, SECONDS, records=records, bytes=int(self.bytes[at]),
                sampled=records, out_of_order=int(self.disorder[at]), lag_seconds=float(self.lag[at]), profiled=records,
                keys=None if self.keys is None else float(self.keys[at]), first_offsets={0: offset},
                last_offsets={0: offset + records - 1}, fields=tuple(fields),
            )  # fmt: skip
            offset += records


def _field(column: Column, rows: dict[str, Array], at: int, records: int) -> FieldWindow:
    nulls, missing = int(rows["nulls"][at]), int(rows["missing"][at])
    values = max(0, records - nulls - missing)
    if isinstance(column, Text):
        return FieldWindow(column.path, records, nulls, missing, distinct=min(float(rows["distinct"][at]), values),
                           types={"string": values} if values else {})  # fmt: skip
    if isinstance(column, Category):
        counts = {f"={name}": n for name, n in zip(column.shares, rows["items"][at].tolist(), strict=True) if n}
        return FieldWindow(column.path, records, nulls, missing, distinct=float(len(counts)),
                           types={"string": values} if values else {}, items=counts)  # fmt: skip
    if not values:
        return FieldWindow(column.path, records, nulls, missing)
    return FieldWindow(
        column.path, records, nulls, missing, distinct=float(values), numbers=values, mean=float(rows["mean"][at]),
        deviation=float(rows["deviation"][at]), low=float(rows["low"][at]), high=float(rows["high"][at]),
        types={"double": values}, points=single(np.sort(rows["quantiles"][at]).tolist()),
        rank_error=RANK_BOUND,
    )  # fmt: skip


def traffic(topic: Topic, seed: int, days: int, hours: int) -> Traffic:
    """``days`` of warm-up and the hours that are judged, without a fault."""
    random = np.random.default_rng([seed, TOPICS.index(topic)])
    count = days * PER_DAY + hours * PER_HOUR
    start = MONDAY + seed % 7 * 86_400
    at = start + np.arange(count) * float(SECONDS)
    phase = 2 * np.pi * (at % 86_400 / 86_400 - random.normal(0.6, 0.03))
    week = np.where((at // 86_400 + 4) % 7 % 6 == 0, topic.weekend, 1.0)
    rate = topic.rate * (1 + topic.daily * np.cos(phase)) * week
    rate *= np.exp(topic.noise * wave(random, count, topic.memory))
    if topic.batch is not None:
        hour = at % 86_400 / 3600
        rate *= np.where((hour >= topic.batch) & (hour < topic.batch + 0.5), 20.0, 0.02)
    for first in random.integers(0, count, random.poisson(topic.bursts * count / PER_DAY)):
        length = int(random.integers(3, 10))
        rate[first : first + length] *= random.uniform(2, 5)
    changes: list[tuple[int, str]] = []
    resets = [0]
    lag = random.gamma(20, 0.04, count)
    late = np.zeros(count)
    for day in range(math.ceil(count / PER_DAY)):
        if random.random() < 0.4:  # a deployment in working hours: a pause, then what waited
            first = day * PER_DAY + int(random.uniform(8, 17) * PER_HOUR)
            pause = int(random.integers(1, 4))
            if first + pause + 2 < count:
                waited = rate[first : first + pause].sum()
                rate[first : first + pause] = 0
                rate[first + pause : first + pause + 2] += waited / 2
                lag[first + pause] += 5 * pause
                late[first + pause : first + pause + 2] = 0.02
                resets.append(first)
                changes.append((first, f"deployment with a pause of {pause * SECONDS} s"))
    shift = {index: 1.0 for index in range(-1, len(topic.columns))}
    shifts: dict[int, Array] = {index: np.ones(count) for index in shift}
    judged = days * PER_DAY
    for day in range(math.ceil(count / PER_DAY)):
        if random.random() < (0.25 if day >= days else 0.05):  # a level shift, for good
            first = day * PER_DAY + int(random.uniform(1, 22) * PER_HOUR)
            numbers = [index for index, each in enumerate(topic.columns) if isinstance(each, Number)]
            which = int(random.choice([-1, *numbers]))
            factor = float(random.uniform(1.1, 1.3)) if which < 0 else float(random.uniform(1.03, 1.1))
            shifts[which][first:] *= factor
            of = "records" if which < 0 else topic.columns[which].path
            if first < count:
                changes.append((first, f"{of} {100 * (factor - 1):.0f}% higher for good"))
    rate *= shifts[-1]
    new_field = None
    if random.random() < 0.15:
        new_field = judged + int(random.uniform(1, max(2, hours - 1)) * PER_HOUR)
        changes.append((new_field, "a new optional field"))
    records = random.poisson(np.maximum(rate, 0)).astype(float)
    if topic.name == "heartbeats":
        records = np.where(rate > 0, np.rint(rate), 0)
    size = topic.size * (1 + 0.05 * np.cos(phase)) * (1 + 0.2 * random.normal(size=count) / np.sqrt(records + 1))
    disorder = random.binomial(records.astype(int), np.maximum(topic.disorder * random.gamma(4, 0.25, count), late))
    keys = None if topic.keys is None else distinct(random, records, topic.keys)
    columns = [
        _columns(each, random, records, phase, shifts[index], resets) for index, each in enumerate(topic.columns)
    ]
    out_of_order = disorder.astype(float)
    return Traffic(topic, start, records, lag, out_of_order, keys, records * size, columns, new_field, changes)


def _columns(
    column: Column, random: Random, records: Array, phase: Array, shift: Array, resets: Sequence[int]
) -> dict[str, Array]:
    count = len(records)
    whole = records.astype(int)
    wobble = np.exp(0.1 * wave(random, count, 0.995)) * (1 + 0.1 * np.cos(phase))
    rows = {
        "nulls": random.binomial(whole, np.minimum(column.nulls * wobble, 0.99)).astype(float),
        "missing": np.zeros(count),
    }
    if column.missing:
        rows["missing"] = random.binomial(whole - rows["nulls"].astype(int), np.minimum(column.missing * wobble, 0.99))
    values = np.maximum(records - rows["nulls"] - rows["missing"], 0)
    n = np.maximum(values, 1)
    if isinstance(column, Text):
        rows["distinct"] = distinct(random, values, column.pool)
    elif isinstance(column, Category):
        shares = np.tile(np.array(list(column.shares.values())), (count, 1))
        if len(column.shares) > 1:
            shares[:, 0] *= 1 + column.daily * np.cos(phase) * (1 - shares[:, 0])
            shares /= shares.sum(axis=1, keepdims=True)
        rows["items"] = random.multinomial(values.astype(int), shares)
    else:
        level = column.mean * (1 + column.daily * np.cos(phase)) * shift
        level = level + column.deviation * column.wander * 0.3 * wave(random, count, 0.999)
        if column.grows:
            since = np.zeros(count)
            since[np.array(resets)] = np.arange(count)[np.array(resets)]
            level = column.mean * (1 + (np.arange(count) - np.maximum.accumulate(since)) / PER_DAY)
        deviation = column.deviation * (1 + random.normal(size=count) / np.sqrt(2 * n + 2))
        rows["deviation"] = deviation
        bell = normal_at(EVEN_RANKS)
        # each quantile as a sample and a sketch have it: at a share that is a little off
        density = np.exp(-(bell**2) / 2) / math.sqrt(2 * math.pi)
        shares = np.array(EVEN_RANKS)
        off = np.sqrt(shares * (1 - shares) / n[:, None] + RANK_ERROR**2)
        common = random.normal(size=(count, 1)) * 0.7 + random.normal(size=(count, len(EVEN_RANKS))) * 0.7
        bells = bell + off * common / density
        up, down = tail(random, values), tail(random, values)
        if column.heavy:
            level = np.maximum(level, 0.05 * column.mean)
            shape = n * (level / column.deviation) ** 2
            rows["mean"] = random.gamma(shape) / shape * level
            spread = np.sqrt(np.log1p((column.deviation / level) ** 2))
            middle = np.log(level) - spread**2 / 2
            rows["quantiles"] = np.exp(middle[:, None] + spread[:, None] * bells)
            rows["low"], rows["high"] = np.exp(middle - spread * down), np.exp(middle + spread * up)
        else:
            rows["mean"] = level + column.deviation * random.normal(size=count) / np.sqrt(n)
            rows["quantiles"] = level[:, None] + column.deviation * bells
            rows["low"], rows["high"] = level - column.deviation * down, level + column.deviation * up
    return rows


KINDS = (
    "null-ratio triples", "field missing", "number to string", "new category", "vanished category", "change of unit",
    "distribution, same mean", "throughput drop", "silence", "duplicates", "late data", "distinct values collapse",
)  # fmt: skip


def candidates(kind: str) -> list[tuple[str, str | None]]:
    """Where a fault of this kind can be: where there are records enough in a window for it to be there at all."""
    found: list[tuple[str, str | None]] = []
    for topic in TOPICS:
        if topic.batch is not None:
            continue
        busy = topic.rate >= 40
        if kind in {"throughput drop", "duplicates", "late data"} and busy and (kind != "duplicates" or topic.keys):
            found.append((topic.name, None))
        if kind == "silence" and topic.rate >= 3:
            found.append((topic.name, None))
        for each in topic.columns:
            number, category, text = isinstance(each, Number), isinstance(each, Category), isinstance(each, Text)
            if busy and (
                (kind == "null-ratio triples" and 0.02 <= each.nulls <= 0.3)
                or kind == "field missing"
                or (kind == "number to string" and number)
                or (kind == "new category" and category and topic.name != "heartbeats")
                or (isinstance(each, Category) and kind == "vanished category" and len(each.shares) > 1)
                or (isinstance(each, Number) and kind == "change of unit" and not each.grows)
                or (kind == "distribution, same mean" and isinstance(each, Number) and not each.grows)
                or (kind == "distinct values collapse" and text and isinstance(each, Text) and each.nulls <= 0.3
                    and (each.pool is None or each.pool > 2000))
            ):  # fmt: skip
                found.append((topic.name, each.path))
    return found


def plant(seed: int, hours: int, topics: Sequence[Topic], each: int) -> list[Fault]:
    """``each`` faults of every kind, at most ``PARTS`` on a topic, hours apart."""
    random = np.random.default_rng([seed, 1000])
    names = {topic.name for topic in topics}
    part_of_day = hours * PER_HOUR // PARTS
    free = {(name, part) for name in sorted(names) for part in range(PARTS)}
    found: list[Fault] = []
    for kind in sorted(KINDS, key=lambda kind: (len(candidates(kind)), kind)):
        places = [place for place in candidates(kind) if place[0] in names]
        for _ in range(each):
            options = [(place, part) for place in places for part in range(PARTS) if (place[0], part) in free]
            (name, path), part = options[int(random.integers(len(options)))]
            free.discard((name, part))
            length = int(random.integers(60, max(61, min(181, part_of_day // 3))))
            start = part * part_of_day + int(random.integers(part_of_day // 8, part_of_day - length - part_of_day // 8))
            found.append(Fault(kind, name, path, start, length, float(random.random())))
    return found


def broken(window: Window, fault: Fault, random: Random) -> Window:
    """The window with the fault in it."""
    if fault.kind == "silence":
        return Window(window.cluster, window.topic, window.start, window.seconds)
    records = window.records
    if not records:
        return window
    if fault.path is None:
        if fault.kind == "throughput drop":
            return _fewer(window, 0.1 + 0.4 * (1 - fault.size), random)
        if fault.kind == "late data":
            return replace(window, lag_seconds=(window.lag_seconds or 0) + 20 + 600 * fault.size)
        more = int(records * (0.5 + fault.size))  # a producer sends many records twice
        grown = tuple(replace(each, slots=each.slots + int(each.slots * more / records),
                              nulls=each.nulls + int(each.nulls * more / records),
                              missing=each.missing + int(each.missing * more / records),
                              numbers=each.numbers + int(each.numbers * more / records))
                      for each in window.fields)  # fmt: skip
        return replace(window, records=records + more, bytes=window.bytes + window.bytes * more // records,
                       profiled=records + more, sampled=records + more, fields=grown)  # fmt: skip
    return replace(
        window,
        fields=tuple(_hit(each, fault, random) if each.path == fault.path else each for each in window.fields),
    )


def _hit(each: FieldWindow, fault: Fault, random: Random) -> FieldWindow:
    values, size = each.values, fault.size
    if not values:
        return each
    if fault.kind == "null-ratio triples":
        nulls = int(random.binomial(each.slots - each.missing, min(3 * each.nulls / each.slots, 0.95)))
        return _with(each, each.slots - nulls - each.missing, nulls=nulls)
    if fault.kind == "field missing":
        missing = int(random.binomial(each.slots - each.nulls, 0.2 + 0.8 * size))
        return _with(each, each.slots - each.nulls - missing, missing=missing)
    if fault.kind == "number to string":
        text = int(random.binomial(values, 0.2 + 0.8 * size))
        types = {"double": values - text, "string": text}
        kept = replace(each, types={name: n for name, n in types.items() if n}, numbers=values - text)
        return kept if values - text else replace(kept, mean=None, deviation=None, low=None, high=None,
                                                      points=())  # fmt: skip
    items = dict(each.items or {})
    if fault.kind == "new category":
        new = int(random.binomial(values, 0.03 + 0.15 * size))
        if not new:
            return each
        rest = {name: n - int(n * new / values) for name, n in items.items()}
        return replace(each, items={**rest, f"=scroll-{fault.start}": new})
    if fault.kind == "vanished category":
        gone = sorted(items)[int(size * 97) % max(1, len(items))] if len(items) > 1 else ""
        return replace(each, items={k: n for k, n in items.items() if k != gone}, slots=each.slots - items.get(gone, 0))
    if fault.kind == "distinct values collapse":
        return replace(each, distinct=max(1.0, (each.distinct or 0) * (0.02 + 0.3 * (1 - size))))
    if each.mean is None or each.deviation is None or each.low is None or each.high is None:
        return each
    if fault.kind == "change of unit":
        factor = (0.01, 100.0, 1000.0)[int(size * 3) % 3]
        return replace(each, mean=each.mean * factor, deviation=each.deviation * factor, low=each.low * factor,
                       high=each.high * factor, points=single([q * factor for q in each.points]))  # fmt: skip
    # two values instead of a bell: as far apart as makes the deviation two to three times what it was, or none
    factor = 2.0 + size if size > 0.3 else 0.1
    return replace(each, deviation=each.deviation * factor, low=each.mean - each.deviation * factor,
                   high=each.mean + each.deviation * factor, points=single([
                       each.mean + each.deviation * factor * (-1 if share < 0.5 else 1) for share in EVEN_RANKS
                   ]))  # fmt: skip


def _with(each: FieldWindow, values: int, **changes: int) -> FieldWindow:
    part = values / max(each.values, 1)
    return replace(
        each,
        distinct=None if each.distinct is None else min(each.distinct, values),
        numbers=int(each.numbers * part),
        types={name: int(n * part) for name, n in each.types.items() if int(n * part)},
        items=None if each.items is None else {k: int(n * part) for k, n in each.items.items() if int(n * part)},
        **changes,  # type: ignore[arg-type]
    )


def _fewer(window: Window, part: float, random: Random) -> Window:
    records = int(random.binomial(window.records, part))
    if not records:
        return Window(window.cluster, window.topic, window.start, window.seconds)
    fields = []
    for each in window.fields:
        slots = int(each.slots * part)
        cut = replace(each, slots=slots, nulls=int(each.nulls * part), missing=int(each.missing * part))
        fields.append(_with(replace(cut, distinct=each.distinct and each.distinct * part), cut.values))
    return replace(
        window,
        records=records,
        bytes=window.bytes * records // window.records,
        sampled=records,
        profiled=records,
        out_of_order=int(window.out_of_order * part),
        fields=tuple(fields),
        keys=None if window.keys is None else min(window.keys, records),
    )


@dataclass(frozen=True)
class Job:
    topic: Topic
    seed: int
    days: int
    hours: int
    sensitivity: float
    clean: bool
    faults: tuple[Fault, ...]


def run(job: Job) -> Result:
    """One topic: warm-up, the clean day, the day with faults."""
    source = traffic(job.topic, job.seed, job.days, job.hours)
    detector = MetricAnomalies(sensitivity=job.sensitivity, window_seconds=SECONDS)
    live = detector.resume({}, None)
    result = Result(job.topic.name, fields=len(job.topic.columns))
    judged = job.days * PER_DAY
    count = judged + job.hours * PER_HOUR
    result.changes = [f"{_clock(at - judged)} {text}" for at, text in source.changes if at >= judged]
    for number, window in enumerate(source.windows(0, judged)):
        began = time.process_time()
        findings = live.judge(window)
        result.seconds += time.process_time() - began
        result.warm_up += [(number, each.summary) for each in findings if each.phase == "open"]
    result.windows = judged
    state = json.dumps([{name: live.part(name) for name in live.names}, live.episodes()])
    if job.clean:
        live = detector.resume(*json.loads(state))
        for number, window in enumerate(source.windows(judged, count)):
            result.clean += [(number, each.summary) for each in live.judge(window) if each.phase == "open"]
    if job.faults:
        _with_faults(job, source, detector.resume(*json.loads(state)), result)
    return result


def _with_faults(job: Job, source: Traffic, live: Any, result: Result) -> None:
    random = np.random.default_rng([job.seed, 2000, TOPICS.index(job.topic)])
    judged = job.days * PER_DAY
    delays: dict[Fault, tuple[int, str]] = {}
    for number, window in enumerate(source.windows(judged, judged + job.hours * PER_HOUR)):
        now = [each for each in job.faults if each.start <= number < each.start + each.length + FOLLOW_UP_WINDOWS]
        fault = now[-1] if now else None
        if fault is not None and number < fault.start + fault.length:
            window = broken(window, fault, random)
        for finding in live.judge(window):
            if finding.phase == "close":
                continue
            if fault is None:
                if finding.phase == "open":
                    result.beside.append((number, finding.summary))
                continue
            paths = {change.path for change in finding.changes}
            if (
                fault not in delays
                and number < fault.start + FOUND_WITHIN
                and (fault.path is None or fault.path in paths)
            ):
                delays[fault] = (number - fault.start + 1, finding.summary)
    result.found = [(each, *delays.get(each, (None, ""))) for each in job.faults]


def simulate(
    seed: int, *, hours: int = 24, days: int = 7, topics: Sequence[Topic] = TOPICS, clean: bool = True,
    faults: Sequence[Fault] | None = None, sensitivity: float = DEFAULT_SENSITIVITY, processes: int = 1,
) -> list[Result]:  # fmt: skip
    """The results of each topic. ``faults``: null for as many of each kind as usual."""
    planted = plant(seed, hours, topics, FAULTS_OF_A_KIND) if faults is None else list(faults)
    jobs = [
        Job(topic, seed, days, hours, sensitivity, clean, tuple(each for each in planted if each.topic == topic.name))
        for topic in topics
    ]
    if processes == 1:
        return [run(job) for job in jobs]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        results = []
        for result in pool.imap(run, jobs, chunksize=1):
            print(f"{result.topic}: {result.seconds:.0f} s of CPU", file=sys.stderr, flush=True)
            results.append(result)
        return results


def _clock(window: int) -> str:
    minutes = window * SECONDS // 60
    return f"{minutes // 60:02}:{minutes % 60:02}"


def report(results: Sequence[Result], seed: int, days: int, hours: int) -> None:
    young = Counter(at // PER_DAY + 1 for each in results for at, _ in each.warm_up)
    print(f"seed {seed}, {len(results)} topics, {days} days of warm-up, {hours} hours judged")
    print("alerts in the warm-up by day:", ", ".join(f"{day}: {young[day]}" for day in range(1, days + 1)))
    for result in results:
        for at, summary in result.warm_up:
            print(f"  warm-up day {at // PER_DAY + 1} {_clock(at % PER_DAY)} {summary}")
    print("deployments, level shifts, new fields:", sum(len(each.changes) for each in results))
    for result in results:
        for text in result.changes:
            print(f"  {result.topic} {text}")
    for name, alerts in (("no fault", [(r.topic, *a) for r in results for a in r.clean]),
                         ("beside the faults", [(r.topic, *a) for r in results for a in r.beside])):  # fmt: skip
        print(f"false alerts, {name}: {len(alerts)}")
        for _, at, summary in alerts:
            print(f"  {_clock(at)} {summary}")
    found = [each for result in results for each in result.found]
    if found:
        print("\n| fault | planted | found | median delay, windows | longest |\n| --- | --- | --- | --- | --- |")
        for kind in (*KINDS, "all"):
            of = [delay for fault, delay, _ in found if kind in {fault.kind, "all"}]
            known = [delay for delay in of if delay is not None]
            delays = f"{statistics.median(known):g} | {max(known)}" if known else "- | -"
            print(f"| {kind} | {len(of)} | {len(known)} | {delays} |")
        for fault, delay, summary in found:
            mark = "missed" if delay is None else f"after {delay}"
            print(f"  {mark}: {fault.kind} {fault.topic} {fault.path or ''} at {_clock(fault.start)} "
                  f"size {fault.size:.2f} {summary[:110]}")  # fmt: skip
    windows = sum(each.windows for each in results)
    if windows:
        seconds = sum(each.seconds for each in results)
        fields = sum(each.windows * each.fields for each in results)
        print(f"\n{1e6 * seconds / windows:.0f} us a window, {1e6 * seconds / fields:.0f} us a field and window")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--warm-up-days", type=int, default=7)
    parser.add_argument("--topics", type=int, default=len(TOPICS))
    parser.add_argument("--sensitivity", type=float, default=DEFAULT_SENSITIVITY)
    parser.add_argument("--faults", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--clean", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    began = time.monotonic()
    results = simulate(
        args.seed, hours=args.hours, days=args.warm_up_days, topics=TOPICS[: args.topics], clean=args.clean,
        faults=None if args.faults else (), sensitivity=args.sensitivity, processes=args.processes,
    )  # fmt: skip
    report(results, args.seed, args.warm_up_days, args.hours)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

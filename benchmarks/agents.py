"""What an agent worker takes of a core: the observations of 1,000 partitions with 50 fields each, windows of 10 s.

    python benchmarks/agents.py [--topics 20] [--partitions 50] [--fields 50] [--windows 12]

One collector's worth of observations, one a second and topic, goes through the worker's pipeline (decode, detectors,
windows, points into SQLite, baselines) as fast as it can; Kafka and Faust are left out. Prints CPU seconds per window
and the share of a core that this is at one window each ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Detection
from stream_lineage.agents.metric_watch import MetricWatch
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.agents.schema_texts import RegistryTexts
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.registry import detectors
from stream_lineage.model.observation import EventTimes
from stream_lineage.model.profile import Decoder, FieldProfile, NumericProfile, Profile, TypeCount
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.frequent import items_image
from stream_lineage.profile.quantiles import new_quantiles
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.observations import NOON, avro_reference, observation, span

RECORDS = 2_000


class Memory:
    """The topics and the table, in memory."""

    def __init__(self) -> None:
        self.alerts = self.bytes = 0
        self.table: dict[bytes, bytes] = {}

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        return self.table

    async def publish(self, alerts: Iterable[Alert]) -> None:
        self.alerts += len(list(alerts))

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in rows:
            self.bytes += len(value)
            self.table[key] = value


def profile(chance: np.random.Generator, fields: int) -> Profile:
    """A third each of numbers, categories and nullable texts."""
    made = []
    seen = DistinctSketch(10)
    seen.add(chance.integers(0, 2**63, RECORDS).astype(np.uint64))
    distinct = seen.to_bytes()
    for index in range(fields):
        nulls = int(chance.binomial(RECORDS, 0.02))
        text = (TypeCount("string", RECORDS - nulls),)
        if index % 3 == 0:
            values = chance.normal(50, 10, RECORDS)
            sketch = new_quantiles(64)
            sketch.update(values)
            mean = float(values.mean())
            numeric = NumericProfile(
                RECORDS, 0, float(values.min()), float(values.max()), mean, float(((values - mean) ** 2).sum()),
                bytes(sketch.serialize()),
            )  # fmt: skip
            number = (TypeCount("number", RECORDS),)
            made.append(FieldProfile(f"f{index}", number, RECORDS, 0, 0, numeric, distinct=distinct))
        elif index % 3 == 1:
            counts = chance.multinomial(RECORDS - nulls, [0.5, 0.3, 0.15, 0.05])
            items = items_image({f"=c{n}": int(count) for n, count in enumerate(counts)})
            made.append(FieldProfile(f"f{index}", text, RECORDS, nulls, 0, items=items))
        else:
            made.append(FieldProfile(f"f{index}", text, RECORDS, nulls, 0, distinct=distinct))
    return Profile(Decoder.COLUMNAR, Decoder.OPAQUE, RECORDS, 0, None, tuple(made), ())


def flushes(topics: int, partitions: int, fields: int, windows: int) -> list[list[bytes]]:
    """The observations of each window. Profiles repeat after a while: they are slow to make."""
    chance = np.random.default_rng(3)
    profiles = [profile(chance, fields) for _ in range(40)]
    each = RECORDS // partitions
    times = EventTimes(RECORDS, 0, 0, 0, 0, 800.0, 1200)
    found = []
    for window in range(windows):
        found.append(
            [
                encode_observation(
                    observation(
                        avro_reference(1, subject=f"t{topic}-value"),
                        *(span(p, n * each, n * each + each - 1) for p in range(partitions)),
                        topic=f"t{topic}", at=NOON + timedelta(seconds=n), event_times=times,
                        profile=profiles[int(chance.integers(len(profiles)))],
                    )
                )
                for n in range(window * 10, window * 10 + 10)
                for topic in range(topics)
            ]
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topics", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=50, help="of each topic")
    parser.add_argument("--fields", type=int, default=50)
    parser.add_argument("--windows", type=int, default=12)
    options = parser.parse_args()
    log = flushes(options.topics, options.partitions, options.fields, options.windows)
    with tempfile.TemporaryDirectory() as directory:
        outlet = Memory()
        pipeline: Pipeline[int] = Pipeline(
            Detection(detectors().values(), RegistryTexts(None), "http://ui"), outlet,
            SqliteStore(Path(directory) / "metrics.sqlite"), lambda _: None, MetricWatch(MetricAnomalies(), "http://ui"),
        )  # fmt: skip

        async def run() -> list[float]:
            pipeline.recovered([0])
            spent, offset = [], 0
            for window in log:
                before = time.process_time()
                for value in window:
                    await pipeline.take(0, offset, value, 0)
                    offset += 1
                spent.append(time.process_time() - before)
            return spent

        spent = asyncio.run(run())
        pipeline.close()
    half = spent[len(spent) // 2 :]
    usual = sorted(half)[len(half) // 2]
    print(f"{options.topics * options.partitions} partitions in {options.topics} topics, {options.fields} fields each")
    print(f"{usual:.2f} CPU seconds per window: {100 * usual / 10:.0f}% of a core at one window each 10 s")
    print(f"{outlet.bytes / options.windows / 1e6:.2f} MB into the changelog per window, {outlet.alerts} alerts")


if __name__ == "__main__":
    main()

"""What an InfluxDB that is away costs: points lost, memory, how fast the backlog is drained, how late live points are.

    INFLUXD_BIN=influxd python benchmarks/outbox.py --rate 2000 --away 600

Writes points at a fixed rate, kills InfluxDB for a while, starts it again, goes on until the backlog is there, and
compares what is there with what was written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from pydantic import SecretStr

from stream_lineage.store.open import open_outbox_store, open_store
from stream_lineage.store.outbox_store import OutboxStore
from stream_lineage.store.ports import MetricStore, Point
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd, find_influxd

START = datetime(2026, 1, 1, tzinfo=UTC)
TICK_SECONDS = 1.0
_FIELDS = ("slots", "nulls", "null_ratio", "missing_ratio", "types", "distinct", "min", "max", "mean", "p50", "p95")


def points(tick: int, rate: int) -> list[Point]:
    at = START + timedelta(seconds=tick)
    return [
        Point(
            "lineage_field",
            {"cluster": "bench", "topic": f"topic-{number // 50}", "field": f"field.of.a.record.{number % 50}"},
            {name: number + tick + 0.25 for name in _FIELDS},
            at,
        )
        for number in range(rate)
    ]


class Writer:
    """Writes ``rate`` points a second, and looks how long a write takes."""

    def __init__(self, store: OutboxStore, rate: int) -> None:
        self.store = store
        self.rate = rate
        self.tick = 0
        self.longest_write = 0.0
        self.written_at: dict[int, float] = {}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        due = time.monotonic()
        while not self.stop.is_set():
            batch = points(self.tick, self.rate)
            started = time.monotonic()
            self.store.write(batch)
            self.longest_write = max(self.longest_write, time.monotonic() - started)
            self.written_at[self.tick] = started
            self.tick += 1
            due += TICK_SECONDS
            self.stop.wait(max(0.0, due - time.monotonic()))


def live_delay(reader: MetricStore, writer: Writer) -> float:
    """How long the newest tick takes to be there, seconds."""
    tick = writer.tick
    while tick not in writer.written_at:
        time.sleep(0.01)
    at = START + timedelta(seconds=tick)
    tags = {"topic": "topic-0", "field": "field.of.a.record.0"}
    while not reader.range("lineage_field", at, at + timedelta(seconds=1), tags):
        time.sleep(0.2)
    return time.monotonic() - writer.written_at[tick]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2000, help="points a second")
    parser.add_argument("--away", type=float, default=60.0, help="seconds")
    arguments = parser.parse_args()
    binary = find_influxd()
    if binary is None:
        raise SystemExit("INFLUXD_BIN names no file, and influxd is not on PATH")
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as directory:
        server = Influxd(binary, Path(directory) / "influx")
        server.start()
        settings = StoreSettings(
            influx_url=server.url, influx_org=server.org, influx_token=SecretStr(server.token),
            outbox_path=Path(directory) / "outbox",
        )  # fmt: skip
        store = open_outbox_store(settings).inside
        assert isinstance(store, OutboxStore)
        reader = open_store(settings)
        writer = Writer(store, arguments.rate)
        writer.thread.start()
        time.sleep(10)
        before = [live_delay(reader, writer) for _ in range(5)]
        memory = [process.memory_info().rss]
        server.kill()
        until = time.monotonic() + arguments.away
        while time.monotonic() < until:
            time.sleep(min(5.0, arguments.away))
            memory.append(process.memory_info().rss)
        backlog = store.health()
        server.start()
        while store.health().trouble:
            time.sleep(0.05)
        started, sent = time.monotonic(), store.health().sent
        delays = []
        while store.health().oldest_seconds > 5:
            delays.append(live_delay(reader, writer))
            memory.append(process.memory_info().rss)
        drained = time.monotonic() - started
        sent = store.health().sent - sent
        writer.stop.set()
        writer.thread.join()
        done = store.drained(60)
        found = 0
        for tick in range(0, writer.tick, 60):
            counted = reader.aggregate(
                "lineage_field", "mean", START + timedelta(seconds=tick), START + timedelta(seconds=tick + 60),
                window_seconds=60, aggregation="count",
            )  # fmt: skip
            found += round(sum(bucket.value for bucket in counted))
        result = {
            "written": writer.tick * arguments.rate,
            "there": found,
            "all_arrived": done,
            "backlog_points": backlog.waiting,
            "backlog_mb": round(backlog.waiting_bytes / 1e6, 1),
            "drain_seconds": round(drained, 1),
            "points_per_second_while_draining": round(sent / drained),
            "times_the_live_rate": round(sent / drained / arguments.rate, 1),
            "live_delay_before_seconds": round(max(before), 2),
            "live_delay_while_draining_seconds": round(max(delays, default=0.0), 2),
            "longest_write_seconds": round(writer.longest_write, 2),
            "memory_before_mb": round(memory[0] / 1e6),
            "memory_most_mb": round(max(memory) / 1e6),
            "health": str(store.health()),
        }
        store.close()
        reader.close()
        server.stop()
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

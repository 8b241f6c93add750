"""How much of Kafka's own speed is left when everything is observed.

    make bench                      every shape and every format, about ten minutes
    python benchmarks/collect/run.py --rows json-schema json-schema-nested connect-json-wide
    python benchmarks/collect/run.py --rows six-fields --records 500000

Every contender reads the same topic of a real Kafka in a process of its own, one after the other, timed from the first
record that it gets to the last that it is done with; for stream_lineage that is the commit of the last transaction.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from stream_lineage.model.schema import SchemaType
from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from workload import USUAL, WORKLOADS, Workload  # noqa: E402

PARTITIONS = 4
UNIQUE = 200_000
SMALLER = {"fastavro": 4, "python-profile": 8, "quixstreams": 8, "faust": 100}
"""Slow contenders read this fraction of the records: what is compared is the time per record."""
GOALS = {"bare": 0.8, "fastavro": 3, "python-profile": 5, "quixstreams": 5, "faust": 100}


@dataclass(frozen=True, slots=True)
class Result:
    records: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        return self.cpu_seconds / self.records * 1e6


def load(sandbox: Sandbox, workload: Workload, count: int) -> str:
    """Fill a topic; its name."""
    topic = f"bench-{workload.name}"
    admin = AdminClient({"bootstrap.servers": sandbox.bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result()
    schema_id = 0
    if workload.registered is not None:
        registry = SchemaRegistry(RegistrySettings(schema_registry_url=sandbox.schema_registry_url))
        kind, text = workload.registered
        schema_id = registry.register(f"{topic}-value", text, SchemaType(kind))
    payloads = workload.payloads(min(count, UNIQUE // (10 if "wide" in workload.name else 1)), schema_id)
    producer = Producer(
        {
            "bootstrap.servers": sandbox.bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for index in range(count):
        while True:
            try:
                producer.produce(topic, payloads[index % len(payloads)], partition=index // 1_000 % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()
    return topic


def measure(contender: str, sandbox: Sandbox, topic: str, workload: Workload, count: int, repeats: int) -> Result:
    """The median of some runs."""
    results = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as state:
            command: list[Any] = [sys.executable, HERE / "contenders.py", contender, "--topic", topic, "--count", count]
            command += ["--bootstrap", sandbox.bootstrap_servers, "--registry", sandbox.schema_registry_url]
            command += ["--workload", workload.name, "--partitions", PARTITIONS, "--state-dir", state]
            done = subprocess.run(
                [str(part) for part in command], capture_output=True, text=True, timeout=600, check=False
            )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise SystemExit(f"{contender} gave no result:\n{done.stderr[-3000:]}")
        results.append(Result(**json.loads(lines[-1])))
    results.sort(key=lambda result: result.rate)
    middle = results[len(results) // 2]
    spread = statistics.pstdev([result.rate for result in results]) / middle.rate if len(results) > 1 else 0.0
    Console(stderr=True).print(f"  {contender}: {middle.rate:,.0f} records/s (spread {spread:.0%})", highlight=False)
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rows", nargs="*", default=list(USUAL), choices=list(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contenders", nargs="*", default=None)
    arguments = parser.parse_args()
    table = Table(title=f"Full observation against others, {arguments.records:,} records in {PARTITIONS} partitions")
    for column in ("records", "contender", "records/s", "CPU µs/record", "stream_lineage is", "goal"):
        table.add_column(column, justify="left" if column in ("records", "contender") else "right")
    with Sandbox(SandboxSettings(heap="1g")) as sandbox:
        for name in arguments.rows:
            workload = WORKLOADS[name]
            others = ["bare", "bare-defaults", "fastavro", "python-profile"]
            if name == "six-fields":
                others += ["quixstreams", "faust"]
            if arguments.contenders is not None:
                others = [other for other in others if other in arguments.contenders]
            count = arguments.records // (1 if name == "six-fields" else 50 if "wide" in name else 2)
            topic = load(sandbox, workload, count)
            own = measure("stream_lineage", sandbox, topic, workload, count, arguments.repeats)
            table.add_row(name, "stream_lineage", f"{own.rate:,.0f}", f"{own.cpu_microseconds:.2f}", "", "")
            for other in others:
                repeats = arguments.repeats if other.startswith("bare") else 1
                result = measure(other, sandbox, topic, workload, count // SMALLER.get(other, 1), repeats)
                goal = f"{GOALS[other]} x" if other in GOALS and name == "six-fields" else ""
                table.add_row(
                    name,
                    other,
                    f"{result.rate:,.0f}",
                    f"{result.cpu_microseconds:.2f}",
                    f"{own.rate / result.rate:.2f} x",
                    goal,
                )
            table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

"""What the roles take of memory and processor, by how much there is to observe.

    python benchmarks/footprint.py [--rates 0 1000 20000] [--seconds 40] [--topics 25]

Starts a broker and a registry, `stream-lineage run` with its default settings (SQLite), and a producer of six-field
Avro records over topics of four partitions. At each rate, after a while to settle, each process is looked at once a
second:
the most that it had resident, and its share of one core.
"""

from __future__ import annotations

import argparse
import io
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import fastavro
import httpx
import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.sandbox.cluster import Sandbox
from stream_lineage.sandbox.settings import SandboxSettings

SETTLE_SECONDS = 20.0
SCHEMA = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "country", "type": "string"},
        {"name": "note", "type": ["null", "string"]},
    ],
}


def bodies(schema_id: int) -> list[bytes]:
    made = []
    for n in range(1_000):
        file = io.BytesIO()
        record = {"id": n, "customer": f"c{n % 97}", "amount": n * 1.5, "paid": n % 3 == 0,
                  "country": ("DE", "FR", "PL")[n % 3], "note": None if n % 5 else "gift"}  # fmt: skip
        fastavro.schemaless_writer(file, fastavro.parse_schema(dict(SCHEMA)), record)
        made.append(b"\x00" + schema_id.to_bytes(4, "big") + file.getvalue())
    return made


class Writer(threading.Thread):
    """Writes ``rate`` records a second over the topics until ``ended``."""

    def __init__(self, servers: str, topics: list[str], records: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
        )
        self._topics, self._records = topics, records
        self.rate, self.ended, self.written = 0.0, threading.Event(), 0

    def run(self) -> None:
        owed, before = 0.0, time.monotonic()
        while not self.ended.wait(0.02):
            now = time.monotonic()
            owed, before = owed + self.rate * (now - before), now
            for _ in range(int(owed)):
                n = self.written
                self._producer.produce(
                    self._topics[n % len(self._topics)], self._records[n % 1_000], key=f"k{n % 1000}"
                )
                self.written += 1
            owed -= int(owed)
            self._producer.poll(0)
        self._producer.flush(10)


def role_of(process: psutil.Process) -> str | None:
    words = process.cmdline()
    if "stream_lineage.collect.worker" in words:
        return "collector's decoder"
    if words[1:3] == ["-m", "stream_lineage.cli.main"]:
        return {"run": "run", "collect": "collector", "agents": "agents"}.get(words[3])
    return "watchers of children"


def looked(process: psutil.Process) -> dict[str, tuple[float, float]]:
    """By role: MB resident, seconds of processor so far."""
    found: dict[str, tuple[float, float]] = {}
    for each in [process, *process.children(recursive=True)]:
        try:
            role, memory, cpu = role_of(each), each.memory_info().rss / 1e6, sum(each.cpu_times()[:2])
        except psutil.Error:
            continue
        if role is not None:
            before = found.get(role, (0.0, 0.0))
            found[role] = (before[0] + memory, before[1] + cpu)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 1_000, 20_000])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--topics", type=int, default=25)
    options = parser.parse_args()
    topics = [f"orders-{n}" for n in range(options.topics)]
    with Sandbox(SandboxSettings()) as sandbox, tempfile.TemporaryDirectory() as state:
        admin = AdminClient({"bootstrap.servers": sandbox.bootstrap_servers})
        for made in admin.create_topics([NewTopic(topic, num_partitions=4) for topic in topics]).values():
            made.result(30)
        schema = {"schema": str(SCHEMA).replace("'", '"')}
        for topic in topics:
            answer = httpx.post(f"{sandbox.schema_registry_url}/subjects/{topic}-value/versions", json=schema)
        writer = Writer(sandbox.bootstrap_servers, topics, bodies(answer.raise_for_status().json()["id"]))
        writer.start()
        command = [
            sys.executable,
            "-m",
            "stream_lineage.cli.main",
            "run",
            "--bootstrap-servers",
            sandbox.bootstrap_servers,
        ]
        command += ["--schema-registry-url", str(sandbox.schema_registry_url), "--state-dir", state]
        with (Path(state) / "log").open("w") as log, subprocess.Popen(command, stderr=log) as running:
            process = psutil.Process(running.pid)
            for rate in options.rates:
                writer.rate = rate
                time.sleep(SETTLE_SECONDS)
                first, began, written = looked(process), time.monotonic(), writer.written
                most = dict.fromkeys(first, 0.0)
                while time.monotonic() - began < options.seconds:
                    time.sleep(1)
                    last = looked(process)
                    most = {role: max(most.get(role, 0), memory) for role, (memory, _) in last.items()}
                seconds = time.monotonic() - began
                print(f"{(writer.written - written) / seconds:10.0f} records/s", flush=True)
                for role, memory in sorted(most.items()):
                    cpu = (last[role][1] - first.get(role, (0, 0))[1]) / seconds
                    print(f"  {role:22} {memory:6.0f} MB {cpu:6.1%} of a core", flush=True)
            writer.ended.set()
            running.send_signal(signal.SIGTERM)
            running.wait(90)


if __name__ == "__main__":
    main()

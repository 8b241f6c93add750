"""A job of the pipeline as a program of its own: ``python -m stream_lineage.sandbox.demo.job NAME ...``."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from stream_lineage.sandbox.demo.scenarios import SCENARIOS, SCHEMA
from stream_lineage.sdk import Lineage, LineageConsumer, LineageProducer

TICK_SECONDS = 0.05
_BATCH = 500
_POLL_SECONDS = 0.2
_FLUSH_SECONDS = 5.0

JOBS = {
    "crm-sync": "crm_sync",
    "web-tracker": "web_tracker",
    "feature-builder": "feature_builder",
    "purchase-scorer": "purchase_scorer",
}
"""Jobs in the order of the stream, each in its module."""


@dataclass(slots=True)
class Job:
    """What every job has: where Kafka and the registry are, and when to end.

    Nothing is written before the file ``begin`` is there, where one is named. ``scenario`` is the fault that new
    releases hold, ``fault`` the same once they are rolled out. ``lineage`` writes down what records are made from.
    """

    name: str
    bootstrap_servers: str
    registry_url: str
    release: Path
    begin: Path | None = None
    scenario: str = SCHEMA.name
    stop: threading.Event = field(default_factory=threading.Event)
    lineage: Lineage = field(default_factory=Lineage)
    _released: bool = False

    @property
    def fault(self) -> str | None:
        self._released = self._released or self.release.exists()
        return self.scenario if self._released else None

    def producer(self) -> LineageProducer:
        return LineageProducer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "client.id": self.name,
                "enable.idempotence": True,
                "linger.ms": 20,
                "compression.type": "lz4",
            },
            lineage=self.lineage,
        )

    def ticks(self, per_second: float) -> Iterator[int]:
        """Until the end: how many records are due, every now and then."""
        self.wait_for_begin()
        began, done = time.monotonic(), 0
        while not self.stop.wait(TICK_SECONDS):
            due = int((time.monotonic() - began) * per_second)
            yield due - done
            done = due

    def wait_for_begin(self) -> None:
        """Return when it is time to write, or to end."""
        while self.begin is not None and not self.begin.exists() and not self.stop.wait(TICK_SECONDS):
            pass

    def messages(self, *topics: str) -> Iterator[list[Message]]:
        """Until the end: batches of the topics' records, as the consumer group of the job's name."""
        consumer = LineageConsumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "client.id": self.name,
                "group.id": self.name,
                "auto.offset.reset": "earliest",
            },
            lineage=self.lineage,
        )
        consumer.subscribe(list(topics))
        try:
            while not self.stop.is_set():
                yield [message for message in consumer.consume(_BATCH, _POLL_SECONDS) if message.error() is None]
        finally:
            consumer.close()

    def flush(self, producer: LineageProducer) -> None:
        """Before the end: what is still to be sent."""
        producer.flush(_FLUSH_SECONDS)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=JOBS)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--registry-url", required=True)
    parser.add_argument("--release", type=Path, required=True, help="the new releases are out once this file exists")
    parser.add_argument("--begin", type=Path, help="nothing is written before this file exists")
    parser.add_argument("--scenario", choices=SCENARIOS, default=SCHEMA.name, help="the fault that they hold")
    options: Any = parser.parse_args(arguments)
    job = Job(
        options.name, options.bootstrap_servers, options.registry_url, options.release, options.begin, options.scenario
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: job.stop.set())
    run: Callable[[Job], None] = importlib.import_module(f"{__package__}.{JOBS[options.name]}").run
    run(job)
    return 0


if __name__ == "__main__":
    # Under its own name, so that the jobs' modules and this one mean the same class.
    from stream_lineage.sandbox.demo.job import main as job_main

    sys.exit(job_main(sys.argv[1:]))

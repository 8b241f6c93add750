"""What observes a topic up to its end, each in a process of its own. Prints one JSON line: records, seconds, CPU."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from workload import WORKLOADS

CONSUMER = {
    "isolation.level": "read_committed",
    "queued.max.messages.kbytes": 32_768,
    "fetch.queue.backoff.ms": 10,
    "enable.auto.commit": False,
}
BATCH = 10_000


class Clock:
    """From the first record on: what it takes to start and to join a group is not what is measured."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.cpu_started = 0.0

    def first(self) -> None:
        if self.started is None:
            self.started = time.perf_counter()
            self.cpu_started = cpu_seconds()


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def consume(arguments: argparse.Namespace, clock: Clock, work: Callable[[list[Any]], None]) -> int:
    """A plain consume() loop."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            **CONSUMER,
            "bootstrap.servers": arguments.bootstrap,
            "group.id": "bench-bare",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(arguments.topic, partition, 0) for partition in range(arguments.partitions)])
    seen = 0
    while seen < arguments.count:
        messages = consumer.consume(BATCH, timeout=0.1)
        if messages:
            clock.first()
            work(messages)
            seen += len(messages)
    arguments.seconds = time.perf_counter() - (clock.started or 0.0)
    consumer.close()
    return seen


def bare(arguments: argparse.Namespace, clock: Clock) -> int:
    return consume(arguments, clock, lambda messages: None)


def bare_defaults(arguments: argparse.Namespace, clock: Clock) -> int:
    """As people write it: librdkafka then leaves a full queue alone for a second."""
    CONSUMER.pop("fetch.queue.backoff.ms")
    return consume(arguments, clock, lambda messages: None)


def with_fastavro(arguments: argparse.Namespace, clock: Clock, profile: Callable[[Any], None] | None = None) -> int:
    read = WORKLOADS[arguments.workload].reader()

    def work(messages: list[Any]) -> None:
        for message in messages:
            record = read(message.value())
            if profile is not None:
                profile(record)

    return consume(arguments, clock, work)


def with_python_profile(arguments: argparse.Namespace, clock: Clock) -> int:
    fields: dict[str, dict[str, Any]] = {}

    def profile(record: dict[str, Any]) -> None:
        for name, value in record.items():
            state = fields.get(name)
            if state is None:
                state = fields[name] = {"nulls": 0, "count": 0, "sum": 0.0, "min": None, "max": None, "top": Counter()}
            if value is None:
                state["nulls"] += 1
                continue
            state["count"] += 1
            if isinstance(value, int | float):
                state["sum"] += value
                if state["min"] is None or value < state["min"]:
                    state["min"] = value
                if state["max"] is None or value > state["max"]:
                    state["max"] = value
            elif isinstance(value, str) and len(state["top"]) < 10_000:
                state["top"][value] += 1

    return with_fastavro(arguments, clock, profile)


def quix(arguments: argparse.Namespace, clock: Clock) -> int:
    from quixstreams import Application

    application = Application(
        broker_address=arguments.bootstrap,
        consumer_group=f"bench-quix-{os.getpid()}",
        auto_offset_reset="earliest",
        consumer_extra_config={"queued.max.messages.kbytes": 32_768, "fetch.queue.backoff.ms": 10},
        loglevel="ERROR",
    )
    topic = application.topic(arguments.topic, value_deserializer="bytes", key_deserializer="bytes")
    seen = 0

    def count(value: Any) -> Any:
        nonlocal seen
        clock.first()
        seen += 1
        if seen == arguments.count:
            arguments.seconds = time.perf_counter() - (clock.started or 0.0)
        return value

    application.dataframe(topic).update(count)
    application.run(count=arguments.count)
    return seen


def faust_noop(arguments: argparse.Namespace, clock: Clock) -> int:
    import faust

    application = faust.App(
        f"bench-faust-{os.getpid()}",
        broker=f"kafka://{arguments.bootstrap}",
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
    )
    topic = application.topic(arguments.topic, value_serializer="raw", key_serializer="raw")
    state = {"seen": 0}

    @application.agent(topic)
    async def noop(stream: Any) -> None:
        async for _ in stream:
            clock.first()
            state["seen"] += 1
            if state["seen"] >= arguments.count:
                report(arguments, clock, state["seen"], time.perf_counter() - (clock.started or 0.0))
                os._exit(0)

    worker = faust.Worker(application, loglevel="ERROR", redirect_stdouts=False)
    worker.execute_from_commandline()
    return state["seen"]


def ours(arguments: argparse.Namespace, clock: Clock) -> int:
    """Full observation: profile, spans, chain, transactions. Ends with the commit of the last flush."""
    from stream_lineage import runtime
    from stream_lineage.collect import open_flush as module
    from stream_lineage.collect.batch import topic_batches
    from stream_lineage.settings import load_settings

    def timed(messages: Any, *more: Any) -> Any:
        clock.first()
        return topic_batches(messages, *more)

    module.topic_batches = timed  # type: ignore[assignment]
    settings = load_settings(
        {
            "bootstrap_servers": arguments.bootstrap,
            "schema_registry_url": arguments.registry,
            "include": (arguments.topic,),
            "group_id": f"bench-ours-{os.getpid()}",
            "topic_prefix": f"bench{os.getpid()}.",
            "state_dir": Path(arguments.state_dir),
            "until_end": True,
        },
        environ={},
    )

    def committed(_recording: Any, _flush: Any) -> None:
        arguments.seconds = time.perf_counter() - (clock.started or 0.0)

    with runtime.collector(settings, on_committed=committed) as collector:
        totals = collector.run()
    return totals.records


CONTENDERS: dict[str, Callable[[argparse.Namespace, Clock], int]] = {
    "bare": bare,
    "bare-defaults": bare_defaults,
    "fastavro": with_fastavro,
    "python-profile": with_python_profile,
    "quixstreams": quix,
    "faust": faust_noop,
    "stream_lineage": ours,
}


def report(arguments: argparse.Namespace, clock: Clock, records: int, seconds: float) -> None:
    print(
        json.dumps({"records": records, "seconds": seconds, "cpu_seconds": cpu_seconds() - clock.cpu_started}),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=sorted(CONTENDERS))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--registry")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--workload", default="six-fields", choices=sorted(WORKLOADS))
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--state-dir", default=".")
    arguments = parser.parse_args(sys.argv[1:])
    sys.argv = [sys.argv[0], "worker", "--without-web"] if arguments.contender == "faust" else sys.argv[:1]
    clock = Clock()
    arguments.seconds = 0.0
    records = CONTENDERS[arguments.contender](arguments, clock)
    report(arguments, clock, records, arguments.seconds)


if __name__ == "__main__":
    main()

"""How a collector starts and idles beside very many topics.

    python benchmarks/scale.py                          10,000 topics, 20,000 partitions: about fifteen minutes
    python benchmarks/scale.py --topics 1000
    python benchmarks/scale.py --protocols consumer

On a real Kafka of three brokers, since one process may not open as many files as one broker would have to. A hundred of
the topics get records all the while; of the others most are empty. The collector is started twice under each
protocol: first knowing nothing, then with all offsets committed. Each start is timed from the process to its first
commit. Then it is left alone for a while, and what it takes of processor, memory and network is measured, and how long
records in topics that were still until then take to be committed as observed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.sandbox import Sandbox, SandboxSettings

BUSY = 100
RATE = 200
AT_ONCE = 250
GROUP = "scale"
START_SECONDS = 600
END_SECONDS = 180
LONE_RECORDS = 7
_SS = shutil.which("ss") or "/usr/bin/ss"
_BYTES = re.compile(r"bytes_(sent|received):(\d+)")
_SENT = re.compile(r"Sent (\w+)Request \(v\d+, (\d+) bytes")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--topics", type=int, default=10_000)
    arguments.add_argument("--partitions", type=int, default=2, help="of each topic")
    arguments.add_argument("--idle-seconds", type=float, default=60)
    arguments.add_argument("--protocols", nargs="+", choices=("classic", "consumer"), default=["classic", "consumer"])
    arguments.add_argument("--heap", default="768m", help="of each broker")
    arguments.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="of the collector")
    given = arguments.parse_args()
    settings = SandboxSettings(brokers=3, registry=False, heap=given.heap, broker_config={"num.partitions": "1"})
    with Sandbox(settings) as sandbox, tempfile.TemporaryDirectory() as directory:
        names = [f"t{number:05}" for number in range(given.topics)]
        told("topics created", create(sandbox.bootstrap_servers, names, given.partitions))
        told("records written", fill(sandbox.bootstrap_servers, names, given.partitions))
        settle(sandbox.bootstrap_servers)
        for protocol in given.protocols:
            for start in ("first", "second"):
                flags = ["--group-id", f"{GROUP}-{protocol}", "--group-protocol", protocol, "--include", r"t\d+",
                         "--topic-prefix", f"{protocol}.", *given.flags]  # fmt: skip
                name = f"{protocol}, {start} start"
                with (
                    collecting(sandbox.bootstrap_servers, Path(directory), name, flags) as log,
                    traffic(sandbox.bootstrap_servers, names[:BUSY]),
                ):
                    for event in ("partitions assigned", "first commit"):
                        wait_for(log, event, START_SECONDS)
                        told(f"{name}: {event}", time.monotonic() - log.began, processor(log.family()))
                    idle(log, given.idle_seconds)
                    lone(sandbox.bootstrap_servers, f"{GROUP}-{protocol}", names[BUSY:])


def told(what: str, seconds: float, processor_seconds: float | None = None) -> None:
    more = "" if processor_seconds is None else f", of processor {processor_seconds:6.1f} s"
    print(f"{what:42} {seconds:8.1f} s{more}", flush=True)


def create(bootstrap_servers: str, names: list[str], partitions: int) -> float:
    """One replica each: it is the collector that is measured."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    began = time.monotonic()
    for first in range(0, len(names), AT_ONCE):
        wanted = [NewTopic(name, partitions, 1) for name in names[first : first + AT_ONCE]]
        for future in admin.create_topics(wanted, request_timeout=120, operation_timeout=60).values():
            future.result(180)
    return time.monotonic() - began


def fill(bootstrap_servers: str, names: list[str], partitions: int) -> float:
    """One record into every tenth topic: the client takes a while to find out where so many are."""
    began = time.monotonic()
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 100, "log_level": 3})
    for number, name in enumerate(names[::10]):
        producer.produce(name, b'{"number": %d}' % number, partition=number % partitions)
        producer.poll(0)
    assert producer.flush(300) == 0
    return time.monotonic() - began


def settle(bootstrap_servers: str) -> None:
    """Wait until the brokers have nothing left to do for the new topics and answer for groups."""
    deadline = time.monotonic() + 300
    while True:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        try:
            admin.describe_consumer_groups([GROUP], request_timeout=30)[GROUP].result(40)
            return
        except (KafkaException, TimeoutError):
            assert time.monotonic() < deadline


@contextmanager
def traffic(bootstrap_servers: str, names: list[str]) -> Iterator[None]:
    """Records at a steady rate."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 50, "log_level": 3})
    stopping = threading.Event()

    def run() -> None:
        number = 0
        while not stopping.wait(0.1):
            for _ in range(RATE // 10):
                producer.produce(names[number % len(names)], b'{"number": %d}' % number)
                number += 1
            producer.poll(0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
    producer.flush(60)


class Log:
    """A collector's process and what it logs."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self.process, self.path = process, path
        self.began = time.monotonic()

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def events(self) -> list[dict[str, Any]]:
        lines = self.path.read_text(errors="replace").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def collecting(bootstrap_servers: str, directory: Path, name: str, flags: list[str]) -> Iterator[Log]:
    """With a log of each request once it has started; that is what ``debug=protocol`` gives."""
    command = [
        sys.executable, __file__, "--collector", "--bootstrap-servers", bootstrap_servers,
        "--state-dir", str(directory / "state"), "--log-level", "debug", "--log-format", "json",
        "--kafka", "debug=protocol", *flags,
    ]  # fmt: skip
    path = directory / f"{name}.log"
    with path.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ})
    try:
        yield Log(process, path)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_SECONDS) == 0
        told(f"{name}: end", time.monotonic() - began)
    finally:
        process.kill()
        process.wait()


def wait_for(log: Log, event: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not any(event in line for line in log.path.open(errors="replace")):
        assert log.process.poll() is None, log.path.read_text()[-3000:]
        assert time.monotonic() < deadline, log.path.read_text()[-3000:]
        time.sleep(0.2)


def idle(log: Log, seconds: float) -> None:
    """What the collector costs while next to nothing happens."""
    family = log.family()
    skipped, cpu, network = len(log.events()), processor(family), bytes_on_the_wire(log.process.pid)
    time.sleep(seconds)
    minutes = seconds / 60
    print(f"  resident            {sum(p.memory_info().rss for p in family) / 2**20:10.0f} MiB, of these "
          f"{family[0].memory_info().rss / 2**20:.0f} MiB without the decoding process")  # fmt: skip
    print(f"  processor           {100 * (processor(family) - cpu) / seconds:10.1f} % of one core")
    sent, received = (after - before for after, before in
                      zip(bytes_on_the_wire(log.process.pid), network, strict=True))  # fmt: skip
    print(f"  sent                {sent / minutes / 2**20:10.2f} MiB a minute")
    print(f"  received            {received / minutes / 2**20:10.2f} MiB a minute")
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for event in log.events()[skipped:]:
        if (found := _SENT.search(str(event.get("text", "")))) is not None:
            counts[found[1]] += 1
            sizes[found[1]] += int(found[2])
    for name, count in counts.most_common(8):
        print(f"  {name + ' requests':22} {count / minutes:7.0f} a minute, {sizes[name] / minutes / 2**20:8.2f} MiB")


def lone(bootstrap_servers: str, group_id: str, names: list[str]) -> None:
    """How long single records take from their producer to the group's offset."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 3})
    group = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group_id, "log_level": 3})
    took: list[float] = []
    for name in random.sample(names, LONE_RECORDS):
        written: list[Message] = []
        producer.produce(name, b"{}", partition=0, on_delivery=lambda _, message, seen=written: seen.append(message))
        assert producer.flush(60) == 0
        began, end = time.monotonic(), int(written[0].offset() or 0) + 1
        while group.committed([TopicPartition(name, 0)], timeout=60)[0].offset < end:
            assert time.monotonic() - began < START_SECONDS
            time.sleep(0.1)
        took.append(time.monotonic() - began)
    group.close()
    took.sort()
    middle = took[len(took) // 2]
    print(
        f"  a lone record       {middle:10.1f} s until it is observed and committed, {took[-1]:.1f} s at most",
        flush=True,
    )


def processor(family: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in family)


def bytes_on_the_wire(pid: int) -> tuple[int, int]:
    """Sent and received over the connections that are open now."""
    found = subprocess.run([_SS, "-tipnO"], capture_output=True, text=True, check=True).stdout
    totals = Counter({"sent": 0, "received": 0})
    for line in found.splitlines():
        if f"pid={pid}," in line:
            for direction, count in _BYTES.findall(line):
                totals[direction] += int(count)
    return totals["sent"], totals["received"]


def collector() -> None:
    """The command, which also says when it has committed for the first time."""
    from stream_lineage import runtime
    from stream_lineage.cli.main import main as command

    made = runtime.collector
    said = []

    def saying(*arguments: Any, **options: Any) -> Any:
        def on_committed(*_: Any) -> None:
            if not said:
                said.append(True)
                print("first commit", file=sys.stderr, flush=True)

        return made(*arguments, on_committed=on_committed, **options)

    runtime.collector = saying  # type: ignore[assignment]
    sys.argv[1:2] = ["collect"]
    command()


if __name__ == "__main__":
    collector() if sys.argv[1:2] == ["--collector"] else main()

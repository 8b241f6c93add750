"""How long it takes to find the sources of a record in a provenance index of a million spans.

    python benchmarks/trace.py [--spans 1000000]

Paths of five hops with 10,000 sources: in order (a window over copies, a handful of rows) and out of order (each source
a row of its own in each hop); look-ups of single records, their paths, and what was made of them. CPU is the mean: on a
machine that does something else meanwhile it says more than the time that passed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex
from stream_lineage.index.walk import walk
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import OffsetSpan
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SOURCES = 10_000
PARTITIONS = 8
SCHEMAS = [
    SchemaReference(
        SchemaType.AVRO, Framing.CONFLUENT_PREFIX, id=n, subject="clicks-value", version=n, fingerprint="ff"
    )
    for n in (1, 2)
]


def spans(total: int) -> Iterator[Entry]:
    """Spans of alternating schemas, so that none merge."""
    per_message = 1000
    for number in range(total // per_message):
        partition = number % 100
        start = number // 100 * per_message * 10
        for version in (0, 1):
            own = tuple(
                OffsetSpan(partition, start + i * 10, start + i * 10 + 9, 10) for i in range(version, per_message, 2)
            )
            observation = Observation(
                f"{number}-{version}", ObservationKind.OBSERVATION, "prod", f"topic-{partition}", "id", "c", NOW,
                SCHEMAS[version], OPAQUE, 10 * len(own), 0, 0, None, own, None, (),
            )  # fmt: skip
            yield Entry("observations", encode_observation(observation))


def edges(topic: str, rows: Iterable[RecordEdge]) -> Iterator[Entry]:
    chunk: list[RecordEdge] = []
    for row in sorted(rows, key=lambda each: (each.partition, each.offset)):
        chunk.append(row)
        if len(chunk) == 2000:
            yield Entry("edges", encode_edges(EdgeBatch("b", "prod", topic, "id", "c", NOW, tuple(chunk))))
            chunk = []
    if chunk:
        yield Entry("edges", encode_edges(EdgeBatch("b", "prod", topic, "id", "c", NOW, tuple(chunk))))


def in_order(prefix: str) -> Iterator[Entry]:
    """Four copies in offset order, then one record of a window of 10,000."""
    for hop in range(4):
        copies = [RecordEdge(0, o, (ParentRange(f"{prefix}{hop}", 0, o, o),)) for o in range(SOURCES * 3)]
        yield from edges(f"{prefix}{hop + 1}", copies)
    yield from edges(f"{prefix}5", [RecordEdge(0, 0, (ParentRange(f"{prefix}4", 0, SOURCES, 2 * SOURCES - 1),))])


def out_of_order(prefix: str, chance: random.Random) -> Iterator[Entry]:
    """Four hops in which keys move records to other partitions and places, then a record of 10,000 scattered ones."""
    places = [(n % PARTITIONS, n // PARTITIONS) for n in range(SOURCES * 3)]
    for hop in range(4):
        shuffled = places.copy()
        chance.shuffle(shuffled)
        rows = [
            RecordEdge(partition, offset, (ParentRange(f"{prefix}{hop}", *parent, parent[1]),))
            for (partition, offset), parent in zip(places, shuffled, strict=True)
        ]
        yield from edges(f"{prefix}{hop + 1}", rows)
    chosen = sorted(chance.sample(places, SOURCES))
    parents = tuple(ParentRange(f"{prefix}4", partition, offset, offset) for partition, offset in chosen)
    yield from edges(f"{prefix}5", [RecordEdge(0, 0, parents)])


def built(path: Path, wanted: int) -> None:
    writer = IndexWriter(path)
    chance = random.Random(1)
    for entries in (spans(wanted), in_order("ordered-"), out_of_order("scattered-", chance)):
        batch: list[Entry] = []
        for entry in entries:
            batch.append(entry)
            if len(batch) == 50:
                assert writer.write(batch, {}) == 0
                batch = []
        assert writer.write(batch, {}) == 0
    writer.close()


def timed(what: str, ask: Callable[[], Any], times: int) -> None:
    took = []
    cpu = time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        ask()
        took.append((time.perf_counter() - started) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / times
    took.sort()
    p99 = took[min(int(len(took) * 0.99), len(took) - 1)]
    print(
        f"{what:<44} median {statistics.median(took):8.2f} ms   p99 {p99:8.2f} ms   CPU {cpu:8.2f} ms   ({times} times)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    arguments = parser.parse_args()
    chance = random.Random(2)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index.sqlite"
        started = time.perf_counter()
        built(path, arguments.spans)
        with ProvenanceIndex(path) as index:
            status = index.status()
            took = time.perf_counter() - started
            rows = status.rows
            print(f"{rows['span']} spans, {rows['edge']} edge rows, {status.bytes >> 20} MB, in {took:.0f} s")

            def path_of(topic: str) -> None:
                log = index.logs.number(Log(topic, "id", 0))
                assert log is not None
                found = walk(index, {log: Ranges.single(0)})
                assert sum(ranges.count for ranges in found.ends.values()) == SOURCES
                assert len(found.hops) == 5
                for reached, ranges in found.reached.items():
                    index.schemas_of(reached, index.logs[reached].topic, ranges)

            timed("10,000 sources, 5 hops, in order", lambda: path_of("ordered-5"), 30)
            timed("10,000 sources, 5 hops, each a row", lambda: path_of("scattered-5"), 30)
            logs = {n: index.logs.number(Log(f"topic-{n}", "id", n)) for n in range(100)}

            def span() -> None:
                number = chance.randrange(100)
                log = logs[number]
                assert log is not None
                assert index.span_at(log, f"topic-{number}", chance.randrange(arguments.spans // 10)) is not None

            timed("which span holds an offset", span, 5000)

            def one(topic: str, direction: Any) -> None:
                log = index.logs.current(topic, chance.randrange(PARTITIONS))
                assert log is not None
                found = walk(index, {log: Ranges.single(chance.randrange(SOURCES * 3 // PARTITIONS))}, direction)
                assert found.reached

            timed("one record, its path of four hops", lambda: one("scattered-4", "upstream"), 2000)
            timed("one record, what was made of it", lambda: one("scattered-0", "downstream"), 2000)


if __name__ == "__main__":
    main()

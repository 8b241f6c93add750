"""Making the provenance index and keeping it up to date. Needs Kafka alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.connections import log_reader
from stream_lineage.errors import ConnectionFailed, NotFound, StreamLineageError
from stream_lineage.index.feed import OwnTopic, Progress, Read, own_bounds, read_into
from stream_lineage.index.file import explained, replace_contents, sole_writer
from stream_lineage.index.reader import ProvenanceIndex, Status
from stream_lineage.index.walk import Direction
from stream_lineage.index.writer import Feed, IndexWriter
from stream_lineage.provenance.topics import ANOMALY_ALERTS, DRIFT_ALERTS, EDGES, GRAPH, INCIDENTS, KEYS, OBSERVATIONS
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_FEEDS: tuple[tuple[str, Feed], ...] = (
    (OBSERVATIONS, "observations"),
    (EDGES, "edges"),
    (KEYS, "keys"),
    (DRIFT_ALERTS, "alerts"),
    (ANOMALY_ALERTS, "alerts"),
    (INCIDENTS, "incidents"),
    (GRAPH, "graph"),
)
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Until:
    """True as long as it may go on, and until a monotonic time."""

    running: Callable[[], bool]
    deadline: float

    def __call__(self) -> bool:
        return self.running() and time.monotonic() < self.deadline


@dataclass(frozen=True, slots=True)
class Standing:
    """How an index stands beside its topics. ``lag`` is null where Kafka does not answer; ``trouble`` says why."""

    status: Status
    lag: dict[tuple[str, int], int] | None
    trouble: str | None = None


def rebuild(settings: Settings, progress: Progress | None = None) -> Read:
    """Make the index anew from the topics. The old one is there and answers until the new one is whole.

    Raises:
        NotFound: nothing has been collected.
        IndexBusy: another process writes to it.
        IndexUnusable: it cannot be written.
        KafkaUnavailable: no broker answered.
    """
    path = settings.index.index_path
    building = path.with_name(path.name + ".building")
    with sole_writer(path):
        try:
            _remove(building)
            with closing(IndexWriter(building)) as writer:
                read = _read(settings, writer, progress=progress)
                writer.write([], {}, facts={"built_at": datetime.now(UTC).isoformat(timespec="seconds")})
            replace_contents(building, path)
        finally:
            _remove(building)
    return read


def update(settings: Settings, progress: Progress | None = None) -> Read:
    """Read on from where the index stands, from the beginning where there is none.

    Raises:
        NotFound, IndexBusy, IndexUnusable, KafkaUnavailable: see ``rebuild``; IndexUnusable also where it must be
            rebuilt.
    """
    path = settings.index.index_path
    if not path.exists():
        _require_log(settings)
    with sole_writer(path), closing(IndexWriter(path)) as writer:
        return _read(settings, writer, progress=progress)


def follow(settings: Settings, running: Callable[[], bool], on_read: Callable[[Read], None] | None = None) -> None:
    """Keep the index up to date as long as ``running`` says so. Topics that come later, or get more partitions, are
    looked for every half a minute.

    Raises:
        IndexBusy, IndexUnusable, KafkaUnavailable: see ``update``.
    """
    path = settings.index.index_path
    with sole_writer(path), closing(IndexWriter(path)) as writer:
        while running():
            look_again = _Until(running, time.monotonic() + _LOOK_SECONDS)
            try:
                read = _read(settings, writer, follow=look_again)
            except NotFound:
                time.sleep(_RETRY_SECONDS)  # nothing has been collected yet
                continue
            if on_read is not None:
                on_read(read)


def standing(settings: Settings) -> Standing:
    """How the index stands, and how far it is behind its topics.

    Raises:
        NotFound: there is none.
        IndexUnusable: it is damaged, or of another version.
    """
    with ProvenanceIndex(settings.index.index_path) as index:
        status = index.status()
    try:
        return Standing(status, lag(settings, status.positions))
    except ConnectionFailed as error:
        return Standing(status, None, error.message)


def lag(settings: Settings, positions: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """How many messages each partition of our own topics has beyond these positions, whether or not they can be read by
    now.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    found = {}
    for source, (low, high) in own_bounds(kafka.admin(settings.kafka), _topics(settings)).by_partition.items():
        place = (source.topic, source.number)
        found[place] = max(high - positions.get(place, low), 0)
    return found


def own_ends(settings: Settings, admin: AdminClient) -> dict[tuple[str, int], int]:
    """Where our own topics end at present, whether or not it can be read by now.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    bounds = own_bounds(admin, _topics(settings, admin)).by_partition
    return {(source.topic, source.number): high for source, (_, high) in bounds.items()}


def has_read(index: ProvenanceIndex, ends: Mapping[tuple[str, int], int]) -> bool:
    """Whether the index, in the snapshot that is asked, was read up to there."""
    return not _missing(ends, index.positions())


def _missing(ends: Mapping[tuple[str, int], int], positions: Mapping[tuple[str, int], int]) -> int:
    return sum(max(high - positions.get(place, 0), 0) for place, high in ends.items())


def behind(
    settings: Settings,
    index: ProvenanceIndex,
    direction: Direction,
    read: Read | None = None,
    *,
    offline: bool = False,
    begun: datetime | None = None,
    ends: Mapping[tuple[str, int], int] | None = None,
) -> list[str]:
    """Why the index may lack what our topics have by now, in sentences; none where it has all.

    Args:
        settings: where Kafka is.
        index: in the snapshot that is going to be asked.
        direction: upstream it is enough that all topics were read up to one moment: what came later is not observed.
        read: how the index was just brought up to date; null where that was not done.
        offline: by the index alone, without asking Kafka.
        begun: when the question came: downstream an index that was read to the end since then has what there was.
        ends: of our own topics, as Kafka said since then: downstream an index that was read so far has it as well.
    """
    whole, positions = index.whole_at(), index.positions()
    if settings.kafka.topic(EDGES) not in {topic for topic, _ in positions}:
        return ["no edges have been read: nothing is known of what records were made from"]
    if ends is not None and direction == "downstream":
        missing = _missing(ends, positions)
        return [f"the index has not read {missing:,} messages of our own topics yet"] if missing else []
    if offline:
        if whole is None:
            return ["the index may lack what was being read into it: Kafka was not asked"]
        as_of = datetime.fromisoformat(whole)
        if direction == "upstream" or (begun is not None and as_of >= begun):
            return []
        age = max(0, round((datetime.now(UTC) - as_of).total_seconds()))
        return [f"the index is as of {whole}, {age:,} s ago: Kafka was not asked for what came later"]
    if read is not None and whole is not None:
        return []
    if read is not None and read.behind:
        return [f"{read.behind:,} messages of our own topics cannot be read yet: a transaction is open"]
    try:
        missing = sum(lag(settings, positions).values())
    except StreamLineageError as error:
        return [f"how far the index is behind is not known: {error.message}"]
    return [f"the index has not read {missing:,} messages of our own topics yet"] if missing else []


def _read(
    settings: Settings,
    writer: IndexWriter,
    *,
    follow: Callable[[], bool] | None = None,
    progress: Progress | None = None,
) -> Read:
    topics = _require_log(settings)
    with closing(log_reader(settings)) as consumer:
        admin = kafka.admin(settings.kafka)
        return read_into(writer, consumer, topics, lambda: own_bounds(admin, topics), follow=follow, progress=progress)


def _require_log(settings: Settings) -> list[OwnTopic]:
    topics = _topics(settings)
    if not any(topic.feed == "observations" for topic in topics):
        raise NotFound(
            f"there is no topic {settings.kafka.topic(OBSERVATIONS)}",
            hint="Nothing has been collected with this topic_prefix: run `stream-lineage collect` first.",
        )
    return topics


def _topics(settings: Settings, admin: AdminClient | None = None) -> list[OwnTopic]:
    facts = ClusterFacts(admin or kafka.admin(settings.kafka))
    existing = facts.topics()
    feeds = {settings.kafka.topic(name): feed for name, feed in _FEEDS}
    ids = facts.topic_ids([name for name in feeds if name in existing])
    return [OwnTopic(feed, name, ids.get(name) or "", existing[name]) for name, feed in feeds.items() if name in ids]


def _remove(path: Path) -> None:
    with explained(path):
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

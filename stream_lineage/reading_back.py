"""Reading the provenance log back: spans of a topic, one record, whether the log is whole. Needs Kafka alone."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.connections import hash_key_of, log_reader
from stream_lineage.errors import NotFound
from stream_lineage.model.provenance import Provenance
from stream_lineage.provenance.checkpoint import read_checkpoint, write_checkpoint
from stream_lineage.provenance.heads import committed_heads
from stream_lineage.provenance.log import Progress, log_starts, read_log
from stream_lineage.provenance.lookup import Sighting, hash_key_bytes, provenance, read_record, sighting
from stream_lineage.provenance.spans import SpanIndex
from stream_lineage.provenance.topics import OBSERVATIONS
from stream_lineage.provenance.verify import Verification, verify
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka


def observed_spans(settings: Settings, topic: str, progress: Progress | None = None) -> SpanIndex:
    """The merged spans of a topic, from the log.

    Raises:
        NotFound: neither the topic nor anything observed of it exists.
    """
    index = SpanIndex()
    with closing(log_reader(settings)) as reader:
        for entry in read_log(reader, settings.kafka.topic(OBSERVATIONS), keys=[topic], progress=progress):
            if entry.decoded is not None:
                index.add(entry.decoded.observation)
    if not index.epochs() and topic not in ClusterFacts(kafka.admin(settings.kafka)).topics():
        raise _never_observed(topic)
    return index


def record_provenance(
    settings: Settings, topic: str, partition: int, offset: int, progress: Progress | None = None
) -> tuple[Provenance, Sighting]:
    """Everything that is known of one record.

    Raises:
        NotFound: nothing was observed at this offset, or it holds no record.
    """
    facts = ClusterFacts(kafka.admin(settings.kafka))
    topic_id = facts.topic_ids([topic]).get(topic)
    with closing(log_reader(settings)) as reader:
        entries = read_log(reader, settings.kafka.topic(OBSERVATIONS), keys=[topic], progress=progress)
        seen = sighting(entries, topic, partition, offset, topic_id)
    if seen is None:
        if topic_id is None and topic not in facts.topics():
            raise _never_observed(topic)
        raise NotFound(
            f"offset {offset} of {topic}[{partition}] has not been observed",
            hint=f"`stream-lineage spans {topic}` shows what has",
        )
    secret = hash_key_of(settings, facts.cluster_id())
    stored = None
    if seen.missing_at(offset) is None and topic_id == seen.topic_id:
        stored = read_record(
            lambda: log_reader(settings), topic, partition, offset, lambda key: hash_key_bytes(key, secret)
        )
    return provenance(topic, partition, offset, seen, stored), seen


def verify_log(
    settings: Settings,
    *,
    topic: str | None = None,
    checkpoint: Path | None = None,
    write_to: Path | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check the provenance log, of one topic or of all, up to the committed heads.

    Raises:
        NotFound: there is no log, or no such checkpoint.
        ProvenanceError: the checkpoint is not ours.
    """
    admin = kafka.admin(settings.kafka)
    secret = b""
    if checkpoint is not None or write_to is not None:
        secret = hash_key_of(settings, ClusterFacts(admin).cluster_id())
    known = {} if checkpoint is None else read_checkpoint(checkpoint, secret)
    # First the heads, then the log: the log may have grown in between, but never lag behind.
    heads = committed_heads(admin, settings.collect.group_id)
    keys = None if topic is None else [topic]
    with closing(log_reader(settings)) as reader:
        outcome = verify(
            read_log(reader, settings.kafka.topic(OBSERVATIONS), keys=keys, progress=progress),
            [head for head in heads if topic in (None, head.topic)],
            checkpoint={key: link for key, link in known.items() if topic in (None, key[0].topic)},
            log_starts=lambda: log_starts(reader, settings.kafka.topic(OBSERVATIONS)),
        )
    if write_to is not None and outcome.ok:
        write_checkpoint(write_to, outcome.heads, secret, datetime.now(UTC))
    return outcome


def _never_observed(topic: str) -> NotFound:
    return NotFound(
        f"there is no topic {topic}, and nothing of that name was ever observed",
        hint="`stream-lineage doctor` lists the topics that are watched",
    )

"""Wires what training baselines need: samples of topics and files, and the topic that baselines are kept in."""

from __future__ import annotations

import difflib
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from confluent_kafka.admin import OffsetSpec

from stream_lineage import connections
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.decode_process import DecodeProcess, WorkerOptions
from stream_lineage.collect.decode_stage import DecodeStage
from stream_lineage.collect.range_bounds import Bound, Ranges, chosen_ranges
from stream_lineage.collect.range_profile import RangeProfile, RangeProfiler
from stream_lineage.collect.range_reader import Progress, RangeReader
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.errors import NotFound
from stream_lineage.model.baseline import Baseline, CoveredRange, Sample, TopicSource
from stream_lineage.model.profile import Profile
from stream_lineage.profile.fitting import fitted
from stream_lineage.profile.of_file import profile_of_file
from stream_lineage.profile.options import ProfileOptions, revealed_paths
from stream_lineage.provenance.baselines import (
    MAX_PROFILE_BYTES,
    encode_baseline,
    hash_key_id,
    read_baselines,
)
from stream_lineage.provenance.topics import BASELINES, ensure_topics
from stream_lineage.settings import Settings
from stream_lineage.wire import acknowledged, kafka
from stream_lineage.wire.log_offsets import listed_offsets

QUANTILES_K = 200
"""Ranks are off by 1.3%; those of live profiles by 4%. Larger: smaller shifts are found, and baselines of many
fields have to give detail up."""
_PORTION_RECORDS = 200_000
_RECOVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class FileSample:
    """``unnamed`` columns of the file have no name and were left out."""

    sample: Sample
    unnamed: int


def sample_of_topic(
    settings: Settings, topic: str, begin: Bound | None, end: Bound | None, progress: Progress | None = None
) -> Sample:
    """Read a range of a topic; where a bound is null, from its beginning or to its end.

    Raises:
        NotFound: there is no such topic or range, or nothing in it can be decoded.
        KafkaUnavailable, RegistryUnavailable: nobody answered.
    """
    admin = kafka.admin(settings.kafka)
    facts = ClusterFacts(admin)
    topics = facts.topics()
    if topic not in topics:
        near = difflib.get_close_matches(topic, topics, n=1)
        raise NotFound(f"there is no topic {topic}", hint=f"Did you mean {near[0]}?" if near else None)
    partitions = [(topic, number) for number in range(topics[topic])]
    topic_id = facts.topic_ids([topic]).get(topic)

    def first_at(time: datetime) -> dict[int, int]:
        spec = OffsetSpec.for_timestamp(max(0, int(time.timestamp() * 1000)))
        found = listed_offsets(admin, partitions, spec, timeout_seconds=acknowledged.ANSWER_SECONDS)
        return {number: offset for (_, number), offset in found.items()}

    starts = {number: offset for (_, number), offset in facts.log_starts(partitions).items()}
    ends = {number: offset for (_, number), offset in facts.log_ends(partitions).items()}
    ranges = chosen_ranges(topic, begin, end, starts, ends, first_at)
    hash_key = connections.hash_key_of(settings, facts.cluster_id())
    found = _read(settings, topic, ranges, hash_key, progress)
    if facts.topic_ids([topic]).get(topic) != topic_id:
        raise NotFound(f"{topic} was deleted or created again while it was read")
    source = TopicSource(
        topic,
        topic_id,
        tuple(
            CoveredRange(number, first, stop - 1, found.records[number])
            for number, (first, stop) in sorted(ranges.items())
        ),
    )
    if found.profile is None or not found.profile.fields:
        raise _nothing_decoded(source, found)
    return Sample(
        source, _kept(found.profile), hash_key_id(hash_key), tuple(found.schemas), dict(sorted(found.left_out.items()))
    )


def sample_of_file(
    settings: Settings,
    path: Path,
    topic: str | None,
    *,
    nulls: frozenset[str],
    delimiter: str | None,
    progress: Progress | None = None,
) -> FileSample:
    """Read a file. ``topic`` says whose fields may be shown; ``nulls`` and ``delimiter`` are for CSV.

    Raises:
        NotFound, DecodeError, SettingsError: see ``profile_of_file``.
        KafkaUnavailable: the cluster, from whose id the key of hashes may come, did not answer.
    """
    hash_key = _hash_key(settings)
    options = ProfileOptions(
        hash_key=hash_key,
        quantiles_k=QUANTILES_K,
        max_fields=settings.collect.max_fields,
        reveal_fields=revealed_paths(settings.collect.reveal_fields, topic),
    )
    found = profile_of_file(path, options, nulls=nulls, delimiter=delimiter, progress=progress)
    sample = Sample(
        found.source, _kept(found.profile), hash_key_id(hash_key), left_out=dict(sorted(found.left_out.items()))
    )
    return FileSample(sample, found.unnamed)


def kept_baselines(settings: Settings, *names: str, progress: Progress | None = None) -> dict[str, Baseline]:
    """The baselines of these names, or all; none where their topic does not exist.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    with closing(connections.log_reader(settings)) as reader:
        topic = settings.kafka.topic(BASELINES)
        return read_baselines(reader, topic, names=frozenset(names) or None, progress=progress)


def keep_baseline(settings: Settings, baseline: Baseline) -> None:
    """Write a baseline, in the place of one of the same name.

    Raises:
        KafkaUnavailable: the brokers did not take it.
        SettingsError: we may not write it.
    """
    ensure_topics(kafka.admin(settings.kafka), settings.kafka)
    record = (baseline.name.encode(), encode_baseline(baseline))
    acknowledged.write(settings.kafka, settings.kafka.topic(BASELINES), [record])


def delete_baseline(settings: Settings, name: str) -> None:
    """Delete a baseline.

    Raises:
        KafkaUnavailable: the brokers did not take it.
    """
    acknowledged.write(settings.kafka, settings.kafka.topic(BASELINES), [(name.encode(), None)])


def _read(settings: Settings, topic: str, ranges: Ranges, hash_key: bytes, progress: Progress | None) -> RangeProfile:
    collect = settings.collect
    with ExitStack() as stack:
        registry = connections.registry_of(settings)
        if registry is not None:
            stack.callback(registry.close)
        resolver = connections.resolver_of(settings, registry)
        stack.callback(resolver.close)
        options = WorkerOptions(
            hash_key=hash_key,
            max_fields=collect.max_fields,
            reveal_fields=collect.reveal_fields,
            memory_mb=collect.worker_memory_mb,
            deadline_seconds=collect.worker_deadline_seconds,
            quantiles_k=QUANTILES_K,
        )
        process = DecodeProcess(options)
        stack.callback(process.close)
        process.start()
        consumer = stack.enter_context(closing(connections.range_reader(settings)))
        profiler = RangeProfiler(
            codes=SchemaCodes(resolver),
            resolver=resolver,
            stage=DecodeStage(process, recovery_seconds=_RECOVERY_SECONDS),
            portion_bytes=collect.flush_max_bytes,
            portion_records=min(collect.flush_max_records, _PORTION_RECORDS),
            asks_registry=registry is not None,
        )
        return profiler.profile(RangeReader(consumer, topic, ranges, progress=progress))


def _hash_key(settings: Settings) -> bytes:
    if settings.collect.hash_key is not None:
        return connections.hash_key_of(settings, None)
    return connections.hash_key_of(settings, ClusterFacts(kafka.admin(settings.kafka)).cluster_id())


def _kept(profile: Profile) -> Profile:
    """What a baseline keeps of a profile: keys are no features."""
    values = replace(profile, key_distinct=None, key_fields=(), key_structure=None, structure=None)
    return fitted(values, MAX_PROFILE_BYTES)


def _nothing_decoded(source: TopicSource, found: RangeProfile) -> NotFound:
    records = sum(each.records for each in source.ranges)
    if not records:
        return NotFound(f"no record of {source.topic} lies in that range")
    why = ", ".join(f"{count} {reason}" for reason, count in found.left_out.most_common())
    why = ", ".join(filter(None, (why, f"{found.tombstones} null" if found.tombstones else "")))
    hint = "Schemas are looked up at schema_registry_url; CSV and text in topics are not parsed (docs/formats.md)."
    return NotFound(f"none of the {records} records of {source.topic} in that range has fields: {why}", hint=hint)

"""From a decoded flush to the messages and offsets that are committed: observations, links, dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from stream_lineage.collect.dead_letters import DeadLetter, message, summarised
from stream_lineage.collect.flush import Flush, Group, GroupKey, Run, TimeStatistics
from stream_lineage.collect.gaps import GapClassifier
from stream_lineage.collect.group_result import GroupResult
from stream_lineage.collect.key_messages import KeyCounts, KeyMessages
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.progress import PartitionId
from stream_lineage.collect.transaction import CommittedOffset, OutgoingMessage
from stream_lineage.model.observation import EventTimes, Link, Observation, ObservationKind, Producer
from stream_lineage.model.schema import OPAQUE, SchemaReference
from stream_lineage.model.span import MissingRange, OffsetSpan
from stream_lineage.profile.encoding import decoder_of
from stream_lineage.provenance.chain import Head, next_hash
from stream_lineage.provenance.codec import EncodedBody, encode_body, frame
from stream_lineage.provenance.edge_writer import BatchHead
from stream_lineage.provenance.log import DIGEST_HEADER

_MAX_WAITING = 256
"""Schemas of one partition that are asked for again and again until the registry knows them."""


_MOST_PRODUCERS = 16


@dataclass(frozen=True, slots=True)
class GroupSchemas:
    """The references that a group's records stand under, and why they cannot be decoded, if so."""

    value: SchemaReference
    key: SchemaReference
    value_error: tuple[str, str] | None = None  # kind and text
    key_error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """A schema that the registry has supplied after records were recorded without it."""

    topic: str
    topic_id: str | None
    role: str
    label: str
    reference: SchemaReference
    partitions: tuple[int, ...]


@dataclass(slots=True)
class Recording:
    """What one flush writes."""

    messages: list[OutgoingMessage] = field(default_factory=list)
    offsets: list[CommittedOffset] = field(default_factory=list)
    heads: dict[PartitionId, Head] = field(default_factory=dict)
    observations: int = 0
    spans: int = 0
    dead_letters: int = 0
    decoders: Counter[str] = field(default_factory=Counter)
    """Records by the decoder that their values went to."""
    keys: KeyCounts = field(default_factory=KeyCounts)


NO_DECODER = "none"
"""Where the values of a group entered no profile."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An observation before its links."""

    topic: str
    spans: tuple[OffsetSpan, ...]
    partitions: tuple[int, ...]
    body: EncodedBody


@dataclass(frozen=True, slots=True)
class Recorder:
    """Builds recordings; knows what stays the same from flush to flush. ``schema_id`` is the registry's id of our own
    observation schema, ``edge_schema_id`` that of edges."""

    cluster: str
    collector: str
    observations_topic: str
    dead_letters_topic: str
    dead_letter_limit: int
    gaps: GapClassifier
    ledger: Ledger
    schema_id: int | None
    edges_topic: str
    edge_schema_id: int | None
    keys: KeyMessages | None = None
    """Null where no key fields are declared."""

    def record(
        self,
        flush: Flush,
        schemas: Mapping[GroupKey, GroupSchemas],
        results: Mapping[GroupKey, GroupResult],
        resolutions: Iterable[Resolution],
        now: datetime,
    ) -> Recording:
        """Everything that a flush commits."""
        recording = Recording()
        drafts: list[_Draft] = []
        letters = list(flush.letters)
        spans = self._spans(flush)
        for key, group in flush.groups.items():
            known = schemas[key]
            own = tuple(sorted(spans.get(key, ()), key=lambda span: (span.partition, span.first_offset)))
            if not own:
                continue
            result = results.get(key, GroupResult(None, []))
            topic_id = flush.topic_ids.get(group.topic)
            letters += _letters(group, known, result, topic_id)
            head = Observation(
                observation_id=uuid4().hex,
                kind=ObservationKind.OBSERVATION,
                cluster=self.cluster,
                topic=group.topic,
                topic_id=topic_id,
                collector=self.collector,
                observed_at=now,
                value_schema=known.value,
                key_schema=known.key,
                records=group.records,
                bytes=group.bytes,
                tombstones=group.tombstones,
                event_times=_event_times(group.times),
                spans=own,
                profile=None,
                links=(),
                producers=named_producers(group.producers),
            )
            partitions = tuple(sorted({span.partition for span in own}))
            drafts.append(_Draft(group.topic, own, partitions, encode_body(head, result.profile)))
            recording.spans += len(own)
            decoder = NO_DECODER if result.profile is None else decoder_of(result.profile).lower()
            recording.decoders[decoder] += group.records
        resolved = list(resolutions)
        drafts += [self._resolution(resolution, now) for resolution in resolved]
        self._link(flush, drafts, schemas, resolved, recording)
        recording.messages += self._edges(flush, now)
        if self.keys is not None:
            recording.messages += self.keys.write(results, flush.topic_ids, now, recording.keys)
        for letter in summarised(letters, self.dead_letter_limit):
            recording.messages.append(message(letter, to=self.dead_letters_topic, cluster=self.cluster, now=now))
            recording.dead_letters += letter.count
        return recording

    def _edges(self, flush: Flush, now: datetime) -> Iterator[OutgoingMessage]:
        ids = iter(lambda: uuid4().hex, "")
        for topic, writer in flush.edges.by_topic.items():
            head = BatchHead(self.cluster, topic, flush.topic_ids.get(topic), self.collector, now)
            for value in writer.messages(head, ids, schema_id=self.edge_schema_id):
                yield OutgoingMessage(self.edges_topic, topic.encode(), value)

    def _spans(self, flush: Flush) -> dict[GroupKey, list[OffsetSpan]]:
        out: dict[GroupKey, list[OffsetSpan]] = {}
        for (topic, partition), runs in flush.runs.items():
            missing = self._missing(topic, partition, runs, flush.lost.get((topic, partition)))
            for run, gaps in zip(runs, missing, strict=True):
                span = OffsetSpan(partition, run.first, run.last, run.count, gaps)
                out.setdefault((topic, run.value_code, run.key_code), []).append(span)
        return out

    def _missing(
        self, topic: str, partition: int, runs: list[Run], lost: tuple[int, int] | None
    ) -> list[tuple[MissingRange, ...]]:
        gaps = [gap for run in runs for gap in run.gaps]
        if not gaps:
            return [()] * len(runs)
        ranges = self.gaps.classify(topic, partition, gaps, lost)
        return [_within(ranges, run.first, run.last) for run in runs]

    def _resolution(self, resolution: Resolution, now: datetime) -> _Draft:
        value = resolution.reference if resolution.role == "value" else OPAQUE
        key = resolution.reference if resolution.role == "key" else OPAQUE
        head = Observation(
            observation_id=uuid4().hex,
            kind=ObservationKind.RESOLUTION,
            cluster=self.cluster,
            topic=resolution.topic,
            topic_id=resolution.topic_id,
            collector=self.collector,
            observed_at=now,
            value_schema=value,
            key_schema=key,
            records=0,
            bytes=0,
            tombstones=0,
            event_times=None,
            spans=(),
            profile=None,
            links=(),
        )
        return _Draft(resolution.topic, (), resolution.partitions, encode_body(head, None))

    def _link(
        self,
        flush: Flush,
        drafts: list[_Draft],
        schemas: Mapping[GroupKey, GroupSchemas],
        resolutions: list[Resolution],
        recording: Recording,
    ) -> None:
        digests = [draft.body.digest for draft in drafts]
        by_partition: dict[PartitionId, list[int]] = {}
        for index, draft in enumerate(drafts):
            for partition in draft.partitions:
                by_partition.setdefault((draft.topic, partition), []).append(index)
        links: dict[PartitionId, Link] = {}
        for (topic, partition), indices in by_partition.items():
            previous = self.ledger.hashes[(topic, partition)]
            own = [span for index in indices for span in drafts[index].spans if span.partition == partition]
            hashed = next_hash(previous, own, [digests[index] for index in indices])
            links[(topic, partition)] = Link(partition, previous, hashed)
        for draft, digest in zip(drafts, digests, strict=True):
            own_links = [links[(draft.topic, partition)] for partition in draft.partitions]
            value = frame(draft.body, own_links, self.schema_id)
            headers = ((DIGEST_HEADER, digest.hex().encode()),)
            recording.messages.append(OutgoingMessage(self.observations_topic, draft.topic.encode(), value, headers))
            recording.observations += 1
        waiting = _waiting(flush, schemas)
        gone = {(r.topic, partition, r.label) for r in resolutions for partition in r.partitions}
        for partition_id in links.keys() | flush.positions.keys():
            topic, partition = partition_id
            link = links.get(partition_id)
            runs = flush.runs.get(partition_id)
            covered = runs[-1].last + 1 if runs else self.ledger.next_offsets.get(partition_id)
            position = flush.positions.get(partition_id, covered)
            if position is None or covered is None:
                continue  # nothing visible has been read yet: there is no chain to carry on
            new = waiting.get(partition_id, _Waiting())
            # What waits for an answer comes first: heads have room for a few labels only.
            labels = dict.fromkeys((*new.unanswered, *self.ledger.unresolved.get(partition_id, ()), *new.unknown))
            left = tuple(label for label in labels if (topic, partition, label) not in gone)[:_MAX_WAITING]
            hashed = self.ledger.hashes[partition_id] if link is None else link.hash
            head = Head(hashed, covered, self.ledger.topic_ids.get(partition_id), left)
            recording.heads[partition_id] = head
            recording.offsets.append(CommittedOffset(topic, partition, max(position, covered), head.to_metadata()))


@dataclass(slots=True)
class _Waiting:
    """Labels of the schemas that a flush records as unresolved: without an answer, or unknown to the registry."""

    unanswered: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def _waiting(flush: Flush, schemas: Mapping[GroupKey, GroupSchemas]) -> dict[PartitionId, _Waiting]:
    out: dict[PartitionId, _Waiting] = {}
    for (topic, partition), runs in flush.runs.items():
        for run in runs:
            known = schemas[(topic, run.value_code, run.key_code)]
            for role, reference, error in (
                ("value", known.value, known.value_error),
                ("key", known.key, known.key_error),
            ):
                if reference.unresolved:
                    own = out.setdefault((topic, partition), _Waiting())
                    (own.unanswered if error is None else own.unknown).append(f"{role}:{reference.wire_name}")
    return out


def named_producers(seen: Mapping[bytes, int]) -> tuple[Producer, ...]:
    """The most frequent ones that have a name of printable text."""
    named = ((name.decode(errors="replace"), count) for name, count in seen.items())
    found = sorted((each for each in named if each[0].isprintable()), key=lambda each: (-each[1], each[0]))
    return tuple(Producer(name, count) for name, count in found[:_MOST_PRODUCERS])


def _within(ranges: tuple[MissingRange, ...], first: int, last: int) -> tuple[MissingRange, ...]:
    out = []
    for gap in ranges:
        start, stop = max(gap.first_offset, first), min(gap.last_offset, last)
        if start <= stop:
            out.append(MissingRange(start, stop, gap.reason))
    return tuple(out)


def _event_times(times: TimeStatistics) -> EventTimes | None:
    if not times.sampled:
        return None
    known = times.sampled - times.without
    return EventTimes(
        sampled=times.sampled,
        without=times.without,
        out_of_order=times.out_of_order,
        min_timestamp=times.min_timestamp,
        max_timestamp=times.max_timestamp,
        mean_lag_ms=times.lag_sum / known if known else None,
        max_lag_ms=times.max_lag,
    )


def _letters(group: Group, schemas: GroupSchemas, result: GroupResult, topic_id: str | None) -> Iterator[DeadLetter]:
    for partition, offset, size, record in result.bad:
        reference = schemas.value if record.role == "value" else schemas.key
        yield DeadLetter(
            group.topic, topic_id, partition, offset, offset, 1, record.role, record.kind, record.error, size, reference
        )
    for role, failure, reference in (
        ("value", schemas.value_error, schemas.value),
        ("key", schemas.key_error, schemas.key),
    ):
        if failure is None:
            continue
        kind, text = failure
        for piece in group.pieces:
            lengths = (piece.values if role == "value" else piece.keys).lengths
            for partition, offset, size in zip(
                piece.partitions.tolist(), piece.offsets.tolist(), lengths.tolist(), strict=True
            ):
                if size >= 0:
                    yield DeadLetter(
                        group.topic, topic_id, partition, offset, offset, 1, role, kind, text, size, reference
                    )

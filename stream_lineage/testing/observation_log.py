"""An observation log in memory, for tests of whatever reads it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from stream_lineage.errors import DecodeError
from stream_lineage.model.observation import Link, Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, SchemaReference
from stream_lineage.model.span import OffsetSpan
from stream_lineage.provenance.chain import GENESIS, Head, next_hash
from stream_lineage.provenance.codec import decode_with_digest, encode_body, frame
from stream_lineage.provenance.log import LogEntry
from stream_lineage.provenance.verify import CommittedHead

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """A message of the log as Kafka would hold it."""

    key: bytes
    value: bytes
    digest: str

    def entry(self, offset: int) -> LogEntry:
        """As the log reader gives it."""
        try:
            decoded, error = decode_with_digest(self.value), None
        except DecodeError as failure:
            decoded, error = None, failure.message
        return LogEntry(0, offset, self.key, decoded, error, self.digest)


@dataclass(slots=True)
class ObservationLogBuilder:
    """Builds flushes with their chains as a collector would."""

    cluster: str = "test"
    messages: list[LoggedMessage] = field(default_factory=list)
    hashes: dict[tuple[str, str | None, int], bytes] = field(default_factory=dict)
    next_offsets: dict[tuple[str, str | None, int], int] = field(default_factory=dict)

    def flush(
        self,
        topic: str,
        *groups: tuple[SchemaReference, list[OffsetSpan]],
        topic_id: str | None = "id-1",
        kind: ObservationKind = ObservationKind.OBSERVATION,
        partitions: tuple[int, ...] = (),
    ) -> list[Observation]:
        """One flush: an observation for each reference with its spans. ``partitions`` adds links without spans."""
        drafts = [self._draft(topic, topic_id, reference, spans, kind) for reference, spans in groups]
        bodies = [encode_body(draft, None) for draft in drafts]
        links: dict[int, Link] = {}
        numbers = {span.partition for draft in drafts for span in draft.spans}.union(partitions)
        for number in sorted(numbers):
            holding = [
                i for i, d in enumerate(drafts) if number in partitions or any(s.partition == number for s in d.spans)
            ]
            spans = [span for i in holding for span in drafts[i].spans if span.partition == number]
            place = (topic, topic_id, number)
            previous = self.hashes.get(place, GENESIS)
            links[number] = Link(number, previous, next_hash(previous, spans, [bodies[i].digest for i in holding]))
            self.hashes[place] = links[number].hash
            last = max((span.last_offset + 1 for span in spans), default=0)
            self.next_offsets[place] = max(self.next_offsets.get(place, 0), last)
        out = []
        for draft, body in zip(drafts, bodies, strict=True):
            own = sorted({span.partition for span in draft.spans}.union(partitions))
            complete = replace(draft, links=tuple(links[number] for number in own))
            value = frame(body, complete.links, 1)
            self.messages.append(LoggedMessage(topic.encode(), value, body.digest.hex()))
            out.append(complete)
        return out

    def entries(self) -> list[LogEntry]:
        """The log as it is read."""
        return [message.entry(offset) for offset, message in enumerate(self.messages)]

    def heads(self) -> list[CommittedHead]:
        """What the collectors' group would have committed."""
        return [
            CommittedHead(topic, number, self.next_offsets[place], Head(digest, self.next_offsets[place], topic_id))
            for place, digest in self.hashes.items()
            for topic, topic_id, number in (place,)
        ]

    def _draft(
        self,
        topic: str,
        topic_id: str | None,
        reference: SchemaReference,
        spans: list[OffsetSpan],
        kind: ObservationKind,
    ) -> Observation:
        return Observation(
            observation_id=f"observation-{len(self.messages)}-{reference.id}",
            kind=kind,
            cluster=self.cluster,
            topic=topic,
            topic_id=topic_id,
            collector="collector-0",
            observed_at=EPOCH,
            value_schema=reference,
            key_schema=OPAQUE,
            records=sum(span.count for span in spans),
            bytes=0,
            tombstones=0,
            event_times=None,
            spans=tuple(spans),
            profile=None,
            links=(),
        )

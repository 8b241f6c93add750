"""Merged spans: the provenance of a partition as the fewest rows that say it exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import OffsetSpan, joined_ranges


@dataclass(frozen=True, slots=True, order=True)
class TopicEpoch:
    """One life of a topic: it gets a new id when it is deleted and created again."""

    topic: str
    topic_id: str | None


@dataclass(frozen=True, slots=True)
class IndexedSpan:
    """A span with the schema references that it stands under."""

    span: OffsetSpan
    schema: SchemaReference
    key_schema: SchemaReference

    def merges_with(self, following: IndexedSpan) -> bool:
        return (
            self.span.partition == following.span.partition
            and following.span.first_offset == self.span.last_offset + 1
            and self.schema == following.schema
            and self.key_schema == following.key_schema
        )


_ReferenceKey = tuple[str, str, int | str | None]


_COMPACT_AT = 4096


@dataclass(slots=True)
class _PartitionSpans:
    """Spans of one partition as they came; put together now and then, so that they stay few."""

    spans: list[IndexedSpan] = field(default_factory=list)
    compact_at: int = _COMPACT_AT

    def add(self, entry: IndexedSpan) -> None:
        self.spans.append(entry)
        if len(self.spans) >= self.compact_at:
            self.spans = list(_merged(sorted(self.spans, key=_first_offset)))
            self.compact_at = max(_COMPACT_AT, 2 * len(self.spans))


class SpanIndex:
    """Spans of any number of topics, merged as they come. Observations of one partition may come in any order."""

    def __init__(self) -> None:
        self._spans: dict[tuple[TopicEpoch, int], _PartitionSpans] = {}
        self._resolved: dict[_ReferenceKey, SchemaReference] = {}

    def add(self, observation: Observation) -> None:
        """Index the spans of an observation, and complete others from what it says of schemas."""
        self.learn(observation)
        if observation.kind is ObservationKind.RESOLUTION:
            return
        epoch = TopicEpoch(observation.topic, observation.topic_id)
        for span in observation.spans:
            entry = IndexedSpan(span, observation.value_schema, observation.key_schema)
            self._spans.setdefault((epoch, span.partition), _PartitionSpans()).add(entry)

    def learn(self, observation: Observation) -> None:
        """Take what completes unresolved spans: the answers of resolutions, and schemas of later records."""
        final = observation.kind is ObservationKind.RESOLUTION
        for role, reference in (("value", observation.value_schema), ("key", observation.key_schema)):
            if reference.unresolved or reference.wire_name is None:
                continue
            key = _reference_key(observation.topic, role, reference)
            if final or key not in self._resolved:
                self._resolved[key] = reference

    def epochs(self) -> list[TopicEpoch]:
        """Every topic epoch seen, in the order in which it was first seen."""
        return list(dict.fromkeys(epoch for epoch, _ in self._spans))

    def merged(self, epoch: TopicEpoch) -> Iterator[IndexedSpan]:
        """The spans of one topic epoch by partition and offset, unresolved references completed where an answer is in
        the log."""
        partitions = sorted(partition for known, partition in self._spans if known == epoch)
        for partition in partitions:
            spans = sorted(self._spans[(epoch, partition)].spans, key=_first_offset)
            yield from _merged(self._complete(epoch.topic, entry) for entry in spans)

    def _complete(self, topic: str, entry: IndexedSpan) -> IndexedSpan:
        if not (entry.schema.unresolved or entry.key_schema.unresolved):
            return entry
        return replace(
            entry,
            schema=self.completed(topic, "value", entry.schema),
            key_schema=self.completed(topic, "key", entry.key_schema),
        )

    def completed(self, topic: str, role: str, reference: SchemaReference) -> SchemaReference:
        """The reference itself, or the answer that came later for an unresolved one."""
        if not reference.unresolved:
            return reference
        return self._resolved.get(_reference_key(topic, role, reference), reference)


def _reference_key(topic: str, role: str, reference: SchemaReference) -> _ReferenceKey:
    return (topic, role, reference.wire_name)


def _first_offset(entry: IndexedSpan) -> int:
    return entry.span.first_offset


def _merged(ordered: Iterable[IndexedSpan]) -> Iterator[IndexedSpan]:
    """Of at least one span, neighbours of one schema as one; missing ranges are put together once for each, however
    many spans that is."""
    entries = iter(ordered)
    together = [next(entries)]
    for entry in entries:
        if not together[-1].merges_with(entry):
            yield _as_one(together)
            together = []
        together.append(entry)
    yield _as_one(together)


def _as_one(entries: list[IndexedSpan]) -> IndexedSpan:
    first, last = entries[0], entries[-1]
    if first is last:
        return first
    span = OffsetSpan(
        first.span.partition,
        first.span.first_offset,
        last.span.last_offset,
        sum(entry.span.count for entry in entries),
        joined_ranges(gap for entry in entries for gap in entry.span.missing),
    )
    return replace(first, span=span)

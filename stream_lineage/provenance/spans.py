"""Merged spans: the provenance of a partition as the fewest rows that say it exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import OffsetSpan


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


class SpanIndex:
    """Spans of any number of topics, merged as they come. Observations of one partition may come in any order."""

    def __init__(self) -> None:
        self._spans: dict[tuple[TopicEpoch, int], list[IndexedSpan]] = {}
        self._resolved: dict[_ReferenceKey, SchemaReference] = {}

    def add(self, observation: Observation) -> None:
        """Index the spans of an observation, or complete earlier ones from a resolution."""
        if observation.kind is ObservationKind.RESOLUTION:
            for role, reference in (("value", observation.value_schema), ("key", observation.key_schema)):
                if reference.id is not None or reference.guid is not None:
                    self._resolved[_reference_key(observation.topic, role, reference)] = reference
            return
        epoch = TopicEpoch(observation.topic, observation.topic_id)
        for span in observation.spans:
            entry = IndexedSpan(span, observation.value_schema, observation.key_schema)
            spans = self._spans.setdefault((epoch, span.partition), [])
            if spans and spans[-1].merges_with(entry):
                spans[-1] = replace(spans[-1], span=spans[-1].span.merged_with(span))
            else:
                spans.append(entry)

    def epochs(self) -> list[TopicEpoch]:
        """Every topic epoch seen, in the order in which it was first seen."""
        return list(dict.fromkeys(epoch for epoch, _ in self._spans))

    def merged(self, epoch: TopicEpoch) -> Iterator[IndexedSpan]:
        """The spans of one topic epoch by partition and offset, unresolved references completed where an answer is in
        the log."""
        partitions = sorted(partition for known, partition in self._spans if known == epoch)
        for partition in partitions:
            spans = sorted(self._spans[(epoch, partition)], key=lambda entry: entry.span.first_offset)
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
    return (topic, role, reference.guid if reference.id is None else reference.id)


def _merged(spans: Iterable[IndexedSpan]) -> Iterator[IndexedSpan]:
    current: IndexedSpan | None = None
    for entry in spans:
        if current is not None and current.merges_with(entry):
            current = replace(current, span=current.span.merged_with(entry.span))
        else:
            if current is not None:
                yield current
            current = entry
    if current is not None:
        yield current

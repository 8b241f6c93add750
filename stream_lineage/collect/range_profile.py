"""The profile of a range of a topic: decoded as the collector decodes, by its own parts, and written nowhere."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.decode_stage import DecodeStage
from stream_lineage.collect.flush import Flush, Group
from stream_lineage.collect.progress import PartitionProgress
from stream_lineage.collect.range_reader import RangeReader
from stream_lineage.collect.resolver import SchemaResolver
from stream_lineage.collect.schema_answers import SchemaAnswers
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.schema_settling import settle_values
from stream_lineage.model.baseline import SchemaShare
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import SchemaReference
from stream_lineage.profile.encoding import decode_profile
from stream_lineage.profile.merge import merge_profiles

UNRESOLVED = "unresolved-schema"
"""Why records were left out that name a schema which nobody can be asked for."""
OPAQUE_VALUES = "opaque"
"""Why values were left out that are in no format which is decoded."""
NOT_FINISHED = "worker-lost"
_MAX_GROUPS = 256
_PART_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class RangeProfile:
    """``profile`` is null where nothing could be decoded. ``left_out`` counts values that were not, by why; ``records``
    counts what was read, by partition."""

    profile: Profile | None = None
    schemas: list[SchemaShare] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    records: Counter[int] = field(default_factory=Counter)
    tombstones: int = 0


class RangeProfiler:
    """Reads a range in portions of a bounded size and merges their profiles.

    ``asks_registry`` says whether there is a registry: then a schema that it does not tell is waited for.
    """

    def __init__(
        self,
        *,
        codes: SchemaCodes,
        resolver: SchemaResolver,
        stage: DecodeStage,
        portion_bytes: int,
        portion_records: int,
        asks_registry: bool,
    ) -> None:
        self._codes = codes
        self._resolver = resolver
        self._answers = SchemaAnswers(codes, resolver)
        self._stage = stage
        self._portion_bytes = portion_bytes
        self._portion_records = portion_records
        self._asks_registry = asks_registry

    def profile(self, reader: RangeReader) -> RangeProfile:
        """Read everything.

        Raises:
            KafkaUnavailable, NotFound: see ``RangeReader.batches``.
            RegistryUnavailable: the registry does not answer for a schema.
        """
        found = RangeProfile()
        shares: Counter[SchemaReference] = Counter()
        owned = {
            (reader.topic, partition): PartitionProgress(reader.topic, partition, None, first, first)
            for partition, (first, _) in reader.ranges.items()
        }
        flush = Flush(0, time.monotonic())
        for messages in reader.batches():
            found.records.update(message.partition() for message in messages)
            for batch in topic_batches(messages, self._codes):
                flush.add(batch, owned, 0)
            full = flush.bytes >= self._portion_bytes or flush.records >= self._portion_records
            if full or len(flush.groups) >= _MAX_GROUPS:
                self._finish(flush, found, shares)
                flush = Flush(0, time.monotonic())
        self._finish(flush, found, shares)
        found.schemas = [SchemaShare(reference, records) for reference, records in shares.most_common()]
        return found

    def _finish(self, flush: Flush, found: RangeProfile, shares: Counter[SchemaReference]) -> None:
        settle_values(flush.groups, self._answers, self._resolver, asks_registry=self._asks_registry)
        self._stage.begin()
        for group in flush.groups.values():
            group.pieces += group.take_pending()
            found.tombstones += group.tombstones
            value, _ = self._answers.of(group)
            shares[value.reference] += group.records
            plan = self._answers.plan(group, values_only=True)
            if plan is None:
                why = UNRESOLVED if value.error is None else value.error[0]
                found.left_out[why] += group.records - group.tombstones
                continue
            self._stage.feed(flush, group, plan)
            self._merge(flush, group, found)
        flush.drop_payloads()

    def _merge(self, flush: Flush, group: Group, found: RangeProfile) -> None:
        result = self._stage.finish(flush, group, _PART_BYTES)
        found.left_out.update(record.kind for _, _, _, record in result.bad if record.role == "value")
        if result.profile is None:
            if not result.bad:
                found.left_out[NOT_FINISHED] += group.records - group.tombstones
            return
        part = decode_profile(result.profile)
        if part.decoder in (Decoder.OPAQUE, Decoder.TEXT):
            found.left_out[OPAQUE_VALUES] += part.decoded
            return
        found.profile = part if found.profile is None else merge_profiles(found.profile, part)

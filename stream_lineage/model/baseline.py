"""Training baselines: what the data looked like that something was built on, to be compared with what comes now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import SchemaReference


@dataclass(frozen=True, slots=True)
class CoveredRange:
    """Offsets ``[first_offset, last_offset]``, inclusive, of a partition, which held so many records."""

    partition: int
    first_offset: int
    last_offset: int
    records: int


@dataclass(frozen=True, slots=True)
class TopicSource:
    """Records of a topic. ``topic_id`` is null where the cluster gives none."""

    topic: str
    topic_id: str | None
    ranges: tuple[CoveredRange, ...]


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file. ``name`` is its name without the directory, ``sha256`` that of its bytes in hexadecimal, ``format`` is
    ``csv`` or ``parquet``."""

    name: str
    sha256: str
    format: str
    bytes: int


@dataclass(frozen=True, slots=True)
class SchemaShare:
    """So many records stood under this value schema."""

    reference: SchemaReference
    records: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Records from one source, as one profile of their values (keys are left out). The fields are in their order.

    ``left_out`` counts records that could not be decoded, by why. ``hash_key_id`` tells the key of the hashes in the
    profile, without telling what it is.
    """

    source: TopicSource | FileSource
    profile: Profile
    hash_key_id: str
    schemas: tuple[SchemaShare, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Those that were decoded."""
        return self.profile.decoded

    @property
    def is_ordered(self) -> bool:
        """Whether the order of the fields is one that a schema or a file's header declares."""
        return isinstance(self.source, FileSource) or self.profile.decoder in (Decoder.COLUMNAR, Decoder.RECORDS)

    @property
    def tells_nulls_apart(self) -> bool:
        """Whether fields that are null are told from fields that are not there."""
        return isinstance(self.source, TopicSource)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A sample under a name. ``topic`` is the one whose live data it is compared with, if any. ``ignored`` are field
    paths that are not compared, in which ``*`` stands for any run of characters."""

    name: str
    topic: str | None
    created_at: datetime
    sample: Sample
    ignored: tuple[str, ...] = ()

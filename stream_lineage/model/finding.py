"""Findings: what a detector says, before it is published as an alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from stream_lineage.model.schema import SchemaReference

Phase = Literal["open", "update", "close"]
"""Of a problem that lasts: it begins, it is graver than was said, it is over."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Compatibility:
    """``backward``: readers on the new schema read data of the old. ``forward``: readers on the old read the new."""

    backward: bool
    forward: bool

    @property
    def full(self) -> bool:
        return self.backward and self.forward

    @property
    def verdict(self) -> str:
        """``full``, ``backward``, ``forward`` or ``none``."""
        if self.full:
            return "full"
        return "backward" if self.backward else "forward" if self.forward else "none"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One difference between two schemas. ``breaks`` holds ``backward`` and/or ``forward``, or nothing.

    ``kind`` is a stable word such as ``field-added``, ``type-changed``; ``old`` and ``new`` are types or attributes as
    short text (never data), null where there is none.
    """

    kind: str
    path: str
    old: str | None
    new: str | None
    breaks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a detector found.

    ``fingerprint`` is the same for the same problem, whenever it is found. ``first_offsets`` maps partition to the
    first affected offset; ``last_offsets`` is given where a finding is about a range (data loss). ``phase`` is null for
    what happens once; ``score``, 0 to 1, says how unusual it is where that can be said. ``job`` is the consumer group
    or the declared job that it is about.
    """

    kind: str
    severity: Severity
    topic: str
    field_path: str | None
    summary: str
    fingerprint: str
    first_offsets: Mapping[int, int]
    last_offsets: Mapping[int, int] = field(default_factory=dict)
    before: SchemaReference | None = None
    after: SchemaReference | None = None
    compatibility: Compatibility | None = None
    changes: tuple[SchemaChange, ...] = ()
    phase: Phase | None = None
    score: float | None = None
    job: str | None = None

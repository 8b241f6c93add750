"""How a collector stands, as its main thread last saw it."""

from __future__ import annotations

from dataclasses import dataclass

from stream_lineage.collect.pipeline import Totals


@dataclass(frozen=True, slots=True)
class Standing:
    """``at`` is the monotonic time, in seconds, of the turn. ``topics`` are watched, ``partitions`` are read,
    ``quarantined`` ones are assigned and not read. ``assigned``: the group has let this member in. ``rewinding``: a
    flush failed or partitions were lost, and reading is to begin again from what is committed."""

    totals: Totals
    at: float
    topics: int = 0
    partitions: int = 0
    quarantined: int = 0
    assigned: bool = False
    rewinding: bool = False

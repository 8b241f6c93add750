"""What Kafka itself still has of the records on a path."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log
from stream_lineage.provenance.lookup import StoredRecord
from stream_lineage.provenance.reread import Coordinates


@dataclass(slots=True)
class Kept:
    """What Kafka still has of a path. ``gone`` by the number of a partition: offsets that retention has removed, or
    whose topic is not there any more. ``asked`` is false where Kafka was not asked or did not answer."""

    asked: bool = False
    records: dict[Coordinates, StoredRecord] = field(default_factory=dict)
    gone: dict[int, Ranges] = field(default_factory=dict)
    trouble: str | None = None

    def how_much(self, number: int, log: Log, ranges: Ranges) -> str | None:
        """``all``, ``some`` or ``none`` of these records is still in Kafka; null where nobody knows."""
        if not self.asked or log.cluster is not None:
            return None
        gone = (ranges & self.gone.get(number, Ranges.empty())).count
        return "all" if not gone else "none" if gone == ranges.count else "some"

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
    whose topic is not there any more. ``compacted`` are topics that are compacted, ``unsure`` those of which we may not
    know that. ``asked`` is false where Kafka was not asked or did not answer."""

    asked: bool = False
    records: dict[Coordinates, StoredRecord] = field(default_factory=dict)
    gone: dict[int, Ranges] = field(default_factory=dict)
    compacted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    trouble: str | None = None

    def how_much(self, number: int, log: Log, ranges: Ranges) -> str | None:
        """``all``, ``some`` or ``none`` of these records is still in Kafka; null where nobody knows. ``compacted``: its
        log reaches back to some of them at least, and may have lost any of those that were not read again."""
        if not self.asked or log.cluster is not None:
            return None
        gone = (ranges & self.gone.get(number, Ranges.empty())).count
        if gone == ranges.count:
            return "none"
        if log.topic in self.compacted | self.unsure and not self._read_again(log, ranges, ranges.count - gone):
            return "compacted" if log.topic in self.compacted else None
        return "some" if gone else "all"

    def _read_again(self, log: Log, ranges: Ranges, count: int) -> bool:
        there = [
            offset
            for topic, partition, offset in self.records
            if (topic, partition) == (log.topic, log.partition) and ranges.contains(offset)
        ]
        return len(there) == count

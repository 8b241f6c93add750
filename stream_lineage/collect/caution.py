"""What a collector does more carefully that was started again because it had taken too much memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream_lineage.collect.memory import MEBIBYTE
from stream_lineage.collect.places import Place
from stream_lineage.collect.progress import PartitionId
from stream_lineage.collect.read_probe import ReadProbe, Trial
from stream_lineage.logs import get_logger

_log = get_logger("stream_lineage.collect")
TOO_LARGE = "a batch takes more memory than there is, once it is decompressed"
_LEAST_BYTES = 2 * MEBIBYTE
_SECONDS = 100.0
"""For all partitions together: the group waits for us meanwhile."""


@dataclass(frozen=True, slots=True)
class Caution:
    """``restarts`` is how often this process was started again for its memory; with 0 nothing is tried out. Each time
    it is looked twice as far ahead: how much had been fetched when it happened is not known any more."""

    probe: ReadProbe
    trial: Trial
    prefetch_bytes: int
    restarts: int = 0

    def deadly(self, places: Iterable[Place]) -> set[PartitionId]:
        """Of the partitions that are to be read, those that are not to be read by us."""
        wanted = [(place.progress.key, place.progress.position or 0) for place in places]
        if not self.restarts or not wanted:
            return set()
        _log.warning("looking for the partition that takes too much memory", partitions=len(wanted))
        most_bytes = max(_LEAST_BYTES, 2 * self.prefetch_bytes // len(wanted)) << min(self.restarts - 1, 10)
        found = self.probe.deadly(wanted, most_bytes=most_bytes, seconds=_SECONDS)
        if not found:
            _log.warning("no partition takes too much memory by itself")
        return found

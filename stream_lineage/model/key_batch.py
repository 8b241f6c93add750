"""Where the values of declared key fields stand, by their keyed hashes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class KeyRun:
    """Of one partition, in the order of offsets: ``hashes[i]`` (48 bits) is of a value of the record ``offsets[i]``."""

    partition: int
    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True, slots=True)
class KeyBatch:
    """Of one field of one topic, as far as one collector saw it in one flush.

    ``check`` tells under which key the hashes are. ``left_out`` records have values that are not here: it is not known
    whose they are, or there were too many.
    """

    batch_id: str
    cluster: str
    topic: str
    topic_id: str | None
    path: str
    check: bytes
    collector: str
    observed_at: datetime
    runs: tuple[KeyRun, ...]
    left_out: int = 0

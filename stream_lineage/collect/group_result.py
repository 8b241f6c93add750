"""What decoding a group of a flush has come to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_lineage.collect.decode_process import Undecodable


@dataclass(slots=True)
class FoundKeys:
    """Hashes of a field by which people ask for records, in no order. ``left_out`` records have values without one."""

    path: str
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    left_out: int


@dataclass(slots=True)
class GroupResult:
    """``profile`` is the encoded Profile, null when it could not be made; ``bad`` holds (partition, offset, size,
    record) of what did not decode."""

    profile: bytes | None
    bad: list[tuple[int, int, int, Undecodable]]
    keys: list[FoundKeys] = field(default_factory=list)

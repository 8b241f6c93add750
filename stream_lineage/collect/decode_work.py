"""What a flush asks of the decode worker, group by group: how it is decoded, in which portions, what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from stream_lineage.collect.decode_process import (
    BatchAnswer,
    BatchRequest,
    DecodeSchema,
    FieldHashes,
    FinishRequest,
    Undecodable,
)
from stream_lineage.collect.flush import Group, Piece
from stream_lineage.collect.group_result import FoundKeys
from stream_lineage.collect.payloads import Payloads, concatenated

WORKER_LOST = "worker-lost"
"""The kind of dead letter for records that the decoder does not survive."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""A batch is no larger, but for a single record: objects made of JSON take ten times the room of its text."""


class Worker(Protocol):
    """What is needed of the decode worker: see ``DecodeProcess``. Any call may raise ``WorkerLost``."""

    @property
    def restarts(self) -> int: ...

    def start(self) -> None: ...

    def work_until(self, void: Callable[[], bool]) -> None: ...

    def batch(self, batch: BatchRequest) -> BatchAnswer: ...

    def probe(self, batch: BatchRequest, *, seconds: float) -> str | None: ...

    def batches(self, batches: Sequence[BatchRequest]) -> list[BatchAnswer]: ...

    def finish(self, group: int, budget: int, left_out: int) -> bytes | None: ...

    def finishes(self, requests: Sequence[FinishRequest]) -> Iterator[bytes | None]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How the records of a group are decoded: schemas of value and key, and the bytes of framing before each."""

    value: DecodeSchema
    key: DecodeSchema
    skips: tuple[int, int]


@dataclass(slots=True)
class DecodeWork:
    """A group's share of the flush: ``careful`` pieces, that a worker was lost with, and ``excluded`` records."""

    number: int
    plan: Plan
    bad: list[tuple[int, Undecodable]] = field(default_factory=list)  # piece, record
    keys: list[tuple[int, FieldHashes]] = field(default_factory=list)  # by piece, with places in it
    excluded: dict[int, set[int]] = field(default_factory=dict)
    careful: set[int] = field(default_factory=set)
    lost: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # by piece, first and last record tried
    last_words: str | None = None

    def request(self, topic: str, values: Payloads, keys: Payloads) -> BatchRequest:
        """What the worker is asked with these records."""
        plan = self.plan
        return BatchRequest(self.number, topic, values, keys, plan.value, plan.key, plan.skips)

    def blame(self, piece: int, place: int, role: str, reason: str) -> None:
        """Leave a record out, and say why."""
        self.excluded.setdefault(piece, set()).add(place)
        self.bad.append((piece, Undecodable(place, role, WORKER_LOST, reason)))

    def leave_out(self, group: Group, piece: int, reason: str) -> None:
        """Leave out all records of a piece."""
        whole = group.pieces[piece]
        excluded = self.excluded.get(piece, set())
        self.bad = [row for row in self.bad if row[0] != piece or row[1].index in excluded]
        values, keys = whole.values.lengths.tolist(), whole.keys.lengths.tolist()
        for place in range(len(whole)):
            if place not in excluded and (values[place] >= 0 or keys[place] >= 0):
                self.blame(piece, place, "value" if values[place] >= 0 else "key", reason)

    def left_out(self, group: Group) -> int:
        """Values of a group that are not sent."""
        return sum(
            int(np.count_nonzero(group.pieces[piece].values.lengths[sorted(places)] >= 0))
            for piece, places in self.excluded.items()
        )

    def found(self, group: Group) -> list[FoundKeys]:
        """The hashes of keys, with the coordinates of their records."""
        return [_found(group.pieces[piece], keys) for piece, keys in self.keys]


def merged(pieces: list[Piece]) -> Piece:
    """Pieces of one group as one."""
    return Piece(
        concatenated([piece.values for piece in pieces]),
        concatenated([piece.keys for piece in pieces]),
        np.concatenate([piece.partitions for piece in pieces]),
        np.concatenate([piece.offsets for piece in pieces]),
        # Kept for all pieces of a topic or for none.
        None if pieces[0].messages is None else [m for piece in pieces for m in piece.messages or ()],
    )


def portions(piece: Piece, places: Iterable[int]) -> list[list[int]]:
    """The records of a piece in portions of a bounded size, the last one first."""
    sizes = np.maximum(piece.values.lengths, 0) + np.maximum(piece.keys.lengths, 0)
    out: list[list[int]] = []
    room = 0
    for place, size in ((place, int(sizes[place])) for place in places):
        if not out or size > room:
            out.append([])
            room = MAX_BATCH_BYTES
        out[-1].append(place)
        room -= size
    return out[::-1]


def _found(piece: Piece, keys: FieldHashes) -> FoundKeys:
    at = keys.places
    return FoundKeys(keys.path, piece.partitions[at], piece.offsets[at], keys.hashes, keys.left_out)

"""The key hashes of a flush as messages of ``lineage.keys``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import uuid4

import numpy as np

from stream_lineage.collect.flush import GroupKey
from stream_lineage.collect.group_result import FoundKeys, GroupResult
from stream_lineage.collect.transaction import OutgoingMessage
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.profile.key_hashes import KeyHasher
from stream_lineage.provenance.key_codec import encode_keys, split


@dataclass(slots=True)
class KeyCounts:
    """Hashes that were ``written``, and records that were ``left_out``."""

    written: int = 0
    left_out: int = 0

    def add(self, other: KeyCounts) -> None:
        self.written += other.written
        self.left_out += other.left_out


MOST_KEYS = 500_000
"""Of one flush, some 5 MB. What more there are is left out, and said."""


class KeyMessages:
    """``write`` for each flush. ``hash_key`` is that of the worker."""

    def __init__(
        self, hash_key: bytes, *, cluster: str, collector: str, topic: str, schema_id: int | None, most: int = MOST_KEYS
    ) -> None:
        self._hash_key = hash_key
        self._cluster = cluster
        self._collector = collector
        self._topic = topic
        self._schema_id = schema_id
        self._most = most
        self._checks: dict[tuple[str, str], bytes] = {}

    def write(
        self,
        results: Mapping[GroupKey, GroupResult],
        topic_ids: Mapping[str, str | None],
        now: datetime,
        counts: KeyCounts,
    ) -> Iterator[OutgoingMessage]:
        """The hashes that were found, each partition in the order of its offsets. They are added to ``counts``."""
        found: dict[tuple[str, str], list[FoundKeys]] = {}
        for (topic, _, _), result in results.items():
            for keys in result.keys:
                found.setdefault((topic, keys.path), []).append(keys)
        room, ids = self._most, iter(lambda: uuid4().hex, "")
        for (topic, path), parts in found.items():
            runs, left_out = [], sum(part.left_out for part in parts)
            for run in _runs(parts):
                kept = min(len(run), room)
                room -= kept
                left_out += len(run) - kept
                if kept:
                    runs.append(KeyRun(run.partition, run.offsets[:kept], run.hashes[:kept]))
            counts.add(KeyCounts(sum(map(len, runs)), left_out))
            batch = KeyBatch(
                "", self._cluster, topic, topic_ids.get(topic), path, self._check(topic, path), self._collector, now,
                tuple(runs), left_out,
            )  # fmt: skip
            for each in split(batch, ids):
                yield OutgoingMessage(self._topic, topic.encode(), encode_keys(each, schema_id=self._schema_id))

    def _check(self, topic: str, path: str) -> bytes:
        known = self._checks.get((topic, path))
        if known is None:
            known = self._checks[topic, path] = KeyHasher(self._hash_key, topic, path).check
        return known


def _runs(parts: list[FoundKeys]) -> Iterator[KeyRun]:
    partitions = np.concatenate([part.partitions for part in parts])
    offsets = np.concatenate([part.offsets for part in parts])
    hashes = np.concatenate([part.hashes for part in parts])
    order = np.lexsort((offsets, partitions))
    partitions, offsets, hashes = partitions[order], offsets[order], hashes[order]
    cuts = np.flatnonzero(np.diff(partitions)) + 1
    bounds = [0, *cuts.tolist(), len(partitions)]
    for start, stop in pairwise(bounds):
        if start < stop:
            yield KeyRun(int(partitions[start]), offsets[start:stop], hashes[start:stop])

"""Parts of a batch: in pieces of a size, and without what is counted already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np

from stream_lineage.collect.batch import TopicBatch
from stream_lineage.collect.progress import PartitionId, PartitionProgress


def slices(batch: TopicBatch, pieces: int) -> list[TopicBatch]:
    """The batch in parts that add at most ``pieces`` runs and gaps to a flush."""
    if len(batch) <= pieces:
        return [batch]
    cuts = batch.change_points()[1:-1]
    jumps = np.flatnonzero(np.diff(batch.offsets) != 1) + 1
    places = np.union1d(cuts, jumps)[pieces - 1 :: pieces].tolist()
    if not places:
        return [batch]
    return [_subset(batch, [edge]) for edge in pairwise([0, *places, len(batch)])]


def without_stale(batch: TopicBatch, progress: Mapping[PartitionId, PartitionProgress]) -> TopicBatch | None:
    """The batch without what a span covers already and without partitions that are not ours; null if all is."""
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(batch.partitions)) + 1, [len(batch)])).tolist()
    keep: list[tuple[int, int]] = []
    complete = True
    seen: dict[int, int] = {}
    for start, stop in pairwise(bounds):
        partition = int(batch.partitions[start])
        state = progress.get((batch.topic, partition))
        if state is None:
            complete = False
            continue
        floor = max(state.expected or 0, state.position or 0, seen.get(partition, 0))
        offsets = batch.offsets[start:stop]
        if int(offsets[0]) < floor or (stop - start > 1 and not bool(np.all(offsets[1:] > offsets[:-1]))):
            complete = False
            fresh, highest = [], floor - 1
            for index, offset in enumerate(offsets.tolist(), start):
                if offset > highest:
                    fresh.append(index)
                    highest = offset
            keep += _ranges(fresh)
            seen[partition] = highest + 1
        else:
            keep.append((start, stop))
            seen[partition] = int(offsets[-1]) + 1
    if complete:
        return batch
    return _subset(batch, keep) if keep else None


def _ranges(indices: Iterable[int]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for index in indices:
        if out and out[-1][1] == index:
            out[-1] = (out[-1][0], index + 1)
        else:
            out.append((index, index + 1))
    return out


def _subset(batch: TopicBatch, keep: list[tuple[int, int]]) -> TopicBatch:
    indices = np.concatenate([np.arange(a, b) for a, b in keep])
    place = np.full(len(batch), -1, np.int64)
    place[indices] = np.arange(len(indices))
    sampled = place[batch.sample] >= 0
    whole = batch.producer_of
    return TopicBatch(
        topic=batch.topic,
        partitions=batch.partitions[indices],
        offsets=batch.offsets[indices],
        values=batch.values.segments(keep),
        keys=batch.keys.segments(keep),
        value_codes=batch.value_codes[indices],
        key_codes=batch.key_codes[indices],
        sample=place[batch.sample][sampled],
        timestamps=batch.timestamps[sampled],
        messages=None if batch.messages is None else [batch.messages[i] for i in indices.tolist()],
        producer_of=None if whole is None else lambda index: whole(int(indices[index])),
        descendants=[
            each._replace(place=int(place[each.place])) for each in batch.descendants if place[each.place] >= 0
        ],
    )

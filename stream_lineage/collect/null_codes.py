"""The schema codes of nulls, which have no bytes that would say one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stream_lineage.collect.batch import TopicBatch
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.collect.schema_key import NULL_CODE, OPAQUE_CODE


def settle_nulls(batch: TopicBatch, progress: Mapping[PartitionId, PartitionProgress]) -> NDArray[np.int64]:
    """Give nulls the schema of their neighbours in the partition, so that tombstones do not cut spans; the change
    points after that."""
    _settle_all_null_keys(batch, progress)
    bounds = batch.change_points()
    firsts = bounds[:-1]
    if bool(((batch.value_codes[firsts] == NULL_CODE) | (batch.key_codes[firsts] == NULL_CODE)).any()):
        for partition in np.unique(batch.partitions[firsts]).tolist():
            own = np.flatnonzero(batch.partitions == partition)
            state = progress[(batch.topic, partition)]
            _fill_nulls(batch.value_codes, own, state.value_code)
            _fill_nulls(batch.key_codes, own, state.key_code)
        bounds = batch.change_points()
    return bounds


def _settle_all_null_keys(batch: TopicBatch, progress: Mapping[PartitionId, PartitionProgress]) -> None:
    """Topics without keys are common: then there is nothing to look for record by record."""
    if not batch.keys.all_null:
        return
    ends = np.flatnonzero(np.diff(batch.partitions))
    partitions = {int(batch.partitions[-1]), *batch.partitions[ends].tolist()}
    known = {progress[(batch.topic, partition)].key_code for partition in partitions}
    if len(known) == 1:
        code = known.pop()
        batch.key_codes[:] = np.uint64(OPAQUE_CODE if code is None else code)


def _fill_nulls(codes: NDArray[np.uint64], own: NDArray[np.int64], last: int | None) -> None:
    """In place: a null takes the code before it, else the one after it, else opaque."""
    mine = codes[own]
    known = np.flatnonzero(mine != NULL_CODE)
    if len(known) == len(own):
        return
    if not len(known):
        codes[own] = np.uint64(OPAQUE_CODE if last is None else last)
        return
    before = np.searchsorted(known, np.arange(len(own)), side="right") - 1
    filled = mine[known[np.maximum(before, 0)]]
    if last is not None:
        filled[before < 0] = np.uint64(last)
    codes[own] = filled

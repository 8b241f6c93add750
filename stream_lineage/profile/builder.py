"""From the columns of a flush to its profile."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.structure import Structure
from stream_lineage.profile.budget import Draft, fit
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.field import FieldState
from stream_lineage.profile.hashing import hasher_of
from stream_lineage.profile.options import PathPatterns, ProfileOptions
from stream_lineage.profile.paths import OBJECT_TYPES, absent_slots
from stream_lineage.profile.structure import StructureTable
from stream_lineage.wire.columns import Batch, Containers, Decoded, FieldColumn

_MAX_TRUNCATED = 10_000
"""Paths beyond the bound are remembered, so as to count each once, up to this many."""


class FieldTable:
    """The fields of the values, or of the keys, of one topic and schema.

    A path may be absent from a batch (JSON members that no record of it has), and may first come in a later one: its
    slots in the batches without it are worked out by ``absent_slots``, and are missing.
    """

    def __init__(self, options: ProfileOptions, revealed: frozenset[str]) -> None:
        self.records = 0
        self.undecoded = 0
        self._truncated: set[str] = set()
        self._truncated_before = 0  # by the decoder
        self._structure = StructureTable()
        self.fields: dict[str, FieldState] = {}
        self._options = options
        self._revealed = PathPatterns(revealed)
        self._hasher = hasher_of(options.hash_key)

    @property
    def states(self) -> list[FieldState]:
        return list(self.fields.values())

    @property
    def truncated(self) -> int:
        """Paths that were left out, here and by the decoder."""
        return len(self._truncated) + self._truncated_before

    @property
    def structure(self) -> Structure | None:
        """Declared against actual structure; null where none is declared."""
        return self._structure.result(self.fields.keys() | self._truncated)

    def add(self, decoded: Decoded) -> None:
        """Count a batch."""
        bad = len({record.index for record in decoded.bad})
        records, columns = decoded.records - bad, decoded.columns
        self.undecoded += bad
        self._truncated_before = max(self._truncated_before, decoded.truncated)
        if decoded.compared is not None:
            self._structure.add(decoded.compared)
        before = self.records
        self.records += records
        new: list[FieldState] = []
        present: list[str] = []
        for column in columns:
            field = self.fields.get(column.path)
            if field is None:
                if len(self.fields) >= self._options.max_fields:
                    if len(self._truncated) < _MAX_TRUNCATED:
                        self._truncated.add(column.path)
                    continue
                revealed = self._revealed.matches(column.path)
                field = self.fields[column.path] = FieldState(column.path, self._options, revealed=revealed)
                new.append(field)
            field.add(column, self._hasher)
            present.append(column.path)
        new_later = new if before else []
        if not new_later and len(present) == len(self.fields):
            return
        here = {column.path: _objects(column) for column in columns}
        for field in new_later:
            earlier = {path: known.objects - here.get(path, 0) for path, known in self.fields.items()}
            field.add_absent(absent_slots(field.path, before, self.fields, earlier))
        for path in self.fields.keys() - present:
            self.fields[path].add_absent(absent_slots(path, records, self.fields, here))


def _objects(column: FieldColumn) -> int:
    return sum(part.count for part in column.parts if isinstance(part, Containers) and part.type in OBJECT_TYPES)


class ProfileBuilder:
    """Builds the profile of one topic under one pair of schemas over one flush. Not to be used after ``finish``."""

    def __init__(self, options: ProfileOptions) -> None:
        self._options = options
        self._values = FieldTable(options, options.reveal_fields)
        self._keys = FieldTable(options, options.reveal_key_fields)
        self._key_distinct: DistinctSketch | None = None

    def add(self, decoded: Decoded, *, role: Literal["value", "key"] = "value") -> None:
        """Count one decoded batch of values or of keys."""
        with np.errstate(all="ignore"):
            (self._values if role == "value" else self._keys).add(decoded)

    def add_keys(self, batch: Batch) -> None:
        """Count raw keys, without their framing, as distinct or not."""
        if len(batch):
            if self._key_distinct is None:
                self._key_distinct = DistinctSketch(self._options.distinct_lg_k)
            hashes = hasher_of(self._options.hash_key).texts(batch.data, batch.starts, batch.lengths)
            self._key_distinct.add(hashes)

    def finish(self, decoder: Decoder, key_decoder: Decoder, size_budget: int) -> Profile:
        """The profile of all that was added, in at most ``size_budget`` bytes of ``encode_profile``.

        Detail is given up as the module ``budget`` says. Whole fields are left out only where their counts alone are
        larger than the budget, and the result never is smaller than a profile without fields.
        """
        empty = Profile(
            decoder=decoder,
            key_decoder=key_decoder,
            decoded=self._values.records,
            undecoded=self._values.undecoded,
            key_distinct=None,
            fields=(),
            key_fields=(),
            truncated_fields=self._values.truncated + self._keys.truncated,
            structure=self._values.structure,
            key_structure=self._keys.structure,
        )
        draft = Draft(empty, self._values.states, self._keys.states, self._key_distinct)
        fit(draft, size_budget)
        return draft.profile()

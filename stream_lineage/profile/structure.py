"""Declared against actual structure, over the batches of a flush and over profiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from stream_lineage.model.structure import Deviation, DeviationKind, Structure
from stream_lineage.profile.encoding import encode_structure
from stream_lineage.wire.columns import Compared

MAX_DEVIATIONS = 64
"""Deviations that one profile lists, the gravest first. Larger: more is shown of records that have little in common
with their schema, and their observations take more bytes."""
_MAX_PATH_CHARACTERS = 300
_MOST_REMEMBERED = 10_000
_ORDER = {kind: rank for rank, kind in enumerate(DeviationKind)}
_Key = tuple[DeviationKind, str, str | None, str | None]


class StructureTable:
    """The deviations of one flush, batch by batch."""

    def __init__(self) -> None:
        self._found: Counter[_Key] = Counter()
        self._unseen: dict[str, tuple[str | None, int]] = {}
        self._declared = False

    def add(self, compared: Compared) -> None:
        """Count a batch."""
        self._declared = True
        if len(self._found) < _MOST_REMEMBERED:
            self._found.update(compared.found)
        for path, (declared, count) in compared.unseen.items():
            known = self._unseen.get(path)
            if known is not None or len(self._unseen) < _MOST_REMEMBERED:
                self._unseen[path] = (declared, count + (0 if known is None else known[1]))

    def result(self, seen: Collection[str]) -> Structure | None:
        """All of it; null where no batch had a declared structure. ``seen`` are the field paths that had values."""
        if not self._declared:
            return None
        found = Counter(self._found)
        for path, (declared, count) in self._unseen.items():
            if path not in seen:
                found[DeviationKind.NEVER_SEEN, path, declared, None] = count
        return _structure(found, 0)


def merged_structures(a: Structure | None, b: Structure | None, seen: Collection[str]) -> Structure | None:
    """The deviations of both. ``seen`` are the field paths that either has values of: those are not never seen."""
    if a is None or b is None:
        return b if a is None else a
    found: Counter[_Key] = Counter()
    for row in (*a.deviations, *b.deviations):
        if row.kind is not DeviationKind.NEVER_SEEN or row.path not in seen:
            found[row.kind, row.path, row.declared, row.seen] += row.count
    return _structure(found, max(a.left_out, b.left_out))


def encoded_size(structure: Structure) -> int:
    """Bytes that it takes in an encoded profile."""
    return len(encode_structure(structure))


def shortened(structure: Structure, excess: int) -> Structure:
    """Without so many of the mildest deviations that it takes ``excess`` bytes less, or without any."""
    target = encoded_size(structure) - excess
    kept, left_out = list(structure.deviations), structure.left_out
    while kept and encoded_size(structure) > target:
        kept.pop()
        left_out += 1
        structure = Structure(tuple(kept), left_out)
    return structure


def _structure(found: Counter[_Key], left_out: int) -> Structure:
    ranked = sorted(
        found.items(), key=lambda item: (_ORDER[item[0][0]], item[0][1], item[0][2] or "", item[0][3] or "")
    )
    rows = [
        Deviation(kind, path[:_MAX_PATH_CHARACTERS], declared, seen, count)
        for (kind, path, declared, seen), count in ranked[:MAX_DEVIATIONS]
    ]
    return Structure(tuple(rows), left_out + max(0, len(ranked) - MAX_DEVIATIONS))

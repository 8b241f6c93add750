"""Field paths: dotted, array items end in ``[]``, map values in ``{}``; ``$`` is a whole record that is no object."""

from __future__ import annotations

from collections.abc import Container, Mapping

OBJECT_TYPES = ("record", "object")
"""Types of values that have fields inside."""

ROOT = "$"
"""Decoders mention it once a batch holds a record that is no object; where they do not, all records are objects."""

_ITEMS = ("[]", "{}")


def is_top_level(path: str) -> bool:
    return "." not in path and not path.endswith(_ITEMS)


def absent_slots(path: str, records: int, known: Container[str], objects: Mapping[str, int]) -> int:
    """How many slots a path has in a batch that does not mention it at all: that many values are missing there (of
    ``ROOT``: are objects).

    A top-level path has one in each of the batch's ``records``, a nested path one in each of the ``objects`` (records
    and objects, counted by path) at its parent. Array items and map values that are not there have no slots.
    """
    if path.endswith(_ITEMS):
        return 0
    parent = path.rpartition(".")[0]
    while parent:  # names may hold dots: the parent is the longest path that is known
        if parent in known:
            return objects.get(parent, 0)
        if parent.endswith(_ITEMS):
            return 0
        parent = parent.rpartition(".")[0]
    return records

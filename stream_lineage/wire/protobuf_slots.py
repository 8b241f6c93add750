"""The slots of a message: what its tags stand for.

A tag is a field's number and a wire type. One that fits no field is unknown, also where only the wire type does not
fit; repeated numbers have two that fit, one by one and packed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.protobuf_schema import LENGTH, FieldType, MessageType

UNKNOWN = -1
_DENSE = 4096


class Slots:
    """``fields`` and ``packed`` by slot; ``by_tag`` has the slots by tag."""

    def __init__(self, message: MessageType) -> None:
        self.fields: list[FieldType] = []
        self.packed: list[bool] = []
        self.by_tag: dict[int, int] = {}
        self.of_field: dict[FieldType, tuple[int, ...]] = {}
        for field in message.fields:
            own = [self._add(field, field.wire_type, packed=False)]
            if field.packable:
                own.append(self._add(field, LENGTH, packed=True))
            self.of_field[field] = tuple(own)
        tags = sorted(self.by_tag)
        self._tags = np.array([*tags, np.iinfo(np.int64).max], np.int64)
        self._slots = np.array([*(self.by_tag[tag] for tag in tags), UNKNOWN], np.int64)
        self._dense = np.full(_DENSE, UNKNOWN, np.int64)
        for tag, slot in self.by_tag.items():
            if tag < _DENSE:
                self._dense[tag] = slot

    def _add(self, field: FieldType, wire_type: int, *, packed: bool) -> int:
        slot = self.by_tag[field.number << 3 | wire_type] = len(self.fields)
        self.fields.append(field)
        self.packed.append(packed)
        return slot

    def of(self, tags: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slot of each tag."""
        if int(tags.max(initial=0)) < _DENSE:
            return self._dense[tags]
        at = np.searchsorted(self._tags[:-1], tags)
        return np.where(self._tags[at] == tags, self._slots[at], UNKNOWN)

"""Columns: a batch of decoded records, field path by field path, as arrays.

Every decoder (columnar, record by record, JSON) produces these, and the profile is computed from these alone: two
decoders that read the same records give the same profile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_lineage.model.structure import DeviationKind

PADDING = 16
"""Text buffers are followed by this many zero bytes, so that 8-byte loads at any position stay inside."""


@dataclass(slots=True)
class Numbers:
    """Numeric values of one field. ``values`` is int64, float64 or bool, in record order (where several branches of a
    union share the field, branch by branch).

    ``type`` is ``integer``, ``number`` or ``boolean``; decimals are float64 of type ``number``; dates and times are
    int64 of type ``integer``.
    """

    type: str
    values: NDArray[np.int64] | NDArray[np.float64] | NDArray[np.bool_]


@dataclass(slots=True)
class Texts:
    """Strings or bytes of one field, as positions in a shared buffer: ``data[starts[i] : starts[i] + lengths[i]]``.

    ``type`` is ``string`` or ``bytes`` (fixed is bytes). ``data`` is uint8 and ends in ``PADDING`` zero bytes.
    """

    type: str
    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


@dataclass(slots=True)
class Symbols:
    """Enum values of one field: ``symbols[codes[i]]``."""

    codes: NDArray[np.int64]
    symbols: tuple[str, ...]


@dataclass(slots=True)
class Containers:
    """Arrays, maps, records or objects of one field. ``type`` is ``array``, ``map``, ``record`` or ``object``.

    ``lengths`` holds the items of each array or map and is null for records and objects, of which only ``count`` is
    known.
    """

    type: str
    count: int
    lengths: NDArray[np.int64] | None = None


Part = Numbers | Texts | Symbols | Containers


@dataclass(slots=True)
class FieldColumn:
    """All values of one field path in a batch. A field of several types (a union, untyped JSON) has several parts.

    ``slots`` = nulls + missing + the values in all parts. A field at the top has a slot in every good record, a field
    further down one in every record or object that there is at the path above it. ``joined``: values of several
    branches of a union, or of several messages, are in one part, branch by branch.
    """

    path: str
    slots: int
    nulls: int = 0
    missing: int = 0
    parts: list[Part] = field(default_factory=list)
    joined: bool = False


@dataclass(slots=True)
class Compared:
    """How a batch differs from the structure that its schema declares.

    ``found`` counts by kind, field path, declared and seen type. ``unseen`` holds the declared members that no object
    of the batch has, with what is declared and how many objects could have had them.
    """

    found: Counter[tuple[DeviationKind, str, str | None, str | None]] = field(default_factory=Counter)
    unseen: dict[str, tuple[str | None, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record of the batch that could not be decoded. ``error`` is text that holds no payload value."""

    index: int
    kind: str
    error: str


@dataclass(slots=True)
class Decoded:
    """A decoded batch: ``columns`` of the good records only, in schema order, and the bad ones by index.

    ``records`` counts all records, the bad ones too. Parts without a value are left out, and so are columns without
    any. ``truncated`` counts the field paths of the schema (for JSON: of this batch) that are beyond the bound of paths
    and have no column. ``compared`` is null where no structure is declared,
    ``text`` where records are decoded: else it says whether they look like text. ``in_order``: whether a column with
    one value for each record has them in the order of the records.
    """

    records: int
    columns: list[FieldColumn]
    bad: list[BadRecord]
    truncated: int = 0
    compared: Compared | None = None
    text: bool | None = None
    in_order: bool = True


@dataclass(slots=True)
class Batch:
    """Payloads of one schema, joined: record i is ``data[starts[i] : starts[i] + lengths[i]]``, framing left out.

    ``data`` is uint8 and ends in ``PADDING`` zero bytes. Records need not be adjacent or ordered.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

"""Framing: how each payload of a batch says which schema it was written with, told for all of them at once.

A record's header counts first (``guid_header``), then the payload's first bytes (``classify``). A leading zero byte
proves nothing until the registry knows the id: a code is what a payload claims.

Sources: Confluent's wire format; Avro 1.11, "Single-object encoding".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.model.schema import Framing

OPAQUE = 0 << 32
"""Code of a payload that says nothing: any other bytes, also none at all."""
NULL = 1 << 32
"""Code of no payload: a tombstone's value, an absent key."""
JSON = 2 << 32
"""Code of a payload that starts like a JSON object or array."""
SINGLE_OBJECT = 3 << 32
"""Code of an Avro single object; ``single_object_fingerprints`` reads whose."""
CONFLUENT = 4 << 32
"""Code of the Confluent prefix: this plus the schema id."""

CONFLUENT_PREFIX_BYTES = 5
SINGLE_OBJECT_PREFIX_BYTES = 10
_HIGHEST_ID = 2**31 - 1
_ID_MASK = 2**32 - 1

_FRAMINGS = {
    OPAQUE: Framing.OPAQUE,
    JSON: Framing.PLAIN_JSON,
    SINGLE_OBJECT: Framing.SINGLE_OBJECT,
    CONFLUENT: Framing.CONFLUENT_PREFIX,
}

Words = NDArray[np.uint64]


def classify(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Words:
    """One code per payload ``data[starts[i] : starts[i] + lengths[i]]``: its framing and, in the low 32 bits, its id.

    A length of -1 is a null payload, whose start does not matter. ``data`` ends in ``PADDING`` zero bytes. JSON is told
    by ``{`` or ``[`` behind at most seven bytes of white space.
    """
    missing = lengths < 0
    words = _words(data, np.where(missing, 0, starts) if missing.any() else starts)
    # Ids of 0 or beyond Java's int are no ids.
    ids = (words >> np.uint64(8)).astype("<u4").view(">u4").astype(np.uint64)
    prefixed = (
        ((words & np.uint64(0xFF)) == 0)
        & (lengths >= CONFLUENT_PREFIX_BYTES)
        & ((ids - np.uint64(1)) < np.uint64(_HIGHEST_ID))  # 0 wraps around
    )
    codes = np.where(prefixed, ids | np.uint64(CONFLUENT), np.uint64(OPAQUE))
    if not prefixed.all():
        others = np.flatnonzero(~prefixed)
        codes[others] = _unprefixed(words[others], lengths[others])
    return codes


def framing_of(code: int) -> Framing | None:
    """The framing that a code stands for; None for a null payload."""
    return _FRAMINGS.get(int(code) & ~_ID_MASK)


def schema_id(code: int) -> int | None:
    """The registry id in a code, if it holds one."""
    return int(code) & _ID_MASK if framing_of(code) is Framing.CONFLUENT_PREFIX else None


def payload_offset(code: int) -> int:
    """How many bytes of framing stand before the payload. Protobuf's message indexes count as payload, but for
    those in a header."""
    return {
        Framing.CONFLUENT_PREFIX: CONFLUENT_PREFIX_BYTES,
        Framing.SINGLE_OBJECT: SINGLE_OBJECT_PREFIX_BYTES,
    }.get(framing_of(code) or Framing.OPAQUE, 0)


def single_object_fingerprints(data: NDArray[np.uint8], starts: NDArray[np.int64]) -> Words:
    """The CRC-64-AVRO fingerprints of payloads whose code is ``SINGLE_OBJECT``."""
    return _words(data, starts + 2)


def _words(data: NDArray[np.uint8], positions: NDArray[np.int64]) -> Words:
    """Eight bytes from each position on, the first one lowest."""
    overlapping = np.ndarray((max(0, len(data) - 7),), "<u8", data, 0, (1,))
    return overlapping[positions]


def _unprefixed(words: Words, lengths: NDArray[np.int64]) -> Words:
    codes = np.full(len(words), OPAQUE, np.uint64)
    codes[lengths < 0] = NULL
    magic = (words & np.uint64(0xFFFF)) == 0x01C3
    codes[magic & (lengths >= SINGLE_OBJECT_PREFIX_BYTES)] = SINGLE_OBJECT
    # Bytes behind the payload's end become zero, which is neither white space nor a bracket.
    kept = np.clip(lengths, 0, 8).astype(np.uint64) * np.uint64(8)
    words = np.where(kept == 64, words, words & ((np.uint64(1) << (kept % np.uint64(64))) - np.uint64(1)))
    first = words & np.uint64(0xFF)
    for _ in range(7):
        blank = (first == 0x20) | (first == 0x0A) | (first == 0x0D) | (first == 0x09)
        if not blank.any():
            break
        words = np.where(blank, words >> np.uint64(8), words)
        first = words & np.uint64(0xFF)
    codes[(first == ord("{")) | (first == ord("["))] = JSON
    return codes

"""Varints, many at a time: Avro's zigzag integers decoded from 8-byte words with arithmetic instead of loops.

A word is loaded at each cursor, whatever its alignment. The lowest byte without a continuation bit ends the varint;
what follows is masked off, and the seven-bit groups are moved together pairwise, in three steps (Lamport 1975,
"Multiple byte processing with full-word instructions", gave this kind of arithmetic its name). Varints of one byte,
which lengths, branches and small numbers are, take a table; those of nine and ten bytes are completed afterwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CONTINUES = np.uint64(0x8080808080808080)
_PAYLOAD = np.uint64(0x7F7F7F7F7F7F7F7F)
_STEPS = (
    (np.uint64(1), np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00)),
    (np.uint64(2), np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000)),
    (np.uint64(4), np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000)),
)
_ONE = np.uint64(1)
_ONE_BYTE = np.array([(byte >> 1) ^ -(byte & 1) for byte in range(128)] + [0] * 128, np.int64)

Varints = tuple[NDArray[np.int64], NDArray[np.uint8] | int, NDArray[np.bool_] | None]
"""Values, bytes taken (one number where they are all the same), and which are no varints (null: all are)."""


def read_varints(
    data: NDArray[np.uint8], words: NDArray[np.uint64], cursors: NDArray[np.int64], *, short: bool
) -> Varints:
    """Decodes the varint at each cursor.

    ``words`` is the view of ``data`` that has the 8 bytes from i on at index i. Every cursor must have at least 10
    bytes of ``data`` from it on. ``short`` says that varints of one byte are likely; the result does not depend on it.
    """
    if short:
        first = data[cursors]
        if first.max(initial=0) < 0x80:
            return _ONE_BYTE.take(first), 1, None
    word, sizes, invalid = read_unsigned(data, words, cursors, highest=1)
    sign = word & _ONE
    word >>= _ONE
    values = word.view(np.int64)
    values ^= -sign.view(np.int64)
    return values, sizes, invalid


def read_unsigned(
    data: NDArray[np.uint8], words: NDArray[np.uint64], cursors: NDArray[np.int64], *, highest: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Decodes the varint at each cursor without zigzag, as ``read_varints`` does.

    ``highest`` is the largest value of a tenth byte that is valid: 1, or 127 where what is beyond 64 bits is dropped.
    """
    word = words[cursors]
    extent, sizes, longest, endless = _extents(word)
    word &= extent
    word &= _PAYLOAD
    reach = 1
    for shift, low, high in _STEPS:
        if longest > reach:
            upper = word & high
            upper >>= shift
            word &= low
            word |= upper
        reach *= 2
    invalid = None
    if endless is not None and len(endless):
        invalid = _complete(data, cursors, word, sizes, endless, highest)
    return word, sizes, invalid


def pass_varints(
    data: NDArray[np.uint8], words: NDArray[np.uint64], cursors: NDArray[np.int64], *, short: bool
) -> NDArray[np.uint8] | int:
    """The bytes that ``read_varints`` would take, for less."""
    if short and data[cursors].max(initial=0) < 0x80:
        return 1
    _, sizes, _, endless = _extents(words[cursors])
    if endless is not None:
        sizes[endless] = np.where(data[cursors[endless] + 8] >= 0x80, 10, 9)
    return sizes


def _extents(
    word: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.uint8], int, NDArray[np.int64] | None]:
    """The bits of each word that belong to the varint, its bytes, the most of them, and which go on after the word."""
    stops = ~word
    stops &= _CONTINUES
    extent = stops - _ONE
    stops &= ~extent  # the lowest bit of them alone; 0 where no byte ends the varint
    extent = stops - _ONE
    extent |= stops  # all bits up to it; all bits where there is none
    sizes = np.bitwise_count(extent)
    sizes >>= 3
    longest = int(sizes.max(initial=0))
    return extent, sizes, longest, np.flatnonzero(stops == 0) if longest == 8 else None


def _complete(
    data: NDArray[np.uint8],
    cursors: NDArray[np.int64],
    word: NDArray[np.uint64],
    sizes: NDArray[np.uint8],
    endless: NDArray[np.int64],
    highest: int,
) -> NDArray[np.bool_] | None:
    """Adds the ninth and tenth byte where there are any. Returns which varints are too long or beyond 64 bits."""
    ninth = data[cursors[endless] + 8]
    tenth = data[cursors[endless] + 9]
    more = ninth >= 0x80
    word[endless] |= (ninth & 0x7F).astype(np.uint64) << np.uint64(56)
    word[endless] |= np.where(more, tenth & 0x01, 0).astype(np.uint64) << np.uint64(63)
    sizes[endless] = np.where(more, 10, 9)
    wrong = more & (tenth > highest)
    if not wrong.any():
        return None
    invalid = np.zeros(len(word), np.bool_)
    invalid[endless[wrong]] = True
    return invalid

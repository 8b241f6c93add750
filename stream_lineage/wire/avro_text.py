"""Text in a buffer: which of many strings are not UTF-8, without decoding those that are ASCII."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HIGH_BITS = np.array([int.from_bytes(b"\x80" * size, "little") for size in range(9)], np.uint64)
_WORDS = 8
"""Longer texts than this many words are decoded without looking for ASCII first."""

_SEPARATOR = b"\n"  # no character in UTF-8 begins before it and ends after it


def not_utf8(
    data: NDArray[np.uint8],
    words: NDArray[np.uint64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The indexes of those texts, of at least one, that are not UTF-8.

    ``words`` is the view of ``data`` that has the 8 bytes from i on at index i; every start must be inside of it. What
    is past the end of ``data`` counts as absent.
    """
    high = words[starts]
    high &= _HIGH_BITS.take(lengths, mode="clip")
    doubtful = high != 0
    if int(lengths.max()) > 8:
        longer = np.flatnonzero(lengths > 8)
        for word in range(1, _WORDS):
            at = np.minimum(starts[longer] + 8 * word, len(words) - 1)
            doubtful[longer] |= (words[at] & _HIGH_BITS.take(lengths[longer] - 8 * word, mode="clip")) != 0
            longer = longer[lengths[longer] > 8 * (word + 1)]
            if not len(longer):
                break
        doubtful[longer] = True
    candidates = np.flatnonzero(doubtful)
    if not len(candidates):
        return candidates
    view = data.data
    first = starts[candidates]
    texts = [view[a:b] for a, b in zip(first.tolist(), (first + lengths[candidates]).tolist(), strict=True)]
    if _is_utf8(_SEPARATOR.join(texts)):
        return candidates[:0]
    return candidates[[not _is_utf8(text) for text in texts]]


def _is_utf8(text: bytes | memoryview) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True

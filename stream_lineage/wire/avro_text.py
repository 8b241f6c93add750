"""Text in a buffer: which of many strings are not UTF-8, without decoding those that are ASCII."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HIGH_BITS = np.array([int.from_bytes(b"\x80" * size, "little") for size in range(9)], np.uint64)
_WORDS = 8
"""Longer texts than this many words are decoded without looking for ASCII first."""

_TEXTS = 65_536
"""So many texts are decoded at a time: each takes an object of Python."""

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
    wrong = [candidates[:0]]
    view = data.data
    for begin in range(0, len(candidates), _TEXTS):
        some = candidates[begin : begin + _TEXTS]
        first = starts[some]
        texts = [view[a:b] for a, b in zip(first.tolist(), (first + lengths[some]).tolist(), strict=True)]
        if not _is_utf8(_SEPARATOR.join(texts)):
            wrong.append(some[[not _is_utf8(text) for text in texts]])
    return np.concatenate(wrong) if len(wrong) > 1 else wrong[0]


def _is_utf8(text: bytes | memoryview) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True

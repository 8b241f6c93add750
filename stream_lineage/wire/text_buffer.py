"""A text buffer: many strings joined, as columns hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.columns import PADDING


def text_buffer(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The joined texts, ending in padding, and the starts and lengths of each."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    data = np.frombuffer(b"".join((*texts, bytes(PADDING))), np.uint8)
    return data, np.cumsum(lengths) - lengths, lengths

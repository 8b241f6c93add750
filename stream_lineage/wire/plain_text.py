"""Text or binary: what is told of records that nothing else is known of."""

from __future__ import annotations

import numpy as np

from stream_lineage.wire.columns import Batch

_MOST_RECORDS = 256
_MOST_BYTES = 1_024
_BINARY = bytes(set(range(0x20)) - set(b"\t\n\f\r\x1b")) + b"\x7f"


def looks_like_text(batch: Batch) -> bool | None:
    """Whether records are UTF-8 without control characters, as CSV, logs and plain text are: told from an evenly spaced
    sample, and from the beginning of each. Null where none of them holds a byte."""
    places = np.arange(0, len(batch), max(1, -(-len(batch) // _MOST_RECORDS)))
    sample = zip(batch.starts[places].tolist(), batch.lengths[places].tolist(), strict=True)
    view, seen = batch.data.data, False
    for start, length in sample:
        if length <= 0:
            continue
        seen = True
        record = bytes(view[start : start + min(length, _MOST_BYTES)])
        if len(record.translate(None, _BINARY)) != len(record):
            return False
        try:
            record.decode("utf-8")
        except UnicodeDecodeError as error:
            if length <= _MOST_BYTES or error.start < len(record) - 3:  # else the sample ends within a character
                return False
    return True if seen else None

"""Windows of topics as messages of ``lineage.windows``, where those of all workers meet.

Of a window its counts only: how many records, and of each field how many values there were not. It is JSON, keyed by
topic. A window is written again after a crash, as it was.
"""

from __future__ import annotations

import orjson

from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.errors import DecodeError

_VERSION = 1
MAX_MESSAGE_BYTES = 256 * 1024


def encode_window(window: Window) -> bytes:
    return orjson.dumps(
        {
            "version": _VERSION,
            "cluster": window.cluster,
            "topic": window.topic,
            "start": window.start,
            "seconds": window.seconds,
            "records": window.records,
            "lag_seconds": window.lag_seconds,
            "fields": [[each.path, each.slots, each.nulls, each.missing] for each in window.fields],
            "first_offsets": {str(partition): offset for partition, offset in window.first_offsets.items()},
            "last_offsets": {str(partition): offset for partition, offset in window.last_offsets.items()},
        }
    )


def decode_window(value: bytes) -> Window:
    """What ``encode_window`` wrote.

    Raises:
        DecodeError: the bytes are no window, or one of an unknown version.
    """
    if len(value) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"a window of {len(value)} bytes is beyond the bound of {MAX_MESSAGE_BYTES}")
    try:
        document = orjson.loads(value)
        if document["version"] != _VERSION:
            raise DecodeError("a window of an unknown version")
        lag = document["lag_seconds"]
        return Window(
            str(document["cluster"]),
            str(document["topic"]),
            float(document["start"]),
            float(document["seconds"]),
            int(document["records"]),
            lag_seconds=None if lag is None else float(lag),
            first_offsets={int(partition): int(offset) for partition, offset in document["first_offsets"].items()},
            last_offsets={int(partition): int(offset) for partition, offset in document["last_offsets"].items()},
            fields=tuple(
                FieldWindow(str(path), int(slots), int(nulls), int(missing))
                for path, slots, nulls, missing in document["fields"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"not a window: {type(error).__name__}") from error

"""CloudEvents in structured mode: the event's data is the record, its attributes stand beside it.

An event is told by what every event must have, whatever its headers say: the texts ``specversion``, ``id``, ``source``
and ``type``. Data that is not JSON stands in ``data_base64`` and is bytes.

Sources: CloudEvents 1.0.2, JSON event format; Kafka protocol binding. In binary mode there is nothing to look through:
the record's value is the data, the attributes are headers.
"""

from __future__ import annotations

import base64
import binascii
from itertools import repeat
from operator import contains
from typing import Any

ATTRIBUTES = "ce"
"""What stands before the paths of attributes: ``ce.type``."""
INVALID_EVENT = "invalid-event"
CONTENT_TYPE = "content-type"
_VERSIONS = ("1.", "0.3")


def has_events(values: list[Any]) -> bool:
    """Whether events may be among parsed records."""
    try:
        return any(map(contains, values, repeat("specversion")))
    except TypeError:  # numbers and the like hold nothing
        return any(type(value) is dict and "specversion" in value for value in values)


def looked_through(values: list[Any]) -> tuple[list[Any], list[dict[str, Any]], dict[int, str]]:
    """The records without their envelopes, the attributes of those that had one, and by its place in ``values`` what is
    wrong with each event that is left out of both. An event without data is null. Takes the data out of ``values``."""
    records: list[Any] = []
    attributes: list[dict[str, Any]] = []
    wrong: dict[int, str] = {}
    for place, value in enumerate(values):
        if type(value) is not dict or not _is_event(value):
            records.append(value)
            continue
        if "data_base64" in value:
            found = _bytes(value.pop("data_base64"))
            if found is None or "data" in value:
                wrong[place] = "data_base64 is not base64" if "data" not in value else "it has data and data_base64"
                continue
            records.append(found)
        else:
            records.append(value.pop("data", None))
        attributes.append(value)
    return records, attributes, wrong


def is_json(content_type: bytes | None) -> bool:
    """Whether a header says that a value is JSON."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    return kind in (b"application/json", b"text/json") or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def _is_event(value: dict[str, Any]) -> bool:
    get = value.get
    version = get("specversion")
    return (
        type(version) is str
        and type(get("id")) is str
        and type(get("source")) is str
        and type(get("type")) is str
        and version.startswith(_VERSIONS)
    )


def _bytes(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None

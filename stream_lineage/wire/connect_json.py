"""Kafka Connect's JSON with its schema inside: ``{"schema": {...}, "payload": ...}``.

What Connect's JsonConverter writes with ``schemas.enable`` starts with the same bytes for all records of one schema,
and ends with the same: the envelope. It is framing, as an id is, and what stands between is the payload. An envelope is
recognised once, by parsing its schema, and then compared byte by byte.

Source: ``org.apache.kafka.connect.json.JsonConverter`` and ``JsonSchema`` of Apache Kafka: exactly the two members.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

MAX_ENVELOPE_BYTES = 262_144
"""An envelope is no longer than this; records in a longer one count as JSON without a schema."""
MAX_SCHEMA_DEPTH = 64

_FIRST_SCHEMA = re.compile(r'[ \t\r\n]*\{[ \t\r\n]*"schema"[ \t\r\n]*:[ \t\r\n]*(?=[{n])')
_THEN_PAYLOAD = re.compile(r'[ \t\r\n]*,[ \t\r\n]*"payload"[ \t\r\n]*:')
_FIRST_PAYLOAD = re.compile(r'[ \t\r\n]*\{[ \t\r\n]*"payload"[ \t\r\n]*:')
_THEN_SCHEMA = re.compile(r',[ \t\r\n]*"schema"[ \t\r\n]*:[ \t\r\n]*(?=[{n])')
_END = re.compile(r"[ \t\r\n]*\}[ \t\r\n]*\Z")
_ENDS = re.compile(rb"\}[ \t\r\n]*\Z")
_SCANS = 16
"""Members called schema that are tried from the end of a record, the last one first."""
_PARSER = json.JSONDecoder()

_TYPES = {
    "boolean": "boolean",
    "string": "string",
    "bytes": "string",  # base64
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "int64": "integer",
    "float": "number",
    "float32": "number",
    "double": "number",
    "float64": "number",
}
_DECIMAL = "org.apache.kafka.connect.data.Decimal"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The bytes before and after a payload. ``schema`` is the schema's canonical text (keys sorted, no white space) and
    ``fingerprint`` its SHA-256, in hexadecimal; both are null where the schema is."""

    head: bytes
    tail: bytes
    schema: str | None
    fingerprint: str | None


def envelope_of(record: bytes) -> Envelope | None:
    """The envelope that a record stands in; null where it stands in none."""
    try:
        return _schema_first(record) or _payload_first(record)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested without end
        return None


def _schema_first(record: bytes) -> Envelope | None:
    text = record[:MAX_ENVELOPE_BYTES].decode("utf-8", "surrogateescape")  # may end within a character
    start = _FIRST_SCHEMA.match(text)
    end = _ENDS.search(record, max(0, len(record) - 64))
    if start is None or end is None:
        return None
    schema, stop = _PARSER.raw_decode(text, start.end())
    then = _THEN_PAYLOAD.match(text, stop)
    return None if then is None else _envelope(text[: then.end()].encode(), end.group(), schema)


def _payload_first(record: bytes) -> Envelope | None:
    start = _FIRST_PAYLOAD.match(record[:256].decode("utf-8", "surrogateescape"))
    if start is None:
        return None
    text = record[-MAX_ENVELOPE_BYTES:].decode("utf-8", "surrogateescape")
    place = len(text)
    for _ in range(_SCANS):
        place = text.rfind('"schema"', 0, place)
        comma = text.rfind(",", 0, max(place, 0))
        member = None if comma < 0 else _THEN_SCHEMA.match(text, comma)
        if member is not None:
            schema, stop = _PARSER.raw_decode(text, member.end())
            if _END.match(text, stop):  # one bracket is left: it is a member of the record itself
                return _envelope(start.group().encode(), text[comma:].encode(), schema)
    return None


def _envelope(head: bytes, tail: bytes, schema: Any) -> Envelope | None:
    if schema is None:
        return Envelope(head, tail, None, None)
    if not isinstance(schema, dict) or not isinstance(schema.get("type"), str):
        return None
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Envelope(head, tail, text, hashlib.sha256(text.encode()).hexdigest())


def as_json_schema(schema: Any, level: int = 0) -> Any:
    """What a Connect schema declares of the payload, as a JSON schema. What cannot be told is ``true``: anything."""
    kind = schema.get("type") if isinstance(schema, dict) and level <= MAX_SCHEMA_DEPTH else None
    if isinstance(kind, str) and kind in _TYPES:
        types = ["string", "number"] if schema.get("name") == _DECIMAL else [_TYPES[kind]]
        out: dict[str, Any] = {"type": types}
    elif kind == "struct":
        listed = schema["fields"] if isinstance(schema.get("fields"), list) else []
        fields = [field for field in listed if isinstance(field, dict) and "field" in field]
        out = {
            "type": ["object"],
            "properties": {str(field["field"]): as_json_schema(field, level + 1) for field in fields},
            "required": [str(f["field"]) for f in fields if f.get("optional") is not True and f.get("default") is None],
        }
    elif kind == "array":
        out = {"type": ["array"], "items": as_json_schema(schema.get("items"), level + 1)}
    elif kind == "map":  # with keys that are no strings it is an array of pairs
        values = as_json_schema(schema.get("values"), level + 1)
        out = {"type": ["object", "array"], "additionalProperties": values}
    else:
        return True
    if schema.get("optional") is True:
        out["type"] = [*out["type"], "null"]
    return out

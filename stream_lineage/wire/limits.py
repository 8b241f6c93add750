"""Limits: how much one record or one schema may make a decoder do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds of decoding. Larger values show more of unusual data and cost more memory on hostile data.

    ``max_fields``: field paths of one schema that get a column; the others are decoded, left out and counted.
    ``max_depth``: levels of nesting of an Avro record, unions counted; a record that nests deeper is bad.
    ``max_json_depth``: levels of objects and arrays in JSON that are looked into.
    ``max_empty_items``: items of one Avro record that take no bytes (``array<null>``); a record with more is bad.
    ``max_members``: distinct member names of one JSON object path; with more, the object is taken to be a map, whose
    names are data.
    """

    max_fields: int = 2_000
    max_depth: int = 256
    max_json_depth: int = 32
    max_empty_items: int = 65_536
    max_members: int = 200


DEFAULT_LIMITS = DecodeLimits()

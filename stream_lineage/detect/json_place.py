"""A JSON Schema that is an object: what its keywords hold, checked as far as a keyword's value can be by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from stream_lineage.detect.json_dialect import counts
from stream_lineage.detect.json_types import as_fraction
from stream_lineage.errors import SchemaError
from stream_lineage.wire.json_references import Located


@dataclass(frozen=True, slots=True)
class Place:
    """The schema, where it stands, and the draft that decides which of its keywords count.

    What reads a keyword gives null, or nothing, where it does not count.

    Raises:
        SchemaError: the keyword's value is none.
    """

    schema: dict[str, Any]
    at: Located
    draft: int

    def has(self, keyword: str) -> bool:
        return keyword in self.schema and counts(keyword, self.draft)

    def get(self, keyword: str) -> Any:
        return self.schema[keyword] if self.has(keyword) else None

    def wrong(self, keyword: str) -> SchemaError:
        return SchemaError(f"not a JSON Schema: it says {keyword}: {shown(self.schema[keyword])}")

    def size(self, keyword: str) -> int | None:
        value = self.get(keyword)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise self.wrong(keyword)
        return value

    def number(self, keyword: str) -> Fraction | None:
        value = self.get(keyword)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(keyword)
        try:
            return as_fraction(value)
        except ValueError as error:
            raise self.wrong(keyword) from error

    def text(self, keyword: str) -> str | None:
        value = self.get(keyword)
        if value is not None and not isinstance(value, str):
            raise self.wrong(keyword)
        return value

    def listed(self, keyword: str) -> list[Any]:
        value = self.get(keyword)
        if value is not None and not isinstance(value, list):
            raise self.wrong(keyword)
        return value or []

    def members(self, keyword: str) -> dict[str, Any]:
        value = self.get(keyword)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(keyword)
        return value or {}

    def names(self, keyword: str, value: Any) -> frozenset[str]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.wrong(keyword)
        return frozenset(value)


def shown(value: Any) -> str:
    """JSON for people, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"

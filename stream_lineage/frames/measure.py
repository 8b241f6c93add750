"""What is known of a frame: rows, columns with their types and nulls, a checksum of its key.

Measures add up: that of a whole is the sum of those of its parts, in any order.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

from stream_lineage.frames.recognise import Library

_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class Column:
    """``nulls`` among the rows that were looked at; null: nobody has counted."""

    name: str
    type: str
    nulls: int | None = None


@dataclass(frozen=True)
class Measure:
    """Of one frame.

    ``rows``: null where counting them would be to run a query. ``evaluated``: the rows in which nulls were counted, all
    of them but for long lists of dicts. ``checksum`` is a sum over the hashes of all keys, modulo 2 ** 64, whatever the
    order of rows; null: there is no key, or a column of it is missing, or has values that cannot be hashed.
    """

    library: Library
    rows: int | None
    columns: tuple[Column, ...]
    evaluated: int | None = None
    key: tuple[str, ...] = ()
    checksum: int | None = None

    @cached_property
    def schema_hash(self) -> str:
        """SHA-256 of names and types in their order; see docs/specs/manifest.md."""
        text = json.dumps([[each.name, each.type] for each in self.columns], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    @property
    def key_checksum(self) -> str | None:
        """As 16 hexadecimal digits."""
        return None if self.checksum is None else f"{self.checksum:016x}"

    def null_ratio(self, column: Column) -> float | None:
        if column.nulls is None or self.evaluated is None:
            return None
        return column.nulls / self.evaluated if self.evaluated else 0.0

    def plus(self, other: Measure) -> Measure:
        """Of both as one frame. The columns of both, in the order in which they came; types that differ are both
        named."""
        if not self.columns and not self.rows:
            return other
        if not other.columns and not other.rows:
            return self
        mine, theirs = {each.name: each for each in self.columns}, {each.name: each for each in other.columns}
        columns = []
        for name in dict.fromkeys((*mine, *theirs)):
            one, two = mine.get(name), theirs.get(name)
            first = one or two
            assert first is not None  # noqa: S101
            nulls = _sum(
                one.nulls if one is not None else self.evaluated, two.nulls if two is not None else other.evaluated
            )
            types = sorted(
                {part for each in (one, two) if each is not None for part in each.type.split("|")} - {"null"}
            )
            columns.append(replace(first, type="|".join(types) or "null", nulls=nulls))
        checksum = _sum(self.checksum, other.checksum)
        return Measure(
            self.library,
            _sum(self.rows, other.rows),
            tuple(columns),
            _sum(self.evaluated, other.evaluated),
            self.key,
            None if checksum is None or self.key != other.key else checksum % _MODULUS,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other

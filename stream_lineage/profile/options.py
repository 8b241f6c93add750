"""What a profile keeps, and how much of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_QUANTILES_K = 64


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """How the records of one topic are profiled.

    ``hash_key`` keys every hash that leaves the process. All collectors share it: sketches made under different keys
    do not merge to anything meaningful.
    ``quantiles_k`` (KLL k, 8 to 4096): larger values cost bytes and bring quantiles closer to the truth; the rank error
    is about 2.3 / k^0.97 (4% at 64).
    ``distinct_lg_k`` (HyperLogLog, 7 to 12): each step up doubles the bytes and divides the error, 3.3% at 10, by 1.4.
    ``max_categories``: fields with more distinct values than this in a flush are not categorical (no items).
    ``max_fields``: field paths beyond this many, for values and for keys each, are counted but not profiled.
    ``reveal_fields`` and ``reveal_key_fields``: field paths of this topic whose strings may be shown as they are; ``*``
    stands for any run of characters.
    """

    hash_key: bytes
    quantiles_k: int = DEFAULT_QUANTILES_K
    distinct_lg_k: int = 10
    max_categories: int = 256
    max_fields: int = 500
    reveal_fields: frozenset[str] = frozenset()
    reveal_key_fields: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 8 <= self.quantiles_k <= 4096:
            raise ValueError(f"quantiles_k must be from 8 to 4096, not {self.quantiles_k}")
        if not 7 <= self.distinct_lg_k <= 12:
            raise ValueError(f"distinct_lg_k must be from 7 to 12, not {self.distinct_lg_k}")
        if not 0 <= self.max_categories <= 256:
            raise ValueError(f"max_categories must be from 0 to 256, not {self.max_categories}")
        if self.max_fields < 1:
            raise ValueError(f"max_fields must be 1 or more, not {self.max_fields}")


def revealed_paths(patterns: Iterable[str], topic: str | None) -> frozenset[str]:
    """Paths that may be shown of this topic: ``topic:path`` is for one topic, ``path`` for all."""
    own = set()
    for pattern in patterns:
        where, separator, path = pattern.partition(":")
        if not separator:
            own.add(where)
        elif where == topic:
            own.add(path)
    return frozenset(own)


class PathPatterns:
    """Tells whether a field path is one of several paths, in which ``*`` stands for any run of characters."""

    def __init__(self, patterns: frozenset[str]) -> None:
        alternatives = [re.escape(pattern).replace(r"\*", ".*") for pattern in sorted(patterns)]
        self._expression = re.compile("|".join(alternatives), re.DOTALL) if alternatives else None

    def matches(self, path: str) -> bool:
        return self._expression is not None and self._expression.fullmatch(path) is not None

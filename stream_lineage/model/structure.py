"""Declared against actual: where the records of an observation differ from what their JSON schema declares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeviationKind(StrEnum):
    """Ways in which records differ from their schema, the gravest first."""

    TYPE_MISMATCH = "type-mismatch"  # a value of a type that is not declared
    REQUIRED_MISSING = "required-missing"  # an object without a member that is required
    OUTSIDE_ENUM = "outside-enum"  # a string that is not one of those declared
    UNDECLARED = "undeclared"  # a member that no branch of the schema knows
    NEVER_SEEN = "never-seen"  # a declared member that no object has


@dataclass(frozen=True, slots=True)
class Deviation:
    """One difference at one field path.

    ``declared`` is what the schema says there and ``seen`` the type that was found, both as short text and never data;
    null where there is none. ``count`` is how many values are concerned; for members that are missing or never seen,
    how many objects could have had them.
    """

    kind: DeviationKind
    path: str
    declared: str | None
    seen: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Structure:
    """The deviations that were found, the gravest first, at most some; ``left_out`` counts the others. Without any, the
    records are as declared."""

    deviations: tuple[Deviation, ...]
    left_out: int = 0

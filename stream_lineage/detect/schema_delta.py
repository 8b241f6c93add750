"""What every diff of two schemas gives, and the words that they share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from stream_lineage.model.finding import Compatibility, SchemaChange

BOTH = ("backward", "forward")
MAX_PATH, MAX_TEXT = 500, 200
"""Characters of a path, and of what there was or is: longer ones are cut."""
MAX_CHANGES = 500
"""A diff lists at most so many changes; the verdict is exact whatever their number."""


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """``compatibility`` is null where no verdict is known. A direction is broken if and only if a change says so."""

    compatibility: Compatibility | None
    changes: tuple[SchemaChange, ...]


def directions(backward: bool, forward: bool) -> tuple[str, ...]:
    """The names of the directions that are broken."""
    return tuple(name for name, broken in zip(BOTH, (backward, forward), strict=True) if broken)


def keep(changes: Iterable[SchemaChange], ways: Iterable[str]) -> list[SchemaChange]:
    """The changes with only those broken directions that matter where they are."""
    matter = set(ways)
    return [replace(change, breaks=tuple(name for name in change.breaks if name in matter)) for change in changes]


def attribute_kind(attribute: str, was: bool, now: bool) -> str:
    """``<attribute>-added``, ``-removed`` or ``-changed``."""
    return f"{attribute}-changed" if was and now else f"{attribute}-added" if now else f"{attribute}-removed"


def join(path: str, name: str) -> str:
    """The path of a member."""
    return f"{path}.{name}" if path else name


def bounded(changes: list[SchemaChange], verdict: Compatibility, old: str, new: str) -> SchemaDiff:
    """A diff of at most ``MAX_CHANGES`` changes that says of each broken direction what breaks it, if only that the
    whole does."""
    cut = changes[:MAX_CHANGES]
    broken = directions(not verdict.backward, not verdict.forward)
    unsaid = tuple(way for way in broken if not any(way in change.breaks for change in cut))
    if unsaid:
        cut.append(SchemaChange("type-changed", "", old, new, unsaid))
    return SchemaDiff(verdict, tuple(map(_presentable, cut)))


def _presentable(change: SchemaChange) -> SchemaChange:
    """Names in schemas are anybody's: they may be of any length, and no Unicode at all."""
    return replace(
        change,
        path=_clipped(change.path, MAX_PATH),
        old=None if change.old is None else _clipped(change.old, MAX_TEXT),
        new=None if change.new is None else _clipped(change.new, MAX_TEXT),
    )


def _clipped(text: str, length: int) -> str:
    if not text.isprintable():  # lone surrogates, which cannot be encoded, and what would move a terminal's cursor
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return text if len(text) <= length else f"{text[: length - 1]}…"

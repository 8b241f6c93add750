"""Changes of those keywords of a JSON Schema that hold no schemas: types, enums, ranges, sizes, patterns."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from stream_lineage.detect.json_types import TYPES, Bound, Node, frozen, number_text, values_text
from stream_lineage.detect.schema_delta import BOTH, attribute_kind, directions, join
from stream_lineage.model.finding import SchemaChange

_SIZES = (
    ("length", "string", "min_length", "max_length"),
    ("items", "array", "min_items", "max_items"),
    ("properties", "object", "min_properties", "max_properties"),
)


def keyword_changes(path: str, old: Node, new: Node) -> list[SchemaChange]:
    """The changes, each with what it would break were it the only one."""
    return [*_types(path, old, new), *_values(path, old, new), *_ranges(path, old, new), *_dependencies(path, old, new)]


def _types(path: str, old: Node, new: Node) -> Iterator[SchemaChange]:
    if old.types == new.types or (old.types is None and old.values is not None) or _from_values(new):
        return
    before, after = _leaves(old), _leaves(new)
    lost, gained = before - after, after - before
    breaks = directions(bool(lost), bool(gained))
    if lost | gained == {"null"}:
        kind = "nullability-removed" if lost else "nullability-added"
    else:
        kind = "type-changed" if lost and gained else "type-narrowed" if lost else "type-widened"
    texts = [_types_text(each) for each in (old, new)]
    yield SchemaChange(kind, path, texts[0], texts[1], breaks)


def _from_values(node: Node) -> bool:
    return node.types is None and node.values is not None


def _leaves(node: Node) -> set[str]:
    """The types, numbers told as the integers and the others."""
    types = set(TYPES) if node.types is None else set(node.types)
    return types | {"integer"} if "number" in types else types


def _types_text(node: Node) -> str:
    return "anything" if node.types is None else " | ".join(name for name in TYPES if name in node.types)


def _values(path: str, old: Node, new: Node) -> Iterator[SchemaChange]:
    if old.values is None or new.values is None:
        if old.values is not None or new.values is not None:
            texts = [None if each.values is None else values_text(each.values) for each in (old, new)]
            kind, breaks = ("enum-added", "backward") if old.values is None else ("enum-removed", "forward")
            yield SchemaChange(kind, path, texts[0], texts[1], (breaks,))
        return
    before, after = ({frozen(value): value for value in each.values or ()} for each in (old, new))
    for value in (before[each] for each in before if each not in after):
        yield SchemaChange("enum-value-removed", path, _value(value), None, ("backward",))
    for value in (after[each] for each in after if each not in before):
        yield SchemaChange("enum-value-added", path, None, _value(value), ("forward",))


def _value(value: Any) -> str:
    return values_text((value,)).removeprefix("one of ")


def _ranges(path: str, old: Node, new: Node) -> Iterator[SchemaChange]:
    if old.admits("number") and new.admits("number"):
        yield from _bound("minimum", path, old.lower, new.lower, sign=1)
        yield from _bound("maximum", path, old.upper, new.upper, sign=-1)
        yield from _multiple(path, old.multiple, new.multiple)
    for what, kind, least, most in _SIZES:
        if old.admits(kind) and new.admits(kind):
            yield from _size(f"min-{what}", path, getattr(old, least) or None, getattr(new, least) or None, sign=1)
            yield from _size(f"max-{what}", path, getattr(old, most), getattr(new, most), sign=-1)
    if old.admits("string") and new.admits("string"):
        yield from _equal("pattern", path, old.pattern, new.pattern)
        yield from _equal("format", path, old.format, new.format)
    if old.admits("array") and new.admits("array"):
        yield from _equal("unique-items", path, old.unique or None, new.unique or None)


def _bound(kind: str, path: str, old: Bound | None, new: Bound | None, sign: int) -> Iterator[SchemaChange]:
    if old == new:
        return
    before, after = (None if each is None else (sign * each.value, each.exclusive) for each in (old, new))
    breaks = directions(*_tighter(before, after))
    texts = [None if each is None else each.text() for each in (old, new)]
    yield SchemaChange(attribute_kind(kind, old is not None, new is not None), path, texts[0], texts[1], breaks)


def _size(kind: str, path: str, old: int | None, new: int | None, sign: int) -> Iterator[SchemaChange]:
    if old == new:
        return
    breaks = directions(*_tighter(None if old is None else sign * old, None if new is None else sign * new))
    texts = [None if each is None else str(each) for each in (old, new)]
    yield SchemaChange(attribute_kind(kind, old is not None, new is not None), path, texts[0], texts[1], breaks)


def _tighter(old: Any, new: Any) -> tuple[bool, bool]:
    """Whether the new bound is tighter, and whether the old one is: larger is tighter, none is loosest."""
    if old is None or new is None:
        return old is None, new is None
    return new > old, old > new


def _multiple(path: str, old: Fraction | None, new: Fraction | None) -> Iterator[SchemaChange]:
    if old == new:
        return
    backward = new is not None and (old is None or (old / new).denominator != 1)
    forward = old is not None and (new is None or (new / old).denominator != 1)
    texts = [None if each is None else number_text(each) for each in (old, new)]
    kind = attribute_kind("multiple-of", old is not None, new is not None)
    yield SchemaChange(kind, path, texts[0], texts[1], directions(backward, forward))


def _equal(kind: str, path: str, old: Any, new: Any) -> Iterator[SchemaChange]:
    """A keyword whose values can only be told to be equal or not."""
    if old == new:
        return
    breaks = BOTH if old is not None and new is not None else ("backward",) if old is None else ("forward",)
    texts = [None if each is None else str(each) for each in (old, new)]
    yield SchemaChange(attribute_kind(kind, old is not None, new is not None), path, texts[0], texts[1], breaks)


def _dependencies(path: str, old: Node, new: Node) -> Iterator[SchemaChange]:
    for name in sorted({*old.required_with, *new.required_with}):
        before, after = (each.required_with.get(name, frozenset()) for each in (old, new))
        if before == after:
            continue
        breaks = directions(not after <= before, not before <= after)
        texts = [", ".join(sorted(each)) or None for each in (before, after)]
        kind = attribute_kind("dependency", bool(before), bool(after))
        yield SchemaChange(kind, join(path, name), texts[0], texts[1], breaks)

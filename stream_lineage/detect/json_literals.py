"""What a JSON Schema asserts of the values of one type, split into literals that are proved or refuted one by one.

A literal is a tuple: its name, for some names whether it is asserted or denied, and what it is about. A formula is a
disjunction of conjunctions of literals. ``conjuncts`` gives each part of a schema as two formulas, the part and its
negation, so that neither has to be derived from the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import combinations
from typing import Any

from stream_lineage.detect.json_types import Bound, Node, frozen

Literal = tuple[Any, ...]
Formula = tuple[tuple[Literal, ...], ...]

SIGNED = frozenset(
    {"schema", "multiple", "pattern", "format", "unique", "item", "items", "has", "member", "matching", "rest", "names"}
)
"""Literals whose second member says whether they are asserted. The others: ``lower`` and ``upper`` bounds of numbers,
``min`` and ``max`` sizes, ``atleast`` and ``atmost`` so many items under a schema, ``without`` the values of an enum,
``unknown``."""
UNKNOWN: Literal = ("unknown",)

_MAX_BRANCHES = 100
"""Of more branches of a oneOf than this it is not proved that no two hold."""


def opposite(literal: Literal) -> Literal | None:
    """The literal that denies what this one asserts; null where that is no single one."""
    return (literal[0], not literal[1], *literal[2:]) if literal[0] in SIGNED else None


def conjuncts(node: Node, kind: str, exclusive: Callable[[Node], bool]) -> Iterator[tuple[Formula, Formula]]:
    """The parts of a schema for values of a type that it admits, each with its negation.

    ``exclusive`` says whether it is certain that no value is valid under two branches of its ``oneOf``.
    """
    if kind == "number":
        yield from _number(node)
    elif kind == "string":
        yield from _string(node)
    elif kind == "array":
        yield from _array(node)
    else:
        yield from _object(node)
    if node.values is not None:
        yield _one(("values", node), ("without", node))
    yield from _logic(node, exclusive)
    for _ in node.opaque:
        yield (), ((UNKNOWN,),)


def discriminated(branches: tuple[Node, ...]) -> bool:
    """Whether all are objects that must have some member whose values tell which one is meant."""
    return any(_tells_apart(name, branches) for name in branches[0].required)


def _tells_apart(name: str, branches: tuple[Node, ...]) -> bool:
    seen: set[Hashable] = set()
    for branch in branches:
        member = branch.properties.get(name)
        if branch.types != frozenset({"object"}) or name not in branch.required or member is None:
            return False
        values = {frozen(value) for value in member.values or ()}
        if member.values is None or seen & values:
            return False
        seen |= values
    return True


def _one(asserted: Literal, denied: Literal) -> tuple[Formula, Formula]:
    return ((asserted,),), ((denied,),)


def _signed(name: str, *about: Any) -> tuple[Formula, Formula]:
    return _one((name, True, *about), (name, False, *about))


def _schema(node: Node, holds: bool = True) -> Literal:
    return ("schema", holds, node)


def _sizes(least: int, most: int | None) -> Iterator[tuple[Formula, Formula]]:
    if least > 0:
        yield _one(("min", least), ("max", least - 1))
    if most is not None:
        yield _one(("max", most), ("min", most + 1))


def _number(node: Node) -> Iterator[tuple[Formula, Formula]]:
    if node.integers_only:
        yield _signed("multiple", 1)
    if node.multiple is not None:
        yield _signed("multiple", node.multiple)
    if node.lower is not None:
        yield _one(("lower", node.lower), ("upper", Bound(node.lower.value, not node.lower.exclusive)))
    if node.upper is not None:
        yield _one(("upper", node.upper), ("lower", Bound(node.upper.value, not node.upper.exclusive)))


def _string(node: Node) -> Iterator[tuple[Formula, Formula]]:
    yield from _sizes(node.min_length, node.max_length)
    if node.pattern is not None:
        yield _signed("pattern", node.pattern)
    if node.format is not None:
        yield _signed("format", node.format)


def _array(node: Node) -> Iterator[tuple[Formula, Formula]]:
    yield from _sizes(node.min_items, node.max_items)
    if node.unique:
        yield _signed("unique")
    for index, inner in enumerate(node.prefix):
        yield _signed("item", index, inner)
    if node.items is not None:
        yield _signed("items", len(node.prefix), node.items)
    if node.contains is not None:
        if node.min_contains > 0:
            yield _one(("atleast", node.min_contains, node.contains), ("atmost", node.min_contains - 1, node.contains))
        if node.max_contains is not None:
            yield _one(("atmost", node.max_contains, node.contains), ("atleast", node.max_contains + 1, node.contains))


def _object(node: Node) -> Iterator[tuple[Formula, Formula]]:
    yield from _sizes(node.min_properties, node.max_properties)
    for name in sorted(node.required):
        yield _signed("has", name)
    for name, inner in node.properties.items():
        yield _signed("member", name, inner)
    for pattern, inner in node.patterns.items():
        yield _signed("matching", pattern, inner)
    for rest in node.rests:
        yield _signed("rest", rest.names, rest.patterns, rest.schema)
    if node.names is not None:
        yield _signed("names", node.names)
    for name, others in node.required_with.items():
        missing = tuple((("has", True, name), ("has", False, other)) for other in sorted(others))
        yield ((("has", False, name),), tuple(("has", True, other) for other in sorted(others))), missing
    for name, inner in node.dependent.items():
        yield (
            ((("has", False, name),), (_schema(inner),)),
            ((("has", True, name), _schema(inner, holds=False)),),
        )


def _logic(node: Node, exclusive: Callable[[Node], bool]) -> Iterator[tuple[Formula, Formula]]:
    for inner in node.all_of:
        yield _one(_schema(inner), _schema(inner, holds=False))
    choices = [node.any_of] if node.any_of else []
    if node.one_of and exclusive(node):
        choices.append(node.one_of)
    for branches in choices:
        none = tuple(_schema(inner, holds=False) for inner in branches)
        yield tuple((_schema(inner),) for inner in branches), (none,)
    if node.one_of and node.one_of not in choices:
        none = tuple(_schema(inner, holds=False) for inner in node.one_of)
        only = tuple((_schema(inner), *none[:index], *none[index + 1 :]) for index, inner in enumerate(node.one_of))
        two: Formula = ((UNKNOWN,),)
        if len(node.one_of) <= _MAX_BRANCHES:
            two = tuple((_schema(a), _schema(b)) for a, b in combinations(node.one_of, 2))
        yield only, (none, *two)
    if node.negated is not None:
        yield _one(_schema(node.negated, holds=False), _schema(node.negated))
    if node.condition is not None:
        yield _conditional(node, node.condition)


def _conditional(node: Node, condition: Node) -> tuple[Formula, Formula]:
    met, unmet = _schema(condition), _schema(condition, holds=False)
    then = () if node.then is None else (node.then,)
    otherwise = () if node.otherwise is None else (node.otherwise,)
    return (
        ((met, *map(_schema, then)), (unmet, *map(_schema, otherwise))),
        (
            *((met, _schema(inner, holds=False)) for inner in then),
            *((unmet, _schema(inner, holds=False)) for inner in otherwise),
        ),
    )

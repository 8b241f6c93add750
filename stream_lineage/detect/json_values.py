"""Whether one value is valid under a schema: yes, no, or nobody can say (null).

Formats are never certain, since validators may or may not heed them, and neither are patterns beyond ``json_patterns``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stream_lineage.detect.json_patterns import matches
from stream_lineage.detect.json_types import Node, Rest, as_fraction, frozen, kind_of

_MAX_LEVELS = 40
_MAX_STEPS = 20_000
"""Schemas looked at for one value: more than this, and nobody can say."""


def holds(node: Node, value: Any) -> bool | None:
    """Whether a value is valid under a schema."""
    return _Validation().holds(node, value, 0)


def every(answers: Iterable[bool | None]) -> bool | None:
    """Kleene's conjunction: no as soon as one is no."""
    result: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def some(answers: Iterable[bool | None]) -> bool | None:
    """Kleene's disjunction."""
    return opposite(every(map(opposite, answers)))


def opposite(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def implies(condition: bool | None, answer: bool | None) -> bool | None:
    return some((opposite(condition), answer))


def at_least(least: int, answers: Iterable[bool | None]) -> bool | None:
    """Whether so many of them are yes."""
    known = list(answers)
    surely, possibly = known.count(True), len(known) - known.count(False)
    return True if surely >= least else None if possibly >= least else False


def rest_applies(rest: Rest, name: str) -> bool | None:
    """Whether a member of this name is one of the rest."""
    if name in rest.names:
        return False
    return every(opposite(matches(pattern, name)) for pattern in rest.patterns)


class _Validation:
    """Of one value."""

    def __init__(self) -> None:
        self._steps = 0

    def holds(self, node: Node, value: Any, level: int) -> bool | None:
        self._steps += 1
        if level > _MAX_LEVELS or self._steps > _MAX_STEPS:
            return None
        return every(self._judgements(node, value, level + 1))

    def _judgements(self, node: Node, value: Any, level: int) -> Iterator[bool | None]:
        kind = kind_of(value)
        if node.always is not None:
            yield node.always
        if not node.admits(kind):
            yield False
        if kind == "number" and node.integers_only:
            yield as_fraction(value).denominator == 1
        if node.values is not None:
            yield node.lists(value)
        match kind:
            case "number":
                yield from _number(node, value)
            case "string":
                yield from _string(node, value)
            case "array":
                yield from self._array(node, value, level)
            case "object":
                yield from self._object(node, value, level)
        yield from self._logic(node, value, level)
        if node.opaque:
            yield None

    def _array(self, node: Node, value: list[Any], level: int) -> Iterator[bool | None]:
        yield node.min_items <= len(value)
        yield node.max_items is None or len(value) <= node.max_items
        if node.unique:
            yield len(set(map(frozen, value))) == len(value)
        for inner, item in zip(node.prefix, value, strict=False):
            yield self.holds(inner, item, level)
        if node.items is not None:
            for item in value[len(node.prefix) :]:
                yield self.holds(node.items, item, level)
        if node.contains is not None:
            inside = [self.holds(node.contains, item, level) for item in value]
            yield at_least(node.min_contains, inside)
            if node.max_contains is not None:
                yield opposite(at_least(node.max_contains + 1, inside))

    def _object(self, node: Node, value: dict[str, Any], level: int) -> Iterator[bool | None]:
        yield node.required <= value.keys()
        yield node.min_properties <= len(value)
        yield node.max_properties is None or len(value) <= node.max_properties
        for name, member in value.items():
            if node.names is not None:
                yield self.holds(node.names, name, level)
            if name in node.properties:
                yield self.holds(node.properties[name], member, level)
            for pattern, inner in node.patterns.items():
                if (found := matches(pattern, name)) is not False:
                    yield implies(found, self.holds(inner, member, level))
            for rest in node.rests:
                if (found := rest_applies(rest, name)) is not False:
                    yield implies(found, self.holds(rest.schema, member, level))
        for name, others in node.required_with.items():
            yield name not in value or others <= value.keys()
        for name, inner in node.dependent.items():
            if name in value:
                yield self.holds(inner, value, level)

    def _logic(self, node: Node, value: Any, level: int) -> Iterator[bool | None]:
        for inner in node.all_of:
            yield self.holds(inner, value, level)
        if node.any_of:
            yield some(self.holds(inner, value, level) for inner in node.any_of)
        if node.one_of:
            inside = [self.holds(inner, value, level) for inner in node.one_of]
            yield every((at_least(1, inside), opposite(at_least(2, inside))))
        if node.negated is not None:
            yield opposite(self.holds(node.negated, value, level))
        if node.condition is not None:
            decided = self.holds(node.condition, value, level)
            if node.then is not None:
                yield implies(decided, self.holds(node.then, value, level))
            if node.otherwise is not None:
                yield implies(opposite(decided), self.holds(node.otherwise, value, level))


def _number(node: Node, value: float) -> Iterator[bool]:
    number = as_fraction(value)
    if node.lower is not None:
        yield number > node.lower.value or (number == node.lower.value and not node.lower.exclusive)
    if node.upper is not None:
        yield number < node.upper.value or (number == node.upper.value and not node.upper.exclusive)
    if node.multiple is not None:
        yield (number / node.multiple).denominator == 1


def _string(node: Node, value: str) -> Iterator[bool | None]:
    yield node.min_length <= len(value)
    yield node.max_length is None or len(value) <= node.max_length
    if node.pattern is not None:
        yield matches(node.pattern, value)
    if node.format is not None:
        yield None

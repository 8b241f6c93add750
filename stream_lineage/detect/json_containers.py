"""Whether arrays or objects can satisfy a set of literals.

``True`` is a proof that none can. ``False`` says only that there is no proof. What is asked of items and members is
asked of ``empty``: whether no value is valid under all of some schemas and under none of some others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from stream_lineage.detect.json_literals import Literal
from stream_lineage.detect.json_patterns import matches
from stream_lineage.detect.json_types import Node
from stream_lineage.detect.json_values import every, holds, opposite

Empty = Callable[[frozenset[Node], frozenset[Node]], bool]
NoName = Callable[[Iterable[Literal]], bool]
_MAX_PATTERNS = 6
_MAX_POSITIONS = 200


def no_array(literals: Iterable[Literal], empty: Empty) -> bool:
    return _Arrays(literals).none(empty)


def no_object(literals: Iterable[Literal], empty: Empty, no_name: NoName) -> bool:
    return _Objects(literals).none(empty, no_name)


class _Arrays:
    def __init__(self, literals: Iterable[Literal]) -> None:
        self.least, self.most = 0, None  # type: int, int | None
        self.item: list[tuple[bool, int, Node]] = []
        self.items: list[tuple[bool, int, Node]] = []
        self.at_least: list[tuple[int, Node]] = []
        self.at_most: list[tuple[int, Node]] = []
        self.repeats = False
        self.without_empty = False
        for literal in literals:
            match literal:
                case ("min", size):
                    self.least = max(self.least, size)
                case ("max", size):
                    self._bound(size)
                case ("item", asserted, index, node):
                    self.item.append((asserted, index, node))
                    self.least = self.least if asserted else max(self.least, index + 1)
                case ("items", asserted, start, node):
                    self.items.append((asserted, start, node))
                    self.least = self.least if asserted else max(self.least, start + 1)
                case ("atleast", count, node):
                    self.at_least.append((count, node))
                    self.least = max(self.least, count)
                case ("atmost", count, node):
                    self.at_most.append((count, node))
                case ("unique", asserted):
                    self.repeats = self.repeats or not asserted
                case ("without", node):
                    self.without_empty = self.without_empty or [] in node.values

    def _bound(self, size: int) -> None:
        self.most = size if self.most is None else min(self.most, size)

    def none(self, empty: Empty) -> bool:
        last = max((index + 1 for _, index, _ in self.item), default=0)
        last = max([last, *(start for _, start, _ in self.items)])
        if last > _MAX_POSITIONS:
            return False
        positions = [self._at(index) for index in range(last + 1)]  # the last one stands for all that follow
        for index, (required, denied) in enumerate(positions):
            if (self.most is None or index < self.most) and empty(required, denied):
                self._bound(index)
                break
        most = self.most
        if most is not None and (self.least > most or (self.repeats and most < 2)):
            return True
        if most == 0 and self.without_empty:
            return True
        open_ = [at for index, at in enumerate(positions) if most is None or index < most]

        def possible(at: tuple[frozenset[Node], frozenset[Node]], node: Node, valid: bool) -> bool:
            required, denied = at
            return not (empty(required | {node}, denied) if valid else empty(required, denied | {node}))

        for asserted, start, node in self.items:
            if not asserted and not any(possible(at, node, valid=False) for at in open_[start:]):
                return True
        for count, node in self.at_least:
            places = [index for index, at in enumerate(open_) if possible(at, node, valid=True)]
            many = last in places and (most is None or most - last >= count)
            extra = max(most - last - 1, 0) if last in places and most is not None else 0
            if not many and len(places) + extra < count:
                return True
            for bound, other in self.at_most:
                if bound < count and (node is other or empty(frozenset({node}), frozenset({other}))):
                    return True
        return False

    def _at(self, index: int) -> tuple[frozenset[Node], frozenset[Node]]:
        """The schemas that an item has to be valid under, and those that it must not."""
        required = {node for asserted, at, node in self.item if asserted and at == index}
        required |= {node for asserted, start, node in self.items if asserted and start <= index}
        denied = {node for asserted, at, node in self.item if not asserted and at == index}
        denied |= {node for count, node in self.at_most if count == 0}
        return frozenset(required), frozenset(denied)


@dataclass(slots=True)
class _Objects:
    literals: Iterable[Literal]
    least: int = 0
    most: int | None = None
    present: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    members: list[tuple[bool, str, Node]] = field(default_factory=list)
    matching: list[tuple[bool, str, Node]] = field(default_factory=list)
    rests: list[tuple[bool, frozenset[str], frozenset[str], Node]] = field(default_factory=list)
    names: list[tuple[bool, Node]] = field(default_factory=list)
    without_empty: bool = False

    def __post_init__(self) -> None:
        for literal in self.literals:
            match literal:
                case ("min", size):
                    self.least = max(self.least, size)
                case ("max", size):
                    self.most = size if self.most is None else min(self.most, size)
                case ("has", asserted, name):
                    (self.present if asserted else self.absent).add(name)
                case ("member", asserted, name, node):
                    self.members.append((asserted, name, node))
                    if not asserted:
                        self.present.add(name)
                case ("matching", asserted, pattern, node):
                    self.matching.append((asserted, pattern, node))
                case ("rest", asserted, names, patterns, node):
                    self.rests.append((asserted, names, patterns, node))
                case ("names", asserted, node):
                    self.names.append((asserted, node))
                case ("without", node):
                    self.without_empty = self.without_empty or {} in node.values

    def none(self, empty: Empty, no_name: NoName) -> bool:
        present = self.present
        least = max(self.least, len(present))
        if (self.most is not None and least > self.most) or present & self.absent:
            return True
        if self.most == 0 and self.without_empty:
            return True
        if any(self._impossible_name(name) or empty(*self._asked(name)) for name in present):
            return True
        wanted = [
            *(each for each in self.matching if not each[0]),
            *(each for each in self.rests if not each[0]),
            *(each for each in self.names if not each[0]),
        ]
        if not wanted and least <= len(present):
            return False
        full = self.most is not None and self.most <= len(present)
        named = sorted(present if full else self._mentioned() - self.absent)
        possible = [
            name for name in named if name in present or not (self._impossible_name(name) or empty(*self._asked(name)))
        ]
        others = [] if full else list(self._other_members(empty, no_name))
        if least > len(possible) and not others:
            return True
        return not all(self._can_be(each, possible, others, empty, no_name) for each in wanted) if wanted else False

    def _mentioned(self) -> set[str]:
        return {
            *self.present,
            *self.absent,
            *(name for _, name, _ in self.members),
            *(name for _, names, _, _ in self.rests for name in names),
        }

    def _impossible_name(self, name: str) -> bool:
        return any(asserted and holds(node, name) is False for asserted, node in self.names)

    def _asked(self, name: str) -> tuple[frozenset[Node], frozenset[Node]]:
        """The schemas that a member's value has to be valid under, and those that it must not."""
        required = {node for asserted, each, node in self.members if asserted and each == name}
        denied = {node for asserted, each, node in self.members if not asserted and each == name}
        required |= {node for asserted, pattern, node in self.matching if asserted and matches(pattern, name)}
        required |= {
            node
            for asserted, names, patterns, node in self.rests
            if asserted and name not in names and every(opposite(matches(each, name)) for each in patterns)
        }
        return frozenset(required), frozenset(denied)

    def _other_members(self, empty: Empty, no_name: NoName) -> Iterator[_Other]:
        """The kinds of members that are not mentioned by name: one for each set of patterns that a name may match."""
        patterns = sorted(
            {pattern for _, pattern, _ in self.matching} | {each for _, _, those, _ in self.rests for each in those}
        )
        if len(patterns) > _MAX_PATTERNS:
            yield _Other(None, frozenset(), ())
            return
        mentioned = Node(values=tuple(sorted(self._mentioned())))
        for size in range(len(patterns) + 1):
            for matched in combinations(patterns, size):
                hit = frozenset(matched)
                required = {node for asserted, pattern, node in self.matching if asserted and pattern in hit}
                required |= {node for asserted, _, those, node in self.rests if asserted and not those & hit}
                names: tuple[Literal, ...] = (
                    *(("pattern", pattern in hit, pattern) for pattern in patterns),
                    *(("schema", True, node) for asserted, node in self.names if asserted),
                    ("without", mentioned),
                )
                if not empty(frozenset(required), frozenset()) and not no_name(names):
                    yield _Other(hit, frozenset(required), names)

    def _can_be(
        self, wanted: Literal, possible: list[str], others: list[_Other], empty: Empty, no_name: NoName
    ) -> bool:
        """Whether there may be a member of the kind that one denied literal asks for. It lacks its first name."""
        node = wanted[-1]
        by_name = len(wanted) == 2
        for name in possible:
            required, denied = self._asked(name)
            if by_name:
                if holds(node, name) is not True:
                    return True
            elif self._concerned(wanted, name) is not False and not empty(required, denied | {node}):
                return True
        for other in others:
            if other.patterns is None:
                return True
            if by_name:
                if not no_name((*other.names, ("schema", False, node))):
                    return True
            elif self._concerns(wanted, other.patterns) and not empty(other.required, frozenset({node})):
                return True
        return False

    @staticmethod
    def _concerned(wanted: Literal, name: str) -> bool | None:
        if len(wanted) == 3:
            return matches(wanted[1], name)
        _, names, patterns, _ = wanted
        return name not in names and every(opposite(matches(each, name)) for each in patterns)

    @staticmethod
    def _concerns(wanted: Literal, patterns: frozenset[str]) -> bool:
        return wanted[1] in patterns if len(wanted) == 3 else not wanted[2] & patterns


@dataclass(frozen=True, slots=True)
class _Other:
    """Members whose names match exactly these patterns, null where there are too many; what their values have to be
    valid under, and what their names have to be."""

    patterns: frozenset[str] | None
    required: frozenset[Node]
    names: tuple[Literal, ...]

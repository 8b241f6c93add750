"""Which schemas say the same: keys that are equal for them, whatever document they stand in.

Schemas that recurse have no finite text, so the keys are those of the coarsest partition in which schemas of one class
assert the same and lead to schemas of the same classes (Moore's refinement): references are as good as what they lead
to, wherever that is defined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from stream_lineage.detect.json_types import ANYTHING_KEY, Node, frozen


def assign_keys(roots: Iterable[Node]) -> None:
    """Set ``key`` and ``same`` of all nodes that these lead to. Keys compare among the nodes of one call only."""
    nodes = [*_reachable(roots), Node()]  # the last one asserts nothing
    for attribute, defaults in (("key", False), ("same", True)):
        _Partition(nodes, attribute).refine([_shape(node, defaults) for node in nodes])


def _reachable(roots: Iterable[Node]) -> list[Node]:
    found: dict[int, Node] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        if id(node) not in found:
            found[id(node)] = node
            pending.extend(node.children())
    return list(found.values())


class _Partition:
    """Classes of nodes, split until all of one class lead to the same classes. The members of a class always lead to
    what its first one did when they came in, so that only nodes of which a child has moved are looked at again."""

    def __init__(self, nodes: list[Node], attribute: str) -> None:
        self._nodes = nodes
        self._attribute = attribute
        self._parents: dict[int, list[Node]] = {}
        for node in nodes:
            for child in node.children():
                self._parents.setdefault(id(child), []).append(node)
        self._sizes: Counter[int] = Counter()
        self._links: dict[int, Hashable] = {}

    def refine(self, shapes: list[Hashable]) -> None:
        classes: dict[Hashable, int] = {}
        for node, shape in zip(self._nodes, shapes, strict=True):
            self._move(node, classes.setdefault(shape, len(classes)))
        moved = self._nodes
        while moved:
            touched: dict[int, dict[int, Node]] = {}
            for node in self._nodes if moved is self._nodes else self._above(moved):
                touched.setdefault(getattr(node, self._attribute), {})[id(node)] = node
            moved = []
            links = {key: _links(node, self._attribute) for each in touched.values() for key, node in each.items()}
            for colour, members in touched.items():
                moved += self._split(colour, members, links)
        anything = getattr(self._nodes[-1], self._attribute)
        for node in self._nodes:
            colour = getattr(node, self._attribute)
            if colour in (anything, ANYTHING_KEY):
                setattr(node, self._attribute, ANYTHING_KEY if colour == anything else anything)

    def _above(self, moved: list[Node]) -> list[Node]:
        return [parent for node in moved for parent in self._parents.get(id(node), ())]

    def _split(self, colour: int, members: dict[int, Node], links: dict[int, Hashable]) -> list[Node]:
        groups: dict[Hashable, list[Node]] = {}
        for key, node in members.items():
            groups.setdefault(links[key], []).append(node)
        if len(members) == self._sizes[colour]:  # nobody stays behind: the largest group keeps the class
            largest = max(groups, key=lambda each: len(groups[each]))
            self._links[colour] = largest
        moved: list[Node] = []
        for link, group in groups.items():
            if link == self._links[colour]:
                continue
            fresh = len(self._sizes)
            self._links[fresh] = link
            for node in group:
                self._sizes[colour] -= 1
                self._move(node, fresh)
            moved += group
        return moved

    def _move(self, node: Node, colour: int) -> None:
        setattr(node, self._attribute, colour)
        self._sizes[colour] += 1


def _shape(node: Node, defaults: bool) -> Hashable:
    """What a node asserts by itself."""
    always = None if node.always is True else node.always
    values = None if node.values is None else frozenset(map(frozen, node.values))
    default = frozen(node.default) if defaults and node.has_default else None
    return (
        *(always, node.types, values, node.lower, node.upper, node.multiple, default),
        *(node.min_length, node.max_length, node.pattern, node.format),
        *(node.min_contains, node.max_contains, node.unique, node.min_items, node.max_items),
        *(node.required, node.min_properties, node.max_properties, frozenset(node.required_with.items())),
        tuple((keyword, text) for keyword, _, text in node.opaque),
    )


def _links(node: Node, attribute: str) -> Hashable:
    """The classes of what a node leads to."""

    def of(inner: Node | None) -> int | None:
        return None if inner is None else getattr(inner, attribute)

    every: Callable[[tuple[Node, ...]], Hashable] = lambda inner: frozenset(map(of, inner))  # noqa: E731
    one_of = tuple(sorted(getattr(each, attribute) for each in node.one_of))  # the same branch twice is a contradiction
    return (
        *(tuple(map(of, node.prefix)), of(node.items), of(node.contains), of(node.names)),
        frozenset((name, of(inner)) for name, inner in node.properties.items()),
        frozenset((name, of(inner)) for name, inner in node.patterns.items()),
        frozenset((rest.names, rest.patterns, of(rest.schema)) for rest in node.rests),
        frozenset((name, of(inner)) for name, inner in node.dependent.items()),
        *(every(node.all_of), every(node.any_of), one_of),
        *(of(node.negated), of(node.condition), of(node.then), of(node.otherwise)),
        tuple(of(inner) for _, inner, _ in node.opaque),
    )

"""Which schemas say the same: keys that are equal for them, whatever document they stand in.

Schemas that recurse have no finite text, so the keys are those of the coarsest partition in which schemas of one class
assert the same and lead to schemas of the same classes (Moore's refinement): references are as good as what they lead
to, wherever that is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from stream_lineage.detect.json_types import Node, frozen


def assign_keys(roots: Iterable[Node]) -> None:
    """Set ``key`` and ``same`` of all nodes that these lead to. Keys compare among the nodes of one call only."""
    nodes = _reachable(roots)
    for attribute, defaults in (("key", False), ("same", True)):
        _refine(nodes, attribute, [_shape(node, defaults) for node in nodes])


def _reachable(roots: Iterable[Node]) -> list[Node]:
    found: dict[int, Node] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        if id(node) not in found:
            found[id(node)] = node
            pending.extend(node.children())
    return list(found.values())


def _refine(nodes: list[Node], attribute: str, shapes: list[Hashable]) -> None:
    plain = _shape(Node(), False)
    classes: dict[Hashable, int] = {plain: 0}  # ANYTHING_KEY
    colours = [classes.setdefault(shape, len(classes)) for shape in shapes]
    while True:
        for node, colour in zip(nodes, colours, strict=True):
            setattr(node, attribute, colour)
        count = len(set(colours))
        finer: dict[Hashable, int] = {(0, _links(Node(), attribute)): 0}
        colours = [
            finer.setdefault((colour, _links(node, attribute)), len(finer))
            for colour, node in zip(colours, nodes, strict=True)
        ]
        if len(set(colours)) == count:
            return


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

"""What changed between two JSON Schemas, member by member, and what each change breaks.

*backward* holds if and only if every value that is valid under the old schema is valid under the new one, *forward* the
other way round, as far as that can be proved: ``json_subset`` decides it, and what is listed here explains it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stream_lineage.detect.json_keys import assign_keys
from stream_lineage.detect.json_keywords import keyword_changes
from stream_lineage.detect.json_parser import parse_json_schema
from stream_lineage.detect.json_patterns import matches
from stream_lineage.detect.json_subset import Subsets
from stream_lineage.detect.json_types import Node, frozen
from stream_lineage.detect.json_values import rest_applies
from stream_lineage.detect.schema_delta import (
    BOTH,
    MAX_CHANGES,
    SchemaDiff,
    attribute_kind,
    bounded,
    directions,
    join,
    keep,
)
from stream_lineage.model.finding import Compatibility, SchemaChange

_EMPTY: Mapping[str, str] = {}
_MAX_LEVELS = 40
"""Changes are explained so many levels deep, for the interpreter's stack; what is further inside is told above."""


def diff_json(
    old_text: str,
    new_text: str,
    old_references: Mapping[str, str] = _EMPTY,
    new_references: Mapping[str, str] = _EMPTY,
) -> SchemaDiff:
    """Compare two JSON Schemas; ``*_references`` are the texts that they refer to, by name.

    Schemas that accept the same values, however they are written, have no changes but those of defaults.

    Raises:
        SchemaError: one of them is not a JSON Schema, or refers to what is not there.
    """
    old, new = parse_json_schema(old_text, old_references), parse_json_schema(new_text, new_references)
    anything, nothing = Node(), Node(always=False)
    assign_keys([old, new, anything, nothing])
    comparison = _Comparison(anything, nothing)
    changes = comparison.compare("", old, new)
    verdict = Compatibility(comparison.subsets.within(old, new), comparison.subsets.within(new, old))
    return bounded(changes, verdict, old.describe(), new.describe())


class _Comparison:
    def __init__(self, anything: Node, nothing: Node) -> None:
        self.subsets = Subsets()
        self._anything = anything
        self._nothing = nothing
        self._comparing: set[tuple[int, int]] = set()
        self._unchanged: set[tuple[int, int]] = set()
        self._listed = 0
        self._left_to_others = 0  # comparisons that are under way already, or too deep inside

    def compare(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        pair = (old.same, new.same)
        if old.same == new.same or pair in self._unchanged or self._listed > MAX_CHANGES:
            return []
        if pair in self._comparing or len(self._comparing) >= _MAX_LEVELS:
            self._left_to_others += 1
            self._listed += 1
            return []
        self._comparing.add(pair)
        backward, forward = self.subsets.within(old, new), self.subsets.within(new, old)
        changes = self._defaults(path, old, new)
        if backward and forward:
            changes += self._inner_defaults(path, old, new)
        else:
            broken = directions(not backward, not forward)
            left = self._left_to_others
            changes += keep(self._explained(path, old, new), broken)
            unsaid = tuple(way for way in broken if not any(way in change.breaks for change in changes))
            if unsaid and left == self._left_to_others:
                changes.append(SchemaChange("schema-changed", path, old.describe(), new.describe(), unsaid))
        self._comparing.discard(pair)
        self._listed += len(changes)
        if not changes and backward and forward:
            self._unchanged.add(pair)
        return changes

    def _defaults(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        if old.has_default == new.has_default and frozen(old.default) == frozen(new.default):
            return []
        kind = attribute_kind("default", old.has_default, new.has_default)
        before = _short(old.default) if old.has_default else None
        return [SchemaChange(kind, path, before, _short(new.default) if new.has_default else None)]

    def _inner_defaults(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        """Where the same values are accepted, defaults may differ all the same; other changes inside have no effect."""
        changes: list[SchemaChange] = []
        for name in (each for each in old.properties if each in new.properties):
            changes += self.compare(join(path, name), old.properties[name], new.properties[name])
        if old.items is not None and new.items is not None:
            changes += self.compare(f"{path}[]", old.items, new.items)
        return [change for change in changes if change.kind.startswith("default-")]

    def _explained(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        """The changes of two schemas that do not accept the same."""
        olds, news = _branches(old), _branches(new)
        if len(olds) > 1 or len(news) > 1:
            return self._unions(path, olds, news)
        if old.always is False or new.always is False or _disjoint(old, new):
            return [SchemaChange("type-changed", path, old.describe(), new.describe(), BOTH)]
        changes = keyword_changes(path, old, new)
        if old.admits("array") and new.admits("array"):
            changes += self._arrays(path, old, new)
        if old.admits("object") and new.admits("object"):
            changes += self._objects(path, old, new)
        return changes + self._logic(path, old, new)

    def _unions(self, path: str, olds: tuple[Node, ...], news: tuple[Node, ...]) -> list[SchemaChange]:
        within = self.subsets.within
        removed = [branch for branch in olds if all(branch.key != each.key for each in news)]
        added = [branch for branch in news if all(branch.key != each.key for each in olds)]
        if len(removed) == len(added) == 1:  # one branch for one other: it changed
            return self.compare(path, removed[0], added[0])
        changes: list[SchemaChange] = []
        for branch in removed:
            kind = "nullability-removed" if _is_null(branch) else "union-branch-removed"
            breaks = directions(not any(within(branch, each) for each in news), False)
            changes.append(SchemaChange(kind, path, branch.describe(), None, breaks))
        for branch in added:
            kind = "nullability-added" if _is_null(branch) else "union-branch-added"
            breaks = directions(False, not any(within(branch, each) for each in olds))
            changes.append(SchemaChange(kind, path, None, branch.describe(), breaks))
        return changes

    def _arrays(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        changes: list[SchemaChange] = []
        for index in range(max(len(old.prefix), len(new.prefix))):
            changes += self.compare(f"{path}[{index}]", self._item(old, index), self._item(new, index))
        changes += self.compare(f"{path}[]", old.items or self._anything, new.items or self._anything)
        changes += self._schema("contains", path, old.contains, new.contains)
        if old.contains is not None and new.contains is not None:
            before, after = ((each.min_contains, each.max_contains) for each in (old, new))
            if before != after:
                changes.append(SchemaChange("contains-count-changed", path, _range(*before), _range(*after), BOTH))
        return changes

    def _item(self, node: Node, index: int) -> Node:
        return node.prefix[index] if index < len(node.prefix) else node.items or self._anything

    def _objects(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        changes: list[SchemaChange] = []
        for name in (*old.properties, *(each for each in new.properties if each not in old.properties)):
            changes += self._property(join(path, name), name, old, new)
        for name in sorted(new.required - old.required):
            changes.append(SchemaChange("required-added", join(path, name), "optional", "required", ("backward",)))
        for name in sorted(old.required - new.required):
            changes.append(SchemaChange("required-removed", join(path, name), "required", "optional", ("forward",)))
        for pattern in sorted({*old.patterns, *new.patterns}):
            before, after = old.patterns.get(pattern), new.patterns.get(pattern)
            if before is not None and after is not None:
                changes += self.compare(f"{path}{{{pattern}}}", before, after)
            else:
                kind, breaks = ("added", ("backward",)) if before is None else ("removed", ("forward",))
                texts = [None if each is None else each.describe() for each in (before, after)]
                where = f"{path}{{{pattern}}}"
                changes.append(SchemaChange(f"pattern-property-{kind}", where, texts[0], texts[1], breaks))
        changes += self._content_model(path, old, new)
        changes += self._schema("property-names", path, old.names, new.names)
        for name in sorted({*old.dependent, *new.dependent}):
            changes += self._schema("dependency", join(path, name), old.dependent.get(name), new.dependent.get(name))
        return changes

    def _property(self, path: str, name: str, old: Node, new: Node) -> list[SchemaChange]:
        before, after = old.properties.get(name), new.properties.get(name)
        if before is not None and after is not None:
            return self.compare(path, before, after)
        if after is not None:
            implied = _implied(old, name)
            backward = self.subsets.entails(implied, after)
            forward = all(self.subsets.within(after, each) for each in implied)
            breaks = directions(not backward, not forward)
            return [SchemaChange("property-added", path, None, after.describe(), breaks)]
        assert before is not None  # noqa: S101  (one of them has it)
        implied = _implied(new, name)
        backward = all(self.subsets.within(before, each) for each in implied)
        breaks = directions(not backward, not self.subsets.entails(implied, before))
        return [SchemaChange("property-removed", path, before.describe(), None, breaks)]

    def _content_model(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        was, now = (each.rests[0].schema if each.rests else self._anything for each in (old, new))
        if was.key == now.key:
            return []
        if now.always is False:
            return [SchemaChange("content-model-closed", path, was.describe(), "nothing", ("backward",))]
        if was.always is False:
            return [SchemaChange("content-model-opened", path, "nothing", now.describe(), ("forward",))]
        return self.compare(f"{path}{{}}", was, now)

    def _schema(self, kind: str, path: str, old: Node | None, new: Node | None) -> list[SchemaChange]:
        """A keyword whose value is a schema that narrows."""
        if old is None and new is None:
            return []
        was, now = old or self._anything, new or self._anything
        breaks = directions(not self.subsets.within(was, now), not self.subsets.within(now, was))
        if old is not None and new is not None and not breaks:
            return []
        texts = [None if each is None else each.describe() for each in (old, new)]
        if old is None or new is None:
            breaks = ("backward",) if old is None else ("forward",)
        word = attribute_kind(kind, old is not None, new is not None)
        return [SchemaChange(word, path, texts[0], texts[1], breaks)]

    def _logic(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        changes: list[SchemaChange] = []
        for kind, olds, news in (("any-of", old.any_of, new.any_of), ("one-of", old.one_of, new.one_of)):
            if olds and news:
                changes += self._unions(path, olds, news)
            elif olds or news:
                changes.append(_narrowing(kind, path, olds, news))
        removed = [branch for branch in old.all_of if all(branch.key != each.key for each in new.all_of)]
        added = [branch for branch in new.all_of if all(branch.key != each.key for each in old.all_of)]
        if len(removed) == len(added) == 1:
            changes += self.compare(path, removed[0], added[0])
        else:
            changes += [
                SchemaChange("all-of-branch-removed", path, branch.describe(), None, ("forward",)) for branch in removed
            ]
            changes += [
                SchemaChange("all-of-branch-added", path, None, branch.describe(), ("backward",)) for branch in added
            ]
        if _key(old.negated) != _key(new.negated):
            changes.append(_narrowing("not", path, _one(old.negated), _one(new.negated)))
        conditions = [tuple(map(_key, (each.condition, each.then, each.otherwise))) for each in (old, new)]
        if conditions[0] != conditions[1]:
            changes.append(_narrowing("condition", path, _one(old.condition), _one(new.condition)))
        was, now = ({name for name, _, _ in each.opaque} for each in (old, new))
        if was | now and old.key != new.key:
            for keyword in sorted(was | now):
                kind = attribute_kind(keyword.lstrip("$"), keyword in was, keyword in now)
                changes.append(SchemaChange(kind, path, None, None, BOTH))
        return changes


def _narrowing(kind: str, path: str, olds: tuple[Node, ...], news: tuple[Node, ...]) -> SchemaChange:
    """A keyword that narrows, as one change."""
    texts = [" | ".join(each.describe() for each in side) or None for side in (olds, news)]
    breaks = BOTH if olds and news else ("forward",) if olds else ("backward",)
    return SchemaChange(attribute_kind(kind, bool(olds), bool(news)), path, texts[0], texts[1], breaks)


def _branches(node: Node) -> tuple[Node, ...]:
    """The alternatives that a schema consists of: itself, unless it is nothing but a choice."""
    choices = node.any_of or node.one_of
    plain = Node(any_of=node.any_of, one_of=() if node.any_of else node.one_of)
    return choices if choices and _asserted(node) == _asserted(plain) else (node,)


def _asserted(node: Node) -> list[Any]:
    skipped = ("key", "same", "default", "has_default", "_listed")
    return [getattr(node, name) for name in Node.__slots__ if name not in skipped]


def _disjoint(old: Node, new: Node) -> bool:
    """Whether no type is in both, so that further differences say nothing."""
    if old.types is None or new.types is None:
        return False
    return not any(new.admits("number" if name == "integer" else name) for name in old.types)


def _implied(node: Node, name: str) -> list[Node]:
    """What is asked of a member that is not among the properties."""
    found = [inner for pattern, inner in node.patterns.items() if matches(pattern, name) is not False]
    return found + [rest.schema for rest in node.rests if rest_applies(rest, name) is not False]


def _is_null(node: Node) -> bool:
    return node.types == frozenset({"null"}) or (node.values is not None and [*node.values] == [None])


def _key(node: Node | None) -> int | None:
    return None if node is None else node.key


def _one(node: Node | None) -> tuple[Node, ...]:
    return () if node is None else (node,)


def _range(least: int, most: int | None) -> str:
    return f"{least} or more" if most is None else f"{least} to {most}"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"

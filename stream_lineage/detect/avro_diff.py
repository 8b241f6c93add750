"""What changed between two Avro schemas, field path by field path, and what each change breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from stream_lineage.detect.avro_resolution import Resolution, names_match, written_field
from stream_lineage.detect.avro_types import NAMED, Field, Node, parse
from stream_lineage.detect.schema_delta import (
    MAX_CHANGES,
    SchemaDiff,
    attribute_kind,
    bounded,
    directions,
    join,
    keep,
)
from stream_lineage.model.finding import Compatibility, SchemaChange


def diff_avro(old_text: str, new_text: str, old_refs: Sequence[str] = (), new_refs: Sequence[str] = ()) -> SchemaDiff:
    """Compare two Avro schemas; ``*_refs`` are the texts of the schemas that they refer to.

    *backward*: consumers on the new schema read data written with the old one. *forward*: the reverse.

    Raises:
        SchemaError: one of them is not an Avro schema.
    """
    old, new = parse(old_text, old_refs), parse(new_text, new_refs)
    comparison = _Comparison()
    compatibility = Compatibility(
        backward=comparison.resolution.reads(new, old), forward=comparison.resolution.reads(old, new)
    )
    return bounded(comparison.compare("", old, new), compatibility, old.describe(), new.describe())


class _Comparison:
    def __init__(self) -> None:
        self.resolution = Resolution()
        self._comparing: set[tuple[int, int]] = set()
        self._same: set[tuple[int, int]] = set()
        self._listed = 0

    def compare(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        key = (id(old), id(new))
        if key in self._comparing or key in self._same or self._listed > MAX_CHANGES:
            return []
        self._comparing.add(key)
        try:
            changes = self._compare(path, old, new)
        finally:
            self._comparing.discard(key)
        if not changes:
            self._same.add(key)
        return changes

    def _compare(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        if old.kind == "union" or new.kind == "union":
            return self._unions(path, old, new)
        if old.kind != new.kind:
            breaks = self._breaks(old, new)
            promoted = "backward" not in breaks
            kind = "type-promoted" if promoted else "type-changed"
            return [self._change(kind, path, old.describe(), new.describe(), breaks)]
        if old.kind in ("array", "map"):
            mark = "[]" if old.kind == "array" else "{}"
            return self.compare(path + mark, old.children[0], new.children[0])
        changes = self._names(path, old, new) if old.kind in NAMED else []
        if old.kind == "record":
            changes += self._records(path, old, new)
        elif old.kind == "enum":
            changes += self._enums(path, old, new)
        if old.size != new.size:
            changes.append(
                self._change("fixed-size-changed", path, str(old.size), str(new.size), ("backward", "forward"))
            )
        if old.logical_text() != new.logical_text():
            clash = old.decimal is not None and new.decimal is not None
            breaks = ("backward", "forward") if clash else ()
            changes.append(self._change("logical-type-changed", path, old.logical_text(), new.logical_text(), breaks))
        return changes

    def _names(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        if old.name == new.name:
            return []
        breaks = directions(not names_match(new, old), not names_match(old, new))
        return [self._change("name-changed", path, old.name, new.name, breaks)]

    def _enums(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        backward = () if new.default_symbol is not None else ("backward",)
        forward = () if old.default_symbol is not None else ("forward",)
        changes = [
            self._change("enum-symbol-removed", path, symbol, None, backward)
            for symbol in old.symbols
            if symbol not in new.symbols
        ]
        changes += [
            self._change("enum-symbol-added", path, None, symbol, forward)
            for symbol in new.symbols
            if symbol not in old.symbols
        ]
        if old.default_symbol != new.default_symbol:
            kind = attribute_kind("enum-default", old.default_symbol is not None, new.default_symbol is not None)
            changes.append(self._change(kind, path, old.default_symbol, new.default_symbol))
        return changes

    def _records(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        changes: list[SchemaChange] = []
        renamed = _renamed_fields(old, new)
        origins = {after.name: before for before, after in renamed}
        for after in new.fields:
            before = old.by_name.get(after.name) or origins.get(after.name)
            where = join(path, after.name)
            unreadable = self._field_breaks(after, old)
            if before is None:
                breaks = directions(unreadable, False)
                changes.append(self._change("field-added", where, None, after.type.describe(), breaks))
                continue
            changes += self._defaults(where, before, after)
            inner = self.compare(where, before.type, after.type)
            if before.name != after.name:
                # By the alias one side finds the other's field; the side that does not needs a default of its own.
                backward = written_field(after, old) is not before and unreadable
                forward = written_field(before, new) is not after and self._field_breaks(before, new)
                breaks = directions(backward, forward)
                changes.append(self._change("field-renamed", where, before.name, after.name, breaks))
                inner = keep(
                    inner, directions(written_field(after, old) is before, written_field(before, new) is after)
                )
            changes += inner
        gone = {before.name for before, _ in renamed} | set(new.by_name)
        for before in old.fields:
            if before.name not in gone:
                breaks = directions(False, self._field_breaks(before, new))
                where = join(path, before.name)
                changes.append(self._change("field-removed", where, before.type.describe(), None, breaks))
        return changes

    def _field_breaks(self, field: Field, writer: Node) -> bool:
        written = written_field(field, writer)
        if written is None:
            return not field.has_default
        return not self.resolution.reads(field.type, written.type)

    def _defaults(self, path: str, old: Field, new: Field) -> list[SchemaChange]:
        if old.has_default == new.has_default and _json(old.default) == _json(new.default):
            return []
        kind = attribute_kind("default", old.has_default, new.has_default)
        return [
            self._change(
                kind,
                path,
                _json(old.default) if old.has_default else None,
                _json(new.default) if new.has_default else None,
            )
        ]

    def _unions(self, path: str, old: Node, new: Node) -> list[SchemaChange]:
        reads = self.resolution.reads
        changes: list[SchemaChange] = []
        olds, news = _branches(old), _branches(new)
        old_null, new_null = (any(branch.kind == "null" for branch in side) for side in (olds, news))
        if old_null != new_null:
            null = next(branch for branch in (*olds, *news) if branch.kind == "null")
            if new_null:
                breaks = directions(False, not reads(old, null))
                changes.append(self._change("nullability-added", path, old.describe(), new.describe(), breaks))
            else:
                breaks = directions(not reads(new, null), False)
                changes.append(self._change("nullability-removed", path, old.describe(), new.describe(), breaks))
        pairs, removed, added = _matched(
            [branch for branch in olds if branch.kind != "null"], [branch for branch in news if branch.kind != "null"]
        )
        if len(removed) == len(added) == 1:  # one branch for one other: its type changed
            pairs, removed, added = [*pairs, (removed[0], added[0])], [], []
        for before, after in pairs:
            # Another branch of the union may read what the counterpart cannot: then nothing breaks.
            inner = self.compare(path, before, after)
            changes += keep(inner, directions(not reads(new, before), not reads(old, after)))
        for branch in removed:
            breaks = directions(not reads(new, branch), False)
            changes.append(self._change("union-branch-removed", path, branch.describe(), None, breaks))
        for branch in added:
            breaks = directions(False, not reads(old, branch))
            changes.append(self._change("union-branch-added", path, None, branch.describe(), breaks))
        return changes

    def _breaks(self, old: Node, new: Node) -> tuple[str, ...]:
        return directions(not self.resolution.reads(new, old), not self.resolution.reads(old, new))

    def _change(
        self, kind: str, path: str, old: str | None, new: str | None, breaks: tuple[str, ...] = ()
    ) -> SchemaChange:
        self._listed += 1
        return SchemaChange(kind, path, old, new, breaks)


def _renamed_fields(old: Node, new: Node) -> list[tuple[Field, Field]]:
    """Pairs of an old and a new field of different names of which one names the other as its alias."""
    pairs: list[tuple[Field, Field]] = []
    taken: set[str] = set()
    for after in new.fields:
        if after.name in old.by_name:
            continue
        for before in old.fields:
            if before.name in new.by_name or before.name in taken:
                continue
            if written_field(after, old) is before or written_field(before, new) is after:
                pairs.append((before, after))
                taken.add(before.name)
                break
    return pairs


def _branches(node: Node) -> tuple[Node, ...]:
    return node.children if node.kind == "union" else (node,)


def _matched(olds: list[Node], news: list[Node]) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
    """Branches of two unions that are the same type, by full name first, then by alias or short name; and the rest."""
    pairs: list[tuple[Node, Node]] = []
    removed, added = list(olds), list(news)
    same: tuple[Callable[[Node, Node], bool], ...] = (
        lambda a, b: a.name == b.name,
        lambda a, b: names_match(b, a) or names_match(a, b),
    )
    for test in same:
        for before in list(removed):
            for after in added:
                if before.kind == after.kind and test(before, after):
                    pairs.append((before, after))
                    removed.remove(before)
                    added.remove(after)
                    break
    return pairs, removed, added


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)

"""What changed between two Protobuf schemas, field number by field number, and what each change breaks.

The rules are those of "Updating A Message Type" in Protobuf's language guides, and where they leave it open those of
schema registries. Names do not matter on the wire, unless a name has moved to another number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stream_lineage.detect.protobuf_fields import field_changes
from stream_lineage.detect.protobuf_types import EnumType, Field, Message, ProtobufFile, Reserved, parse_protobuf
from stream_lineage.detect.schema_delta import BOTH, MAX_CHANGES, SchemaDiff, attribute_kind, bounded, directions, join
from stream_lineage.model.finding import Compatibility, SchemaChange

_EMPTY: Mapping[str, str] = {}
_MAX_VISITS = 20_000
_MAX_LEVELS = 100
"""Messages within messages that are looked at in one go, for the interpreter's stack."""


def diff_protobuf(
    old_text: str,
    new_text: str,
    old_references: Mapping[str, str] = _EMPTY,
    new_references: Mapping[str, str] = _EMPTY,
) -> SchemaDiff:
    """Compare two Protobuf schemas; ``*_references`` are the files that they import, by name.

    Raises:
        SchemaError: one of them cannot be compiled.
    """
    old, new = parse_protobuf(old_text, old_references), parse_protobuf(new_text, new_references)
    comparison = _Comparison(old, new)
    changes = comparison.changes()
    verdict = Compatibility(*(way not in comparison.broken for way in BOTH))
    return bounded(changes, verdict, "schema", "schema")


class _Comparison:
    """Of two files. Each pair of messages is compared once, and its changes are told at every path that leads there."""

    def __init__(self, old: ProtobufFile, new: ProtobufFile) -> None:
        self._old, self._new = old, new
        self._own: dict[tuple[int, int], list[SchemaChange]] = {}
        self._above: set[tuple[int, int]] = set()
        self._deferred: dict[tuple[int, int], tuple[str, Message, Message]] = {}
        self._visits = 0
        self._told_enums: set[int] = set()
        self._listed = 0
        self.broken: set[str] = set()

    def changes(self) -> list[SchemaChange]:
        old, new = self._old, self._new
        changes: list[SchemaChange] = []
        if old.package != new.package:
            changes.append(SchemaChange("package-changed", "", old.package or None, new.package or None, BOTH))
        if old.syntax != new.syntax:
            changes.append(SchemaChange("syntax-changed", "", old.syntax, new.syntax))
        olds, news = old.declared(), new.declared()
        pairs, removed, added = _paired(olds, news)
        for before, after in pairs:
            if before.name != after.name:
                changes.append(SchemaChange("message-moved", after.name, before.name, after.name))
        # What fields lead to is judged by those fields; other messages may be what records are.
        inside_old, inside_new = _referred(old.messages), _referred(new.messages)
        for each in removed:
            breaks = directions(id(each) not in inside_old, False)
            changes.append(SchemaChange("message-removed", each.name, each.name, None, breaks))
        for each in added:
            breaks = directions(False, id(each) not in inside_new)
            changes.append(SchemaChange("message-added", each.name, None, each.name, breaks))
        self._note(changes)
        inside = inside_old | inside_new
        roots = [pair for pair in pairs if "." not in pair[1].name and not {id(each) for each in pair} <= inside]
        for before, after in roots:
            changes += self._at("" if len(roots) == 1 else after.name, before, after)
        for before, after in pairs:  # those that no field leads to
            if (id(before), id(after)) not in self._own:
                changes += self._at(after.name, before, after)
        while self._deferred:
            changes += self._at(*self._deferred.popitem()[1])
        return changes + self._other_enums()

    def _note(self, changes: Iterable[SchemaChange]) -> None:
        for change in changes:
            self.broken.update(change.breaks)
            self._listed += 1

    def _at(self, path: str, old: Message, new: Message) -> list[SchemaChange]:
        """The changes of a pair of messages at a path, and of those inside."""
        key = (id(old), id(new))
        fresh = key not in self._own
        if fresh and len(self._above) < _MAX_LEVELS:
            own = self._own[key] = self._message(old, new)
            self._note(own)
        self._visits += 1
        if key in self._above or (not fresh and (self._listed > MAX_CHANGES or self._visits > _MAX_VISITS)):
            return []
        if len(self._above) >= _MAX_LEVELS:
            self._deferred.setdefault(key, (path, old, new))
            return []
        self._above.add(key)
        changes = [replace(change, path=_under(path, change.path)) for change in self._own[key]]
        if not fresh:
            self._listed += len(changes)
        for number, before in old.fields.items():
            after = new.fields.get(number)
            if after is None:
                continue
            where = _under(path, _path_of(after))
            if before.message is not None and after.message is not None and before.kind == after.kind:
                changes += self._at(where, before.message, after.message)
        self._above.discard(key)
        return changes

    def _message(self, old: Message, new: Message) -> list[SchemaChange]:
        """The changes of the fields themselves; paths start at the message."""
        changes: list[SchemaChange] = []
        moved = _renumbered(old, new)
        for number, before in old.fields.items():
            after = new.fields.get(number)
            if after is not None:
                if before.name != after.name and not {before.name, after.name} & moved:
                    changes.append(SchemaChange("field-renamed", after.name, before.name, after.name))
                changes += field_changes(after.name, before, after)
                changes += self._enums(_path_of(after), before.enum, after.enum)
            elif before.name not in moved:
                changes.append(_removed(before, new))
        changes += [
            _added(after, old)
            for number, after in new.fields.items()
            if number not in old.fields and after.name not in moved
        ]
        by_name = {each.name: each for each in old.fields.values()}
        for after in new.fields.values():
            if after.name in moved:
                numbers = str(by_name[after.name].number), str(after.number)
                changes.append(SchemaChange("field-renumbered", after.name, *numbers, BOTH))
        changes += _oneofs(old, new)
        changes += _reservations("", old.reserved, new.reserved)
        return changes

    def _enums(self, path: str, old: EnumType | None, new: EnumType | None) -> list[SchemaChange]:
        if old is None or new is None:
            return []
        self._told_enums |= {id(old), id(new)}
        return _enum_changes(path, old, new)

    def _other_enums(self) -> list[SchemaChange]:
        """Enums that come and go, and changes of those that no field has."""
        olds, news = self._old.declared_enums(), self._new.declared_enums()
        changes = [SchemaChange("enum-removed", name, name, None) for name in olds if name not in news]
        changes += [SchemaChange("enum-added", name, None, name) for name in news if name not in olds]
        for name in olds:
            if name in news and id(olds[name]) not in self._told_enums:
                found = _enum_changes(name, olds[name], news[name])
                changes += [replace(change, breaks=()) for change in found]
        return changes


def _paired(
    olds: Mapping[str, Message], news: Mapping[str, Message]
) -> tuple[list[tuple[Message, Message]], list[Message], list[Message]]:
    """Messages of one name; then those that have moved into or out of another; and the rest."""
    pairs = [(olds[name], news[name]) for name in olds if name in news]
    removed = [each for name, each in olds.items() if name not in news]
    added = [each for name, each in news.items() if name not in olds]
    for before in list(removed):
        same = [each for each in added if _short(each) == _short(before)]
        if len(same) == 1 and sum(_short(each) == _short(before) for each in removed) == 1:
            pairs.append((before, same[0]))
            removed.remove(before)
            added.remove(same[0])
    return pairs, removed, added


def _referred(messages: Iterable[Message]) -> set[int]:
    """Messages that a field of another leads to."""
    found: set[int] = set()
    seen: set[int] = set()
    pending = list(messages)
    while pending:
        message = pending.pop()
        if id(message) in seen:
            continue
        seen.add(id(message))
        for each in message.fields.values():
            if each.message is not None:
                pending.append(each.message)
                if each.message is not message:
                    found.add(id(each.message))
        pending.extend(message.nested)
    return found


def _renumbered(old: Message, new: Message) -> set[str]:
    """Names that have gone from one number to another."""
    olds = {each.name: number for number, each in old.fields.items()}
    news = {each.name: number for number, each in new.fields.items()}
    return {name for name, number in olds.items() if news.get(name, number) != number}


def _removed(field: Field, new: Message) -> SchemaChange:
    left = "reserved" if new.reserved.holds(field.number) else None
    # Readers that require it cannot do without.
    return SchemaChange("field-removed", field.name, field.type_text(), left, directions(False, field.required))


def _added(field: Field, old: Message) -> SchemaChange:
    was = "reserved" if old.reserved.holds(field.number) or field.name in old.reserved.names else None
    return SchemaChange("field-added", field.name, was, field.type_text(), directions(field.required, False))


def _oneofs(old: Message, new: Message) -> list[SchemaChange]:
    changes: list[SchemaChange] = []
    numbers = sorted(old.fields.keys() & new.fields.keys())
    for number in numbers:
        before, after = old.fields[number].oneof, new.fields[number].oneof
        if (before is None) != (after is None):
            kind = "field-moved-into-oneof" if before is None else "field-moved-out-of-oneof"
            breaks = directions(
                after is not None and _may_collide(after, new, old),
                before is not None and _may_collide(before, old, new),
            )
            changes.append(SchemaChange(kind, new.fields[number].name, before, after, breaks))
    for name in sorted({each.oneof for each in old.fields.values() if each.oneof is not None}):
        members = {number: each for number, each in old.fields.items() if each.oneof == name}
        changes += _oneof_members(name, members, old, new)
    for name in sorted({each.oneof for each in new.fields.values() if each.oneof is not None}):
        gained = [each for number, each in new.fields.items() if each.oneof == name and number not in old.fields]
        if any(
            number in old.fields and old.fields[number].oneof
            for number, each in new.fields.items()
            if each.oneof == name
        ):
            changes += [SchemaChange("oneof-field-added", each.name, None, name, ("forward",)) for each in gained]
    return changes


def _oneof_members(name: str, members: Mapping[int, Field], old: Message, new: Message) -> list[SchemaChange]:
    """What became of the members of one of the old oneofs."""
    left = {number: new.fields[number] for number in members if number in new.fields}
    targets = {each.oneof for each in left.values() if each.oneof is not None}
    changes: list[SchemaChange] = []
    if targets:
        changes += [
            SchemaChange("oneof-field-removed", each.name, name, None, ("backward",))
            for number, each in members.items()
            if number not in left
        ]
    if len(targets) > 1:  # what was one of several may now be several at once
        changes.append(SchemaChange("oneof-split", name, name, ", ".join(sorted(targets)), ("forward",)))
    for target in sorted(targets - {name}):
        merged = {
            old.fields[number].oneof
            for number, each in new.fields.items()
            if each.oneof == target and number in old.fields and old.fields[number].oneof is not None
        }
        if len(merged) > 1:
            changes.append(SchemaChange("oneof-merged", target, name, target, ("backward",)))
        elif len(targets) == 1:
            changes.append(SchemaChange("oneof-renamed", target, name, target))
    return changes


def _may_collide(oneof: str, reader: Message, writer: Message) -> bool:
    """Whether a writer may set two fields at once of which a reader keeps one."""
    groups = [
        writer.fields[number].oneof or number
        for number, each in reader.fields.items()
        if each.oneof == oneof and number in writer.fields
    ]
    return len(set(groups)) > 1


def _enum_changes(path: str, old: EnumType, new: EnumType) -> list[SchemaChange]:
    changes: list[SchemaChange] = []
    if old.name != new.name:
        changes.append(SchemaChange("enum-type-changed", path, old.name, new.name))
    moved = {name for name, number in old.numbers.items() if new.numbers.get(name, number) != number}
    changes += [
        SchemaChange(
            "enum-value-renumbered", path, f"{name} = {old.numbers[name]}", f"{name} = {new.numbers[name]}", BOTH
        )
        for name in sorted(moved)
    ]
    for number, name in old.names.items():
        if name in moved:
            continue
        if number not in new.names:
            # A reader whose enum is closed takes a number that it does not know for no value at all.
            breaks = directions(new.closed, False)
            changes.append(SchemaChange("enum-value-removed", path, name, None, breaks))
        elif new.names[number] != name and name not in new.numbers and new.names[number] not in moved:
            changes.append(SchemaChange("enum-value-renamed", path, name, new.names[number]))
    changes += [
        SchemaChange("enum-value-added", path, None, name, directions(False, old.closed))
        for number, name in new.names.items()
        if number not in old.names and name not in moved
    ]
    if old.closed != new.closed:
        texts = ("closed" if old.closed else "open", "closed" if new.closed else "open")
        changes.append(SchemaChange("enum-openness-changed", path, *texts))
    return changes + _reservations(path, old.reserved, new.reserved)


def _reservations(path: str, old: Reserved, new: Reserved) -> list[SchemaChange]:
    before, after = _reserved_texts(old), _reserved_texts(new)
    lost, gained = ", ".join(sorted(before - after)), ", ".join(sorted(after - before))
    if not lost and not gained:
        return []
    return [SchemaChange(attribute_kind("reserved", bool(lost), bool(gained)), path, lost or None, gained or None)]


def _reserved_texts(reserved: Reserved) -> set[str]:
    ranges = {str(first) if first == last else f"{first} to {last}" for first, last in reserved.ranges}
    return ranges | {f'"{name}"' for name in reserved.names}


def _path_of(field: Field) -> str:
    return field.name + ("{}" if field.map else "[]" if field.repeated else "")


def _under(path: str, inner: str) -> str:
    """The path of a part. The value of a map is at the map's own path, its key beside it."""
    if path.endswith("{}"):
        return path if inner == "value" else f"{path}.{inner}" if inner else path
    return join(path, inner) if inner else path


def _short(message: Message) -> str:
    return message.name.rpartition(".")[2]

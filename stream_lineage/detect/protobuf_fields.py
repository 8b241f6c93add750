"""What a change of a Protobuf field's type, label or default breaks, the number being the same.

Source: "Updating A Message Type" in Protobuf's language guides. ``docs/schema-diff.md`` says where registries differ.
"""

from __future__ import annotations

from stream_lineage.detect.protobuf_types import Field
from stream_lineage.detect.schema_delta import BOTH, attribute_kind, directions
from stream_lineage.model.finding import SchemaChange

_FAMILIES = (
    frozenset({"int32", "uint32", "int64", "uint64", "bool"}),
    frozenset({"int32", "uint32", "int64", "uint64", "enum"}),
    frozenset({"sint32", "sint64"}),
    frozenset({"fixed32", "sfixed32"}),
    frozenset({"fixed64", "sfixed64"}),
    frozenset({"string", "bytes"}),
)
"""Types that read each other: numbers that do not fit are cut as in C, bytes have to be UTF-8 to be a string."""
_DELIMITED = frozenset({"string", "bytes", "message", "group"})


def field_changes(path: str, old: Field, new: Field) -> list[SchemaChange]:
    """The changes of one field, but for those inside its message or enum."""
    changes: list[SchemaChange] = []
    if old.kind != new.kind:
        breaks = _type_breaks(old.kind, new.kind)
        kind = "type-changed" if breaks else "type-promoted"
        changes.append(SchemaChange(kind, path, old.bare_text(), new.bare_text(), breaks))
    elif old.message is not None and new.message is not None and old.message.name != new.message.name:
        names = (
            (old.message.name, new.message.name) if not (old.map and new.map) else (old.type_text(), new.type_text())
        )
        if names[0] != names[1]:
            changes.append(SchemaChange("message-type-changed", path, *names))
    if old.repeated != new.repeated:
        # One value reads as a list and the last of a list as one value, unless numbers are packed into one.
        fine = old.kind in _DELIMITED and new.kind in _DELIMITED
        breaks = directions(new.required, old.required) if fine else BOTH  # a list may be empty
        changes.append(SchemaChange("label-changed", path, _label(old), _label(new), breaks))
    elif old.required != new.required:
        breaks = directions(new.required, old.required)
        kind = "required-added" if new.required else "required-removed"
        changes.append(SchemaChange(kind, path, _label(old), _label(new), breaks))
    elif old.presence != new.presence and old.oneof is None and new.oneof is None:
        changes.append(SchemaChange("presence-changed", path, _presence(old), _presence(new)))
    if old.default != new.default:
        kind = attribute_kind("default", old.default is not None, new.default is not None)
        changes.append(SchemaChange(kind, path, old.default, new.default))
    return changes


def _type_breaks(old: str, new: str) -> tuple[str, ...]:
    if any(old in family and new in family for family in _FAMILIES):
        return ()
    if {old, new} == {"message", "bytes"}:  # an encoded message is bytes, but bytes need not be one
        return directions(old == "bytes", new == "bytes")
    return BOTH


def _label(field: Field) -> str:
    return "repeated" if field.repeated else "required" if field.required else "optional"


def _presence(field: Field) -> str:
    return "explicit" if field.presence else "implicit"

"""The shadow of a schema: another schema for the same bytes, from which fastavro returns what the columns need.

- Logical types are gone, enums are longs and strings are bytes: values come as they were written.
- Maps are arrays of pairs (their encodings are the same), so that keys which occur twice are two entries.
- Each branch of a union is wrapped in a record of one field (a record is encoded as its fields are), named after the
  branch, so that a value says which branch it took.
- What takes no bytes is null: records that hold nothing else are not built.
- Names are made up, so that it does not matter which names fastavro accepts.
"""

from __future__ import annotations

from typing import Any

from stream_lineage.wire.avro_nodes import (
    Array,
    AvroSchema,
    Enum,
    Fixed,
    Map,
    Node,
    Primitive,
    Union,
    minimum,
)

_PRIMITIVES = {"int": "long", "string": "bytes"}


def shadow(schema: AvroSchema) -> Any:
    """The shadow as a JSON document."""
    return _Shadow(schema).of(schema.root)


def branch_name(branch: int) -> str:
    """The one key of the value of a union."""
    return f"b{branch}"


def is_null(branch: Node) -> bool:
    """Whether values of this branch of a union are not wrapped."""
    return isinstance(branch, Primitive) and branch.kind == "null"


class _Shadow:
    def __init__(self, schema: AvroSchema) -> None:
        self._schema = schema
        self._records: dict[Node, str] = {}
        self._fixed: dict[int, str] = {}
        self._names = 0

    def of(self, use: Node) -> Any:
        node = self._schema.resolved(use)
        if minimum(node) == 0:
            return "null"
        match node:
            case Primitive(kind=kind):
                return _PRIMITIVES.get(kind, kind)
            case Enum():
                return "long"
            case Fixed(size=size):
                if size in self._fixed:
                    return self._fixed[size]
                name = self._fixed[size] = self._name()
                return {"type": "fixed", "name": name, "size": size}
            case Array(items=items):
                return {"type": "array", "items": self.of(items)}
            case Map(values=values):
                return {"type": "array", "items": self._record({"k": "bytes", "v": self.of(values)})}
            case Union(branches=branches):
                return [
                    "null" if is_null(branch) else self._record({branch_name(index): self.of(branch)})
                    for index, branch in enumerate(branches)
                ]
            case _:
                if node in self._records:
                    return self._records[node]
                name = self._records[node] = self._name()
                return _record(name, {f"f{index}": self.of(field.type) for index, field in enumerate(node.fields)})

    def _record(self, fields: dict[str, Any]) -> Any:
        return _record(self._name(), fields)

    def _name(self) -> str:
        self._names += 1
        return f"n{self._names}"


def _record(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": type_} for key, type_ in fields.items()]}

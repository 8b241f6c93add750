"""Whether a reader's Avro schema reads everything that a writer's schema may write.

The rules are those of "Schema Resolution" in the Avro 1.11 specification; names match unqualified, as it says, or by a
reader's alias. A reader's union reads what any of its branches reads, as the compatibility checks of schema registries
have it. Recursive types are compared by assuming that a pair is compatible until a contradiction shows (the greatest
fixed point), so that no answer depends on the order in which pairs are visited.
"""

from __future__ import annotations

from stream_lineage.detect.avro_types import NAMED, Field, Node

PROMOTIONS: dict[str, frozenset[str]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}


class Resolution:
    """Answers for the nodes of one pair of schemas. Keep the nodes alive as long as this: it tells them by identity."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int, int], bool] = {}
        self._open: dict[tuple[int, int], tuple[Node, Node]] = {}

    def reads(self, reader: Node, writer: Node) -> bool:
        """Whether every datum that ``writer`` may write can be read as ``reader``."""
        self._assume(reader, writer)
        contradicted = True
        while contradicted:
            contradicted = False
            before = len(self._answers)
            for key, (read, write) in list(self._open.items()):
                if self._answers[key] and not self._holds(read, write):
                    self._answers[key] = False
                    contradicted = True
            contradicted = contradicted or len(self._answers) != before
        self._open.clear()
        return self._answers[id(reader), id(writer)]

    def _assume(self, reader: Node, writer: Node) -> bool:
        key = (id(reader), id(writer))
        if key not in self._answers:
            self._answers[key] = True
            self._open[key] = (reader, writer)
        return self._answers[key]

    def _holds(self, reader: Node, writer: Node) -> bool:
        if writer.kind == "union":
            return all(self._assume(reader, branch) for branch in writer.children)
        if reader.kind == "union":
            return any([self._assume(branch, writer) for branch in reader.children])
        if reader.kind != writer.kind:
            return reader.kind in PROMOTIONS.get(writer.kind, frozenset())
        if reader.kind in ("array", "map"):
            return self._assume(reader.children[0], writer.children[0])
        if reader.kind in NAMED and not names_match(reader, writer):
            return False
        if reader.kind == "enum":
            return reader.default_symbol is not None or set(writer.symbols) <= set(reader.symbols)
        if reader.kind == "record":
            return all([self._field_holds(field, writer) for field in reader.fields])
        return reader.size == writer.size and decimals_match(reader, writer)

    def _field_holds(self, field: Field, writer: Node) -> bool:
        written = written_field(field, writer)
        return field.has_default if written is None else self._assume(field.type, written.type)


def names_match(reader: Node, writer: Node) -> bool:
    return reader.short_name == writer.short_name or writer.name in reader.aliases


def decimals_match(reader: Node, writer: Node) -> bool:
    """The specification: two decimals match only if their precisions and their scales do."""
    return reader.decimal is None or writer.decimal is None or reader.decimal == writer.decimal


def written_field(field: Field, writer: Node) -> Field | None:
    """The writer's field that a reader's field takes its value from: of its name, else of its first alias there."""
    for name in (field.name, *field.aliases):
        if name in writer.by_name:
            return writer.by_name[name]
    return None

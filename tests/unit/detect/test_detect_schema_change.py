"""If this failed, alerts on JSON and Protobuf would not say what changed, or fail on a schema that nobody can parse."""

from __future__ import annotations

import json

import pytest

from stream_lineage.detect.detector import SchemaText
from stream_lineage.detect.json_diff import diff_json
from stream_lineage.detect.schema_change import schema_change, severity
from stream_lineage.detect.schema_delta import SchemaDiff
from stream_lineage.detect.schema_diff import diff_document, diff_schemas
from stream_lineage.errors import SchemaError
from stream_lineage.model.finding import SchemaChange, Severity
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType

CLOSED = {"type": "object", "additionalProperties": False}


class Texts:
    def __init__(self, *texts: SchemaText) -> None:
        self._texts = dict(enumerate(texts))

    def text(self, reference: SchemaReference) -> SchemaText | None:
        return self._texts.get(reference.id if reference.id is not None else -1)

    def registered(self, reference: SchemaReference) -> None:
        return None

    def has_subject(self, subject: str) -> None:
        return None


def reference(kind: SchemaType, number: int) -> SchemaReference:
    return SchemaReference(kind, Framing.CONFLUENT_PREFIX, id=number, subject="s", fingerprint=str(number))


def changed(kind: SchemaType, old: str, new: str) -> tuple[str, list[tuple[str, str]], Severity]:
    found = schema_change(reference(kind, 0), reference(kind, 1), Texts(SchemaText(old), SchemaText(new)))
    verdict = "unknown" if found.compatibility is None else found.compatibility.verdict
    return verdict, [(change.kind, change.path) for change in found.changes], severity(found)


def test_json() -> None:
    old = json.dumps({**CLOSED, "properties": {"a": {"type": "string"}}})
    new = json.dumps({**CLOSED, "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}})
    assert changed(SchemaType.JSON, old, new) == ("backward", [("property-added", "b")], Severity.WARNING)
    other = json.dumps({**CLOSED, "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    assert changed(SchemaType.JSON, old, other)[::2] == ("none", Severity.CRITICAL)


def test_protobuf() -> None:
    old, new, other = (
        f'syntax = "proto3"; message M {{ {body} }}' for body in ("int32 a = 1;", "int32 a = 1; string b = 2;",
                                                                  "string a = 1;")
    )  # fmt: skip
    assert changed(SchemaType.PROTOBUF, old, new) == ("full", [("field-added", "b")], Severity.INFO)
    assert changed(SchemaType.PROTOBUF, old, other) == ("none", [("type-changed", "a")], Severity.CRITICAL)


def test_references_are_known_by_name() -> None:
    outer = json.dumps({"$ref": "inner.json"})
    texts = [SchemaText(outer, {"inner.json": json.dumps({"type": kind})}) for kind in ("integer", "number")]
    found = schema_change(reference(SchemaType.JSON, 0), reference(SchemaType.JSON, 1), Texts(*texts))
    assert [change.kind for change in found.changes] == ["type-widened"]


def test_of_bytes_without_a_schema_there_is_no_difference() -> None:
    with pytest.raises(SchemaError, match="without a schema"):
        diff_schemas(SchemaType.NONE, "{}", "{}", {}, {})


def test_a_difference_as_json() -> None:
    """What the command prints and the API answers: plain values only, and null where no verdict is known."""
    integer, number = (json.dumps({"type": kind}) for kind in ("integer", "number"))
    assert diff_document(diff_schemas(SchemaType.JSON, number, integer, {}, {})) == {
        "compatibility": {"backward": False, "forward": True, "full": False},
        "changes": [{"kind": "type-narrowed", "path": "", "old": "number", "new": "integer", "breaks": ["backward"]}],
    }
    assert diff_document(SchemaDiff(None, (SchemaChange("schema-changed", "", None, "b"),))) == {
        "compatibility": None,
        "changes": [{"kind": "schema-changed", "path": "", "old": None, "new": "b", "breaks": []}],
    }


def test_names_are_made_presentable() -> None:
    name = "\ud800\x1b[2J" + "x" * 5_000
    for schema in ({"properties": {name: {"type": "string"}}}, {"properties": {"a": {"enum": [name] * 3}}}):
        for change in diff_json("{}", json.dumps(schema)).changes:
            texts = [change.path, change.old or "", change.new or ""]
            assert all(text.encode().decode().isprintable() and len(text) <= 500 for text in texts)


@pytest.mark.parametrize("kind", list(SchemaType))
def test_what_cannot_be_parsed_has_changed_all_the_same(kind: SchemaType) -> None:
    assert changed(kind, "{", "}") == ("unknown", [("schema-changed", "")], Severity.WARNING)
    nobody = schema_change(reference(kind, 0), reference(kind, 1), Texts())
    assert nobody.compatibility is None
    assert [change.kind for change in nobody.changes] == ["schema-changed"]


def test_another_format_breaks_both() -> None:
    found = schema_change(reference(SchemaType.AVRO, 0), reference(SchemaType.JSON, 1), Texts())
    assert [(change.kind, change.breaks) for change in found.changes] == [("format-changed", ("backward", "forward"))]

"""If this failed, docs/schema-diff.md would promise other verdicts than are given, or lack a kind of change."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import stream_lineage.detect
from stream_lineage.detect.schema_diff import diff_schemas
from stream_lineage.model.schema import SchemaType

PAGE = (Path(__file__).parents[2] / "docs" / "schema-diff.md").read_text(encoding="utf-8")
MAKERS = ("SchemaChange", "_change", "attribute_kind", "_narrowing", "_equal", "_bound", "_schema")
"""Calls whose first argument is a kind of change, or the attribute that it is about."""
TYPES = {"Avro": SchemaType.AVRO, "JSON Schema": SchemaType.JSON, "Protobuf": SchemaType.PROTOBUF}


def examples() -> list[tuple[str, str, str, str]]:
    found = []
    for part in PAGE.split("\n## ")[1:]:
        heading = part.partition("\n")[0]
        for row in re.findall(r"^\| `(.+?)` \| `(.+?)` \| (full|backward|forward|none) \|", part, re.MULTILINE):
            found.append((heading, *row))
    return found


@pytest.mark.parametrize("example", examples(), ids=[str(number) for number in range(len(examples()))])
def test_the_examples_are_true(example: tuple[str, str, str, str]) -> None:
    heading, old, new, verdict = example
    head = 'syntax = "proto3"; ' if heading == "Protobuf" else ""
    found = diff_schemas(TYPES[heading], head + old, head + new, {}, {})
    assert found.compatibility is not None
    assert found.compatibility.verdict == verdict


def test_there_are_examples_of_every_type() -> None:
    assert {heading for heading, *_ in examples()} == set(TYPES)
    assert len(examples()) > 20


def kinds() -> set[str]:
    """The literal kinds in the code: first arguments of what makes changes, and values given to a name ``kind``."""
    found: set[str] = set()
    folder = Path(stream_lineage.detect.__file__).parent
    others = [folder / f"{name}.py" for name in ("json_keywords", "protobuf_fields", "schema_change", "schema_delta")]
    for file in (*folder.glob("*_diff.py"), *others):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            pending: list[ast.expr] = []
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                pending = node.args[:1] if called in MAKERS else []
            elif isinstance(node, ast.Assign) and any(getattr(each, "id", "") == "kind" for each in node.targets):
                pending = [node.value]
            while pending:
                value = pending.pop()
                if isinstance(value, ast.IfExp):
                    pending += [value.body, value.orelse]
                elif isinstance(value, ast.Constant) and "-" in str(value.value):
                    found.add(str(value.value))
    return found


def test_every_kind_of_change_is_on_the_page() -> None:
    known = kinds()
    assert {"field-added", "type-widened", "oneof-split"} <= known
    missing = {kind for kind in known if f"`{kind}`" not in PAGE}
    assert missing == set()

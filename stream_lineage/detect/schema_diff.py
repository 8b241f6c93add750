"""Comparing two schemas of one type, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_lineage.detect.avro_diff import diff_avro
from stream_lineage.detect.json_diff import diff_json
from stream_lineage.detect.protobuf_diff import diff_protobuf
from stream_lineage.detect.schema_delta import SchemaDiff
from stream_lineage.errors import SchemaError
from stream_lineage.model.schema import SchemaType


def diff_schemas(
    type_: SchemaType,
    old_text: str,
    new_text: str,
    old_references: Mapping[str, str],
    new_references: Mapping[str, str],
) -> SchemaDiff:
    """The changes from one schema to another, and the verdict. ``*_references`` are the texts that they refer to, by
    the names that they do so under.

    Raises:
        SchemaError: one of them is no schema of this type.
    """
    match type_:
        case SchemaType.AVRO:
            return diff_avro(old_text, new_text, tuple(old_references.values()), tuple(new_references.values()))
        case SchemaType.JSON:
            return diff_json(old_text, new_text, old_references, new_references)
        case SchemaType.PROTOBUF:
            return diff_protobuf(old_text, new_text, old_references, new_references)
    raise SchemaError("bytes without a schema cannot be compared")


def diff_document(found: SchemaDiff) -> dict[str, Any]:
    """As JSON: what the command prints and the API answers."""
    verdict = found.compatibility
    return {
        "compatibility": None
        if verdict is None
        else {"backward": verdict.backward, "forward": verdict.forward, "full": verdict.full},
        "changes": [
            {
                "kind": change.kind,
                "path": change.path,
                "old": change.old,
                "new": change.new,
                "breaks": list(change.breaks),
            }
            for change in found.changes
        ],
    }

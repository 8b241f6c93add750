"""What a change from one schema to another means: the changes, the verdict, the severity, the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_lineage.detect.detector import SchemaTexts
from stream_lineage.detect.schema_delta import SchemaDiff
from stream_lineage.detect.schema_diff import diff_schemas
from stream_lineage.errors import SchemaError
from stream_lineage.model.finding import Compatibility, SchemaChange, Severity
from stream_lineage.model.schema import SchemaReference

SHOWN_CHANGES = 3
SHOWN_PARTITIONS = 4

_VERDICTS = {
    "full": "consumers on either schema read both",
    "backward": "consumers on the old schema cannot read it",
    "forward": "consumers on the new schema cannot read what was written before",
    "none": "consumers on either schema cannot read the other's records",
}


def schema_change(before: SchemaReference | None, after: SchemaReference, schemas: SchemaTexts) -> SchemaDiff:
    """The difference of two references. Where nothing is known but that they differ, the verdict is null.

    A change of type (Avro to JSON) breaks both directions: no reader of one format reads the other.
    """
    if before is None:
        return SchemaDiff(None, (SchemaChange("schema-changed", "", None, after.label()),))
    if before.type is not after.type:
        broken = SchemaChange("format-changed", "", before.label(), after.label(), ("backward", "forward"))
        return SchemaDiff(Compatibility(backward=False, forward=False), (broken,))
    old, new = schemas.text(before), schemas.text(after)
    if old is not None and new is not None:
        try:
            return diff_schemas(before.type, old.text, new.text, old.references, new.references)
        except SchemaError:
            pass  # it is on the wire whether we can parse it or not: say that it changed
    return SchemaDiff(None, (SchemaChange("schema-changed", "", before.label(), after.label()),))


def severity(diff: SchemaDiff) -> Severity:
    """By what breaks: both directions critical, one of them a warning, none of them information.

    An unknown verdict is a warning, and so is a changed logical type that still reads: milliseconds that turn into
    microseconds break no decoder and every number.
    """
    if diff.compatibility is None:
        return Severity.WARNING
    if diff.compatibility.verdict == "none":
        return Severity.CRITICAL
    if not diff.compatibility.full or any(change.kind == "logical-type-changed" for change in diff.changes):
        return Severity.WARNING
    return Severity.INFO


def verdict_text(compatibility: Compatibility | None) -> str:
    return "compatibility unknown" if compatibility is None else _VERDICTS[compatibility.verdict]


def changes_text(changes: Sequence[SchemaChange]) -> str:
    """The first few changes, those that break something before the others."""
    ordered = sorted(changes, key=lambda change: -len(change.breaks))
    texts = []
    for change in ordered[:SHOWN_CHANGES]:
        sides = " to ".join(side for side in (change.old, change.new) if side is not None)
        texts.append(f"{change.kind} {change.path}".rstrip() + (f" ({sides})" if sides else ""))
    more = len(changes) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def offsets_text(first_offsets: Mapping[int, int]) -> str:
    """``partition 0 from offset 17, partition 2 from offset 5``."""
    shown = [f"partition {partition} from offset {first_offsets[partition]}" for partition in sorted(first_offsets)]
    more = len(shown) - SHOWN_PARTITIONS
    return ", ".join(shown[:SHOWN_PARTITIONS]) + (f" and {more} more partitions" if more > 0 else "")


def common_path(changes: Sequence[SchemaChange]) -> str | None:
    """The field path when all changes are about one field, else null."""
    paths = {change.path for change in changes}
    return next(iter(paths)) or None if len(paths) == 1 else None

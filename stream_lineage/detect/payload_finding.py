"""Changes of the structure of JSON records, in the words that changes of schemas have, as a finding."""

from __future__ import annotations

from collections.abc import Iterable

from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.schema_change import changes_text, common_path, offsets_text, severity, verdict_text
from stream_lineage.detect.schema_delta import SchemaDiff
from stream_lineage.model.finding import Compatibility, Finding, SchemaChange
from stream_lineage.model.observation import Observation

Told = tuple[SchemaChange, dict[int, int]]
"""A change, and its first offset in each partition."""


def structure_finding(observation: Observation, told: Iterable[Told]) -> Finding:
    """One finding of all changes that one observation shows."""
    rows = list(told)
    changes = tuple(change for change, _ in sorted(rows, key=lambda row: row[0].path))
    first: dict[int, int] = {}
    for _, offsets in rows:
        for partition, offset in offsets.items():
            first[partition] = min(offset, first.get(partition, offset))
    broken = {way for change in changes for way in change.breaks}
    difference = SchemaDiff(Compatibility("backward" not in broken, "forward" not in broken), changes)
    topic, reference = observation.topic, observation.value_schema
    what = [text for change in changes for text in (change.kind, change.path, change.new)]
    return Finding(
        kind="structure-drift",
        severity=severity(difference),
        topic=topic,
        field_path=common_path(changes),
        summary=f"{topic}: the JSON of the values changed: {changes_text(changes)}; "
        f"{verdict_text(difference.compatibility)}; {offsets_text(first)}",
        fingerprint=finding_fingerprint("structure-drift", observation.cluster, topic, *what),
        first_offsets=dict(sorted(first.items())),
        before=reference,
        after=reference,
        compatibility=difference.compatibility,
        changes=changes,
    )

"""What was noticed of a topic's schema versions, as findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_lineage.detect.detector import SchemaTexts
from stream_lineage.detect.drift_state import MANY_PRODUCERS, MAX_PRODUCERS, Line, Version
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.schema_change import (
    changes_text,
    common_path,
    offsets_text,
    schema_change,
    severity,
    verdict_text,
)
from stream_lineage.detect.schema_sightings import Noticed
from stream_lineage.detect.schema_versions import unresolved, version_key
from stream_lineage.model.finding import Finding, SchemaChange, Severity
from stream_lineage.model.observation import Observation
from stream_lineage.model.schema import SchemaReference


class DriftFindings:
    """Of one observation, in one line, before anything of it is forgotten."""

    def __init__(self, line: Line, role: str, observation: Observation, schemas: SchemaTexts, noticed: Noticed) -> None:
        self._line = line
        self._role = role
        self._observation = observation
        self._schemas = schemas
        self._noticed = noticed

    def all(self) -> Iterable[Finding]:
        """In the order in which they are told."""
        versions = self._line.versions
        for key in self._noticed.drifted:
            version = versions[key]
            if version.kind == "subject-added":
                yield self._subject_added(key, version)
                continue
            told = f"the {self._role} schema changed from {_label(version.before)} to {version.reference.label()}"
            if version.foreign:
                told = f"{self._role}s have {version.reference.label()}, which is registered for something else"
            kind = "wrong-subject" if version.foreign else "schema-drift"
            yield self._finding(kind, told, version.before, version.reference, version.first)
        for old, new in self._noticed.returned:
            before, after = self._line.reference(old, new), versions[new]
            told = f"the {self._role} schema went back from {_label(before)} to {after.reference.label()}"
            first = self._line.groups[after.group].returns[f"{old}>{new}"].first
            yield self._finding("schema-version-returned", told, before, after.reference, first)
        for old, new in self._noticed.mixed:
            order = list(versions)
            one, other = self._line.reference(old, new), versions[new].reference
            if old in versions and order.index(old) > order.index(new):
                one, other = other, versions[old].reference
            how = "write to different partitions" if versions[new].group in self._noticed.split else "alternate"
            writers = " and ".join(_label(each) + self._by(each) for each in (one, other))
            told = f"writers with {writers} as {self._role} {how}"
            yield self._finding("mixed-versions", told, one, other, versions[version_key(other)].first)
        for wire_id in self._noticed.unknown:
            yield self._unknown_schema(wire_id)

    def _by(self, reference: SchemaReference | None) -> str:
        """Who writes under a schema, where that is known: `` (crm-sync, crm-import)``."""
        version = None if reference is None else self._line.versions.get(version_key(reference))
        if version is None or not version.producers:
            return ""
        return (
            f" (more than {MAX_PRODUCERS} producers)"
            if MANY_PRODUCERS in version.producers
            else (f" ({', '.join(version.producers)})")
        )

    def _finding(
        self,
        kind: str,
        told: str,
        before: SchemaReference | None,
        after: SchemaReference,
        first: Mapping[int, int],
    ) -> Finding:
        topic = self._observation.topic
        difference = schema_change(before, after, self._schemas)
        grave = severity(difference)
        return Finding(
            kind=self._kind(kind),
            severity=Severity.WARNING if kind == "wrong-subject" and grave is Severity.INFO else grave,
            topic=topic,
            field_path=common_path(difference.changes),
            summary=f"{topic}: {told}: {changes_text(difference.changes)}; "
            f"{verdict_text(difference.compatibility)}; {offsets_text(first)}",
            fingerprint=self._fingerprint(kind, None if before is None else version_key(before), version_key(after)),
            first_offsets=dict(sorted(first.items())),
            before=before,
            after=after,
            compatibility=difference.compatibility,
            changes=difference.changes,
        )

    def _subject_added(self, key: str, version: Version) -> Finding:
        topic = self._observation.topic
        return Finding(
            kind=self._kind("subject-added"),
            severity=Severity.INFO,
            topic=topic,
            field_path=None,
            summary=f"{topic}: {self._role}s of another type appeared, {version.reference.label()}; "
            f"{offsets_text(version.first)}",
            fingerprint=self._fingerprint("subject-added", None, key),
            first_offsets=dict(sorted(version.first.items())),
            after=version.reference,
        )

    def _unknown_schema(self, wire_id: str) -> Finding:
        topic, after = self._observation.topic, unresolved(wire_id)
        first = self._line.pending[wire_id]
        group = self._line.groups.get("") or next(reversed(self._line.groups.values()), None)
        current = None if group is None else self._line.versions.get(group.current)
        before = None if current is None else current.reference
        old = None if before is None else before.label()
        return Finding(
            kind=self._kind("unknown-schema"),
            # Where an id was ever known, nobody can read these records. Where none was, they may be no ids at all.
            severity=Severity.CRITICAL if self._line.versions else Severity.WARNING,
            topic=topic,
            field_path=None,
            summary=f"{topic}: {self._role}s name schema {after.wire_name}, which the registry does not know: "
            f"consumers cannot read them; {offsets_text(first)}",
            fingerprint=self._fingerprint("unknown-schema", None, wire_id),
            first_offsets=dict(sorted(first.items())),
            before=before,
            after=after,
            changes=(SchemaChange("schema-changed", "", old, after.label(), ("backward", "forward")),),
        )

    def _kind(self, kind: str) -> str:
        return kind if self._role == "value" else f"key-{kind}"

    def _fingerprint(self, kind: str, before: str | None, after: str) -> str:
        return finding_fingerprint(self._kind(kind), self._observation.cluster, self._observation.topic, before, after)


def _label(reference: SchemaReference | None) -> str:
    return "one that is forgotten" if reference is None else reference.label()

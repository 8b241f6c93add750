"""Schema drift on the wire: records under another schema version than the one that was there.

Per partition the detector knows which version is on the wire and since which offset. A version that was never seen is
drift; one that was seen before and comes back is a return; several returns in a short time are a mix of writers, which
is told once. A finding is made at first sight and again, with the same fingerprint and all first offsets so far, when
further partitions follow.

An id that the registry says it does not know is told as such, with the offsets where it stands; one that it just does
not answer for is not. In a topic that has a subject of its own, a version that is registered for something else only
is a wrong subject: one for which neither ``<topic>-value`` nor a name of its record stands.

Bytes that carry no schema (tombstones, garbage) are no version. A schema that is registered anew under another id is
the same version, for versions are told apart by the fingerprint of their canonical schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.drift_state import (
    MANY_PRODUCERS,
    MAX_PRODUCERS,
    MAX_UNKNOWN,
    Episode,
    Group,
    Line,
    Run,
    Version,
    is_news,
)
from stream_lineage.detect.epoch import entered, turn
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.schema_change import (
    changes_text,
    common_path,
    offsets_text,
    schema_change,
    severity,
    verdict_text,
)
from stream_lineage.detect.schema_versions import (
    bare_subject,
    group_name,
    is_version,
    sightings_of,
    unresolved,
    version_key,
    wire_id_of,
)
from stream_lineage.model.finding import Finding, SchemaChange, Severity
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.wire.registered_schema import record_name

ROLES = ("value", "key")
MIXED_AFTER = 3
"""So many returns within the window are a mix of writers. Larger values say so later, after more single alerts."""
WINDOW_SECONDS = 600
"""Returns further apart than this are separate events, and partitions that stay on different versions for longer than
this are a mix. Larger values alert less often on writers that alternate, and later on those that were forgotten."""
UNKNOWN_WITHOUT_VERSIONS = 2
"""Unregistered ids told of a topic in which no id was ever known: more of them are bytes that happen to begin so."""
ASKED_AT_ONCE = 8
"""Unresolved ids that the registry is asked for with one observation."""


class SchemaDrift:
    """``schema-drift``, ``schema-version-returned``, ``mixed-versions``, ``subject-added``, ``wrong-subject``,
    ``unknown-schema``; for keys ``key-`` and that.

    State: the topic's epoch and, per role, a ``Line``.
    """

    name = "schema-drift"
    channel: Channel = "drift"

    def initial(self) -> State:
        return {"epoch": None, "past_epochs": [], **{role: Line().dump() for role in ROLES}}

    def observe(
        self, state: State, observation: Observation, now: datetime, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        where = turn(state, observation.topic_id)
        if where == "past":
            return state, ()
        changed: dict[str, Any] = {}
        if where == "new":
            changed |= entered(state, observation.topic_id)
        elif state["epoch"] is None and observation.topic_id is not None:
            changed["epoch"] = observation.topic_id
        findings: list[Finding] = []
        for role, reference in zip(ROLES, (observation.value_schema, observation.key_schema), strict=True):
            now_ms = int(now.timestamp() * 1000)
            if where == "same" and _settled(state[role], role, reference, observation, now_ms):
                continue
            line = Line.load(state[role])
            if where == "new":
                line.start_over()
            watch = _Watch(line, role, observation, now_ms, schemas)
            watch.see(reference)
            watch.ask()
            findings += watch.findings()
            line.bound()
            changed[role] = line.dump()
        if all(state[name] == value for name, value in changed.items()):
            return state, tuple(findings)
        return {**state, **changed}, tuple(findings)


class _Watch:
    """One observation taken into one line. What there is to report is collected, then said once."""

    def __init__(self, line: Line, role: str, observation: Observation, now_ms: int, schemas: SchemaTexts) -> None:
        self.line = line
        self.role = role
        self.observation = observation
        self.now_ms = now_ms
        self.schemas = schemas
        self._drifted: dict[str, None] = {}
        self._returned: dict[tuple[str, str], None] = {}
        self._mixed: dict[tuple[str, str], None] = {}
        self._unknown: dict[str, None] = {}
        self._split: set[str] = set()

    def see(self, reference: SchemaReference) -> None:
        line = self.line
        wire_id = wire_id_of(reference)
        seen = [] if self.observation.kind is ObservationKind.RESOLUTION else sightings_of(self.observation.spans)
        if reference.unresolved:
            known = line.versions.get(line.ids.get(wire_id or "", ""))
            if known is None:
                if wire_id is not None and seen:
                    first = line.pending.setdefault(wire_id, {})
                    for partition, offset in seen:
                        first.setdefault(partition, offset)
                return
            reference = known.reference
        if not is_version(reference, self.role):
            return
        waiting = line.pending.pop(wire_id, {}) if wire_id is not None else {}
        line.unknown.pop(wire_id or "", None)
        sightings = sorted([*waiting.items(), *seen])
        if not sightings:
            return
        key = version_key(reference)
        if key not in line.versions:
            self._admit(key, reference)
        if wire_id is not None:
            line.ids.setdefault(wire_id, key)
        self._wrote(key)
        for partition, offset in sightings:
            self._sight(key, partition, offset)

    def _wrote(self, key: str) -> None:
        """Who writes under a version now does not write under the others of its group any more."""
        version = self.line.versions[key]
        names = [each.name for each in self.observation.producers]
        if not is_news(version.producers, names):
            return
        known = list(dict.fromkeys((*version.producers, *names)))
        version.producers = known if len(known) <= MAX_PRODUCERS else [MANY_PRODUCERS]
        for other in self.line.versions.values():
            if other is not version and other.group == version.group:
                other.producers = [name for name in other.producers if name not in names]

    def ask(self) -> None:
        """Ask the registry for ids that stay unresolved and are not told yet, or not with all of their partitions."""
        line = self.line
        for wire_id in _untold(self.role, bool(line.versions), line.pending, line.unknown)[:ASKED_AT_ONCE]:
            if self.schemas.registered(unresolved(wire_id)) is False:
                line.unknown[wire_id] = len(line.pending[wire_id])
                self._unknown[wire_id] = None

    def _admit(self, key: str, reference: SchemaReference) -> None:
        """Take in a version that was never seen, in the group that it is to be compared with."""
        line, name = self.line, group_name(reference, self.observation.topic, self.role)
        kind: str | None = "schema-drift"
        foreign = False
        if all(version.foreign for version in line.versions.values()):
            foreign = self._is_foreign(reference)
            kind = "schema-drift" if foreign else None  # what a topic starts with, but for what is out of place
            name = next(reversed(line.groups), name)
        elif name not in line.groups:
            if name == "" or "" in line.groups:  # one side is named after the topic: the other is out of place
                foreign = "" in line.groups and self._is_foreign(reference)
                name = "" if "" in line.groups else next(reversed(line.groups))
            else:
                kind = "subject-added"
        group = line.groups.get(name)
        if group is None:
            line.groups[name] = Group(key)
        line.versions[key] = Version(reference, name, kind=kind, foreign=foreign)

    def _is_foreign(self, reference: SchemaReference) -> bool:
        """Whether a schema is registered under names only that no strategy gives to this topic, which has its own."""
        subject, topic = bare_subject(reference.subject), self.observation.topic
        own = f"{topic}-{self.role}"
        if subject is None or subject.startswith(f"{topic}-"):
            return False
        known = [
            bare_subject(version.reference.subject) for version in self.line.versions.values() if not version.foreign
        ]
        if known and own not in known:
            return False
        text = self.schemas.text(reference)
        record = None if text is None else record_name(reference.type, text.text)
        if record is None or subject.startswith(record):
            return False
        return bool(known) or self.schemas.has_subject(own) is True

    def _sight(self, key: str, partition: int, offset: int) -> None:
        version = self.line.versions[key]
        group = self.line.groups[version.group]
        run = group.runs.get(partition)
        fresh = partition not in version.first
        if run is not None and offset <= run.since:
            if fresh or offset < version.first[partition]:
                self._late(key, partition, offset)
            return
        if run is not None and run.key == key:
            self._stay(group, key)
            return
        group.runs[partition] = Run(key, offset)
        group.since_ms, group.lasting = self.now_ms, []
        group.split = group.split and len({each.key for each in group.runs.values()}) > 1
        if not fresh and run is not None:
            self._flip(group, (run.key, key), partition, offset)
        else:
            version.first[partition] = offset
            if version.kind == "schema-drift" and version.before is None:
                version.before = self._reference(group.current if run is None else run.key, key)
            if version.kind is not None:
                self._drifted[key] = None
        group.current = key

    def _stay(self, group: Group, key: str) -> None:
        """A partition goes on under its version: so do others under theirs, if long after nothing has moved."""
        if not _stays(group.split, group.since_ms, {run.key for run in group.runs.values()}, self.now_ms):
            return
        if key not in group.lasting:
            group.lasting.append(key)
        others = [other for other in group.lasting if other != key]
        if others:
            group.split = True
            self._split.add(self.line.versions[key].group)
            self._mixed[others[-1], key] = None

    def _late(self, key: str, partition: int, offset: int) -> None:
        """A sighting before what the partition is on by now: the registry's answer came late."""
        version = self.line.versions[key]
        version.first[partition] = offset
        others = {
            other: seen.first[partition]
            for other, seen in self.line.versions.items()
            if other != key and seen.group == version.group and partition in seen.first
        }
        earlier = [other for other, first in others.items() if first < offset]
        later = [other for other, first in others.items() if first > offset]
        if version.kind == "schema-drift" and version.before is None:
            if earlier:
                version.before = self.line.versions[max(earlier, key=lambda other: others[other])].reference
            elif later:
                successor = min(later, key=lambda other: others[other])
                following = self.line.versions[successor]
                if following.kind is None:  # taken for what the topic started with
                    version.kind = None
                    following.kind = "schema-drift"
                    following.before = version.reference
                    self._drifted[successor] = None
                    return
                version.before = following.before or following.reference
        if version.kind is not None:
            self._drifted[key] = None

    def _flip(self, group: Group, pair: tuple[str, str], partition: int, offset: int) -> None:
        """A known version came back in a partition where it had been replaced."""
        window = WINDOW_SECONDS * 1000
        left = self.line.versions.get(pair[0])
        if left is not None and left.foreign:
            return  # what was out of place is gone: good news
        if group.mixed_ms is not None:
            if self.now_ms - group.mixed_ms <= window:
                group.mixed_ms = max(group.mixed_ms, self.now_ms)
                return
            group.mixed_ms, group.flips, group.returns = None, [], {}
        group.flips = [at for at in group.flips if self.now_ms - at <= window]
        name = f"{pair[0]}>{pair[1]}"
        episode = group.returns.get(name)
        if episode is None or self.now_ms - episode.last_ms > window:
            episode = group.returns[name] = Episode({}, self.now_ms)
            group.flips.append(self.now_ms)
        elif partition in episode.first:
            group.flips.append(self.now_ms)
        if len(group.flips) >= MIXED_AFTER:
            group.mixed_ms = self.now_ms
            self._mixed[pair] = None
        elif partition not in episode.first:
            episode.first[partition] = offset
            self._returned[pair] = None
        episode.last_ms = max(episode.last_ms, self.now_ms)

    def findings(self) -> Iterable[Finding]:
        """What there is to report. Call it before anything is forgotten."""
        versions = self.line.versions
        for key in self._drifted:
            version = versions[key]
            if version.kind == "subject-added":
                yield self._subject_added(key, version)
                continue
            told = f"the {self.role} schema changed from {_label(version.before)} to {version.reference.label()}"
            if version.foreign:
                told = f"{self.role}s have {version.reference.label()}, which is registered for something else"
            kind = "wrong-subject" if version.foreign else "schema-drift"
            yield self._finding(kind, told, version.before, version.reference, version.first)
        for old, new in self._returned:
            before, after = self._reference(old, new), versions[new]
            told = f"the {self.role} schema went back from {_label(before)} to {after.reference.label()}"
            first = self.line.groups[after.group].returns[f"{old}>{new}"].first
            yield self._finding("schema-version-returned", told, before, after.reference, first)
        for old, new in self._mixed:
            order = list(versions)
            one, other = self._reference(old, new), versions[new].reference
            if old in versions and order.index(old) > order.index(new):
                one, other = other, versions[old].reference
            how = "write to different partitions" if versions[new].group in self._split else "alternate"
            writers = " and ".join(_label(each) + self._by(each) for each in (one, other))
            told = f"writers with {writers} as {self.role} {how}"
            yield self._finding("mixed-versions", told, one, other, versions[version_key(other)].first)
        for wire_id in self._unknown:
            yield self._unknown_schema(wire_id)

    def _by(self, reference: SchemaReference | None) -> str:
        """Who writes under a schema, where that is known: `` (crm-sync, crm-import)``."""
        version = None if reference is None else self.line.versions.get(version_key(reference))
        if version is None or not version.producers:
            return ""
        return (
            f" (more than {MAX_PRODUCERS} producers)"
            if MANY_PRODUCERS in version.producers
            else (f" ({', '.join(version.producers)})")
        )

    def _reference(self, key: str, than: str) -> SchemaReference | None:
        """The schema of this key; where it is forgotten, the latest one of its group that is not ``than``."""
        versions = self.line.versions
        if key in versions:
            return versions[key].reference
        group = versions[than].group
        others = [seen.reference for other, seen in versions.items() if seen.group == group and other != than]
        return others[-1] if others else None

    def _finding(
        self,
        kind: str,
        told: str,
        before: SchemaReference | None,
        after: SchemaReference,
        first: Mapping[int, int],
    ) -> Finding:
        topic = self.observation.topic
        difference = schema_change(before, after, self.schemas)
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
        topic = self.observation.topic
        return Finding(
            kind=self._kind("subject-added"),
            severity=Severity.INFO,
            topic=topic,
            field_path=None,
            summary=f"{topic}: {self.role}s of another type appeared, {version.reference.label()}; "
            f"{offsets_text(version.first)}",
            fingerprint=self._fingerprint("subject-added", None, key),
            first_offsets=dict(sorted(version.first.items())),
            after=version.reference,
        )

    def _unknown_schema(self, wire_id: str) -> Finding:
        topic, after = self.observation.topic, unresolved(wire_id)
        first = self.line.pending[wire_id]
        group = self.line.groups.get("") or next(reversed(self.line.groups.values()), None)
        current = None if group is None else self.line.versions.get(group.current)
        before = None if current is None else current.reference
        old = None if before is None else before.label()
        return Finding(
            kind=self._kind("unknown-schema"),
            # Where an id was ever known, nobody can read these records. Where none was, they may be no ids at all.
            severity=Severity.CRITICAL if self.line.versions else Severity.WARNING,
            topic=topic,
            field_path=None,
            summary=f"{topic}: {self.role}s name schema {after.wire_name}, which the registry does not know: "
            f"consumers cannot read them; {offsets_text(first)}",
            fingerprint=self._fingerprint("unknown-schema", None, wire_id),
            first_offsets=dict(sorted(first.items())),
            before=before,
            after=after,
            changes=(SchemaChange("schema-changed", "", old, after.label(), ("backward", "forward")),),
        )

    def _kind(self, kind: str) -> str:
        return kind if self.role == "value" else f"key-{kind}"

    def _fingerprint(self, kind: str, before: str | None, after: str) -> str:
        return finding_fingerprint(self._kind(kind), self.observation.cluster, self.observation.topic, before, after)


def _label(reference: SchemaReference | None) -> str:
    return "one that is forgotten" if reference is None else reference.label()


def _settled(
    line: dict[str, Any], role: str, reference: SchemaReference, observation: Observation, now_ms: int
) -> bool:
    """Whether nothing can change: each partition is on this version already. Nearly every observation is settled."""
    if observation.kind is ObservationKind.RESOLUTION or reference.unresolved:
        return False
    if _untold(role, bool(line["versions"]), line["pending"], line["unknown"]):
        return False
    if not is_version(reference, role):
        return True
    key, wire_id = version_key(reference), wire_id_of(reference)
    version = line["versions"].get(key)
    if version is None or is_news(version.get("producers", ()), (each.name for each in observation.producers)):
        return False
    if wire_id in line["pending"] or (wire_id is not None and wire_id not in line["ids"]):
        return False
    group = line["groups"][version["group"]]
    runs = group["runs"]
    mixed = len(line["versions"]) > 1 and key not in group["lasting"]
    if mixed and _stays(group["split"], group["since_ms"], {run[0] for run in runs.values()}, now_ms):
        return False
    return all(
        runs.get(str(partition), ("", 0))[0] == key and offset >= version["first"].get(str(partition), 0)
        for partition, offset in sightings_of(observation.spans)
    )


def _untold(
    role: str, versions: bool, pending: Mapping[str, Mapping[Any, int]], unknown: Mapping[str, int]
) -> list[str]:
    """The unresolved ids that may have to be told. Keys without any version are numbers that start with 0 more often
    than with an id; single objects are not asked for by id."""
    if not pending or (role == "key" and not versions):
        return []
    room = max(0, (MAX_UNKNOWN if versions else UNKNOWN_WITHOUT_VERSIONS) - len(unknown))
    known = [wire_id for wire_id in unknown if len(pending.get(wire_id, ())) > unknown[wire_id]]
    fresh = [wire_id for wire_id in pending if wire_id not in unknown and not wire_id.startswith("crc64:")]
    return [*known, *fresh[:room]]


def _stays(split: bool, since_ms: int | None, keys: set[str], now_ms: int) -> bool:
    """Whether what is written now is part of a mix over partitions that is not told yet."""
    return not split and since_ms is not None and len(keys) > 1 and now_ms - since_ms >= WINDOW_SECONDS * 1000

"""One observation taken into what is known of a topic's schema versions, and what there is to tell of it.

A version that was never seen is drift; one that was seen before and comes back is a return; several returns in a short
time, and partitions that stay on different versions, are a mix of writers, which is told once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_lineage.detect.detector import SchemaTexts
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
from stream_lineage.detect.schema_versions import (
    bare_subject,
    group_name,
    is_version,
    sightings_of,
    unresolved,
    version_key,
    wire_id_of,
)
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.wire.registered_schema import record_name

MIXED_AFTER = 3
"""So many returns within the window are a mix of writers. Larger values say so later, after more single alerts."""
WINDOW_SECONDS = 600
"""Returns further apart than this are separate events, and partitions that stay on different versions for longer than
this are a mix. Larger values alert less often on writers that alternate, and later on those that were forgotten."""
UNKNOWN_WITHOUT_VERSIONS = 2
"""Unregistered ids told of a topic in which no id was ever known: more of them are bytes that happen to begin so."""
ASKED_AT_ONCE = 8
"""Unresolved ids that the registry is asked for with one observation."""


@dataclass(slots=True)
class Noticed:
    """What one observation gives to tell, each in the order in which it was noticed: versions that ``drifted``, pairs
    of versions of which the second ``returned``, pairs that are ``mixed``, ids that are ``unknown``. ``split`` are the
    groups whose partitions stay on different versions."""

    drifted: dict[str, None] = field(default_factory=dict)
    returned: dict[tuple[str, str], None] = field(default_factory=dict)
    mixed: dict[tuple[str, str], None] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    split: set[str] = field(default_factory=set)


class Sightings:
    """Of one observation, in one line."""

    def __init__(self, line: Line, role: str, observation: Observation, now_ms: int, schemas: SchemaTexts) -> None:
        self._line = line
        self._role = role
        self._observation = observation
        self._now_ms = now_ms
        self._schemas = schemas
        self.noticed = Noticed()

    def see(self, reference: SchemaReference) -> None:
        """Take in the schema of the observation's records, and where they are."""
        line = self._line
        wire_id = wire_id_of(reference)
        seen = [] if self._observation.kind is ObservationKind.RESOLUTION else sightings_of(self._observation.spans)
        if reference.unresolved:
            known = line.versions.get(line.ids.get(wire_id or "", ""))
            if known is None:
                if wire_id is not None and seen:
                    first = line.pending.setdefault(wire_id, {})
                    for partition, offset in seen:
                        first.setdefault(partition, offset)
                return
            reference = known.reference
        if not is_version(reference, self._role):
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
        version = self._line.versions[key]
        names = [each.name for each in self._observation.producers]
        if not is_news(version.producers, names):
            return
        known = list(dict.fromkeys((*version.producers, *names)))
        version.producers = known if len(known) <= MAX_PRODUCERS else [MANY_PRODUCERS]
        for other in self._line.versions.values():
            if other is not version and other.group == version.group:
                other.producers = [name for name in other.producers if name not in names]

    def ask(self) -> None:
        """Ask the registry for ids that stay unresolved and are not told yet, or not with all of their partitions."""
        line = self._line
        for wire_id in untold(self._role, bool(line.versions), line.pending, line.unknown)[:ASKED_AT_ONCE]:
            if self._schemas.registered(unresolved(wire_id)) is False:
                line.unknown[wire_id] = len(line.pending[wire_id])
                self.noticed.unknown[wire_id] = None

    def _admit(self, key: str, reference: SchemaReference) -> None:
        """Take in a version that was never seen, in the group that it is to be compared with."""
        line, name = self._line, group_name(reference, self._observation.topic, self._role)
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
        subject, topic = bare_subject(reference.subject), self._observation.topic
        own = f"{topic}-{self._role}"
        if subject is None or subject.startswith(f"{topic}-"):
            return False
        known = [
            bare_subject(version.reference.subject) for version in self._line.versions.values() if not version.foreign
        ]
        if known and own not in known:
            return False
        text = self._schemas.text(reference)
        record = None if text is None else record_name(reference.type, text.text)
        if record is None or subject.startswith(record):
            return False
        return bool(known) or self._schemas.has_subject(own) is True

    def _sight(self, key: str, partition: int, offset: int) -> None:
        version = self._line.versions[key]
        group = self._line.groups[version.group]
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
        group.since_ms, group.lasting = self._now_ms, []
        group.split = group.split and len({each.key for each in group.runs.values()}) > 1
        if not fresh and run is not None:
            self._flip(group, (run.key, key), partition, offset)
        else:
            version.first[partition] = offset
            if version.kind == "schema-drift" and version.before is None:
                version.before = self._line.reference(group.current if run is None else run.key, key)
            if version.kind is not None:
                self.noticed.drifted[key] = None
        group.current = key

    def _stay(self, group: Group, key: str) -> None:
        """A partition goes on under its version: so do others under theirs, if long after nothing has moved."""
        if not stays(group.split, group.since_ms, {run.key for run in group.runs.values()}, self._now_ms):
            return
        if key not in group.lasting:
            group.lasting.append(key)
        others = [other for other in group.lasting if other != key]
        if others:
            group.split = True
            self.noticed.split.add(self._line.versions[key].group)
            self.noticed.mixed[others[-1], key] = None

    def _late(self, key: str, partition: int, offset: int) -> None:
        """A sighting before what the partition is on by now: the registry's answer came late."""
        version = self._line.versions[key]
        version.first[partition] = offset
        others = {
            other: seen.first[partition]
            for other, seen in self._line.versions.items()
            if other != key and seen.group == version.group and partition in seen.first
        }
        earlier = [other for other, first in others.items() if first < offset]
        later = [other for other, first in others.items() if first > offset]
        if version.kind == "schema-drift" and version.before is None:
            if earlier:
                version.before = self._line.versions[max(earlier, key=lambda other: others[other])].reference
            elif later:
                successor = min(later, key=lambda other: others[other])
                following = self._line.versions[successor]
                if following.kind is None:  # taken for what the topic started with
                    version.kind = None
                    following.kind = "schema-drift"
                    following.before = version.reference
                    self.noticed.drifted[successor] = None
                    return
                version.before = following.before or following.reference
        if version.kind is not None:
            self.noticed.drifted[key] = None

    def _flip(self, group: Group, pair: tuple[str, str], partition: int, offset: int) -> None:
        """A known version came back in a partition where it had been replaced."""
        window = WINDOW_SECONDS * 1000
        left = self._line.versions.get(pair[0])
        if left is not None and left.foreign:
            return  # what was out of place is gone: good news
        if group.mixed_ms is not None:
            if self._now_ms - group.mixed_ms <= window:
                group.mixed_ms = max(group.mixed_ms, self._now_ms)
                return
            group.mixed_ms, group.flips, group.returns = None, [], {}
        group.flips = [at for at in group.flips if self._now_ms - at <= window]
        name = f"{pair[0]}>{pair[1]}"
        episode = group.returns.get(name)
        if episode is None or self._now_ms - episode.last_ms > window:
            episode = group.returns[name] = Episode({}, self._now_ms)
            group.flips.append(self._now_ms)
        elif partition in episode.first:
            group.flips.append(self._now_ms)
        if len(group.flips) >= MIXED_AFTER:
            group.mixed_ms = self._now_ms
            self.noticed.mixed[pair] = None
        elif partition not in episode.first:
            episode.first[partition] = offset
            self.noticed.returned[pair] = None
        episode.last_ms = max(episode.last_ms, self._now_ms)


def untold(
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


def stays(split: bool, since_ms: int | None, keys: set[str], now_ms: int) -> bool:
    """Whether what is written now is part of a mix over partitions that is not told yet."""
    return not split and since_ms is not None and len(keys) > 1 and now_ms - since_ms >= WINDOW_SECONDS * 1000

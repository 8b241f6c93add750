"""Schema drift to come: what changed in the registry and is not on the wire yet.

A pure rule over what the registry holds of a subject now, against what it held when it was looked at last. A subject
that is seen for the first time is taken as it is. Versions whose schema is on the wire already say nothing, nor does
the same schema under another number. A deletion counts when it is seen twice in a row, since replicas of a registry
may lag. A level that changes with the registry's default is no change of the subject's, and one that cannot be read is
no change at all. What is not on the wire breaks nothing yet: a new version is a warning at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.schema_change import changes_text, common_path, schema_change, severity, verdict_text
from stream_lineage.detect.schema_versions import version_key
from stream_lineage.model.finding import Finding, SchemaChange, Severity
from stream_lineage.model.schema import SchemaReference

MAX_NEW_VERSIONS = 8
"""New versions of a subject that are told of one look. Larger: more of a burst of registrations is told at once."""
MAX_TOLD = 32
"""Schemas remembered as told per subject, so that none is told again under another number."""
_GUARANTEES = {"NONE": "", "BACKWARD": "b", "FORWARD": "f", "FULL": "bf"}
_TOLD_AS_DELETED = 2


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject whose schemas are on a topic's wire. ``current`` is the one that is written now, ``on_wire`` holds the
    ``version_key`` of all that were seen."""

    cluster: str
    topic: str
    role: str
    name: str
    current: SchemaReference
    on_wire: frozenset[str]


@dataclass(frozen=True, slots=True)
class Holding:
    """What the registry holds of a subject. No ``versions``: it is deleted, ``permanently`` if not even its ids can be
    asked for under its name. ``level`` is the compatibility level that holds for it, be it its own or the registry's
    ``default``. ``added`` are the schemas of the versions that ``wanted`` names."""

    versions: tuple[int, ...]
    permanently: bool = False
    level: str | None = None
    default: str | None = None
    added: Mapping[int, SchemaReference] = field(default_factory=dict)


@dataclass(slots=True)
class _Known:
    """``latest`` is the newest version seen, ``absent`` how many looks in a row found none, ``changes`` how many
    changes were told."""

    latest: int
    level: str | None
    default: str | None
    absent: int = 0
    changes: int = 0
    told: list[str] = field(default_factory=list)


class RegistryWatch:
    """``upcoming-schema``, ``compatibility-changed``, ``subject-deleted``; for subjects of keys ``key-`` and that.

    State: what is known of each subject of a topic.
    """

    name = "registry-watch"
    channel: Channel = "drift"

    def initial(self) -> State:
        return {"subjects": {}}

    def look(
        self, state: State, subject: Subject, holding: Holding, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        """The next state, which is ``state`` itself when nothing changed, and what was found, in order."""
        known = _load(state, subject.name)
        if known is None:
            absent = 0 if holding.versions else _TOLD_AS_DELETED
            known = _Known(max(holding.versions, default=0), holding.level, holding.default, absent)
            return _stored(state, subject.name, known), ()
        findings: list[Finding] = []
        if not holding.versions:
            if known.absent >= _TOLD_AS_DELETED:
                return state, ()
            known.absent += 1
            if known.absent == _TOLD_AS_DELETED:
                findings.append(_deleted(subject, holding))
        else:
            for version in wanted(state, subject.name, holding.versions):
                if (reference := holding.added.get(version)) is not None:
                    key = version_key(reference)
                    if key not in subject.on_wire and key not in known.told:
                        findings.append(_upcoming(subject, reference, schemas))
                        known.told = [*known.told, key][-MAX_TOLD:]
            if _is_its_own(known, holding):
                findings.append(_level(subject, known.level, holding.level))
            seen = wanted(state, subject.name, holding.versions)
            # Of a burst the rest is taken at the next look; where the newest were deleted, the next one may be lower.
            known.latest = seen[-1] if seen else max(holding.versions)
            if holding.level is not None:
                known.level, known.default = holding.level, holding.default
            known.absent = 0
        known.changes += len(findings)
        after = _stored(state, subject.name, known)
        return (state if after == state else after), tuple(findings)


def wanted(state: State, subject: str, versions: tuple[int, ...]) -> tuple[int, ...]:
    """The versions that were not there at the last look, the lowest first: their schemas are needed."""
    known = _load(state, subject)
    if known is None:
        return ()
    through = 0 if known.absent else known.latest  # what was deleted and is back may start over at 1
    return tuple(sorted(version for version in versions if version > through))[:MAX_NEW_VERSIONS]


def changes_told(state: State, subject: str) -> int:
    """How many changes of a subject were told so far: tells apart what happens again."""
    known = _load(state, subject)
    return 0 if known is None else known.changes


def without_others(state: State, subjects: frozenset[str]) -> State:
    """The state without subjects that are on the wire no longer."""
    kept = {name: known for name, known in state["subjects"].items() if name in subjects}
    return state if len(kept) == len(state["subjects"]) else {**state, "subjects": kept}


def _upcoming(subject: Subject, reference: SchemaReference, schemas: SchemaTexts) -> Finding:
    difference = schema_change(subject.current, reference, schemas)
    grave = severity(difference)
    return _finding(
        subject,
        "upcoming-schema",
        version_key(reference),
        f"{reference.label()} was registered and is not on the wire yet; against {subject.current.label()}, which is: "
        f"{changes_text(difference.changes)}; {verdict_text(difference.compatibility)}",
        Severity.INFO if grave is Severity.INFO else Severity.WARNING,
        field_path=common_path(difference.changes),
        before=subject.current,
        after=reference,
        compatibility=difference.compatibility,
        changes=difference.changes,
    )


def _is_its_own(known: _Known, holding: Holding) -> bool:
    """Whether the level changed, and not just with the default."""
    if None in (known.level, holding.level) or known.level == holding.level:
        return False
    return known.level != known.default or holding.level != holding.default


def _level(subject: Subject, old: str | None, new: str | None) -> Finding:
    loosened = any(way not in _promised(new) for way in _promised(old))
    return _finding(
        subject,
        "compatibility-changed",
        f"{old}>{new}",
        f"the compatibility level of subject {subject.name} changed from {old} to {new}"
        + ("; what breaks consumers can be registered now" if loosened else ""),
        Severity.WARNING if loosened else Severity.INFO,
        before=subject.current,
        changes=(SchemaChange("compatibility-changed", "", old, new),),
    )


def _deleted(subject: Subject, holding: Holding) -> Finding:
    how = "permanently: consumers that start can no longer read what was written" if holding.permanently else "softly"
    breaks = ("backward", "forward") if holding.permanently else ()
    return _finding(
        subject,
        "subject-deleted",
        "permanently" if holding.permanently else "softly",
        f"subject {subject.name}, whose schemas are on the wire, was deleted {how}",
        Severity.CRITICAL if holding.permanently else Severity.WARNING,
        before=subject.current,
        changes=(SchemaChange("subject-deleted", "", subject.current.label(), None, breaks),),
    )


def _promised(level: str | None) -> str:
    """The directions that a level guarantees: none, where we do not know it."""
    return _GUARANTEES.get((level or "").removesuffix("_TRANSITIVE"), "")


def _finding(subject: Subject, kind: str, what: str, told: str, grave: Severity, **more: Any) -> Finding:
    """What is not on the wire has no offsets."""
    kind = kind if subject.role == "value" else f"key-{kind}"
    return Finding(
        kind=kind,
        severity=grave,
        topic=subject.topic,
        summary=f"{subject.topic}: {told}",
        fingerprint=finding_fingerprint(kind, subject.cluster, subject.topic, subject.name, what),
        first_offsets={},
        **{"field_path": None, **more},
    )


def _load(state: State, subject: str) -> _Known | None:
    document = state["subjects"].get(subject)
    return None if document is None else _Known(**{**document, "told": list(document["told"])})


def _stored(state: State, subject: str, known: _Known) -> State:
    document = {
        "latest": known.latest,
        "level": known.level,
        "default": known.default,
        "absent": known.absent,
        "changes": known.changes,
        "told": list(known.told),
    }
    return {**state, "subjects": {**state["subjects"], subject: document}}

"""What the schema-drift detector remembers of one topic: versions seen, and which one each partition is on.

A *line* is all of one role (value or key). A topic that carries several record types, each with a subject of its own,
has several *groups*: versions are compared inside their group only. A *run* is the version that a partition is on and
the offset since which it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream_lineage.detect.references import reference_from_json, reference_to_json
from stream_lineage.model.schema import SchemaReference

MAX_VERSIONS = 32
"""Versions remembered per role. More: an old version is recognised as coming back, rather than as new, for longer."""
MAX_GROUPS = 32
MAX_PENDING = 64
"""Unresolved ids whose first offsets are kept until the registry answers."""
MAX_IDS = 256
MAX_UNKNOWN = 16
"""Unregistered ids told per role. More: a producer that talks to another registry raises so many more alerts."""


MAX_PRODUCERS = 8
"""Producers remembered of one version. With more of them none is named."""
MANY_PRODUCERS = "*"


class Run(NamedTuple):
    key: str
    since: int


@dataclass(slots=True)
class Version:
    """One schema seen. ``first`` maps partition to its first offset there; ``kind`` is what was reported of it, and
    ``before`` the schema that it was compared with. ``foreign``: it is registered for something else only.
    ``producers`` are those that wrote under it last, as far as headers tell; ``MANY_PRODUCERS`` alone stands for more
    than can be named."""

    reference: SchemaReference
    group: str
    before: SchemaReference | None = None
    kind: str | None = None
    first: dict[int, int] = field(default_factory=dict)
    foreign: bool = False
    producers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Episode:
    """A version that came back: its first offset in each partition, and when that was last added to (ms)."""

    first: dict[int, int]
    last_ms: int


@dataclass(slots=True)
class Group:
    """``current`` is the latest version seen; ``flips`` are the times (ms) at which versions came back lately.

    ``since_ms`` is when a partition last moved from one version to another, ``lasting`` the versions that have been
    written long after that, and ``split`` whether it was told that partitions stay on different ones."""

    current: str
    runs: dict[int, Run] = field(default_factory=dict)
    returns: dict[str, Episode] = field(default_factory=dict)
    flips: list[int] = field(default_factory=list)
    mixed_ms: int | None = None
    since_ms: int | None = None
    lasting: list[str] = field(default_factory=list)
    split: bool = False


@dataclass(slots=True)
class Line:
    versions: dict[str, Version] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    pending: dict[str, dict[int, int]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    """Unresolved ids that were told as unregistered, and in how many partitions."""

    def bound(self) -> None:
        """Forget the oldest of what is too much; never what a group is on."""
        while len(self.groups) > MAX_GROUPS:
            gone = next(iter(self.groups))
            del self.groups[gone]
            self.versions = {key: version for key, version in self.versions.items() if version.group != gone}
        current = {group.current for group in self.groups.values()}
        for key in [key for key in self.versions if key not in current][: max(0, len(self.versions) - MAX_VERSIONS)]:
            del self.versions[key]
        for table, limit in ((self.pending, MAX_PENDING), (self.ids, MAX_IDS), (self.unknown, 2 * MAX_UNKNOWN)):
            for key in list(table)[: max(0, len(table) - limit)]:
                del table[key]
        for group in self.groups.values():
            for pair in list(group.returns)[: max(0, len(group.returns) - MAX_VERSIONS)]:
                del group.returns[pair]

    def reference(self, key: str, than: str) -> SchemaReference | None:
        """The schema of this key; where it is forgotten, the latest one of its group that is not ``than``."""
        if key in self.versions:
            return self.versions[key].reference
        group = self.versions[than].group
        others = [seen.reference for other, seen in self.versions.items() if seen.group == group and other != than]
        return others[-1] if others else None

    def start_over(self) -> None:
        """A new epoch: offsets are new, and what each group is on becomes what it is expected to be."""
        kept = {group.current for group in self.groups.values()}
        self.versions = {
            key: Version(version.reference, version.group) for key, version in self.versions.items() if key in kept
        }
        self.groups = {name: Group(group.current) for name, group in self.groups.items()}
        self.pending, self.unknown = {}, {}

    def dump(self) -> dict[str, Any]:
        return {
            "versions": {
                key: {
                    "reference": reference_to_json(version.reference),
                    "group": version.group,
                    "before": None if version.before is None else reference_to_json(version.before),
                    "kind": version.kind,
                    "first": _text_keys(version.first),
                    "foreign": version.foreign,
                    "producers": list(version.producers),
                }
                for key, version in self.versions.items()
            },
            "groups": {
                name: {
                    "current": group.current,
                    "runs": {str(partition): list(run) for partition, run in group.runs.items()},
                    "returns": {
                        pair: {"first": _text_keys(episode.first), "last_ms": episode.last_ms}
                        for pair, episode in group.returns.items()
                    },
                    "flips": list(group.flips),
                    "mixed_ms": group.mixed_ms,
                    "since_ms": group.since_ms,
                    "lasting": list(group.lasting),
                    "split": group.split,
                }
                for name, group in self.groups.items()
            },
            "pending": {key: _text_keys(first) for key, first in self.pending.items()},
            "ids": dict(self.ids),
            "unknown": dict(self.unknown),
        }

    @classmethod
    def load(cls, document: dict[str, Any]) -> Line:
        return cls(
            versions={
                key: Version(
                    reference_from_json(version["reference"]),
                    version["group"],
                    None if version["before"] is None else reference_from_json(version["before"]),
                    version["kind"],
                    _int_keys(version["first"]),
                    version["foreign"],
                    list(version.get("producers", ())),
                )
                for key, version in document["versions"].items()
            },
            groups={
                name: Group(
                    group["current"],
                    {int(partition): Run(*run) for partition, run in group["runs"].items()},
                    {
                        pair: Episode(_int_keys(episode["first"]), episode["last_ms"])
                        for pair, episode in group["returns"].items()
                    },
                    list(group["flips"]),
                    group["mixed_ms"],
                    group["since_ms"],
                    list(group["lasting"]),
                    group["split"],
                )
                for name, group in document["groups"].items()
            },
            pending={key: _int_keys(first) for key, first in document["pending"].items()},
            ids=dict(document["ids"]),
            unknown=dict(document["unknown"]),
        )


def is_news(producers: Sequence[str], names: Iterable[str]) -> bool:
    """Whether a version's producers leave somebody of these out."""
    return MANY_PRODUCERS not in producers and any(name not in producers for name in names)


def _text_keys(offsets: dict[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in offsets.items()}


def _int_keys(offsets: dict[str, int]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in offsets.items()}

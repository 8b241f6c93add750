"""What the payload-structure detector remembers of one topic: what is usual at each path, and what it suspects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stream_lineage.detect.payload_paths import Tally

MAX_PATHS = 400
"""Field paths remembered per topic. Larger: wide records are watched in full, and states are larger."""
MAX_SUSPECTS = 60
MAX_MAPS = 50


@dataclass(slots=True)
class Suspect:
    """Something at a path that is not as usual. ``seen`` is what was there since, over so many ``flushes``, ``pure``
    how many values in a row were all of the new kind, ``first`` its first offset in each partition."""

    seen: Tally = field(default_factory=Tally)
    flushes: int = 0
    pure: int = 0
    first: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Structure:
    """``paths`` is what is usual, learned from ``records`` in ``looks`` flushes from ``since_ms`` to ``last_ms``.

    It is ``ready`` once types are known, ``settled`` once presence is too. ``through`` is the last offset of each
    partition that was taken in when the state was written last."""

    since_ms: int | None = None
    records: int = 0
    last_ms: int = 0
    looks: int = 0
    ready: bool = False
    settled: bool = False
    paths: dict[str, Tally] = field(default_factory=dict)
    maps: list[str] = field(default_factory=list)
    suspects: dict[str, Suspect] = field(default_factory=dict)
    through: dict[int, int] = field(default_factory=dict)

    def suspected_paths(self) -> list[str]:
        return [name.partition("\n")[2] for name in self.suspects]

    def bound(self) -> None:
        for table, limit in ((self.paths, MAX_PATHS), (self.suspects, MAX_SUSPECTS)):
            for key in list(table)[limit:]:
                del table[key]
        del self.maps[MAX_MAPS:]

    def dump(self) -> dict[str, Any]:
        return {
            "since_ms": self.since_ms,
            "records": self.records,
            "last_ms": self.last_ms,
            "looks": self.looks,
            "ready": self.ready,
            "settled": self.settled,
            "paths": {path: _row(tally) for path, tally in self.paths.items()},
            "maps": list(self.maps),
            "suspects": {
                name: {
                    "seen": _row(suspect.seen),
                    "flushes": suspect.flushes,
                    "pure": suspect.pure,
                    "first": {str(partition): offset for partition, offset in suspect.first.items()},
                }
                for name, suspect in self.suspects.items()
            },
            "through": {str(partition): offset for partition, offset in self.through.items()},
        }

    @classmethod
    def load(cls, document: dict[str, Any]) -> Structure:
        return cls(
            since_ms=document["since_ms"],
            records=document["records"],
            last_ms=document["last_ms"],
            looks=document["looks"],
            ready=document["ready"],
            settled=document["settled"],
            paths={path: _tally(row) for path, row in document["paths"].items()},
            maps=list(document["maps"]),
            suspects={
                name: Suspect(
                    _tally(suspect["seen"]),
                    suspect["flushes"],
                    suspect["pure"],
                    {int(partition): offset for partition, offset in suspect["first"].items()},
                )
                for name, suspect in document["suspects"].items()
            },
            through={int(partition): offset for partition, offset in document["through"].items()},
        )


def _row(tally: Tally) -> list[Any]:
    return [tally.slots, tally.missing, tally.nulls, dict(tally.types)]


def _tally(row: list[Any]) -> Tally:
    return Tally(row[0], row[1], row[2], dict(row[3]))

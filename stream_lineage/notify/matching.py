"""Which incidents somebody wants to hear of, or to have something done about."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from stream_lineage.notify.links import failing_step, step_name
from stream_lineage.notify.strict_yaml import Strict

SeverityName = Literal["info", "warning", "critical"]
Event = Literal["opened", "updated", "cause", "escalated", "resolved", "reopened"]
OwnersOf = Callable[[Iterable[str]], tuple[str, ...]]
"""The owners of nodes of the lineage graph, by ids."""

_SEVERITIES = ("info", "warning", "critical")
_EVENTS: Mapping[str, Event] = {
    "open": "opened", "updated": "updated", "root-cause": "cause", "escalated": "escalated", "resolved": "resolved",
    "reopened": "reopened",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class About:
    """What of an incident is matched. ``nodes`` are names and ids of what broke first, else of where it was noticed.
    ``confidence`` is that of the cause; 0 where none is named. ``kinds`` are those of its alerts."""

    event: Event
    severity: str
    owners: tuple[str, ...]
    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    confidence: float


def about(document: Mapping[str, Any], owners_of: OwnersOf) -> About:
    """What is matched, of the body of a message on ``lineage.incidents``. Owners are those of the nodes of its alerts
    and of those from the cause to them."""
    cause = document.get("cause")
    named = [] if cause is None else [each for each in cause["ranking"] if each.get("named")]
    step = failing_step(document)
    nodes = [step, step_name(step), *(str(each["node"]) for each in named)]
    hit = dict.fromkeys([*map(str, document.get("related", ())), *(str(each["node"]) for each in document["alerts"])])
    return About(
        event=_EVENTS[document["state"]],
        severity=str(document["severity"]),
        owners=owners_of(hit),
        nodes=tuple(dict.fromkeys(nodes)),
        kinds=tuple(dict.fromkeys(str(each["kind"]) for each in document["alerts"])),
        confidence=float(named[0]["confidence"]) if named else 0.0,
    )


class Match(Strict):
    """All that is said must hold; of a list, one item. Names and owners may have ``*`` in them, and their letters may
    be large or small. ``severity`` is the least."""

    severity: SeverityName = "info"
    owners: tuple[str, ...] = Field(default=(), max_length=200)
    nodes: tuple[str, ...] = Field(default=(), max_length=200)
    kinds: tuple[str, ...] = Field(default=(), max_length=200)
    min_confidence: float = Field(default=0.0, ge=0, le=1)

    def fits(self, found: About) -> bool:
        """Whether an incident is meant."""
        return (
            _SEVERITIES.index(found.severity) >= _SEVERITIES.index(self.severity)
            and _one(self.owners, found.owners)
            and _one(self.nodes, found.nodes)
            and _one(self.kinds, found.kinds)
            and found.confidence >= self.min_confidence
        )


def _one(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if not patterns:
        return True
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns for name in names)

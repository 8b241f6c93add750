"""What is said about an incident: the cause or causes, what was rejected and why, and what else is hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from stream_lineage.explain.confidence import Features
from stream_lineage.explain.symptoms import Deviation

Verdict = Literal["root-cause", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Hop:
    """An edge of a path. ``sureness``: 0 to 1, by its evidence."""

    source: str
    target: str
    evidence: tuple[str, ...]
    sureness: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A node that may be the cause. ``deviations`` are what deviates along its path, from the cause on, at most one
    for each node; ``features`` are what the confidence was found by; ``metric`` is the kind of an event where the node
    has no metrics. Onsets are epoch seconds."""

    node: str
    kind: str
    metric: str
    field: str | None
    onset: float
    onset_interval: tuple[float, float]
    score: float
    confidence: float
    named: bool
    path: tuple[str, ...]
    hops: tuple[Hop, ...]
    evidence: tuple[str, ...]
    deviations: tuple[Deviation, ...]
    features: Features


@dataclass(frozen=True, slots=True)
class Rejected:
    """A node that deviates and is not the cause."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Affected:
    """A node downstream of the cause (or of the breach, where no cause is known), so many hops away."""

    node: str
    kind: str
    hops: int


@dataclass(frozen=True, slots=True)
class Answer:
    """``settle``: what would make an inconclusive answer, or one that is in doubt, sure."""

    verdict: Verdict
    sentence: str
    ranking: tuple[Ranked, ...]
    rejected: tuple[Rejected, ...]
    affected: tuple[Affected, ...]
    settle: tuple[str, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON: docs/root-cause.md has the members."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "ranking": [_ranked(each) for each in self.ranking],
            "rejected": [{"node": each.node, "reason": each.reason} for each in self.rejected],
            "blast_radius": [each.node for each in self.affected],
            "affected": [{"node": each.node, "kind": each.kind, "hops": each.hops} for each in self.affected],
            "settle": list(self.settle),
            "notes": list(self.notes),
        }


def _ranked(each: Ranked) -> dict[str, Any]:
    return {
        "node": each.node,
        "kind": each.kind,
        "metric": each.metric,
        "field": each.field,
        "onset": each.onset,
        "onset_interval": list(each.onset_interval),
        "score": round(each.score, 4),
        "confidence": round(each.confidence, 3),
        "named": each.named,
        "path": list(each.path),
        "hops": [
            {"from": hop.source, "to": hop.target, "evidence": list(hop.evidence), "sureness": hop.sureness}
            for hop in each.hops
        ],
        "evidence": list(each.evidence),
    }

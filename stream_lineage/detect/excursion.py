"""An excursion: one metric of a topic or of a field is out of what is usual, in this window as in some before."""

from __future__ import annotations

from dataclasses import dataclass

from stream_lineage.model.finding import Severity

RANKS = (
    "throughput", "freshness", "event-time-lag", "undecoded-ratio", "out-of-order-ratio", "duplicate-keys",
    "bytes-per-record", "null-ratio", "missing-ratio", "type-mix", "new-category", "vanished-category", "range",
    "distinct-ratio", "mean", "distribution", "expectation", "edge-drop", "edge-fan-out", "edge-nulls",
)  # fmt: skip
"""Every metric, those that are causes of others first."""


@dataclass(frozen=True, slots=True)
class Excursion:
    """``path`` is null for the topic as a whole. ``expected`` and ``actual`` are text for people.

    ``began`` is how many windows ago the first deviating one was. ``score`` is from 0 to 1.
    """

    metric: str
    path: str | None
    expected: str
    actual: str
    severity: Severity
    began: int
    score: float

    @property
    def key(self) -> str:
        """What tells it from others of the same topic."""
        return self.metric if self.path is None else f"{self.metric} {self.path}"

    @property
    def rank(self) -> tuple[int, str]:
        """Of several that began together, the one with the lowest rank gives its name to all."""
        return RANKS.index(self.metric), self.path or ""

"""Edges of jobs: a topic that a job reads, and one that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """``fields`` maps paths of the input to those of the output that they become; null: fields of the same path.

    ``ratio`` is how many rows come out for one that goes in, where somebody declared it, and ``within`` how far, as a
    part of it, it may be off. ``lag_seconds``: how long rows may take, if that is longer than what is learned.
    """

    job: str
    input: str
    output: str
    fields: Mapping[str, str] | None = None
    ratio: float | None = None
    within: float = 0.05
    lag_seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.input} -> {self.output}"

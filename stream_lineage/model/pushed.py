"""Metrics that others measure: points that are pushed onto a node of the lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

PushedKind = Literal["count", "level"]
"""How much a value varies when nothing is wrong: as a count of events does, or as anything else."""


@dataclass(frozen=True, slots=True)
class PushedPoint:
    """``node`` names a topic, a job or a model as lineage does. ``at`` is when it was measured, ``every_seconds`` how
    far the points of the series are apart. The tags are a part of the series."""

    node: str
    metric: str
    value: float
    at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    kind: PushedKind = "level"
    every_seconds: float = 60.0

"""What a role says of itself while it runs: metrics, and whether it lives and is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, under its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as Prometheus understands it. ``name`` carries the unit; counters end in ``_total``."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold. ``detail`` says what is the matter, or how things stand."""

    name: str
    holds: bool
    detail: str


class Telemetry(Protocol):
    """A running role. Each method may be called from any thread, never waits for anything and never fails."""

    def metrics(self) -> Sequence[Metric]:
        """All metrics, as they are now."""
        ...

    def alive(self) -> Sequence[Condition]:
        """What must hold, or the process is to be started again. Nothing outside of the process counts."""
        ...

    def ready(self) -> Sequence[Condition]:
        """What must hold for the role to be doing its work."""
        ...

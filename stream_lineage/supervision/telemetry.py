"""What the supervisor of all roles says of them. Each role says more of itself at a port of its own."""

from __future__ import annotations

from collections.abc import Sequence

from stream_lineage.model.telemetry import Condition, Metric, Sample
from stream_lineage.supervision.role import Role


class RolesTelemetry:
    """``roles`` are asked at each scrape."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self._roles = roles

    def metrics(self) -> Sequence[Metric]:
        """Whether each role runs, and how often it was started."""
        up = [Sample(float(role.pid is not None), {"role": role.name}) for role in self._roles]
        starts = [Sample(role.starts, {"role": role.name}) for role in self._roles]
        return [
            Metric("stream_lineage_role_up", "gauge", "Whether the role's process runs.", up),
            Metric("stream_lineage_role_starts_total", "counter", "How often it was started.", starts),
        ]

    def alive(self) -> Sequence[Condition]:
        """It starts a role again by itself."""
        return [Condition("supervises", True, f"{len(self._roles)} roles")]

    def ready(self) -> Sequence[Condition]:
        """All roles run."""
        return [
            Condition(role.name, (pid := role.pid) is not None, f"process {pid}" if pid else "it does not run")
            for role in self._roles
        ]

"""Deploy windows as metric points, ``lineage_deploy``: one for each, when it begins.

Every worker reads the same windows and writes the same points, which replace each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from stream_lineage.agents.alert_rules import DeployWindow
from stream_lineage.store.ports import Point

MEASUREMENT = "lineage_deploy"


class DeployPoints:
    """``due`` now and then. Windows that began before ``kept`` are left out: the store keeps nothing that old."""

    def __init__(
        self,
        deploys: Sequence[DeployWindow],
        cluster: str,
        kept: timedelta,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._left = list(deploys)
        self._cluster = cluster
        self._kept = kept
        self._wall = wall

    def due(self) -> list[Point]:
        """The points of windows that have begun since this was asked last."""
        now = self._wall()
        begun = [window for window in self._left if window.since <= now]
        self._left = [window for window in self._left if window.since > now]
        return [self._point(window) for window in begun if window.since > now - self._kept]

    def _point(self, window: DeployWindow) -> Point:
        tags = {"cluster": self._cluster, "topic": window.topic}
        until = window.until.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Point(MEASUREMENT, tags, {"reason": window.reason or "deploy", "until": until}, window.since)

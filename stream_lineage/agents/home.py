"""Whatever is done once for all workers: by the one that has the first partition of the observation log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HOME = 0
"""The partition."""


class Home:
    """Whether this worker has it. ``log`` is the observation topic."""

    def __init__(self, app: Any, log: str) -> None:
        self._app = app
        self._log = log
        self._held = False
        self._lost: list[Callable[[], object]] = []
        app.on_partitions_assigned.connect(self._assigned, weak=False)
        app.on_partitions_revoked.connect(self._revoked, weak=False)

    @property
    def held(self) -> bool:
        return self._held

    @property
    def settled(self) -> bool:
        """Whether it is held, and the table is what it will be."""
        return self._held and not self._app.rebalancing and not self._app.in_recovery

    def when_lost(self, call: Callable[[], object]) -> None:
        """``call`` is called whenever partitions are taken away."""
        self._lost.append(call)

    async def _assigned(self, _: Any, assigned: Any, **__: Any) -> None:
        self._held = any(tp.topic == self._log and tp.partition == HOME for tp in assigned)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self._held = False
        for call in self._lost:
            call()

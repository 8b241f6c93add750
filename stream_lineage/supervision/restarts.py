"""When a process that ended by itself is started again."""

from __future__ import annotations

from dataclasses import dataclass

REFUSED = (1, 2)
"""Exit codes by which a command of ours says that it cannot do its work as things are, and has said why."""


@dataclass(slots=True)
class Restarts:
    """The history of one process.

    One that has never been up for ``established_seconds`` and says why it cannot work is not started again: whoever
    started it must mend something. Nor is one that has crashed ``attempts`` times in a row without ever being up. Later
    on it is started again for as long as it takes, since its settings were right: brokers go away and come back.

    Larger ``most_seconds``: less work in vain during an outage, later back after it.
    """

    established_seconds: float = 90.0
    attempts: int = 3
    most_seconds: float = 30.0
    established: bool = False
    failures: int = 0

    def after(self, exit_code: int, uptime_seconds: float) -> float | None:
        """Seconds to wait before it is started again; null to give up."""
        if uptime_seconds >= self.established_seconds:
            self.established, self.failures = True, 0
        self.failures += 1
        if not self.established and (exit_code in REFUSED or self.failures >= self.attempts):
            return None
        return float(min(self.most_seconds, 2.0 ** min(self.failures - 1, 16)))

"""What makes a store ready: its port. Every step can be done again at any time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

WRITER, READER = "agents", "reader"


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that the store has now. ``token`` is the secret of a token that was made just now, for ``role``."""

    kind: str
    name: str
    change: str
    role: str = ""
    token: str | None = None


class Setup(Protocol):
    """Raises ConnectionFailed from both methods, when the store cannot be reached, read or written."""

    def run(self, *, renew: Collection[str] = ()) -> Iterator[Done]:
        """Do it, one thing after the other. Of the roles in ``renew`` the tokens are made anew, where there are
        any."""
        ...

    def copy_again(self, start: datetime, end: datetime) -> Iterator[Done]:
        """Fill the coarser copies once more from the points of a time."""
        ...

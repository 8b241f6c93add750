"""Which records of the outbox have not arrived: what came just now, and the backlog behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

MAX_GAPS = 64
"""Pieces that the backlog may be in. With more, what lies between two of them is sent once more, which changes
nothing."""


@dataclass(slots=True)
class Pending:
    """Sequence numbers. ``live`` and all after it are to be sent at once; ``backlog`` are ranges ``[first, end)``
    before it, in order, that do not touch."""

    live: int = 0
    backlog: list[tuple[int, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The first record that has not arrived."""
        return self.backlog[0][0] if self.backlog else self.live

    def sent(self, first: int, end: int) -> None:
        """The records ``[first, end)`` have arrived. They are at the beginning of the live ones or of the backlog, or
        reach as far as is given up."""
        self.backlog = [
            piece
            for low, high in self.backlog
            for piece in ((low, min(high, first)), (max(low, end), high))
            if piece[0] < piece[1]
        ]
        if first <= self.live < end:
            self.live = end

    def fall_behind(self, end: int) -> None:
        """What is live up to ``end`` becomes backlog: what comes from now on goes before it."""
        if end <= self.live:
            return
        if self.backlog and self.backlog[-1][1] == self.live:
            self.backlog[-1] = (self.backlog[-1][0], end)
        else:
            self.backlog.append((self.live, end))
        self.live = end
        if len(self.backlog) > MAX_GAPS:
            (low, _), (_, high) = self.backlog[0], self.backlog[1]
            self.backlog[:2] = [(low, high)]

    def has(self, sequence: int) -> bool:
        return sequence >= self.live or any(low <= sequence < high for low, high in self.backlog)

    def within(self, first: int, end: int) -> bool:
        """Whether any of the records ``[first, end)`` has not arrived."""
        return end > self.live or any(low < end and first < high for low, high in self.backlog)

    def to_json(self) -> bytes:
        return json.dumps({"live": self.live, "backlog": self.backlog}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Pending:
        """
        Raises:
            ValueError: it is damaged.
        """
        try:
            document = json.loads(text)
            return cls(int(document["live"]), [(int(low), int(high)) for low, high in document["backlog"]])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("not a list of what has not arrived") from error

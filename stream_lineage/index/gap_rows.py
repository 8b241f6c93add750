"""What is not known of records as rows: edges that were never written, that nobody can read, that retention took."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

Why = Literal["no-room", "unreadable", "removed"]
_EDGES_SINCE = "edges_since"
_MARGIN_MS = 60_000
"""Between the clocks of who writes edges and who writes observations."""


@dataclass(frozen=True, slots=True)
class RemovedEdges:
    """Messages of edges that retention removed before they were read: all that are left are as late as ``since``, in
    milliseconds. ``overtaken``: the index had read others before them."""

    messages: int
    since: int
    overtaken: bool = False


class GapRows:
    """Writes gaps inside a transaction that somebody else opens and commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def observed_without_edges(self) -> int:
        """Of what was observed before this, in milliseconds, retention may have removed the edges."""
        row = self._connection.execute("SELECT value FROM fact WHERE name = ?", (_EDGES_SINCE,)).fetchone()
        return int(row[0]) + _MARGIN_MS if row else 0

    def add(self, topic: str, topic_id: str | None, why: Why, count: int, seen: int = 0) -> None:
        """Note what is missing of a topic; ``seen`` in milliseconds, 0 where that is not known."""
        self._connection.execute(
            "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count,"
            " first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)",
            (topic, topic_id or "", why, count, seen, seen),
        )

    def remove(self, removed: RemovedEdges, *, whole: bool) -> None:
        """Note what retention took. What was read before is not concerned where the index was ``whole`` then."""
        self.add("", None, "removed", removed.messages)
        since = max(removed.since, self.observed_without_edges() - _MARGIN_MS)
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (_EDGES_SINCE, str(since)))
        if removed.overtaken and not whole:
            self._connection.execute(
                "INSERT OR REPLACE INTO unrecorded SELECT log, max(last_offset) FROM span GROUP BY log"
            )

"""Incidents in the index: the newest revision of each."""

from __future__ import annotations

import math
import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from stream_lineage.errors import DecodeError
from stream_lineage.provenance.incident_codec import incident_of, remains

if TYPE_CHECKING:
    from stream_lineage.index.reader import ProvenanceIndex

_LARGEST = 4 * 1024 * 1024
_CLOCKS_DIFFER_MS = 3_600_000


class IncidentRows:
    """Writes incidents inside a transaction that somebody else opens and commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, body: bytes) -> None:
        """Keep what a message says, unless a later revision is known.

        Raises:
            ValueError: it is no incident.
        """
        if len(body) > _LARGEST:
            raise ValueError("too long")
        try:
            found = incident_of(body)
        except DecodeError as error:
            raise ValueError(error.message) from error
        self._connection.execute(
            "INSERT INTO incident (incident, state, severity, revision, opened_at, updated_at, document)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET state = excluded.state,"
            " severity = excluded.severity, revision = excluded.revision, opened_at = excluded.opened_at,"
            " updated_at = excluded.updated_at, document = excluded.document"
            " WHERE excluded.revision >= incident.revision",
            (
                found.id, found.state.value, found.severity.value, found.revision,
                int(found.opened_at.timestamp() * 1000), int(found.updated_at.timestamp() * 1000), body.decode(),
            ),
        )  # fmt: skip


def indexed_incidents(index: ProvenanceIndex, *, most: int = 100, resolved: bool = True) -> list[dict[str, Any]]:
    """The bodies of incidents, the newest first.

    Raises:
        IndexUnusable: the index is damaged.
    """
    rows = index.rows(
        "SELECT document FROM incident WHERE ?1 OR state <> 'resolved' ORDER BY opened_at DESC, incident LIMIT ?2",
        (resolved, most),
    )
    return [orjson.loads(row[0]) for row in rows]


def incidents_before(
    index: ProvenanceIndex,
    before: tuple[int, str] | None,
    most: int,
    *,
    state: str | None = None,
    severity: str | None = None,
    topic: str | None = None,
    resolved: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
    """The bodies of incidents that come after a place in the order of opening, the newest first, and the place of the
    last of them where there are more. ``topic``: one of their alerts is about it; ``since`` and ``until`` are about
    the opening, half-open.

    Raises:
        IndexUnusable: the index is damaged.
    """
    opened, name = before or (None, None)
    rows = index.rows(
        "SELECT opened_at, incident, document FROM incident WHERE (?1 IS NULL OR opened_at < ?1 OR"
        " (opened_at = ?1 AND incident > ?2)) AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR severity = ?4)"
        " AND (?5 IS NULL OR (state = 'resolved') = ?5) AND (?6 IS NULL OR opened_at >= ?6)"
        " AND (?7 IS NULL OR opened_at < ?7) AND (?8 IS NULL OR EXISTS (SELECT 1 FROM"
        " json_each(document, '$.alerts') WHERE json_extract(value, '$.topic') = ?8))"
        " ORDER BY opened_at DESC, incident LIMIT ?9",
        (opened, name, state, severity, resolved, _milliseconds(since), _milliseconds(until), topic, most + 1),
    )
    found = rows[:most]
    following = (found[-1][0], found[-1][1]) if len(rows) > most else None
    return [orjson.loads(row[2]) for row in found], following


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else math.ceil(at.timestamp() * 1000)


def indexed_incident(index: ProvenanceIndex, name: str) -> dict[str, Any] | None:
    """The body of one by its id; null where it is not known.

    Raises:
        IndexUnusable: the index is damaged.
    """
    rows = index.rows("SELECT document FROM incident WHERE incident = ?", (name,))
    return None if not rows else orjson.loads(rows[0][0])


def whole_incident(index: ProvenanceIndex, body: dict[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The body of the incident that one is part of in the end, its own where it is in none; and the ids of that one and
    of all that are part of it.

    Raises:
        IndexUnusable: the index is damaged.
    """
    passed = {body["id"]}
    while (older := body.get("merged_into")) is not None and older not in passed:
        found = indexed_incident(index, older)
        if found is None:
            break
        passed.add(older)
        body = found
    # What is part of it was opened after it, and before it was told of last.
    rows = index.rows(
        "SELECT younger.incident, json_extract(younger.document, '$.merged_into') FROM incident"
        " JOIN incident younger ON younger.opened_at BETWEEN incident.opened_at AND incident.updated_at + ?"
        " WHERE incident.incident = ? AND json_extract(younger.document, '$.merged_into') IS NOT NULL",
        (_CLOCKS_DIFFER_MS, body["id"]),
    )
    merged = dict(rows)
    return body, frozenset({body["id"], *(name for name in merged if remains(name, merged) == body["id"])})

"""Alerts as rows: which offsets of which topic each is about."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

_LONGEST = 65_536


class AlertRows:
    """Writes alerts inside a transaction that somebody else opens and commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, body: bytes, event_id: str) -> None:
        """Write an alert once, however often it was published.

        Raises:
            ValueError: it is none.
        """
        if len(body) > 64 * _LONGEST:
            raise ValueError("too long")
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise ValueError("not an object")  # noqa: TRY004 - of what was read, not of an argument
        topic, first = _text(document, "topic"), _offsets(document, "first_offsets")
        last = _offsets(document, "last_offsets")
        seen = int(datetime.fromisoformat(_text(document, "observed_at")).timestamp() * 1000)
        phase, field = document.get("phase"), document.get("field_path")
        after = document.get("after")
        after = after if isinstance(after, dict) else {}
        fingerprint, schema_id = after.get("fingerprint"), after.get("id")
        row = (
            event_id,
            topic,
            *(_text(document, name) for name in ("kind", "severity")),
            phase if isinstance(phase, str) else None,
            field if isinstance(field, str) else None,
            *(_text(document, name) for name in ("summary", "fingerprint")),
            seen,
            fingerprint if isinstance(fingerprint, str) else None,
            schema_id if isinstance(schema_id, int) and 0 <= schema_id < 2**31 else None,
        )
        found = self._connection.execute(
            "INSERT INTO alert (event_id, topic, kind, severity, phase, field_path, summary, fingerprint, observed_at,"
            " schema_fingerprint, schema_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING id",
            row,
        ).fetchone()
        if found is not None:
            self._connection.executemany(
                "INSERT INTO alert_range VALUES (?, ?, ?, ?, ?)",
                [(topic, number, offset, found[0], last.get(number)) for number, offset in first.items()],
            )


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        raise ValueError(f"no {name}")
    return value


def _offsets(document: Mapping[str, Any], name: str) -> dict[int, int]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"no {name}")  # noqa: TRY004
    found = {int(number): offset for number, offset in value.items() if 0 <= int(number) < 2**31}
    if not all(
        0 <= number < 2**31 and isinstance(offset, int) and 0 <= offset < 2**53 for number, offset in found.items()
    ):
        raise ValueError(f"{name} is out of range")
    return found

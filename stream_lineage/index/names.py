"""Numbers that stand for names in the index: partitions, schema references, runs. Given once, remembered."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from stream_lineage.model.schema import Framing, SchemaReference, SchemaType

NONE = -1


class Names:
    """What the writer has named so far. ``forget`` after a transaction that was rolled back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.forget()

    def forget(self) -> None:
        self._logs: dict[tuple[str, str, str, int], int] = {}
        self._references: dict[SchemaReference, int] = {}
        self._runs: dict[str | None, int] = {None: 0}

    def log(self, topic: str, topic_id: str | None, number: int, cluster: str = "") -> int:
        """A partition of a life of a topic."""
        key = (cluster, topic, topic_id or "", number)
        found = self._logs.get(key)
        if found is None:
            found = self._logs[key] = self._made("log", ("cluster", "topic", "topic_id", "number"), key)
        return found

    def reference(self, reference: SchemaReference) -> int:
        found = self._references.get(reference)
        if found is None:
            found = self._made("reference", ("document",), (reference_text(reference),))
            self._references[reference] = found
        return found

    def run(self, name: str | None) -> int:
        found = self._runs.get(name)
        if found is None:
            found = self._runs[name] = self._made("run", ("name",), (name,))
        return found

    def _made(self, table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> int:
        matches = " AND ".join(f"{column} = ?" for column in columns)
        query = f"SELECT id FROM {table} WHERE {matches}"  # noqa: S608 - names of ours
        row = self._connection.execute(query, values).fetchone()
        if row is None:
            marks = ", ".join("?" * len(columns))
            self._connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)  # noqa: S608
            row = self._connection.execute(query, values).fetchone()
        return int(row[0])


def reference_text(reference: SchemaReference) -> str:
    """A reference as text: the same for the same one."""
    return json.dumps(
        [
            reference.type.value,
            reference.framing.value,
            reference.id,
            reference.guid,
            reference.subject,
            reference.version,
            reference.fingerprint,
            reference.unresolved,
            reference.crc64,
        ]
    )


def reference_of(text: str) -> SchemaReference:
    """The inverse of ``reference_text``."""
    kind, framing, *others = json.loads(text)
    return SchemaReference(SchemaType(kind), Framing(framing), *others)

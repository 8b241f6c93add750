"""The tables of the provenance index, and how a file of an earlier version becomes one of this version."""

from __future__ import annotations

import sqlite3

from stream_lineage.errors import IndexUnusable

APPLICATION_ID = 0x534C_6978
"""Stands in the header of our files, so that another SQLite file is not taken for an index."""

WHOLE_AT = "whole_at"
"""The fact that names the moment up to which all topics were read; empty where one of them is ahead of another."""

_FIRST = """
CREATE TABLE log (  -- one partition of one life of a topic; topic_id '' where nobody has said which life it is
    id INTEGER PRIMARY KEY,
    cluster TEXT NOT NULL,  -- '' is the cluster that the index is of
    topic TEXT NOT NULL,
    topic_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    UNIQUE (topic, number, topic_id, cluster)
);
CREATE TABLE epoch (  -- when a life of a topic was observed, in milliseconds
    topic TEXT NOT NULL,
    topic_id TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (topic, topic_id)
) WITHOUT ROWID;
CREATE TABLE reference (id INTEGER PRIMARY KEY, document TEXT NOT NULL UNIQUE);
CREATE TABLE resolution (  -- what completes an unresolved reference
    topic TEXT NOT NULL,
    role TEXT NOT NULL,
    wire_name TEXT NOT NULL,
    reference INTEGER NOT NULL,
    final INTEGER NOT NULL,
    PRIMARY KEY (topic, role, wire_name)
) WITHOUT ROWID;
CREATE TABLE span (  -- disjoint
    log INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    value_schema INTEGER NOT NULL,
    key_schema INTEGER NOT NULL,
    PRIMARY KEY (log, first_offset)
) WITHOUT ROWID;
CREATE TABLE hole (  -- offsets inside spans that hold no record
    log INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (log, first_offset)
) WITHOUT ROWID;
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE edge (
    out_log INTEGER NOT NULL,
    out_level INTEGER NOT NULL,  -- the range is at most 2 to the power of this long
    out_first INTEGER NOT NULL,
    out_last INTEGER NOT NULL,
    parent_log INTEGER NOT NULL,  -- -1: none is known
    parent_level INTEGER NOT NULL,
    parent_first INTEGER NOT NULL,
    parent_last INTEGER NOT NULL,
    width INTEGER NOT NULL,  -- each output has so many parents of its own, one after the other; 0: all share all
    flags INTEGER NOT NULL,
    source INTEGER NOT NULL,
    run INTEGER NOT NULL,  -- 0: none
    seen INTEGER NOT NULL,  -- when it was first observed, in milliseconds
    first_time INTEGER NOT NULL,  -- timestamps of the outputs, lowest and highest, in milliseconds; -1: none
    last_time INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (out_log, out_level, out_first, id)
) WITHOUT ROWID;
CREATE INDEX edge_by_parent ON edge (parent_log, parent_level, parent_first);
CREATE TABLE edge_level (  -- which levels there are, so that only those are looked at
    side INTEGER NOT NULL,  -- 0: outputs, 1: parents
    log INTEGER NOT NULL,
    level INTEGER NOT NULL,
    PRIMARY KEY (side, log, level)
) WITHOUT ROWID;
CREATE TABLE alert (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    phase TEXT,
    field_path TEXT,
    summary TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    observed_at INTEGER NOT NULL,  -- milliseconds
    schema_fingerprint TEXT,  -- of the schema that it is about
    schema_id INTEGER
);
CREATE INDEX alert_by_fingerprint ON alert (fingerprint, observed_at);
CREATE TABLE alert_range (  -- last_offset null: it is not said where it ends
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    alert INTEGER NOT NULL,
    last_offset INTEGER,
    PRIMARY KEY (topic, number, first_offset, alert)
) WITHOUT ROWID;
CREATE TABLE position (  -- where reading goes on, in each partition of our own topics
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    topic_id TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, number)
) WITHOUT ROWID;
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

_KEYS = """
CREATE TABLE key_field (  -- a field by which people ask for records, under one key of its hashes
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    path TEXT NOT NULL,
    hash_check BLOB NOT NULL,
    UNIQUE (topic, path, hash_check)
);
CREATE TABLE key_block (  -- oldest first
    id INTEGER PRIMARY KEY,
    field INTEGER NOT NULL,
    log INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    count INTEGER NOT NULL,
    steps BLOB NOT NULL,  -- 4 bytes each: how far each offset is behind the first
    hashes BLOB NOT NULL  -- 6 bytes each
);
CREATE INDEX key_block_by_field ON key_block (field, log, id);
"""

_GAPS = """
CREATE TABLE gap (  -- what is not known of the records of a topic; topic '' may be any
    topic TEXT NOT NULL,
    topic_id TEXT NOT NULL,  -- '' may be any
    why TEXT NOT NULL,  -- no-room: the collector left edges out; unreadable: a message of edges; removed: by retention
    count INTEGER NOT NULL,  -- records where there was no room, else messages
    first_seen INTEGER NOT NULL,  -- when that was observed, in milliseconds; 0: not known
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (topic, topic_id, why)
) WITHOUT ROWID;
CREATE TABLE unrecorded (  -- offsets whose edges retention may have removed before they were read
    log INTEGER PRIMARY KEY,
    last_offset INTEGER NOT NULL  -- up to here
);
CREATE INDEX edge_incomplete ON edge (out_log, out_first) WHERE flags & 2;
INSERT INTO gap SELECT '', '', 'no-room', value, 0, 0 FROM counter WHERE name = 'edges.left_out' AND value > 0;
INSERT INTO gap SELECT '', '', 'unreadable', value, 0, 0 FROM counter WHERE name = 'unreadable.edges' AND value > 0;
INSERT INTO gap SELECT '', '', 'removed', value, 0, 0 FROM counter WHERE name = 'lost.edges' AND value > 0;
INSERT INTO unrecorded SELECT log, max(last_offset) FROM span
    WHERE EXISTS (SELECT 1 FROM counter WHERE name = 'lost.edges' AND value > 0) GROUP BY log;
UPDATE edge SET flags = flags | 2 WHERE source > 1  -- incomplete: headers of other systems name one ancestor
"""

_INCIDENTS = """
CREATE TABLE incident (  -- the newest revision of each
    incident TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    revision INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,  -- milliseconds
    updated_at INTEGER NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX incident_by_time ON incident (opened_at)
"""

_GRAPH = """
CREATE TABLE graph_subject (  -- nodes and edges, in the order in which they came
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE,  -- the id of the node or edge
    document TEXT NOT NULL
);
CREATE TABLE graph_evidence (  -- what was said of one; times in milliseconds
    subject INTEGER NOT NULL,
    class TEXT NOT NULL,
    source TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    confidence REAL NOT NULL,
    detail TEXT NOT NULL,
    said_first INTEGER NOT NULL,  -- when it was said first, and last
    said_last INTEGER NOT NULL,
    withdrawn INTEGER,
    PRIMARY KEY (subject, class, source, first_seen, confidence, detail)
) WITHOUT ROWID
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _KEYS, _GAPS, _INCIDENTS, _GRAPH)
"""Statements that make version ``n + 1`` of a file of version ``n``, in order."""


def migrate(connection: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """Bring a file to the newest version, each step whole or not at all; the version that it had.

    Raises:
        IndexUnusable: it is no index, or a later version wrote it.
        sqlite3.Error: it cannot be read or written.
    """
    [version] = connection.execute("PRAGMA user_version").fetchone()
    check(connection, version, len(migrations))
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            [now] = connection.execute("PRAGMA user_version").fetchone()
            if now == number:  # else another process was faster
                for statement in statements(migrations[number]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return int(version)


def check(connection: sqlite3.Connection, version: int, newest: int) -> None:
    """Whether a file may be used, by its header.

    Raises:
        IndexUnusable: it is no index, or a later version wrote it.
    """
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version or application):
        raise IndexUnusable(
            "the file is another program's, and no provenance index",
            hint="Choose another index_path.",
        )
    if version > newest:
        raise IndexUnusable(
            f"the provenance index was written by a later version of stream-lineage (its schema is {version}, this "
            f"program knows {newest})",
            hint="Use that version, or `stream-lineage index rebuild`.",
        )


def statements(script: str) -> list[str]:
    """The statements of a script that has neither triggers nor semicolons in texts."""
    lines = [line.partition("--")[0] for line in script.splitlines()]
    return [statement for statement in " ".join(lines).split(";") if statement.strip()]

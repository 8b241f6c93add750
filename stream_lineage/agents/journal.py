"""What is about to be told, kept before it is published.

What a detector finds may depend on more than the log: on what the registry answers, on windows that are in memory only.
Found again after a crash, it could be something else, or the same at another place and so under another id. So alerts
and the states that go with them are written down first, as one row; whoever has the partition next publishes what it
finds there, keeps those states, and clears the row.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping

import orjson

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Changed, Outcome

NAME = "journal"
LARGEST_ROW = 500_000
"""Bytes: brokers take one message of 1 MB unless configured otherwise."""


def journal_key(partition: int) -> bytes:
    """The key of the row of a partition of the observation log."""
    return f"{NAME}/{partition}".encode()


def written(partition: int, outcome: Outcome, rows: Mapping[bytes, bytes]) -> Changed | None:
    """The row that notes an outcome; null for one that is too large to be noted."""
    noted = orjson.dumps(
        {
            "alerts": [
                [
                    alert.channel,
                    alert.event_id,
                    alert.key.decode(),
                    alert.value.decode(),
                    [[name, value.decode()] for name, value in alert.headers],
                ]
                for alert in outcome.alerts
            ],
            "changed": [[row.key.decode(), _text(row.value)] for row in outcome.changed],
        }
    )
    text = base64.b64encode(zlib.compress(noted, 1)).decode()
    return _row(partition, rows, text) if len(text) <= LARGEST_ROW else None


def cleared(partition: int, rows: Mapping[bytes, bytes]) -> Changed:
    """The row that says that what was noted is done."""
    return _row(partition, rows, None)


def noted(partition: int, rows: Mapping[bytes, bytes]) -> Outcome | None:
    """What was noted and not done, if there is anything."""
    row = rows.get(journal_key(partition))
    text = None if row is None else orjson.loads(row)["noted"]
    if text is None:
        return None
    document = orjson.loads(zlib.decompress(base64.b64decode(text)))
    return Outcome(
        tuple(
            Alert(
                channel, event_id, key.encode(), value.encode(), tuple((name, each.encode()) for name, each in headers)
            )
            for channel, event_id, key, value, headers in document["alerts"]
        ),
        tuple(Changed(key.encode(), None if value is None else value.encode()) for key, value in document["changed"]),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _row(partition: int, rows: Mapping[bytes, bytes], text: str | None) -> Changed:
    """Rows are numbered: the one that is further along wins, whatever a worker that was taken for dead writes late."""
    key = journal_key(partition)
    number = orjson.loads(rows[key])["position"][1] + 1 if key in rows else 0
    return Changed(key, orjson.dumps({"position": [partition, number], "at_ms": 0, "noted": text}))

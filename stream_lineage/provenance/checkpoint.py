"""Signed checkpoints: where every chain stood at a time, kept outside the log.

Without one, an insider who can rewrite the whole log and the committed offsets can invent a consistent history. With
one, the links that it names must still be there.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from stream_lineage.errors import NotFound, ProvenanceError
from stream_lineage.provenance.spans import TopicEpoch
from stream_lineage.provenance.verify import PartitionKey

_VERSION = 1


def write_checkpoint(path: Path, heads: Mapping[PartitionKey, bytes], secret: bytes, now: datetime) -> int:
    """Write the heads, signed with HMAC-SHA256; how many there are."""
    rows = [
        {"topic": epoch.topic, "topic_id": epoch.topic_id, "partition": partition, "hash": head.hex()}
        for (epoch, partition), head in sorted(
            heads.items(), key=lambda item: (item[0][0].topic, item[0][0].topic_id or "", item[0][1])
        )
    ]
    body = {"version": _VERSION, "written_at": now.astimezone(UTC).isoformat(timespec="seconds"), "heads": rows}
    signed = {**body, "signature": _signature(body, secret)}
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(orjson.dumps(signed, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    temporary.replace(path)
    return len(rows)


def read_checkpoint(path: Path, secret: bytes) -> dict[PartitionKey, bytes]:
    """The heads of a checkpoint.

    Raises:
        NotFound: there is no such file.
        ProvenanceError: it is no checkpoint, or its signature is not ours.
    """
    try:
        signed = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(f"there is no checkpoint {path}") from error
    except (OSError, orjson.JSONDecodeError) as error:
        raise ProvenanceError(f"{path} is no checkpoint") from error
    try:
        body = {name: signed[name] for name in ("version", "written_at", "heads")}
        if not hmac.compare_digest(_signature(body, secret), str(signed["signature"])):
            raise ProvenanceError(
                f"the signature of {path} does not fit",
                hint="it was edited, or written with another hash_key than the configured one",
            )
        return {
            (TopicEpoch(row["topic"], row["topic_id"]), row["partition"]): bytes.fromhex(row["hash"])
            for row in body["heads"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ProvenanceError(f"{path} is no checkpoint") from error


def _signature(body: Mapping[str, Any], secret: bytes) -> str:
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hmac.new(secret, b"stream_lineage checkpoint\x00" + text, hashlib.sha256).hexdigest()

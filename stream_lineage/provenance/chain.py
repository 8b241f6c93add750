"""The hash chain of each partition.

Every flush adds one link to each partition that it holds spans of:

    hash = SHA-256( previous || canonical spans of the partition || digests of the observations that hold them )

with the spans in offset order, each with the schema references that it stands under, and the digests in the order of
the bytes. Changing, dropping, adding or reordering anything in the log breaks a link, or leaves the chain short of the
head that is kept in the committed offset's metadata.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from stream_lineage.model.span import OffsetSpan

GENESIS = bytes(32)
"""``previous`` of the first link of a topic epoch."""

_SPAN = struct.Struct(">iqqq")
_GAP = struct.Struct(">qq")
_METADATA_VERSION = 1
MAX_UNRESOLVED = 16
"""Unresolved schemas that a head remembers; what is beyond is completed when the id is seen again."""


def next_hash(previous: bytes, spans: Iterable[OffsetSpan], digests: Iterable[bytes]) -> bytes:
    """The link after ``previous`` for one partition and flush. All hashes and digests are 32 bytes.

    Raises:
        ValueError: a hash or digest is not 32 bytes long, or the spans are of several partitions.
    """
    if len(previous) != 32:
        raise ValueError("a link is 32 bytes")
    ordered = sorted(spans, key=lambda span: span.first_offset)
    if len({span.partition for span in ordered}) > 1:
        raise ValueError("a link is about one partition")
    state = hashlib.sha256(previous)
    state.update(struct.pack(">I", len(ordered)))
    for span in ordered:
        state.update(_SPAN.pack(span.partition, span.first_offset, span.last_offset, span.count))
        state.update(struct.pack(">I", len(span.missing)))
        for gap in span.missing:
            state.update(_GAP.pack(gap.first_offset, gap.last_offset))
            state.update(gap.reason.value.encode().ljust(16, b"\x00"))
    for digest in sorted(set(digests)):
        if len(digest) != 32:
            raise ValueError("a digest is 32 bytes")
        state.update(digest)
    return state.digest()


@dataclass(frozen=True, slots=True)
class Head:
    """What the committed offset of a partition carries as metadata: where its chain stands.

    ``next_offset`` is the first offset that no span covers yet. It can lie below the committed offset when only
    invisible offsets (control records, aborted transactions) followed the last span: the next span starts there.
    ``unresolved`` names schemas that still wait for the registry, as ``role:id`` or ``role:guid``.
    """

    hash: bytes
    next_offset: int
    topic_id: str | None
    unresolved: tuple[str, ...] = ()

    def to_metadata(self) -> str:
        fields: dict[str, object] = {"v": _METADATA_VERSION, "h": self.hash.hex(), "n": self.next_offset}
        if self.topic_id is not None:
            fields["t"] = self.topic_id
        if self.unresolved:
            fields["u"] = list(self.unresolved[:MAX_UNRESOLVED])
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_metadata(cls, metadata: str | None) -> Head | None:
        """The head in committed metadata, or null where there is none of ours."""
        if not metadata:
            return None
        try:
            fields = json.loads(metadata)
            if fields["v"] != _METADATA_VERSION:
                return None
            digest = bytes.fromhex(fields["h"])
            unresolved = tuple(str(item) for item in fields.get("u", ()))
            topic_id = fields.get("t")
            if len(digest) != 32 or not (topic_id is None or isinstance(topic_id, str)):
                return None
            return cls(digest, int(fields["n"]), topic_id, unresolved)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

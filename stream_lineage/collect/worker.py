"""The decode worker: a process of its own that decodes and profiles batches, and that may die.

It reads requests from a socket that it inherits and answers each of them. A request is one JSON message, followed, for
batches, by six buffers: data, starts and lengths of the values, then of the keys. It has a memory limit, no Kafka
client and no network; when its parent is gone it ends.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import orjson

from stream_lineage.errors import SchemaError
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.wire.columns import BadRecord, Batch
from stream_lineage.wire.decoder import DecodeLimits, RecordDecoder, decoder_for

MEBIBYTE = 1024 * 1024
MEMORY_EXIT_STATUS = 77


@dataclass(slots=True)
class _Group:
    builder: ProfileBuilder
    value_kind: Decoder
    key_kind: Decoder


@dataclass(slots=True)
class _Payloads:
    """The non-null payloads of a batch, without framing, and where each stood in the request."""

    batch: Batch
    places: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(slots=True)
class Worker:
    """Answers requests one after the other; all state is about the present flush."""

    hash_key: bytes
    max_fields: int
    reveal_fields: tuple[str, ...]
    decoders: dict[int, RecordDecoder] = field(default_factory=dict)
    groups: dict[int, _Group] = field(default_factory=dict)

    def schema(self, request: dict[str, Any]) -> dict[str, Any]:
        """Prepare the decoder of a schema; a schema that cannot be used makes its records opaque."""
        limits = DecodeLimits(max_fields=self.max_fields)
        error = None
        try:
            decoder = decoder_for(
                SchemaType(request["type"]), Framing(request["framing"]), request["text"], request["references"], limits
            )
        except SchemaError as failure:
            decoder = decoder_for(SchemaType.NONE, Framing.OPAQUE, None, {}, limits)
            error = failure.message
        self.decoders[request["number"]] = decoder
        return {"decoder": decoder.kind.value, "error": error}

    def batch(self, request: dict[str, Any], buffers: list[bytes], *, keep: bool) -> dict[str, Any]:
        """Decode a batch and, unless it is a mere probe, add it to its group's profile."""
        value_decoder, key_decoder = self.decoders[request["value"]], self.decoders[request["key"]]
        values = _payloads(buffers[0], buffers[1], buffers[2], request["value_skip"])
        keys = _payloads(buffers[3], buffers[4], buffers[5], request["key_skip"])
        raw_keys = _payloads(buffers[3], buffers[4], buffers[5], 0) if request["key_skip"] else keys
        decoded_values = value_decoder.decode(values.batch)
        decoded_keys = key_decoder.decode(keys.batch)
        if keep:
            group = self.groups.get(request["group"])
            if group is None:
                options = ProfileOptions(
                    hash_key=self.hash_key,
                    max_fields=self.max_fields,
                    reveal_fields=_revealed(self.reveal_fields, request["topic"]),
                )
                group = _Group(ProfileBuilder(options), value_decoder.kind, key_decoder.kind)
                self.groups[request["group"]] = group
            group.builder.add(decoded_values, role="value")
            group.builder.add(decoded_keys, role="key")
            group.builder.add_keys(raw_keys.batch)
        return {"bad": [*_bad("value", values, decoded_values.bad), *_bad("key", keys, decoded_keys.bad)]}

    def finish(self, request: dict[str, Any]) -> bytes | None:
        """The encoded profile of a group, which is forgotten."""
        group = self.groups.pop(request["group"], None)
        if group is None:
            return None
        return encode_profile(group.builder.finish(group.value_kind, group.key_kind, request["budget"]))


def _payloads(data: bytes, starts: bytes, lengths: bytes, skip: int) -> _Payloads:
    all_lengths = np.frombuffer(lengths, np.int64)
    all_starts = np.frombuffer(starts, np.int64)
    places = np.flatnonzero(all_lengths >= 0)
    if len(places) != len(all_lengths):
        all_lengths, all_starts = all_lengths[places], all_starts[places]
    raw = np.frombuffer(data, np.uint8)
    return _Payloads(Batch(raw, all_starts + skip, all_lengths - skip), places)


def _bad(role: str, payloads: _Payloads, bad: list[BadRecord]) -> list[list[Any]]:
    return [[int(payloads.places[record.index]), role, record.kind, record.error] for record in bad]


def _revealed(patterns: tuple[str, ...], topic: str) -> frozenset[str]:
    """Paths that may be shown of this topic: ``topic:path`` for one topic, ``path`` for all."""
    own = set()
    for pattern in patterns:
        where, separator, path = pattern.partition(":")
        if not separator:
            own.add(where)
        elif where == topic:
            own.add(path)
    return frozenset(own)


def serve(connection: Connection, worker: Worker) -> None:
    """Answer until the parent closes its end."""
    while True:
        try:
            request = orjson.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        operation = request["op"]
        if operation in ("batch", "probe"):
            buffers = [connection.recv_bytes() for _ in range(6)]
            answer = worker.batch(request, buffers, keep=operation == "batch")
            connection.send_bytes(orjson.dumps(answer))
        elif operation == "schema":
            connection.send_bytes(orjson.dumps(worker.schema(request)))
        elif operation == "finish":
            profile = worker.finish(request)
            connection.send_bytes(b"\x00" if profile is None else b"\x01" + profile)
        else:
            raise ValueError(f"unknown request {operation}")


def _limit_memory(megabytes: int) -> None:
    """Bound what this process may add to what it holds now. Where the platform cannot, the deadline remains."""
    with contextlib.suppress(ValueError, OSError):
        page_counts = open("/proc/self/statm").read().split()  # noqa: SIM115, PTH123
        held = int(page_counts[5]) * resource.getpagesize()
        limit = held + megabytes * MEBIBYTE
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Entry point: ``python -m stream_lineage.collect.worker FD MEMORY_MB``; the options come as the first message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    options = orjson.loads(connection.recv_bytes())
    worker = Worker(bytes.fromhex(options["hash_key"]), options["max_fields"], tuple(options["reveal_fields"]))
    _limit_memory(int(sys.argv[2]))
    connection.send_bytes(b"ready")
    try:
        serve(connection, worker)
    except MemoryError:
        sys.exit(MEMORY_EXIT_STATUS)


if __name__ == "__main__":
    main()

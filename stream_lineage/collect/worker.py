"""The decode worker: a process of its own that decodes and profiles batches, and that may die.

It reads requests from a socket that it inherits and answers each of them. A request is one JSON message, followed, for
batches, by six buffers: data, starts and lengths of the values, then of the keys. Several batches may come as one
request, with six buffers for each. It has a memory limit, no Kafka client and no network; when its parent is gone it
ends.

A probe tries a batch in a forked child and tells how that ended, so that looking for the records that kill a decoder
costs a fork for each try and not a new interpreter.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import orjson

from stream_lineage.collect.memory import no_core_dumps
from stream_lineage.errors import SchemaError
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.profile.key_hashes import KEY, KeyHasher, fields_of
from stream_lineage.profile.options import DEFAULT_QUANTILES_K, ProfileOptions, revealed_paths
from stream_lineage.wire.columns import BadRecord, Batch, Decoded
from stream_lineage.wire.decoder import DecodeLimits, RecordDecoder, decoder_for
from stream_lineage.wire.json_records import JsonRecords

MEBIBYTE = 1024 * 1024
MEMORY_EXIT_STATUS = 77
_FAILED_EXIT_STATUS = 1
_WALL_SECONDS_FOR_CPU = 5.0
"""A probe may take so many times its processor time by the clock: the machine may be busy."""
_MAX_JSON_DECODERS = 512
_BUFFERS = 6


@dataclass(slots=True)
class _Group:
    builder: ProfileBuilder
    value_kind: Decoder
    key_kind: Decoder
    value_text: bool | None = None  # whether all opaque ones look like text, as far as there are any
    key_text: bool | None = None


@dataclass(slots=True)
class _Payloads:
    """The non-null payloads of a batch, without framing, and where each stood in the request."""

    batch: Batch
    places: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(slots=True)
class Worker:
    """Answers requests one after the other. Beside decoders, all state is about the present flush."""

    hash_key: bytes
    max_fields: int
    reveal_fields: tuple[str, ...]
    quantiles_k: int = DEFAULT_QUANTILES_K
    key_fields: tuple[str, ...] = ()
    decoders: dict[int, RecordDecoder] = field(default_factory=dict)
    groups: dict[int, _Group] = field(default_factory=dict)
    _json: OrderedDict[tuple[int, str, str], JsonRecords] = field(default_factory=OrderedDict)
    _hashers: dict[str, list[KeyHasher]] = field(default_factory=dict)

    def schema(self, request: dict[str, Any]) -> dict[str, Any]:
        """Prepare the decoder of a schema; a schema that cannot be used makes its records opaque."""
        limits = DecodeLimits(max_fields=self.max_fields)
        error = None
        try:
            decoder = decoder_for(
                SchemaType(request["type"]),
                Framing(request["framing"]),
                request["text"],
                request["references"],
                limits,
                tail=request["tail"],
                indexes=None if request["indexes"] is None else bytes.fromhex(request["indexes"]),
            )
        except MemoryError:
            raise
        except Exception as failure:  # noqa: BLE001  (a registry may hold any text; none may end the worker again and again)
            decoder = decoder_for(SchemaType.NONE, Framing.OPAQUE, None, {}, limits)
            error = failure.message if isinstance(failure, SchemaError) else type(failure).__name__
        self.decoders[request["number"]] = decoder
        return {"decoder": decoder.kind.value, "error": error}

    def batch(self, request: dict[str, Any], buffers: list[bytes]) -> dict[str, Any]:
        """Decode a batch and add it to its group's profile."""
        value_decoder = self._decoder(request["value"], request["topic"], "value")
        key_decoder = self._decoder(request["key"], request["topic"], "key")
        values = _payloads(buffers[0], buffers[1], buffers[2], request["value_skip"])
        keys = _payloads(buffers[3], buffers[4], buffers[5], request["key_skip"])
        raw_keys = _payloads(buffers[3], buffers[4], buffers[5], 0) if request["key_skip"] else keys
        decoded_values = value_decoder.decode(values.batch)
        decoded_keys = key_decoder.decode(keys.batch)
        group = self._group(request, value_decoder.kind, key_decoder.kind)
        group.value_text = _all_text(group.value_text, decoded_values.text)
        group.key_text = _all_text(group.key_text, decoded_keys.text)
        group.builder.add(decoded_values, role="value")
        group.builder.add(decoded_keys, role="key")
        group.builder.add_keys(raw_keys.batch)
        answer = {"bad": [*_bad("value", values, decoded_values.bad), *_bad("key", keys, decoded_keys.bad)]}
        if self.key_fields and (hashers := self._key_hashers(request["topic"])):
            answer["keys"] = [_hashed(hasher, value_decoder, values, decoded_values, raw_keys) for hasher in hashers]
        return answer

    def _key_hashers(self, topic: str) -> list[KeyHasher]:
        """Those of the fields by which people ask for records of a topic."""
        known = self._hashers.get(topic)
        if known is None:
            known = [KeyHasher(self.hash_key, topic, path) for path in fields_of(self.key_fields, topic)]
            if known:
                self._hashers[topic] = known
        return known

    def finish(self, request: dict[str, Any]) -> bytes | None:
        """The encoded profile of a group, which is forgotten. Values that were ``left_out`` count as undecoded."""
        group = self.groups.pop(request["group"], None)
        if group is None:
            return None
        left_out = request["left_out"]
        if left_out:
            bad = [BadRecord(index, "worker-lost", "") for index in range(left_out)]
            group.builder.add(Decoded(left_out, [], bad), role="value")
        kinds = _kind(group.value_kind, group.value_text), _kind(group.key_kind, group.key_text)
        return encode_profile(group.builder.finish(*kinds, request["budget"]))

    def _decoder(self, number: int, topic: str, role: str) -> RecordDecoder:
        """The decoder of a schema. Those of JSON remember which members they have seen: one for each topic and role,
        the least recently used of which are forgotten."""
        decoder = self.decoders[number]
        if not isinstance(decoder, JsonRecords):
            return decoder
        own = self._json.pop((number, topic, role), None) or decoder.afresh()
        self._json[number, topic, role] = own
        if len(self._json) > _MAX_JSON_DECODERS:
            self._json.popitem(last=False)
        return own

    def _group(self, request: dict[str, Any], value_kind: Decoder, key_kind: Decoder) -> _Group:
        group = self.groups.get(request["group"])
        if group is None:
            options = ProfileOptions(
                hash_key=self.hash_key,
                quantiles_k=self.quantiles_k,
                max_fields=self.max_fields,
                reveal_fields=revealed_paths(self.reveal_fields, request["topic"]),
            )
            group = self.groups[request["group"]] = _Group(ProfileBuilder(options), value_kind, key_kind)
        return group


def _all_text(before: bool | None, now: bool | None) -> bool | None:
    return now if before is None else before and now is not False


def _kind(kind: Decoder, text: bool | None) -> Decoder:
    return Decoder.TEXT if kind is Decoder.OPAQUE and text else kind


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


def _hashed(
    hasher: KeyHasher, decoder: RecordDecoder, values: _Payloads, decoded: Decoded, keys: _Payloads
) -> list[Any]:
    """Path, places in the request and hashes as hexadecimal digits, and how many were left out."""
    if hasher.path == KEY:
        places, hashes, left_out = keys.places, hasher.raw(keys.batch), 0
    else:
        found = hasher.located(decoder.decode, values.batch, decoded)
        places, hashes, left_out = values.places[found.places], found.hashes, found.left_out
    return [hasher.path, places.astype("<i4").tobytes().hex(), hashes.astype("<u8").tobytes().hex(), left_out]


def serve(connection: Connection, worker: Worker) -> None:
    """Answer until the parent closes its end."""
    while True:
        try:
            request = orjson.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        operation = request["op"]
        if operation in ("batch", "probe"):
            buffers = [connection.recv_bytes() for _ in range(_BUFFERS)]
            if operation == "batch":
                answer = worker.batch(request, buffers)
            else:
                answer = {"status": _tried(partial(worker.batch, request, buffers), connection, request["seconds"])}
            connection.send_bytes(orjson.dumps(answer))
        elif operation == "batches":
            answers = [
                worker.batch(each, [connection.recv_bytes() for _ in range(_BUFFERS)]) for each in request["batches"]
            ]
            connection.send_bytes(orjson.dumps(answers))
        elif operation == "schema":
            connection.send_bytes(orjson.dumps(worker.schema(request)))
        elif operation == "finish":
            profile = worker.finish(request)
            connection.send_bytes(b"\x00" if profile is None else b"\x01" + profile)
        else:
            raise ValueError(f"unknown request {operation}")


def _tried(work: Callable[[], object], connection: Connection, cpu_seconds: float) -> int:
    """How a child that does the work ends: 0, another exit status, or the negative number of the signal that ends it
    (SIGPROF or SIGALRM: it took too long)."""
    child = os.fork()
    if child == 0:
        status = _FAILED_EXIT_STATUS
        try:
            os.close(connection.fileno())  # else nobody could tell that the worker is gone
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            signal.setitimer(signal.ITIMER_REAL, cpu_seconds * _WALL_SECONDS_FOR_CPU)
            work()
            status = 0
        except MemoryError:
            status = MEMORY_EXIT_STATUS
        except BaseException:  # noqa: BLE001, S110  (it ends here whatever it was, and says nothing: it may hold payload)
            pass
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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
    no_core_dumps()
    connection = Connection(int(sys.argv[1]))
    options = orjson.loads(connection.recv_bytes())
    worker = Worker(
        bytes.fromhex(options["hash_key"]),
        options["max_fields"],
        tuple(options["reveal_fields"]),
        options["quantiles_k"],
        tuple(options["key_fields"]),
    )
    _limit_memory(int(sys.argv[2]))
    connection.send_bytes(b"ready")
    try:
        serve(connection, worker)
    except MemoryError:
        sys.exit(MEMORY_EXIT_STATUS)


if __name__ == "__main__":
    main()

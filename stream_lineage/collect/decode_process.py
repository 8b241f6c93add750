"""The parent's side of the decode worker: start, ask, give up on it, start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream_lineage.collect.payloads import Payloads
from stream_lineage.errors import WorkerLost
from stream_lineage.logs import get_logger
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.profile.options import DEFAULT_QUANTILES_K

_log = get_logger("stream_lineage.collect")
_START_SECONDS = 60
_LOOK_SECONDS = 0.25
_MOVE_SECONDS = 8.0
_PROBE_PATIENCE = 6.0
"""How many times its processor seconds a probe is waited for, at most."""
_SCHEMA_DEATHS = 2
"""A schema that ended this many workers is not tried again: its records are opaque."""
MOST_FINISHES = 64
"""Small requests that are sent before the first answer is read: neither side must ever wait for room at the other's."""
_EXIT_REASONS = {
    1: "failed",
    -6: "aborted",
    -9: "was killed",
    -11: "crashed (segmentation fault)",
    -14: "took too long",  # SIGALRM and SIGPROF: the clocks of a probe
    -27: "took too long",
    77: "ran out of memory",
}


@dataclass(frozen=True, slots=True)
class DecodeSchema:
    """What the worker needs to know of a schema. ``tail`` is how many bytes of framing stand behind each payload, and
    ``indexes`` are the message indexes of all of them, null where they stand before each."""

    type: SchemaType
    framing: Framing
    text: str | None
    references: tuple[tuple[str, str], ...] = ()
    tail: int = 0
    indexes: bytes | None = None


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record of a batch that could not be decoded, by its index in the batch."""

    index: int
    role: str
    kind: str
    error: str


@dataclass(frozen=True, slots=True)
class FieldHashes:
    """Of a field by which people ask for records: ``hashes[i]`` is of a value of the record at ``places[i]`` of the
    batch. ``left_out`` records have values of which the place is not known."""

    path: str
    places: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What is said of a batch: the records that do not decode, and the hashes of key fields."""

    bad: list[Undecodable]
    keys: tuple[FieldHashes, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Records of a group that are to be decoded; ``skips`` are the bytes of framing before each value and key."""

    group: int
    topic: str
    values: Payloads
    keys: Payloads
    value_schema: DecodeSchema
    key_schema: DecodeSchema
    skips: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FinishRequest:
    """What is asked for of a group: its encoded profile, of at most about ``budget`` bytes. ``left_out`` values of it
    were never sent."""

    group: int
    budget: int
    left_out: int


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    hash_key: bytes
    max_fields: int
    reveal_fields: tuple[str, ...]
    memory_mb: int
    deadline_seconds: float
    quantiles_k: int = DEFAULT_QUANTILES_K
    key_fields: tuple[str, ...] = ()


class DecodeProcess:
    """One worker process at a time. Every call may raise ``WorkerLost``: then the process is gone, with all that it
    held, and ``start`` makes a new one."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._known: dict[DecodeSchema, int] = {}
        self._numbers: dict[DecodeSchema, int] = {}
        self.decoders: dict[DecodeSchema, Decoder] = {}
        self.schema_errors: dict[DecodeSchema, str] = {}
        self._schema_deaths: Counter[DecodeSchema] = Counter()
        self.restarts = 0
        self._started = False
        self._ended_with: int | None = None
        self._void: Callable[[], bool] = lambda: False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def _patience(self) -> float:
        """Seconds that a worker which has nothing to do, or has an answer, may take to move some bytes."""
        return min(self._options.deadline_seconds, _MOVE_SECONDS)

    def kill(self) -> None:
        """End the process, from whichever thread, and leave the rest as it is: this one ends too."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def start(self) -> None:
        """Start a fresh worker, ending one that is there. It is sent each schema again before its first batch.

        Raises:
            WorkerLost: it could not be started, or ended at once.
        """
        if self._process is not None or self._connection is not None:
            self.close()
        if self._started:
            self.restarts += 1
        self._started = True
        self._known.clear()
        ours, theirs = socket.socketpair()
        try:
            # No side ever waits for the other while that one works, but where the worker is stopped in the middle.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self._patience))
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self._patience))
            self._process = self._spawned(theirs)
        except OSError as error:
            ours.close()
            raise WorkerLost(f"the decode worker cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._connection = Connection(ours.detach())
        options = {
            "hash_key": self._options.hash_key.hex(),
            "max_fields": self._options.max_fields,
            "reveal_fields": self._options.reveal_fields,
            "quantiles_k": self._options.quantiles_k,
            "key_fields": self._options.key_fields,
        }
        self._send(orjson.dumps(options))
        self._receive(_START_SECONDS)

    def _spawned(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
        for name in list(environment):
            if name.startswith("STREAM_LINEAGE_"):
                del environment[name]  # the worker reads hostile bytes: it is given no secret
        return subprocess.Popen(
            [sys.executable, "-m", "stream_lineage.collect.worker", str(theirs.fileno()), str(self._options.memory_mb)],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a crash dump could hold payload values
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which drains first
        )

    def work_until(self, void: Callable[[], bool]) -> None:
        """Stop waiting for the worker once ``void`` says that nobody wants its answers any more."""
        self._void = void

    def close(self) -> None:
        """End the worker, at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def batch(self, batch: BatchRequest) -> BatchAnswer:
        """Decode a batch into its group's profile."""
        self._send_batch(self._request("batch", batch), batch)
        return _answer(orjson.loads(self._receive(self._options.deadline_seconds)), len(batch.values))

    def batches(self, batches: Sequence[BatchRequest]) -> list[BatchAnswer]:
        """The same for several small ones in one go: each answer that is waited for is a turn of the processor."""
        requests = [self._request("batch", each) for each in batches]
        self._send(orjson.dumps({"op": "batches", "batches": requests}))
        for each in batches:
            self._send_payloads(each)
        answers = orjson.loads(self._receive(self._options.deadline_seconds))
        return [_answer(answer, len(each.values)) for each, answer in zip(batches, answers, strict=True)]

    def probe(self, batch: BatchRequest, *, seconds: float) -> str | None:
        """Try to decode a batch into its group's profile, in a child of the worker, which stays as it is: null if the
        child lives, else how it ended.

        ``seconds`` are of the processor's time.
        """
        self._send_batch(self._request("probe", batch) | {"seconds": seconds}, batch)
        status = orjson.loads(self._receive(seconds * _PROBE_PATIENCE + 1.0))["status"]
        return None if status == 0 else f"the decoder {_reason(status)}"

    def finish(self, group: int, budget: int, left_out: int) -> bytes | None:
        """The encoded profile of a group, at most about ``budget`` bytes; null when it got no batch. ``left_out``
        values of it were never sent."""
        return next(self.finishes([FinishRequest(group, budget, left_out)]))

    def finishes(self, requests: Sequence[FinishRequest]) -> Iterator[bytes | None]:
        """The same for several groups in one go, at most as many as ``MOST_FINISHES``."""
        for each in requests:
            self._send(
                orjson.dumps({"op": "finish", "group": each.group, "budget": each.budget, "left_out": each.left_out})
            )
        for _ in requests:
            answer = self._receive(self._options.deadline_seconds)
            yield answer[1:] if answer[:1] == b"\x01" else None

    def _request(self, operation: str, batch: BatchRequest) -> dict[str, Any]:
        return {
            "op": operation,
            "group": batch.group,
            "topic": batch.topic,
            "value": self._schema(batch.value_schema),
            "key": self._schema(batch.key_schema),
            "value_skip": batch.skips[0],
            "key_skip": batch.skips[1],
        }

    def _send_batch(self, request: dict[str, Any], batch: BatchRequest) -> None:
        self._send(orjson.dumps(request))
        self._send_payloads(batch)

    def _send_payloads(self, batch: BatchRequest) -> None:
        for payloads in (batch.values, batch.keys):
            self._send(payloads.data)
            self._send(payloads.starts.tobytes())
            self._send(payloads.lengths.tobytes())

    def prepare(self, schema: DecodeSchema) -> Decoder:
        """Which decoder this schema's records get. Decided once per schema."""
        self._schema(schema)
        return self.decoders[schema]

    def _schema(self, schema: DecodeSchema) -> int:
        number = self._known.get(schema)
        if number is not None:
            return number
        number = self._numbers.setdefault(schema, len(self._numbers))
        deadly = self._schema_deaths[schema] >= _SCHEMA_DEATHS
        request = {
            "op": "schema",
            "number": number,
            "type": SchemaType.NONE.value if deadly else schema.type.value,
            "framing": Framing.OPAQUE.value if deadly else schema.framing.value,
            "text": None if deadly else schema.text,
            "references": {} if deadly else dict(schema.references),
            "tail": 0 if deadly else schema.tail,
            "indexes": None if schema.indexes is None else schema.indexes.hex(),
        }
        try:
            self._send(orjson.dumps(request))
            answer = orjson.loads(self._receive(self._options.deadline_seconds))
        except WorkerLost:
            if self._ended_with != -signal.SIGKILL:  # else others ended it
                self._schema_deaths[schema] += 1
            raise
        error = "the decode worker did not survive it" if deadly else answer["error"]
        if error is not None and schema not in self.schema_errors:
            self.schema_errors[schema] = error
            _log.error("a schema cannot be used: its records are not looked into", type=schema.type.value, error=error)
        self.decoders[schema] = Decoder(answer["decoder"])
        self._known[schema] = number
        return number

    def _send(self, data: bytes) -> None:
        if self._connection is None:
            raise WorkerLost("the decode worker is not running")
        try:
            self._connection.send_bytes(data)
        except BlockingIOError as error:
            raise self._stuck(self._patience) from error
        except OSError as error:
            raise self._lost() from error

    def _receive(self, seconds: float) -> bytes:
        if self._connection is None:
            raise WorkerLost("the decode worker is not running")
        try:
            deadline = time.monotonic() + seconds
            while not self._connection.poll(max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic()))):
                if self._void():
                    self._ended_with = None
                    self.close()
                    raise WorkerLost("the decode worker is not wanted any more")
                if time.monotonic() >= deadline:
                    raise self._stuck(seconds)
            return self._connection.recv_bytes()
        except BlockingIOError as error:  # stopped in the middle of its answer
            raise self._stuck(self._patience) from error
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _stuck(self, seconds: float) -> WorkerLost:
        self._ended_with = None
        self.close()
        return WorkerLost(f"the decode worker ran past its deadline of {seconds:g} s")

    def _lost(self) -> WorkerLost:
        status = None
        if self._process is not None:
            try:
                status = self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                status = None
        self._ended_with = status
        self.close()
        return WorkerLost(f"the decode worker {_reason(status)}")


def _reason(status: int | None) -> str:
    return _EXIT_REASONS.get(status or 0, f"ended with status {status}")


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))


def _answer(answer: dict[str, Any], records: int) -> BatchAnswer:
    """Only what can be so is believed of a process that reads hostile bytes."""
    keys = []
    for path, places, hashes, left_out in answer.get("keys", ()):
        at = np.frombuffer(bytes.fromhex(places), "<i4").astype(np.int64)
        own = np.frombuffer(bytes.fromhex(hashes), "<u8").astype(np.uint64)
        if len(at) != len(own) or (len(at) and not 0 <= int(at.min()) <= int(at.max()) < records):
            raise WorkerLost("the decode worker answered what cannot be")
        keys.append(FieldHashes(path, at, own, left_out))
    return BatchAnswer([Undecodable(*row) for row in answer["bad"]], tuple(keys))

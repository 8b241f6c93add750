"""The parent's side of the decode worker: start, ask, give up on it, start again."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import orjson

from stream_lineage.collect.batch import Payloads
from stream_lineage.errors import WorkerLost
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import Framing, SchemaType

_START_SECONDS = 60
_EXIT_REASONS = {-9: "killed", -11: "crashed (segmentation fault)", -6: "aborted", 77: "out of memory"}


@dataclass(frozen=True, slots=True)
class DecodeSchema:
    """What the worker needs to know of a schema."""

    type: SchemaType
    framing: Framing
    text: str | None
    references: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record of a batch that could not be decoded, by its index in the batch."""

    index: int
    role: str
    kind: str
    error: str


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    hash_key: bytes
    max_fields: int
    reveal_fields: tuple[str, ...]
    memory_mb: int
    deadline_seconds: float


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
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a fresh worker, ending one that is there."""
        if self._process is not None:
            self.restarts += 1
        self.close()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _START_SECONDS, 0))
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""}
        for name in list(environment):
            if name.startswith("STREAM_LINEAGE_"):
                del environment[name]  # the worker reads hostile bytes: it is given no secret
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stream_lineage.collect.worker", str(theirs.fileno()), str(self._options.memory_mb)],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a crash dump could hold payload values
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which drains first
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        options = {
            "hash_key": self._options.hash_key.hex(),
            "max_fields": self._options.max_fields,
            "reveal_fields": self._options.reveal_fields,
        }
        self._send(orjson.dumps(options))
        self._receive(_START_SECONDS)
        self._known.clear()

    def close(self) -> None:
        """End the worker, at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def batch(
        self,
        group: int,
        topic: str,
        values: Payloads,
        keys: Payloads,
        value_schema: DecodeSchema,
        key_schema: DecodeSchema,
        skips: tuple[int, int],
        *,
        probe: bool = False,
        deadline_seconds: float | None = None,
    ) -> list[Undecodable]:
        """Decode a batch into its group's profile; or, as a probe, only try to. The records that do not decode."""
        request: dict[str, Any] = {
            "op": "probe" if probe else "batch",
            "group": group,
            "topic": topic,
            "value": self._schema(value_schema),
            "key": self._schema(key_schema),
            "value_skip": skips[0],
            "key_skip": skips[1],
        }
        self._send(orjson.dumps(request))
        for payloads in (values, keys):
            self._send(payloads.data)
            self._send(payloads.starts.tobytes())
            self._send(payloads.lengths.tobytes())
        answer = orjson.loads(self._receive(deadline_seconds or self._options.deadline_seconds))
        return [Undecodable(*row) for row in answer["bad"]]

    def finish(self, group: int, budget: int) -> bytes | None:
        """The encoded profile of a group, at most about ``budget`` bytes; null when it got no batch."""
        self._send(orjson.dumps({"op": "finish", "group": group, "budget": budget}))
        answer = self._receive(self._options.deadline_seconds)
        return answer[1:] if answer[:1] == b"\x01" else None

    def prepare(self, schema: DecodeSchema) -> Decoder:
        """Which decoder this schema's records get. Decided once per schema."""
        self._schema(schema)
        return self.decoders[schema]

    def _schema(self, schema: DecodeSchema) -> int:
        number = self._known.get(schema)
        if number is not None:
            return number
        number = self._numbers.setdefault(schema, len(self._numbers))
        request = {
            "op": "schema",
            "number": number,
            "type": schema.type.value,
            "framing": schema.framing.value,
            "text": schema.text,
            "references": dict(schema.references),
        }
        self._send(orjson.dumps(request))
        answer = orjson.loads(self._receive(self._options.deadline_seconds))
        self.decoders[schema] = Decoder(answer["decoder"])
        if answer["error"] is not None:
            self.schema_errors[schema] = answer["error"]
        self._known[schema] = number
        return number

    def _send(self, data: bytes) -> None:
        if self._connection is None:
            raise WorkerLost("the decode worker is not running")
        try:
            self._connection.send_bytes(data)
        except OSError as error:
            raise self._lost() from error

    def _receive(self, seconds: float) -> bytes:
        if self._connection is None:
            raise WorkerLost("the decode worker is not running")
        try:
            if not self._connection.poll(seconds):
                self.close()
                raise WorkerLost(f"the decode worker ran past its deadline of {seconds:g} s")
            return self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> WorkerLost:
        status = None
        if self._process is not None:
            try:
                status = self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                status = None
        self.close()
        return WorkerLost(f"the decode worker {_EXIT_REASONS.get(status or 0, f'ended with status {status}')}")

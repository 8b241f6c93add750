"""Compiling Protobuf schemas: the side that asks. What is asked is ``protobuf_compiler``, a process of its own, since
what the text of a schema may do to native code is not to be found out in ours."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from stream_lineage.errors import SchemaError
from stream_lineage.wire.protobuf_schema import ProtobufSchema, schema_of

MAX_CHARACTERS = 16_000_000
"""Of a schema and all that it refers to."""
_WAIT_SECONDS = 15.0
"""The clock's seconds for one schema; the compiler itself counts those of the processor."""
_END_SECONDS = 2.0


def parse_schema(text: str, references: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> ProtobufSchema:
    """Compile a schema; ``references`` are the texts of the files that it imports, by the names it does so under.

    Well-known types, and what Confluent's serializers take for known, need not be among them.

    Raises:
        SchemaError: the schema cannot be compiled, is beyond a bound, or the compiler did not survive it.
    """
    return schema_of(_compiled(text, references, declared=False))


def declared_by(text: str, references: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Everything that a schema declares, as ``protobuf_declarations`` has it. Raises as ``parse_schema`` does."""
    return _compiled(text, references, declared=True)


def _compiled(
    text: str, references: Mapping[str, str] | Iterable[tuple[str, str]], *, declared: bool
) -> dict[str, Any]:
    files = dict(references)
    if len(text) + sum(map(len, files.values())) > MAX_CHARACTERS:
        raise SchemaError(f"a Protobuf schema is longer than {MAX_CHARACTERS} characters")
    answer = _COMPILER.ask({"text": text, "references": files, "declared": declared})
    if "error" in answer:
        raise SchemaError(f"the Protobuf schema cannot be compiled: {answer['error']}")
    return answer


class _Compiler:
    """The process, started when it is needed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._directory: str | None = None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        message = json.dumps(request).encode()
        with self._lock:
            for _ in range(2):
                if self._process is None:
                    self._start()
                answer = self._ask(message)
                if answer is not None:
                    return answer
        raise SchemaError("the Protobuf compiler cannot be reached")

    def close(self) -> None:
        """End the process. It is let go rather than killed: should we be killed meanwhile, it still tidies up."""
        with self._lock:
            if self._connection is not None and self._process is not None:
                self._connection.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_SECONDS)
            self._end()

    def _ask(self, message: bytes) -> dict[str, Any] | None:
        """The answer; null where the process has ended of its own accord, having had nothing to do."""
        connection, process = self._connection, self._process
        assert connection is not None  # noqa: S101  (it has just been started)
        assert process is not None  # noqa: S101
        try:
            connection.send_bytes(message)
            if connection.poll(_WAIT_SECONDS):
                answer: dict[str, Any] = json.loads(connection.recv_bytes())
                return answer
        except (EOFError, OSError):
            try:
                if process.wait(_WAIT_SECONDS) == 0:
                    self._end()
                    return None
            except subprocess.TimeoutExpired:
                pass
            self._end()
            raise SchemaError("the Protobuf compiler did not survive the schema") from None
        self._end()
        raise SchemaError("the Protobuf compiler took too long for the schema")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_LINEAGE_")}
        try:
            self._directory = tempfile.mkdtemp(prefix="stream-lineage-protobuf-")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_lineage.wire.protobuf_compiler", str(theirs.fileno()), self._directory],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._end()
            raise SchemaError(f"the Protobuf compiler cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._connection = Connection(ours.detach())

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


_COMPILER = _Compiler()
atexit.register(_COMPILER.close)

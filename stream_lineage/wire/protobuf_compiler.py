"""The Protobuf compiler, as a process of its own: ``python -m stream_lineage.wire.protobuf_compiler FD DIRECTORY``.

It reads requests from a socket that it inherits, one JSON document each with ``text`` and ``references`` (name to
text), and answers what ``protobuf_schema.schema_of`` reads, or ``{"error": ...}``; where ``declared`` is asked for,
what ``protobuf_declarations`` gives. The schema's text is anybody's and the compiler is native code: it may crash here,
and here it may use so much processor time, memory and disk. Nobody having asked for a while, and when the other side is
gone, it ends.

A text may also be a descriptor, serialised and in base64: so do Confluent's clients for Python register schemas, and
some registries give them back as they came.

Files are written to DIRECTORY, which is removed at the end. Nothing outside of it is read but the well-known types.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.resources
import json
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from grpc_tools import protoc

from stream_lineage.wire.protobuf_builtin import BUILTIN
from stream_lineage.wire.protobuf_declarations import MAX_FIELDS, TooLarge, declarations

IDLE_SECONDS = 15.0
CPU_SECONDS = 8.0
MEMORY_BYTES = 1 << 30
FILE_BYTES = 256 << 20
_MAX_NAME = 1_000
_MAX_ERROR = 300
_VERIFY = 2  # features.utf8_validation

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")

_KINDS = {
    value: name.removeprefix("TYPE_").lower() for name, value in vars(FieldDescriptor).items() if name[:5] == "TYPE_"
}


class _Refused(Exception):
    """The schema cannot be used; the text says why."""


def compiled(text: str, references: Mapping[str, str], directory: Path, *, declared: bool = False) -> dict[str, Any]:
    """The messages of a schema, as ``protobuf_schema.schema_of`` reads them; or everything that it declares."""
    work = directory / "work"
    work.mkdir()
    try:
        files = _descriptors(text, references, work)
    finally:
        shutil.rmtree(work)
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in files.file:
            pool.Add(file)
        main = pool.FindFileByName(files.file[-1].name)
    except (TypeError, KeyError) as error:
        raise _Refused("its messages are too large, or contradict each other") from error
    if declared:
        try:
            return declarations(pool, main)
        except TooLarge as error:
            raise _Refused(f"it has more than {MAX_FIELDS} fields") from error
    roots = [main.message_types_by_name[message.name] for message in files.file[-1].message_type]
    return _Reader(pool).document(roots) | {"serialised": _BASE64.fullmatch(text) is not None}


def _descriptors(text: str, references: Mapping[str, str], work: Path) -> descriptor_pb2.FileDescriptorSet:
    """The descriptors of a schema and of all that it imports, the schema's own last."""
    sources = work / "sources"
    name = "schema.proto"
    while name in references:
        name = f"a_{name}"
    descriptors = descriptor_pb2.FileDescriptorSet()
    for each, content in {**references, name: text}.items():
        path = sources.joinpath(*_parts(each))
        if _BASE64.fullmatch(content):
            descriptors.file.append(_descriptor(each, content))
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8", errors="surrogatepass")
        except OSError as error:
            raise _Refused(f"the file of a reference cannot be written: {error.strerror}") from error
    out = work / "out"
    known = importlib.resources.files("grpc_tools") / "_proto"
    paths = (sources, work.parent / "builtin", known)
    options = [*(f"--proto_path={path}" for path in paths), "--include_imports", f"--descriptor_set_out={out}"]
    if descriptors.file:
        known_too = work / "in"
        known_too.write_bytes(descriptors.SerializeToString())
        options.append(f"--descriptor_set_in={known_too}")
    said = work / "said"
    with said.open("wb") as stderr:
        os.dup2(stderr.fileno(), 2)
    status = protoc.main(["protoc", *options, name])
    if status != 0 or not out.exists():
        with said.open("rb") as stderr:
            lines = stderr.read(64 * 1024).decode(errors="replace").splitlines()
        raise _Refused(_first_error(line.removeprefix(f"{sources}/") for line in lines))
    return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


def _descriptor(name: str, text: str) -> descriptor_pb2.FileDescriptorProto:
    try:
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text))
    except (DecodeError, ValueError) as error:
        raise _Refused("it is neither a schema nor a descriptor of one") from error
    file.name = name
    return file


def _parts(name: str) -> tuple[str, ...]:
    """The parts of an import's name, none of which leads elsewhere."""
    path = PurePosixPath(name)
    bad = not name or len(name) > _MAX_NAME or path.is_absolute() or ".." in path.parts or str(path) != name
    if bad or "\\" in name or not name.isprintable():
        raise _Refused("a reference has a name that is no relative path")
    return path.parts


def _first_error(lines: Iterable[str]) -> str:
    logged = ("warning:", "absl::", "] No edition or syntax")
    errors = [line for line in lines if line and not any(mark in line for mark in logged)]
    return errors[0][:_MAX_ERROR] if errors else "the compiler refuses it"


class _Reader:
    """Lists the messages and enums that some messages lead to. Lists refer to each other by index."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool
        self._messages: dict[str, int] = {}
        self._enums: dict[str, int] = {}
        self._enum_rows: list[list[Any]] = []
        self._pending: list[tuple[Descriptor, list[Any]]] = []
        self._rows: list[list[Any]] = []
        self._fields = 0

    def document(self, roots: list[Descriptor]) -> dict[str, Any]:
        indexes = [self._message(root) for root in roots]
        while self._pending:
            message, row = self._pending.pop()
            row[2] = [self._field(field) for field in self._fields_of(message)]
            row[3] = [self._message(nested) for nested in message.nested_types]
        return {"messages": self._rows, "enums": self._enum_rows, "roots": indexes}

    def _fields_of(self, message: Descriptor) -> list[FieldDescriptor]:
        fields = list(message.fields)
        if message.is_extendable:
            fields += self._pool.FindAllExtensions(message)
        self._fields += len(fields)
        if self._fields > MAX_FIELDS:
            raise _Refused(f"it has more than {MAX_FIELDS} fields")
        return fields

    def _message(self, message: Descriptor) -> int:
        index = self._messages.get(message.full_name)
        if index is None:
            index = self._messages[message.full_name] = len(self._rows)
            row = [message.full_name, bool(message.GetOptions().map_entry), [], []]
            self._rows.append(row)
            self._pending.append((message, row))
        return index

    def _enum(self, enum: EnumDescriptor) -> int:
        index = self._enums.get(enum.full_name)
        if index is None:
            index = self._enums[enum.full_name] = len(self._enum_rows)
            symbols, numbers = [value.name for value in enum.values], [value.number for value in enum.values]
            self._enum_rows.append([enum.full_name, symbols, numbers, enum.is_closed])
        return index

    def _field(self, field: FieldDescriptor) -> list[Any]:
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) == 1:
            oneof = None  # proto3's optional fields are made of these
        referred = None
        if field.message_type is not None:
            referred = self._message(field.message_type)
        elif field.enum_type is not None:
            referred = self._enum(field.enum_type)
        kind = _KINDS[field.type]
        utf8 = kind == "string" and field._GetFeatures().utf8_validation == _VERIFY
        name = f"[{field.full_name}]" if field.is_extension else field.name
        return [
            field.number,
            name,
            kind,
            field.is_repeated,
            field.has_presence,
            None if oneof is None else oneof.index,
            utf8,
            field.is_required,
            referred,
        ]


def _answer(request: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # which ends the process
    try:
        return compiled(request["text"], request["references"], directory, declared=request.get("declared", False))
    except _Refused as refusal:
        return {"error": str(refusal)}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit() -> None:
    for what, limit in (
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # lower already, or not known to the platform
            resource.setrlimit(what, (limit, limit))


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, directory = Connection(int(sys.argv[1])), Path(sys.argv[2])
    _limit()
    try:
        for name, text in BUILTIN.items():
            path = directory / "builtin" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        while connection.poll(IDLE_SECONDS):
            request = json.loads(connection.recv_bytes())
            connection.send_bytes(json.dumps(_answer(request, directory)).encode())
    except (EOFError, OSError):
        pass
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()

"""Bundles from files or stdin, and to files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import orjson

from stream_lineage.errors import DecodeError, NotFound
from stream_lineage.explain.bundle import parse_bundle
from stream_lineage.explain.recording import Recording

MOST_BYTES = 1_000_000_000


def write_bundle(path: Path, document: dict[str, Any]) -> None:
    """Write a bundle, whole or not at all, readable by its owner only.

    Raises:
        NotFound: the file cannot be written.
    """
    building = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(document) + b"\n")
        building.replace(path)
    except OSError as error:
        building.unlink(missing_ok=True)
        raise NotFound(f"{path} cannot be written: {error.strerror}") from error


def read_bundle(path: str) -> Recording:
    """The incident in a file; ``-`` is stdin.

    Raises:
        NotFound: there is no such file, or it cannot be read.
        DecodeError: it is no bundle; the message says where.
    """
    name = "stdin" if path == "-" else path
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise NotFound(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MOST_BYTES:
        raise DecodeError(
            f"{name} is larger than {MOST_BYTES // 1_000_000} MB",
            hint="Keep the series of a day before the breach, or wider windows of them.",
        )
    if not data.strip():
        raise DecodeError(f"{name} is empty")
    try:
        return parse_bundle(data.removeprefix(b"\xef\xbb\xbf"))
    except DecodeError as error:
        raise DecodeError(f"{name}: {error.message}", hint=error.hint) from error

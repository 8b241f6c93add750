"""Which code a run was of: the commit that is checked out, and a hash of the function's own source.

Git is not asked: its files are read. Whether anything has been changed since that commit shows in the hash alone.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import urlsplit

VERSION_VARIABLE = "LINEAGE_CODE_VERSION"
"""The environment variable that says which version is deployed where there is no repository, as in a container."""
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
_REMOTE = re.compile(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(\S+)', re.MULTILINE)
_LARGEST = 4_000_000


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """``function`` and ``source_hash`` are null for code that is no function. ``url`` is where the repository is on the
    web, without whoever logs in there."""

    function: str | None = None
    source_hash: str | None = None
    version: str | None = None
    branch: str | None = None
    url: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class _Checkout:
    root: Path
    version: str | None
    branch: str | None
    url: str | None


def code_version(function: Callable[..., Any] | None, file: str | None = None) -> CodeVersion:
    """Of a function, or of whatever else is in a file. Never fails: what cannot be found is null."""
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        file = code.co_filename
    known = os.environ.get(VERSION_VARIABLE) or None
    name = None if function is None else _name(function)
    source = _source_hash(code) if isinstance(code, CodeType) else None
    checkout = None if file is None else _checkout(str(Path(file).parent))
    if checkout is None or file is None:
        return CodeVersion(name, source, known)
    try:
        path = Path(file).resolve().relative_to(checkout.root).as_posix()
    except (OSError, ValueError):  # a link to a file that is elsewhere: what is checked out here is not its version
        return CodeVersion(name, source, known)
    return CodeVersion(name, source, known or checkout.version, checkout.branch, checkout.url, path)


def _name(function: Callable[..., Any]) -> str | None:
    """Null for an object that can be called and has no name, such as a partial function."""
    name = getattr(function, "__qualname__", None)
    return None if name is None else f"{getattr(function, '__module__', None)}.{name}"


@lru_cache(maxsize=4096)
def _source_hash(code: CodeType) -> str | None:
    try:
        return hashlib.sha256(inspect.getsource(code).encode(errors="surrogatepass")).hexdigest()
    except Exception:  # noqa: BLE001  (files that were changed since they were read raise whatever the tokenizer does)
        return None


@lru_cache(maxsize=256)
def _checkout(directory: str) -> _Checkout | None:
    try:
        start = Path(directory).resolve(strict=True)
        for root in (start, *start.parents):
            if (root / ".git").exists():
                return _read(root)
    except (OSError, ValueError):
        pass
    return None


def _read(root: Path) -> _Checkout:
    place = root / ".git"
    if place.is_file():  # a worktree, or a submodule
        place = (root / _text(place).partition("gitdir:")[2].strip()).resolve()
    shared = place
    if (place / "commondir").is_file():
        shared = (place / _text(place / "commondir").strip()).resolve()
    head = _text(place / "HEAD").strip()
    branch, version = None, head
    if head.startswith("ref:"):
        name = head.removeprefix("ref:").strip()
        branch, version = name.removeprefix("refs/heads/"), _ref(name, place, shared)
    config = shared / "config"
    found = _REMOTE.search(_text(config)) if config.is_file() else None
    return _Checkout(
        root,
        version if _SHA.fullmatch(version) else None,
        branch,
        None if found is None else web_address(found.group(1)),
    )


def _ref(name: str, *places: Path) -> str:
    for place in places:
        if (place / name).is_file():
            return _text(place / name).strip()
    packed = places[-1] / "packed-refs"
    for line in _text(packed).splitlines() if packed.is_file() else ():
        version, _, known = line.partition(" ")
        if known == name:
            return version
    return ""


def web_address(remote: str) -> str | None:
    """Of a remote, whichever way it is named, without user, password or token; null where it is nowhere on the web."""
    scp = _SCP.fullmatch(remote)
    if scp is not None:
        return f"https://{scp.group(1)}/{scp.group(2).removesuffix('.git').strip('/')}"
    try:
        parts = urlsplit(remote)
        host = parts.hostname
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ssh", "git") or not host:
        return None
    scheme = parts.scheme if parts.scheme in ("http", "https") else "https"
    where = host if port is None or parts.scheme in ("ssh", "git") else f"{host}:{port}"
    return f"{scheme}://{where}{parts.path.removesuffix('.git').rstrip('/')}"


def _text(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_LARGEST)

"""Fetches files of a Maven repository: verified, resumed where they broke off, in place only when complete."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.maven import Repository, certificate_bundle
from stream_lineage.sandbox.progress import Download

CHECKSUMS = ("sha512", "sha256", "sha1")  # Central has the first two for newer artifacts only, the last for all
_AS_IT_IS = {"Accept-Encoding": "identity"}
_CHUNK_BYTES = 1 << 17
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
_HINT = "Check the network; a mirror can be named in STREAM_LINEAGE_MAVEN_REPOSITORY or in Maven's settings.xml."


class _Broken(Exception):
    """This attempt failed; the next may not."""


def _trust(bundle: str | None) -> ssl.SSLContext:
    """Whom to believe: the environment's bundle, else the system's own store, as ``pip`` does."""
    if bundle is not None:
        return ssl.create_default_context(cafile=bundle)
    import truststore  # not installed where nothing is downloaded

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Position:
    """How much of one file has been told to the progress, so that what has to come again is taken back."""

    def __init__(self, progress: Download) -> None:
        self._progress = progress
        self._told = 0

    def move_to(self, bytes_count: int) -> None:
        if bytes_count != self._told:
            self._progress.advance(bytes_count - self._told)
            self._told = bytes_count


class Downloader:
    """Downloads from one repository; may be used from several threads."""

    def __init__(self, repository: Repository, *, attempts: int = 5, first_pause_seconds: float = 1.0) -> None:
        self._url = repository.url
        self._attempts = attempts
        self._first_pause_seconds = first_pause_seconds
        self._cancelled = threading.Event()
        self._client = httpx.Client(
            auth=(repository.user, repository.password or "") if repository.user else None,
            verify=_trust(certificate_bundle()),
            timeout=_TIMEOUT,
            follow_redirects=True,
        )

    def cancel(self) -> None:
        """Downloads in other threads end soon, with an error; what they have so far is kept."""
        self._cancelled.set()

    def close(self) -> None:
        self._client.close()

    def size(self, path: str) -> int:
        """How many bytes ``fetch`` will have to get; 0 if the repository does not say."""
        try:
            response = self._client.head(f"{self._url}/{path}", headers=_AS_IT_IS)
        except httpx.HTTPError:
            return 0
        return int(response.headers.get("Content-Length", 0)) if response.is_success else 0

    def fetch(self, path: str, target: Path, progress: Download, *, checksums: Sequence[str] = CHECKSUMS) -> None:
        """Download ``path`` of the repository to ``target``, unless it is there. Raises SandboxError.

        It is held against the first of ``checksums`` that the repository has for it.
        """
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.part")
        position = _Position(progress)
        complaint = ""
        for attempt in range(self._attempts):
            if attempt:
                self._cancelled.wait(self._first_pause_seconds * 2 ** (attempt - 1))
            self._stop_if_cancelled()
            try:
                self._transfer(path, partial, position)
                self._verify(path, partial, position, checksums)
            except (httpx.HTTPError, _Broken) as error:
                complaint = str(error) or type(error).__name__
                continue
            partial.replace(target)
            return
        raise SandboxError(f"could not download {self._url}/{path}: {complaint}", hint=_HINT)

    def _transfer(self, path: str, partial: Path, position: _Position) -> None:
        """The rest of the file, from where the last attempt broke off."""
        have = partial.stat().st_size if partial.exists() else 0
        headers = {**_AS_IT_IS, **({"Range": f"bytes={have}-"} if have else {})}
        with self._client.stream("GET", f"{self._url}/{path}", headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                position.move_to(have)
                return  # it is all here: the checksum will tell
            self._check_status(response, path)
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            with partial.open("ab" if resumed else "wb") as file:
                position.move_to(file.tell())
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    self._stop_if_cancelled()
                    file.write(chunk)
                    position.move_to(file.tell())

    def _verify(self, path: str, partial: Path, position: _Position, checksums: Sequence[str]) -> None:
        for algorithm in checksums:
            expected = self._checksum(path, algorithm)
            if expected is None:
                continue
            with partial.open("rb") as file:
                actual = hashlib.file_digest(file, algorithm).hexdigest()
            if actual != expected:
                partial.unlink()
                position.move_to(0)
                raise _Broken(f"its {algorithm} is {actual}, the repository says {expected}")
            return

    def _checksum(self, path: str, algorithm: str) -> str | None:
        """What the repository says; None if it does not say."""
        response = self._client.get(f"{self._url}/{path}.{algorithm}")
        if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN):
            return None
        self._check_status(response, f"{path}.{algorithm}")
        digits = hashlib.new(algorithm).digest_size * 2
        found = re.search(rf"\b[0-9a-fA-F]{{{digits}}}\b", response.text)  # bare, or beside the file's name
        return found[0].lower() if found else None

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise SandboxError("the download was cancelled")

    def _check_status(self, response: httpx.Response, path: str) -> None:
        if response.is_success:
            return
        complaint = f"the repository answered {response.status_code}"
        if response.is_server_error or response.status_code in (408, 429):
            raise _Broken(complaint)
        raise SandboxError(f"could not download {self._url}/{path}: {complaint}", hint=_HINT)

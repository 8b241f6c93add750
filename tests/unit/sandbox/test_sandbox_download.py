"""If this fails, a broken or corrupted download ends up in the cache, or a short outage ends the first start."""

from __future__ import annotations

import hashlib
import re
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.certificates import Authority
from stream_lineage.sandbox.download import Downloader
from stream_lineage.sandbox.maven import Repository
from stream_lineage.sandbox.progress import Download

_BODY = bytes(range(256)) * 4_000
_PATH = "org/example/thing/1/thing-1.jar"


class _Server(ThreadingHTTPServer):
    """A Maven repository that can be told to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cut_after: list[int] = []  # for the next requests of the file: bytes until the connection breaks
        self.statuses: list[int] = []  # for the next requests of the file: an error instead
        self.ranges = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path, wanted = self.path.removeprefix("/maven/"), self.headers.get("Range")
        self.server.requests.append((path, wanted))
        body = self.server.files.get(path)
        is_file = path == _PATH
        if is_file and self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        if body is None:
            self.send_error(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        start = int(match[1]) if match and self.server.ranges else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = self.server.cut_after.pop(0) if is_file and self.server.cut_after else len(body)
        self.wfile.write(body[start : start + cut])

    def do_HEAD(self) -> None:
        body = self.server.files.get(self.path.removeprefix("/maven/"))
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"an error page")))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Recorded(Download):
    received = 0

    def advance(self, bytes_count: int) -> None:
        self.received += bytes_count


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.files = {_PATH: _BODY, f"{_PATH}.sha1": hashlib.sha1(_BODY, usedforsecurity=False).hexdigest().encode()}
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def downloader(server: _Server) -> Iterator[Downloader]:
    url = f"http://127.0.0.1:{server.server_address[1]}/maven"
    downloader = Downloader(Repository(url), attempts=3, first_pause_seconds=0.01)
    yield downloader
    downloader.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "thing-1.jar"


def test_a_file_arrives(server: _Server, downloader: Downloader, target: Path) -> None:
    progress = _Recorded()
    downloader.fetch(_PATH, target, progress)
    assert target.read_bytes() == _BODY
    assert progress.received == len(_BODY)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    asked = len(server.requests)
    downloader.fetch(_PATH, target, progress)
    assert len(server.requests) == asked


def test_a_corrupted_file_does_not_get_its_name(server: _Server, downloader: Downloader, target: Path) -> None:
    server.files[_PATH] = b"!" + _BODY[1:]
    progress = _Recorded()
    with pytest.raises(SandboxError, match="sha1") as failure:
        downloader.fetch(_PATH, target, progress)
    assert failure.value.hint
    assert list(target.parent.iterdir()) == []
    assert [path for path, _ in server.requests].count(_PATH) == 3
    assert progress.received == 0


def test_what_was_corrupted_once_is_fetched_again_from_its_beginning(
    server: _Server, downloader: Downloader, target: Path
) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(b"left over from something else")
    downloader.fetch(_PATH, target, Download())
    assert target.read_bytes() == _BODY
    assert [wanted for path, wanted in server.requests if path == _PATH] == ["bytes=29-", None]


def test_it_goes_on_where_the_connection_broke(server: _Server, downloader: Downloader, target: Path) -> None:
    server.cut_after = [300_000, 300_000]
    progress = _Recorded()
    downloader.fetch(_PATH, target, progress)
    assert target.read_bytes() == _BODY
    assert progress.received == len(_BODY)
    starts = [wanted for path, wanted in server.requests if path == _PATH]
    assert starts[0] is None
    assert all(start is not None for start in starts[1:])


def test_a_server_without_ranges_sends_it_all_again(server: _Server, downloader: Downloader, target: Path) -> None:
    server.ranges = False
    server.cut_after = [300_000]
    downloader.fetch(_PATH, target, Download())
    assert target.read_bytes() == _BODY


def test_a_file_that_was_complete_but_not_named_is_not_fetched_again(
    server: _Server, downloader: Downloader, target: Path
) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(_BODY)
    progress = _Recorded()
    downloader.fetch(_PATH, target, progress)
    assert target.read_bytes() == _BODY
    assert progress.received == len(_BODY)
    assert [wanted for path, wanted in server.requests if path == _PATH] == [f"bytes={len(_BODY)}-"]


def test_a_short_outage_is_waited_for(server: _Server, downloader: Downloader, target: Path) -> None:
    server.statuses = [503, 429]
    downloader.fetch(_PATH, target, Download())
    assert target.read_bytes() == _BODY


def test_a_refusal_is_final(server: _Server, downloader: Downloader, target: Path) -> None:
    server.statuses = [403]
    with pytest.raises(SandboxError, match="403"):
        downloader.fetch(_PATH, target, Download())
    assert len(server.requests) == 1


@pytest.mark.parametrize("algorithm", ["sha512", "sha256"])
def test_the_strongest_checksum_counts(server: _Server, downloader: Downloader, target: Path, algorithm: str) -> None:
    server.files[f"{_PATH}.{algorithm}"] = f"{'0' * hashlib.new(algorithm).digest_size * 2}  thing-1.jar\n".encode()
    with pytest.raises(SandboxError, match=algorithm):
        downloader.fetch(_PATH, target, Download())


def test_a_repository_without_checksums_is_believed(server: _Server, downloader: Downloader, target: Path) -> None:
    del server.files[f"{_PATH}.sha1"]
    downloader.fetch(_PATH, target, Download())
    assert target.read_bytes() == _BODY


def test_how_much_will_come(server: _Server, downloader: Downloader) -> None:
    assert downloader.size(_PATH) == len(_BODY)
    assert downloader.size("there/is/no.jar") == 0


def test_nobody_there(target: Path) -> None:
    downloader = Downloader(Repository("http://127.0.0.1:9"), attempts=2, first_pause_seconds=0.01)
    assert downloader.size(_PATH) == 0
    with pytest.raises(SandboxError, match="could not download") as failure:
        downloader.fetch(_PATH, target, Download())
    downloader.close()
    assert "STREAM_LINEAGE_MAVEN_REPOSITORY" in (failure.value.hint or "")


def test_a_cancelled_download_ends_and_keeps_what_it_has(server: _Server, downloader: Downloader, target: Path) -> None:
    class Cancelling(Download):
        def advance(self, bytes_count: int) -> None:
            downloader.cancel()

    with pytest.raises(SandboxError, match="cancelled"):
        downloader.fetch(_PATH, target, Cancelling())
    assert not target.exists()
    assert target.with_name(f"{target.name}.part").stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's store is no file")
def test_the_authorities_of_the_system_are_believed(
    server: _Server, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a proxy has its own authority, the system's store has it and no variable need name it."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    authority = Authority("a company's proxy")
    store = tmp_path / "store.pem"
    store.write_text(authority.certificate)
    certificate, key = authority.issue("mirror", hosts=["127.0.0.1"]).write(tmp_path, "mirror")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)

    def fetch() -> None:
        repository = Repository(f"https://127.0.0.1:{server.server_address[1]}/maven")
        downloader = Downloader(repository, attempts=1)
        try:
            downloader.fetch(_PATH, target, Download())
        finally:
            downloader.close()

    with pytest.raises(SandboxError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch()
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLContext, "set_default_verify_paths", lambda self: self.load_verify_locations(store))
        fetch()
    assert target.read_bytes() == _BODY

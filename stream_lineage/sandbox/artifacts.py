"""The servers' files, fetched once and kept in a cache directory.

``<cache>/``
    ``maven/``: as in any Maven repository.
    ``kafka-<version>.json``: Kafka's class path, written when all of it is there; beside it that of its command line.
    ``apicurio-<version>/``: the registry, unpacked; renamed into place when complete.
    ``classes/``: archives of Java classes, see ``java_program.py``.
    ``download.lock``: held while downloading; of two processes, one waits for the other.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.download import Downloader
from stream_lineage.sandbox.java_program import JavaProgram
from stream_lineage.sandbox.lock import FileLock
from stream_lineage.sandbox.maven import Artifact, repository
from stream_lineage.sandbox.progress import Reporter
from stream_lineage.sandbox.resolve import resolve

_PARALLEL = 4


def cache_directory() -> Path:
    """``STREAM_LINEAGE_CACHE_DIR``, else the XDG cache directory of this package."""
    if named := os.environ.get("STREAM_LINEAGE_CACHE_DIR"):
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stream_lineage"


class Artifacts:
    """Gives the servers' files, downloading what is not in the cache."""

    def __init__(self, reporter: Reporter, cache: Path | None = None) -> None:
        self._reporter = reporter
        self._cache = cache or cache_directory()
        self._maven = self._cache / "maven"

    def kafka(self, version: str) -> JavaProgram:
        """Apache Kafka's server and tools."""
        return JavaProgram(self._cache, f"kafka-{version}", self._kafka_jars("kafka_2.13", version, f"kafka-{version}"))

    def kafka_command_line(self, version: str) -> list[Path]:
        """The class path of Apache Kafka's command line tools, which the server does without."""
        return self._kafka_jars("kafka-tools", version, f"kafka-tools-{version}")

    def registry(self, version: str) -> JavaProgram:
        """Apicurio Registry."""
        return JavaProgram(self._cache, f"apicurio-{version}", [self._registry_home(version) / "quarkus-run.jar"])

    def _kafka_jars(self, name: str, version: str, kept_as: str) -> list[Path]:
        index = self._cache / f"{kept_as}.json"
        if (jars := self._indexed(index)) is not None:
            return jars
        with self._locked():
            if (jars := self._indexed(index)) is not None:
                return jars
            self._reporter.say(f"Resolving Apache Kafka {version} ...")
            with self._downloader() as downloader:
                component = f"org.apache.kafka:{name}:{version}"
                artifacts = resolve(component, directory=self._maven, downloader=downloader)
                artifacts += _log_binding(artifacts)
                self._download(f"Apache Kafka {version}", artifacts, downloader)
            _write(index, json.dumps([artifact.path for artifact in artifacts], indent=1))
            return [self._maven / artifact.path for artifact in artifacts]

    def _registry_home(self, version: str) -> Path:
        home = self._cache / f"apicurio-{version}"
        if home.is_dir():
            return home
        with self._locked():
            if home.is_dir():
                return home
            archive = Artifact("io.apicurio", "apicurio-registry-app", version, "tar.gz", "all")
            with self._downloader() as downloader:
                self._download(f"Apicurio Registry {version}", [archive], downloader)
            self._reporter.say(f"Unpacking Apicurio Registry {version} ...")
            self._unpack(self._maven / archive.path, home)
            return home

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._cache / "download.lock")
        try:
            lock.acquire(on_wait=lambda: self._reporter.say("Another process is downloading; waiting for it ..."))
        except OSError as error:
            raise _unusable(self._cache, error) from error
        try:
            yield
        finally:
            lock.release()

    def _indexed(self, index: Path) -> list[Path] | None:
        try:
            jars = [self._maven / path for path in json.loads(index.read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            return None
        return jars if all(jar.exists() for jar in jars) else None

    @contextmanager
    def _downloader(self) -> Iterator[Downloader]:
        downloader = Downloader(repository())
        try:
            yield downloader
        except OSError as error:
            raise _unusable(self._cache, error) from error
        finally:
            downloader.close()

    def _download(self, title: str, artifacts: Sequence[Artifact], downloader: Downloader) -> None:
        paths = [artifact.path for artifact in artifacts if not (self._maven / artifact.path).exists()]
        with ThreadPoolExecutor(_PARALLEL) as pool, self._reporter.download(title) as progress:
            try:
                progress.expect(sum(pool.map(downloader.size, paths)))
                list(pool.map(lambda path: downloader.fetch(path, self._maven / path, progress), paths))
            except BaseException:
                downloader.cancel()  # after Ctrl-C, nobody waits for the rest of a large file
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _unpack(self, archive: Path, home: Path) -> None:
        scratch = Path(tempfile.mkdtemp(dir=self._cache, prefix=f"{home.name}."))
        try:
            with tarfile.open(archive) as tar:
                _extract(tar, scratch)
            scratch.rename(home)
        except (OSError, tarfile.TarError) as error:
            raise _unusable(self._cache, error) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        archive.unlink()  # 150 MB that nobody reads again


def _extract(tar: tarfile.TarFile, directory: Path) -> None:
    """Plain files and directories that stay inside. Python has a filter for that from 3.11.4 on."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(directory, filter="data")
        return
    root = directory.resolve()
    for member in tar.getmembers():
        inside = (root / member.name).resolve().is_relative_to(root)
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"the archive holds {member.name}, which is no plain file inside of it")
    tar.extractall(directory)  # noqa: S202  (each member was looked at)


def _log_binding(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Kafka logs through slf4j and leaves the choice of a backend to its distribution, which has log4j's."""
    versions = {artifact.version for artifact in artifacts if artifact.name == "log4j-api"}
    return [Artifact("org.apache.logging.log4j", "log4j-slf4j-impl", version) for version in versions]


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _unusable(cache: Path, error: Exception) -> SandboxError:
    return SandboxError(
        f"the cache directory {cache} cannot be used: {error}",
        hint="Name another one in STREAM_LINEAGE_CACHE_DIR.",
    )

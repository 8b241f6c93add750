"""A Java program's jars, and the archive of their classes that halves the time it takes to start.

An archive holds classes as the runtime wants them in memory, parsed and verified; Java calls this class data sharing.
The runtime's own classes are archived once. A program's classes are archived by its first run that ends in order, which
takes two to three seconds more to end. Java itself checks that an archive fits the runtime and the jars, and does
without it where it does not.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stream_lineage.sandbox.java import SMALL_MACHINE, java_executable, java_version

_DUMP_TIMEOUT_SECONDS = 60
_QUIET = "-Xlog:cds*=off"  # it lists every class that it leaves out


def archive_runtime(cache: Path) -> Path | None:
    """The archive of the Java runtime's own classes, made if there is none; None if that is not possible."""
    archive = cache / "classes" / f"java-{java_version()}.jsa"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    scratch = archive.with_suffix(f".{os.getpid()}")
    command = [str(java_executable()), *SMALL_MACHINE, "-Xshare:dump", f"-XX:SharedArchiveFile={scratch}"]
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, capture_output=True, timeout=_DUMP_TIMEOUT_SECONDS, check=True)
        scratch.replace(archive)
        return archive
    scratch.unlink(missing_ok=True)
    return None


class JavaProgram:
    """What it takes to run one server."""

    def __init__(self, cache: Path, name: str, class_path: Sequence[Path]) -> None:
        self.class_path = tuple(class_path)
        key = "\n".join([java_version(), *(f"{jar} {jar.stat().st_mtime_ns}" for jar in class_path)])  # as Java checks
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        self._name = name
        self._archive = cache / "classes" / f"{name}-{digest}.jsa"
        self._runtime = archive_runtime(cache)

    @property
    def archived(self) -> bool:
        """Whether an earlier run has left an archive."""
        return self._archive.exists()

    def archive_options(self, record: Path | None = None) -> list[str]:
        """For the command line: use the archive; while there is none, write one to ``record`` when the program ends."""
        if self.archived:
            return [_QUIET, f"-XX:SharedArchiveFile={self._archive}"]
        if self._runtime is None:
            return []
        recording = [] if record is None else [f"-XX:ArchiveClassesAtExit={record}"]
        return [_QUIET, f"-XX:SharedArchiveFile={self._runtime}", *recording]

    def keep_archive(self, record: Path) -> None:
        """Use what a program has recorded from now on. It must have ended by itself, else the file may be cut off."""
        if not record.exists() or self.archived:
            return
        scratch = self._archive.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            shutil.move(record, scratch)
            for outdated in self._archive.parent.glob(f"{self._name}-*.jsa"):
                outdated.unlink(missing_ok=True)
            scratch.replace(self._archive)

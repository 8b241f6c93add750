"""The file of the provenance index: opened for reading or writing, with SQLite's errors told as ours."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from stream_lineage.errors import IndexBusy, IndexUnusable, NotFound
from stream_lineage.index.layout import MIGRATIONS, check, migrate

BUSY_SECONDS = 10.0
PAGE_BYTES = 4096
"""That of every file of ours: one is copied into another page by page."""
_CACHE_KIB = 64 * 1024
REBUILD = "`stream-lineage index rebuild` makes it again from Kafka."
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"})


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads. Any number of them read while another process writes.

    Raises:
        NotFound: there is no such file.
        IndexUnusable: it is damaged, no index, or of another version.
    """
    if not path.exists():
        raise NotFound(f"there is no provenance index at {path}", hint=REBUILD)
    with explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        try:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            check(connection, version, len(MIGRATIONS))
            if version < len(MIGRATIONS):
                raise IndexUnusable(
                    f"the provenance index {path} is of an earlier version of stream-lineage",
                    hint="`stream-lineage index update` brings it to this one.",
                )
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("CREATE TEMP TABLE wanted (log INTEGER, first INTEGER, last INTEGER)")
        except BaseException:
            connection.close()
            raise
        return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that writes to a file of this version; an absent one is made, an earlier one migrated.

    Raises:
        IndexUnusable: the file is damaged, no index, of a later version, or cannot be written.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            check(connection, version, len(MIGRATIONS))  # before anything of a file of others is touched
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def explained(path: Path) -> AbstractContextManager[None]:
    """Tells what goes wrong with the file as an error of ours.

    Raises:
        IndexUnusable: on leaving, where it is damaged, or cannot be read or written.
    """
    return _Explained(path)


class _Explained(AbstractContextManager[None]):
    """No generator: it stands around each query."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "") or ""
            if any(name.startswith(each) for each in _DAMAGED):
                raise IndexUnusable(f"the provenance index {self._path} is damaged: {error}", hint=REBUILD) from error
            raise IndexUnusable(
                f"could not use the provenance index {self._path}: {error}",
                hint=f"Check index_path, its permissions and the free space. {REBUILD}",
            ) from error
        if isinstance(error, OSError):
            raise IndexUnusable(
                f"could not use the provenance index {self._path}: {error.strerror}", hint="Check index_path."
            ) from error


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """One process at a time writes to an index.

    Raises:
        IndexBusy: another process does so just now.
    """
    lock = path.with_name(path.name + ".lock")
    with explained(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise IndexBusy(
                f"another process is writing to the provenance index {path}",
                hint="`stream-lineage index update --follow` keeps it up to date: then there is nothing to do.",
            ) from None
        yield
    finally:
        os.close(descriptor)


def replace_contents(fresh: Path, path: Path) -> None:
    """Put what stands in the file ``fresh`` into the place of what stands in ``path``, in one transaction: whoever
    reads meanwhile reads the old. A file that cannot be opened as a database is put aside.

    Raises:
        IndexUnusable: it cannot be written, or is another program's.
    """
    with explained(path):
        source = sqlite3.connect(fresh)
        try:
            try:
                _copied(source, path)
            except (sqlite3.DatabaseError, IndexUnusable) as error:
                if not _beyond_repair(error, path):
                    raise
                for suffix in ("", "-wal", "-shm", "-journal"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                _copied(source, path)
        finally:
            source.close()


def _copied(source: sqlite3.Connection, path: Path) -> None:
    target = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        [version] = target.execute("PRAGMA user_version").fetchone()
        check(target, 0 if version > len(MIGRATIONS) else version, len(MIGRATIONS))
        target.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        target.execute("PRAGMA journal_mode = WAL")
        source.backup(target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        target.close()


def _beyond_repair(error: Exception, path: Path) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    return path.exists() and any(name.startswith(each) for each in _DAMAGED)

"""This machine: where we write, and what time it is."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stream_lineage.doctor.check import Check, fail, ok, warn

_SQLITE_HEADER = b"SQLite format 3\0"
_LITTLE_SPACE = 200 * 1024 * 1024
_AHEAD = timedelta(seconds=60)
_BUILT_AFTER = datetime(2026, 1, 1, tzinfo=UTC)


def check_store(path: Path) -> Check:
    """The check ``store``: the embedded store's file can be written, and is one."""
    directory = _nearest_directory(path.parent)
    if path.exists():
        if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
            return fail("store", f"{path} cannot be read and written", "Change its owner or mode, or sqlite_path.")
        with path.open("rb") as file:
            if file.read(len(_SQLITE_HEADER)) not in (b"", _SQLITE_HEADER):
                return fail("store", f"{path} is not an SQLite file", "Name another sqlite_path.")
    return _writable("store", path, directory, "sqlite_path")


def check_state(path: Path) -> Check:
    """The check ``state``: the state directory can be written."""
    return _writable("state", path, _nearest_directory(path), "state_dir")


def check_outbox(path: Path) -> Check:
    """The check ``outbox``: points that wait for InfluxDB can be written."""
    return _writable("outbox", path, _nearest_directory(path), "outbox_path")


def check_clock(now: datetime, newest: tuple[datetime, str] | None) -> Check:
    """The check ``clock``: this machine's time is not behind that of the records. ``newest`` comes with its topic."""
    if now < _BUILT_AFTER:
        return fail("clock", f"this machine believes that it is {now:%Y-%m-%d}", "Set the clock; run an NTP client.")
    if newest is None:
        return ok("clock", f"it is {now:%Y-%m-%d %H:%M:%S} UTC; there are no records to compare with")
    stamp, topic = newest
    if stamp - now > _AHEAD:
        detail = f"the newest record of {topic} is {stamp - now} in the future"
        return warn("clock", detail, "Check this machine's clock and that of the topic's producers (NTP).")
    return ok("clock", f"it is {now:%Y-%m-%d %H:%M:%S} UTC; the newest record is of {stamp:%Y-%m-%d %H:%M:%S}")


def _writable(name: str, path: Path, directory: Path, setting: str) -> Check:
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        return fail(name, f"{path} cannot be created: {directory} is not writable", f"Change its mode, or {setting}.")
    free = shutil.disk_usage(directory).free
    if free < _LITTLE_SPACE:
        return warn(name, f"{path}: {free // 2**20} MiB are free", "Make room.")
    return ok(name, f"{path}: writable, {free / 2**30:.1f} GiB free")


def _nearest_directory(path: Path) -> Path:
    """``path``, or what exists of it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path

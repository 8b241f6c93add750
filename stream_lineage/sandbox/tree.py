"""Removing directories."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path


def remove_tree(root: Path, *, keep: Collection[str] = ()) -> None:
    """Delete what is below ``root``, and ``root`` itself, but for files of the names in ``keep``.

    What cannot be deleted stays: this is called when there is something more important to report.
    """
    with contextlib.suppress(OSError):
        for path in root.iterdir():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path, keep=keep)
            elif path.name not in keep:
                path.unlink(missing_ok=True)
        root.rmdir()  # refused where something was kept

"""Removing directories."""

from __future__ import annotations

import contextlib
from pathlib import Path


def remove_tree(root: Path, *, keep: str | None = None) -> None:
    """Delete what is below ``root``, and ``root`` itself, but for files whose name matches ``keep``.

    What cannot be deleted stays: this is called when there is something more important to report.
    """
    with contextlib.suppress(OSError):
        for path in root.iterdir():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path, keep=keep)
            elif keep is None or not path.match(keep):
                path.unlink(missing_ok=True)
        root.rmdir()  # refused where something was kept

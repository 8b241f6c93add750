"""Where this machine keeps what survives a restart, unless a setting says otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/stream-lineage`` or what the platform has in its place. Nothing is created.

    A user without a home, as containers have them, gets ``/var/lib/stream-lineage``.
    """
    if root := os.environ.get("XDG_STATE_HOME"):
        return Path(root) / "stream-lineage"
    try:
        home = Path.home()
    except RuntimeError:
        return Path("/var/lib/stream-lineage")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "stream-lineage"
    return home / ".local" / "state" / "stream-lineage"

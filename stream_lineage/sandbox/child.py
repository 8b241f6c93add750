"""Running a module of this package in another Python process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import stream_lineage


def module_command(module: str) -> list[str]:
    """This interpreter, running ``module``."""
    return [sys.executable, "-m", module]


def module_environment(**more: str) -> dict[str, str]:
    """Our environment, in which the child finds the same ``stream_lineage`` as we did, installed or not."""
    root = str(Path(stream_lineage.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(paths)}

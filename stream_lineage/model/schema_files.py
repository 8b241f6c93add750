"""The schema files that are the source of truth for what goes over our topics."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def schema_text(name: str) -> str:
    """The text of ``schemas/<name>``, for example ``observation.avsc``: in an installed wheel they lie inside the
    package, in a checkout beside it.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "schemas", package.parent / "schemas"):
        path = folder / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(f"no schema file {name}")

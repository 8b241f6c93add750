"""Which library a frame is of, told by the name of its class."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Library(StrEnum):
    PANDAS = "pandas"
    POLARS = "polars"
    POLARS_LAZY = "polars lazy"
    PYARROW = "pyarrow"
    SPARK = "pyspark"
    ROWS = "rows"
    """A list of dicts, or a tuple of nothing else."""

    @property
    def schema_only(self) -> bool:
        """To count anything would be to run the query."""
        return self in (Library.POLARS_LAZY, Library.SPARK)


_LOOKED_AT = 100
_CLASSES = {
    ("pandas", "DataFrame"): Library.PANDAS,
    ("polars", "DataFrame"): Library.POLARS,
    ("polars", "LazyFrame"): Library.POLARS_LAZY,
    ("pyarrow", "Table"): Library.PYARROW,
    ("pyarrow", "RecordBatch"): Library.PYARROW,
    ("pyspark", "DataFrame"): Library.SPARK,
}


def library_of(value: Any) -> Library | None:
    """Null where it is no frame. A list without rows is none: it might be a list of anything. Nor is a tuple that has
    something else than dicts: functions return a dict beside a frame."""
    if isinstance(value, list):
        return Library.ROWS if value and isinstance(value[0], Mapping) else None
    if isinstance(value, tuple):
        return Library.ROWS if value and all(isinstance(each, Mapping) for each in value[:_LOOKED_AT]) else None
    for each in type(value).__mro__:
        found = _CLASSES.get((each.__module__.split(".", maxsplit=1)[0], each.__name__))
        if found is not None:
            return found
    return None


def library_version(library: Library) -> str | None:
    """The version of a library that is in use."""
    module = sys.modules.get(library.value.split(" ", maxsplit=1)[0])
    found = getattr(module, "__version__", None)
    return found if isinstance(found, str) else None

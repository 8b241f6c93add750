"""What a job of the pipeline tells the demo: one JSON line on standard output for each thing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

_MARK = '{"acknowledged": '


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker has acknowledged the first record under a schema in a partition."""

    topic: str
    schema_id: int
    partition: int
    offset: int

    def line(self) -> str:
        return f"{_MARK}{json.dumps(asdict(self))}}}"

    @classmethod
    def from_line(cls, line: str) -> Self | None:
        """Null if the line says something else."""
        return cls(**json.loads(line)["acknowledged"]) if line.startswith(_MARK) else None

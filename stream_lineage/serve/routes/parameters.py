"""Parameters that many routes have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime

from stream_lineage.serve.answers import LONGEST_CURSOR, MOST

_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
_NAME = r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+$"


def _sensible(at: datetime) -> datetime:
    try:
        found = at.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None
    if not _EARLIEST <= found <= _LATEST:
        raise ValueError("out of range")
    return found


Moment = Annotated[AwareDatetime, AfterValidator(_sensible)]
"""A time with its zone, of an age of computers."""

Topic = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,249}$", description="A topic of the watched cluster.")]
Partition = Annotated[int, Path(ge=0, lt=2**31)]
Offset = Annotated[int, Path(ge=0, lt=2**53)]
TopicId = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Of a topic that was deleted and made again: this one."),
]
Cursor = Annotated[str | None, Query(max_length=LONGEST_CURSOR, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Items of a page.")]
At = Annotated[Moment | None, Query(description="As of then; now where it is not given.")]
Depth = Annotated[int | None, Query(ge=1, le=1000, description="Steps to go at most.")]
Candidates = Annotated[bool, Query(description="With edges that are only guessed.")]
Nodes = Annotated[int, Query(ge=1, le=10_000, description="Nodes at most; `cut` says that there are more.")]
NodeName = Annotated[
    str,
    Query(
        min_length=1,
        max_length=5000,
        description="A node: its id, its name, or KIND:NAME; a column is TOPIC:PATH.",
    ),
]
Search = Annotated[str | None, Query(min_length=1, max_length=300, description="What the name holds.")]

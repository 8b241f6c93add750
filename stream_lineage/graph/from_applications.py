"""Evidence of the class ``declared``: what applications say of themselves, by decorators, on ``lineage.declarations``.

What an application says counts as long as nothing else is said of the job, and for some weeks after it was said last:
applications say it each day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from pydantic import ValidationError

from stream_lineage.errors import DecodeError
from stream_lineage.graph.claim import Claim
from stream_lineage.graph.declarations import DeclaredJob
from stream_lineage.graph.from_declarations import claims_of_job
from stream_lineage.graph.naming import Naming
from stream_lineage.wire.job_declarations import MAX_MESSAGE_BYTES, VERSION

SOURCE = "application/"
"""Before the job's name."""
MOST_JOBS = 5_000
"""Jobs that applications may declare. What more there are is left out."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of a job, and when; ``job`` is null where it was taken back."""

    name: str
    at: datetime
    job: DeclaredJob | None


def decode_job(key: bytes | None, value: bytes | None, at: datetime) -> Said:
    """What a message says.

    Raises:
        DecodeError: it is no declaration, or one of an unknown version.
    """
    try:
        name = (key or b"").decode()
        if value is None:
            return Said(name, at, None)
        if len(value) > MAX_MESSAGE_BYTES:
            raise DecodeError(f"a declaration of {len(value)} bytes is beyond the bound of {MAX_MESSAGE_BYTES}")
        document = orjson.loads(value)
        if document["version"] != VERSION:
            raise DecodeError("a declaration of an unknown version")
        job = DeclaredJob.model_validate(document["job"])
    except ValidationError as error:
        raise DecodeError(f"not a declaration of a job: {error.errors()[0]['msg']}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"not a declaration of a job: {type(error).__name__}") from error
    if job.name != name:
        raise DecodeError("a declaration of another job than its key says")
    return Said(name, at, job)


class ApplicationJobs:
    """The newest declaration of each job."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience
        self._said: dict[str, Said] = {}
        self.left_out = False

    def take(self, said: Said) -> None:
        known = self._said.get(said.name)
        if said.job is None:
            self._said.pop(said.name, None)
        elif known is not None or len(self._said) < MOST_JOBS:
            self._said[said.name] = said
        else:
            self.left_out = True

    def jobs(self, now: datetime) -> list[DeclaredJob]:
        """Those that count."""
        return [said.job for _, said in sorted(self._said.items()) if said.job and now - said.at <= self._patience]


def claims_of_applications(jobs: Iterable[DeclaredJob], naming: Naming) -> Iterator[Claim]:
    for job in jobs:
        yield from claims_of_job(job, naming, SOURCE + job.name)


def aliases_of(jobs: Iterable[DeclaredJob]) -> dict[str, str]:
    """Consumer groups, and the job that each of them is; the first that says so counts."""
    found: dict[str, str] = {}
    for job in jobs:
        for group in job.groups:
            found.setdefault(group, job.name)
    return found

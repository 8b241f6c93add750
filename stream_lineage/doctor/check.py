"""What was looked at, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_lineage.errors import StreamLineageError


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"  # works, but not as well as it should, or not yet
    FAIL = "fail"
    SKIPPED = "skipped"  # not looked at: not wanted, or what it needs has failed


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``mend`` is what to do; empty where there is nothing to do."""

    name: str
    status: Status
    detail: str
    mend: str = ""


def ok(name: str, detail: str) -> Check:
    return Check(name, Status.OK, detail)


def warn(name: str, detail: str, mend: str) -> Check:
    return Check(name, Status.WARN, detail, mend)


def fail(name: str, detail: str, mend: str) -> Check:
    return Check(name, Status.FAIL, detail, mend)


def skipped(name: str, detail: str) -> Check:
    return Check(name, Status.SKIPPED, detail)


def failed_by(name: str, error: StreamLineageError, mend: str = "") -> Check:
    """What an error of ours says, and its hint."""
    return fail(name, error.message, error.hint or mend)

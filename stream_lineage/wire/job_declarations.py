"""What an application declares of a job, as a message of ``lineage.declarations``: JSON, keyed by the job's name
(``declaration.schema.json``). The newest message of a job counts; one without a value takes it back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

TOPIC = "declarations"
"""Behind the prefix of our own topics."""
VERSION = 1
MAX_MESSAGE_BYTES = 256 * 1024
_MEMBERS = ("inputs", "outputs", "groups")


def encode_job(job: Mapping[str, Any]) -> bytes:
    """The value of the message.

    Raises:
        TypeError: something in it is not JSON.
        ValueError: it is too large.
    """
    value = json.dumps({"version": VERSION, "job": job}, ensure_ascii=False, separators=(",", ":")).encode()
    if len(value) > MAX_MESSAGE_BYTES:
        raise ValueError("a declaration is too large")
    return value


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two declarations of one job say together: all that either names, the owner of the first that names one."""
    both = {**other, **{name: said for name, said in one.items() if said is not None}}
    for name in _MEMBERS:
        both[name] = unique([*one[name], *other[name]])
    both["columns"] = unique([*one["columns"], *other["columns"]])
    return both


def unique(items: Iterable[Any]) -> list[Any]:
    """Each once, in the order of the first."""
    found: list[Any] = []
    for each in items:
        if each not in found:
            found.append(each)
    return found

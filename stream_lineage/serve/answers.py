"""What handlers answer: JSON, and pages of a list with a cursor to the next one."""

from __future__ import annotations

import base64
import binascii
import bisect
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from stream_lineage.serve.problems import BadCursor

T = TypeVar("T")
MOST = 1_000
"""Items of one page."""
LONGEST_CURSOR = 4_000
_LONGEST_KEY = 600
"""Characters of a key in a cursor, which takes four bytes each at most; of longer ones it has the beginning and a
hash."""


class Json(JSONResponse):
    """One JSON document: times in RFC 3339, NaN as null."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


class Page(BaseModel, Generic[T]):
    """A part of a list. ``next`` goes into the parameter ``cursor`` for what follows; null at the end."""

    items: list[T]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


def page(items: Sequence[Any], following: Sequence[str | int] | None) -> dict[str, Any]:
    """A page as JSON; ``following`` is the place of its last item where there are more."""
    return {"items": list(items), "next": None if following is None else cursor(following)}


def cursor(place: Sequence[str | int]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(place))).decode().rstrip("=")


def place(text: str | None, *kinds: type) -> list[Any] | None:
    """What ``cursor`` made into a text; null where there is none.

    Raises:
        BadCursor: it is none of ours.
    """
    if text is None:
        return None
    try:
        if len(text) > LONGEST_CURSOR:
            raise ValueError("too long")
        found = orjson.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadCursor("the cursor is none that was given out") from error
    fits = isinstance(found, list) and len(found) == len(kinds)
    if not fits or any(type(part) is not kind for part, kind in zip(found, kinds, strict=True)):
        raise BadCursor("the cursor is none that was given out")
    if any(isinstance(part, int) and not 0 <= part < 2**62 for part in found):
        raise BadCursor("the cursor is none that was given out")
    return list(found)


def sorted_page(
    keyed: Iterable[tuple[str, T]], cursor_text: str | None, limit: int, shown: Callable[[str, T], Any]
) -> dict[str, Any]:
    """A page of items in the order of their keys, of which no two are alike."""
    ordered = sorted(keyed, key=lambda each: each[0])
    return ordered_page(ordered, lambda each: each[0], cursor_text, limit, lambda each: shown(*each))


def ordered_page(
    ordered: Sequence[T],
    key: Callable[[T], str],
    cursor_text: str | None,
    limit: int,
    shown: Callable[[T], Any],
    wanted: Callable[[T], bool] = lambda _: True,
) -> dict[str, Any]:
    """A page of those that are wanted of items in the order of their keys; what is not on it is not looked at, but for
    the next one."""
    part: list[T] = []
    for position in range(_start(ordered, key, cursor_text), len(ordered)):
        each = ordered[position]
        if not wanted(each):
            continue
        if len(part) == limit:
            return page([shown(one) for one in part], _after(key(part[-1])))
        part.append(each)
    return page([shown(one) for one in part], None)


def _after(key: str) -> list[str | int]:
    return [key] if len(key) <= _LONGEST_KEY else [key[:_LONGEST_KEY], _digest(key)]


def _start(ordered: Sequence[T], key: Callable[[T], str], cursor_text: str | None) -> int:
    """Behind the item that a cursor names. Where a long key is not there any more, at those that begin like it: some
    come twice then, and none is lost."""
    if cursor_text is None:
        return 0
    try:
        [after] = place(cursor_text, str) or [""]
    except BadCursor:
        after, digest = place(cursor_text, str, str) or ["", ""]
        first = bisect.bisect_left(ordered, after, key=key)
        for position in range(first, len(ordered)):
            found = key(ordered[position])
            if not found.startswith(after):
                break
            if _digest(found) == digest:
                return position + 1
        return first
    return bisect.bisect_right(ordered, after, key=key)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]

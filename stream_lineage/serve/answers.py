"""What handlers answer: JSON, and pages of a list with a cursor to the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from stream_lineage.serve.problems import BadCursor

T = TypeVar("T")
MOST = 1_000
"""Items of one page."""
_LONGEST_CURSOR = 4_000


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
        if len(text) > _LONGEST_CURSOR:
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
    after = place(cursor_text, str)
    left = sorted((each for each in keyed if after is None or each[0] > after[0]), key=lambda each: each[0])
    part = left[:limit]
    return page([shown(*each) for each in part], [part[-1][0]] if len(left) > limit else None)

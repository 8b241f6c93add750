"""A value as somebody typed it: text, and a number where it is written as JSON writes numbers (RFC 8259, section 6)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")
_INTEGER_DIGITS = 19
"""No 64-bit integer has more."""


@dataclass(frozen=True, slots=True)
class TypedValue:
    """``integer`` is null where it is no whole number of 64 bits, ``number`` where it is none that a double holds."""

    text: str
    integer: int | None
    number: float | None

    @property
    def raw(self) -> bytes:
        """The text as it is in records."""
        return self.text.encode("utf-8", "surrogateescape")


def typed_value(text: str) -> TypedValue:
    """What may be meant. ``1_000``, ``+1``, `` 1`` and ``nan`` are texts alone, though ``float`` takes them."""
    if not _NUMBER.fullmatch(text):
        return TypedValue(text, None, None)
    number, integer = float(text), None
    exact = Decimal(text)
    if not exact:
        integer = 0
    elif exact.adjusted() < _INTEGER_DIGITS and exact == exact.to_integral_value():
        whole = int(exact)
        integer = whole if -(2**63) <= whole < 2**63 else None
    return TypedValue(text, integer, number if math.isfinite(number) else None)

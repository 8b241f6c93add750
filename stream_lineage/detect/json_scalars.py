"""Whether numbers or strings can satisfy a set of literals.

``True`` is a proof that none can. ``False`` says only that there is no proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor, lcm

from stream_lineage.detect.json_literals import Literal
from stream_lineage.detect.json_patterns import literal_prefix, matches, matches_everything
from stream_lineage.detect.json_types import Bound, frozen, kind_of

_COUNTED = 1_000
"""Multiples within a range are looked at one by one up to here."""

_WIDER_FORMATS = {
    "email": {"idn-email"},
    "hostname": {"idn-hostname"},
    "uri": {"iri", "uri-reference", "iri-reference"},
    "iri": {"iri-reference"},
    "uri-reference": {"iri-reference"},
}


def no_number(literals: Iterable[Literal]) -> bool:
    lower: Bound | None = None
    upper: Bound | None = None
    step: Fraction | None = None
    not_multiples: list[Fraction] = []
    without = set()
    for literal in literals:
        match literal:
            case ("lower", Bound() as bound):
                lower = bound if lower is None else max(lower, bound, key=lambda each: (each.value, each.exclusive))
            case ("upper", Bound() as bound):
                upper = bound if upper is None else min(upper, bound, key=lambda each: (each.value, not each.exclusive))
            case ("multiple", True, divisor):
                step = Fraction(divisor) if step is None else _common_multiple(step, Fraction(divisor))
            case ("multiple", False, divisor):
                not_multiples.append(Fraction(divisor))
            case ("without", node):
                without |= {frozen(value) for value in node.values if kind_of(value) == "number"}
    if lower is not None and upper is not None:
        if lower.value > upper.value or (lower.value == upper.value and (lower.exclusive or upper.exclusive)):
            return True
        if lower.value == upper.value:
            return _excluded([lower.value], step, not_multiples, without)
    if step is None:
        return False
    if any((step / divisor).denominator == 1 for divisor in not_multiples):
        return True
    if lower is None or upper is None:
        return False
    first, last = ceil(lower.value / step), floor(upper.value / step)
    first += lower.exclusive and first * step == lower.value
    last -= upper.exclusive and last * step == upper.value
    if last - first >= _COUNTED:
        return False
    return _excluded([number * step for number in range(first, last + 1)], step, not_multiples, without)


def _excluded(
    numbers: Iterable[Fraction], step: Fraction | None, not_multiples: list[Fraction], without: set[object]
) -> bool:
    return all(
        number in without
        or (step is not None and (number / step).denominator != 1)
        or any((number / divisor).denominator == 1 for divisor in not_multiples)
        for number in numbers
    )


def _common_multiple(one: Fraction, other: Fraction) -> Fraction:
    denominator = lcm(one.denominator, other.denominator)
    return Fraction(lcm(int(one * denominator), int(other * denominator)), denominator)


def no_string(literals: Iterable[Literal]) -> bool:
    least, most = 0, None
    patterns: list[str] = []
    not_patterns: list[str] = []
    formats: set[str] = set()
    not_formats: set[str] = set()
    without: set[str] = set()
    for literal in literals:
        match literal:
            case ("min", length):
                least = max(least, length)
            case ("max", length):
                most = length if most is None else min(most, length)
            case ("pattern", asserted, pattern):
                (patterns if asserted else not_patterns).append(pattern)
            case ("format", asserted, name):
                (formats if asserted else not_formats).add(name)
            case ("without", node):
                without |= {value for value in node.values if isinstance(value, str)}
    if most is not None and least > most:
        return True
    if any(map(matches_everything, not_patterns)):
        return True
    if any(_WIDER_FORMATS.get(name, set()) & not_formats for name in formats):
        return True
    known = [found for pattern in patterns if (found := literal_prefix(pattern)) is not None]
    if any(not (a[0].startswith(b[0]) or b[0].startswith(a[0])) for a in known for b in known):
        return True
    if any(_starts_with(known, pattern) for pattern in not_patterns):
        return True
    candidates = [""] if most == 0 else [text for text, rest in known if rest == "all"][:1]
    return bool(candidates) and all(
        text in without
        or len(text) < least
        or (most is not None and len(text) > most)
        or any(matches(pattern, text) is False for pattern in patterns)
        or any(matches(pattern, text) is True for pattern in not_patterns)
        for text in candidates
    )


def _starts_with(known: list[tuple[str, str]], pattern: str) -> bool:
    """Whether every text with these prefixes has a pattern that asks for a prefix only."""
    asked = literal_prefix(pattern)
    return asked is not None and asked[1] == "any" and any(text.startswith(asked[0]) for text, _ in known)

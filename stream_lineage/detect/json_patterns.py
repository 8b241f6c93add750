"""Regular expressions of JSON Schemas (ECMA 262), matched in bounded time.

Schemas are anybody's, and so are their patterns: Python's engine may take years for some. This one keeps the set of
places that are reached and never goes back, so that its time is bounded by pattern times text. It knows what schemas
use: characters, classes, groups, alternatives, repetition and anchors. Of look-around, back references, word boundaries
and Unicode properties it says that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

MAX_PATTERN = 2_000
MAX_TEXT = 10_000
_MAX_STEPS = 50_000
_MAX_LEVELS = 50
_NEW_LINES = "\n\r\u2028\u2029"
_SPACES = frozenset(" \t\v\f\u00a0\ufeff\u1680\u202f\u205f\u3000" + _NEW_LINES) | set(map(chr, range(0x2000, 0x200B)))
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_ASCII = range(128)
_DIGITS = frozenset("0123456789")
_WORD = frozenset(chr(code) for code in _ASCII if chr(code).isalnum()) | {"_"}

_Test = Callable[[str], bool]


class _Unsupported(Exception):
    """The pattern uses what is not known here, or is none."""


@dataclass(frozen=True, slots=True)
class _One:
    test: _Test
    literal: str | None = None


@dataclass(frozen=True, slots=True)
class _Anchor:
    end: bool


@dataclass(frozen=True, slots=True)
class _Row:
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Part
    least: int
    most: int | None


_Part = _One | _Anchor | _Row | _Choice | _Repeat


def matches(pattern: str, text: str) -> bool | None:
    """Whether a pattern is found somewhere in a text; null where that cannot be told here."""
    tree = _parsed(pattern)
    if tree is None or len(text) > MAX_TEXT:
        return None
    try:
        return bool(_Run(text).ends(tree, frozenset(range(len(text) + 1))))
    except _Unsupported:
        return None


def matches_everything(pattern: str) -> bool:
    """Whether it is plain that a pattern is found in every text."""
    tree = _parsed(pattern)
    if not isinstance(tree, _Row):
        return False
    return all(isinstance(part, _Repeat) and not part.least for part in tree.parts) or tree == _Row((_Anchor(False),))


def literal_prefix(pattern: str) -> tuple[str, str] | None:
    """The characters that every text with this pattern starts with, and how the pattern goes on: ``all`` for a text
    that is these characters, ``any`` where anything may follow, ``more`` else. Null where nothing is certain."""
    tree = _parsed(pattern)
    if not isinstance(tree, _Row) or not tree.parts or tree.parts[0] != _Anchor(False):
        return None
    prefix = ""
    for index, part in enumerate(tree.parts[1:], 1):
        if isinstance(part, _One) and part.literal is not None:
            prefix += part.literal
            continue
        return prefix, "all" if tree.parts[index:] == (_Anchor(True),) else "more"
    return prefix, "any"


@lru_cache(maxsize=1_000)
def _parsed(pattern: str) -> _Part | None:
    if len(pattern) > MAX_PATTERN:
        return None
    try:
        return _Reader(pattern).whole()
    except (_Unsupported, IndexError, ValueError):
        return None


class _Run:
    """One text. ``ends`` is where a part may end when it starts at these places."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._steps = 0

    def ends(self, part: _Part, starts: frozenset[int]) -> frozenset[int]:
        self._steps += 1 + len(starts)
        if self._steps > _MAX_STEPS:
            raise _Unsupported
        text = self._text
        match part:
            case _One(test):
                return frozenset(at + 1 for at in starts if at < len(text) and test(text[at]))
            case _Anchor(end):
                return starts & {len(text) if end else 0}
            case _Row(parts):
                for each in parts:
                    starts = self.ends(each, starts)
                    if not starts:
                        break
                return starts
            case _Choice(parts):
                return frozenset().union(*(self.ends(each, starts) for each in parts))
        return self._repeated(part, starts)

    def _repeated(self, part: _Repeat, starts: frozenset[int]) -> frozenset[int]:
        here = starts
        for _ in range(part.least):
            here = self.ends(part.part, here)
            if not here:
                return here
        found, times = here, part.least
        while here and (part.most is None or times < part.most):
            here = self.ends(part.part, here) - found
            found, times = found | here, times + 1
        return found


class _Reader:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._level = 0

    def whole(self) -> _Part:
        found = self._choice()
        if self._at < len(self._pattern):
            raise _Unsupported
        return found

    def _next(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def _choice(self) -> _Part:
        self._level += 1
        if self._level > _MAX_LEVELS:
            raise _Unsupported
        rows = [self._row()]
        while self._next() == "|":
            self._at += 1
            rows.append(self._row())
        self._level -= 1
        return rows[0] if len(rows) == 1 else _Choice(tuple(rows))

    def _row(self) -> _Row:
        parts: list[_Part] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom()))
        return _Row(tuple(parts))

    def _atom(self) -> _Part:
        character = self._take()
        match character:
            case "^" | "$":
                return _Anchor(character == "$")
            case ".":
                return _One(lambda each: each not in _NEW_LINES)
            case "(":
                return self._group()
            case "[":
                return _One(self._class())
            case "\\":
                test, literal = self._escape()
                return _One(test, literal)
            case "*" | "+" | "?" | "{" | "}" | "]" | ")":
                raise _Unsupported
        return _One(character.__eq__, character)

    def _group(self) -> _Part:
        if self._next() == "?":
            if self._pattern[self._at : self._at + 2] != "?:":
                raise _Unsupported
            self._at += 2
        found = self._choice()
        self._take()  # what ends a choice inside is either its bracket or, an error here, the pattern
        return found

    def _quantified(self, part: _Part) -> _Part:
        character = self._next()
        if character not in ("*", "+", "?", "{"):
            return part
        if isinstance(part, _Anchor):
            raise _Unsupported
        self._at += 1
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(character) or self._counts()
        if self._next() == "?":  # how much it takes does not matter to whether it matches
            self._at += 1
        if self._next() in ("*", "+", "{"):
            raise _Unsupported
        return _Repeat(part, least, most)

    def _counts(self) -> tuple[int, int | None]:
        inside, closed, rest = self._pattern[self._at :].partition("}")
        least, comma, most = inside.partition(",")
        if not closed or not inside.isascii() or not least.isdecimal() or (most and not most.isdecimal()):
            raise _Unsupported
        if most and int(most) < int(least):
            raise _Unsupported
        self._at = len(self._pattern) - len(rest)
        return int(least), int(most) if most else None if comma else int(least)

    def _escape(self) -> tuple[_Test, str | None]:
        character = self._take()
        if character in "dDwWsS":
            known = {"d": _DIGITS, "w": _WORD, "s": _SPACES}[character.lower()]
            return (lambda each: each in known) if character.islower() else (lambda each: each not in known), None
        if character in _PLAIN_ESCAPES and not self._next().isdecimal():
            found = _PLAIN_ESCAPES[character]
        elif character in ("x", "u"):
            width = 2 if character == "x" else 4
            digits = self._pattern[self._at : self._at + width]
            if len(digits) < width or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise _Unsupported
            self._at += width
            found = chr(int(digits, 16))
        elif character.isalnum():
            raise _Unsupported
        else:
            found = character
        return found.__eq__, found

    def _class(self) -> _Test:
        inverted = self._next() == "^"
        if inverted:
            self._at += 1
        tests: list[_Test] = []
        while self._next() != "]":
            test, low = self._class_member()
            if self._next() == "-" and self._pattern[self._at + 1] != "]":
                self._at += 1
                _, high = self._class_member()
                if low is None or high is None or high < low:
                    raise _Unsupported
                tests.append(lambda each, low=low, high=high: low <= each <= high)  # type: ignore[misc]
            else:
                tests.append(test)
        self._at += 1
        return lambda each: any(test(each) for test in tests) != inverted

    def _class_member(self) -> tuple[_Test, str | None]:
        character = self._take()
        if character == "\\":
            if self._next() == "b":  # a backspace, in here
                self._at += 1
                return "\b".__eq__, "\b"
            return self._escape()
        return character.__eq__, character

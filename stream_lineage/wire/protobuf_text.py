"""The text of Protobuf schemas, as far as it can be read without compiling it: in the collector itself, whoever wrote
it.

All of it takes time in proportion to the text, also where that is none.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<kept> "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? )
    | (?P<blank> (?: \s | //[^\n]* | /\*.*?(?:\*/|\Z) )+ )
    """,
    re.DOTALL | re.VERBOSE,
)
_SIGN = frozenset("{}()[]<>=;,")
_PACKAGE = re.compile(r"(?:^|[;}])package ([\w.]+);")
_MESSAGE = re.compile(r"(?:^|[;}])(?:export |local )?message (\w+)\{")


def canonical(text: str) -> str:
    """The text without comments, and without white space but where two words would run together."""

    def shortened(found: re.Match[str]) -> str:
        if found["kept"] is not None:
            return found[0]
        begin, end = found.span()
        beside = (text[begin - 1] if begin else ";", text[end] if end < len(text) else ";")
        return "" if _SIGN.intersection(beside) else " "

    return _TOKEN.sub(shortened, text)


def first_message(text: str) -> str | None:
    """The full name of the first message at the top of a schema, which subjects may be named after; null for what is no
    text (``protobuf_compiler`` says what else it may be)."""
    short = canonical(text)
    message, package = _MESSAGE.search(short), _PACKAGE.search(short)
    if message is None:
        return None
    return message[1] if package is None else f"{package[1]}.{message[1]}"

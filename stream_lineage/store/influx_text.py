"""Any text as a name that InfluxDB keeps, Flux shows and nothing on the way changes; and back.

Ordinary names are themselves: letters of any script, digits, emoji, spaces, punctuation. What would be lost or changed
is written as its UTF-8 bytes, ``%`` and two digits each, as in a URL: what is not printable (line ends break lines, and
Flux's CSV changes them), lone surrogates, a backslash before anything that line protocol escapes or at the end, ``#``,
``_`` or ``$`` at the start of a name (a comment; InfluxDB's own names; a field's value in its predicates), ``@`` in a
name (its predicates do not find such tags), and the names of InfluxDB's own columns. The empty text is ``%-``. A ``%``
of the text itself is written so only where it would be read as one of these.
"""

from __future__ import annotations

import re

EMPTY = "%-"
_RESERVED = frozenset({"time", "table", "result", "error", "reference"})
"""Names of columns in Flux's CSV, and ``time``, which line protocol keeps for the timestamp."""
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")
_LITERAL_PERCENT = re.compile(r"%(?=[0-9A-F]{2})|^%(?=-\Z)")
_BACKSLASH = re.compile(r"\\(?=[\\,=\"' ]|\Z)")
_ORDINARY = re.compile(r"[A-Za-z0-9.][A-Za-z0-9._:\[\]-]*\Z")


def encode_value(text: str) -> str:
    """The value of a tag, or a field's text."""
    if _ORDINARY.match(text):
        return text
    if not text:
        return EMPTY
    found = _LITERAL_PERCENT.sub("%25", text)
    found = _BACKSLASH.sub("%5C", found)
    if found.isprintable() and "\ufffd" not in found:
        return found
    return "".join(char if char.isprintable() and char != "\ufffd" else _bytes(char) for char in found)


def encode_name(text: str) -> str:
    """The name of a measurement, a tag or a field."""
    found = encode_value(text).replace("@", "%40")
    if found[0] in "#_$" or found in _RESERVED:
        return _bytes(found[0]) + found[1:]
    return found


def decode(stored: str) -> str:
    """The text that was written as ``stored``. What another program wrote comes back as it is where it can."""
    if "%" not in stored:
        return stored
    if stored == EMPTY:
        return ""
    raw = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), stored.encode("utf-8", "surrogatepass"))
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored


def _bytes(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))

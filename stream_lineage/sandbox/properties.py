"""Java ``.properties`` files."""

from __future__ import annotations

from collections.abc import Mapping

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
_KEY_ESCAPES = {**_ESCAPES, " ": "\\ ", ":": "\\:", "=": "\\=", "#": "\\#", "!": "\\!"}


def render(properties: Mapping[str, str]) -> str:
    """One ``key=value`` a line, escaped as ``java.util.Properties.load`` reads it."""
    return "".join(f"{_escaped(key, _KEY_ESCAPES)}={_value(value)}\n" for key, value in properties.items())


def _value(value: str) -> str:
    escaped = _escaped(value, _ESCAPES)
    return "\\" + escaped if escaped.startswith(" ") else escaped  # leading white space would be skipped


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character) or _ascii(character) for character in text)


def _ascii(character: str) -> str:
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))

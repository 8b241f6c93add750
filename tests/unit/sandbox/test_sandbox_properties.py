"""If this fails, Kafka reads other settings than the ones that were given."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.sandbox.properties import render

_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def _read_as_java(text: str) -> dict[str, str]:
    """``java.util.Properties.load`` by its documentation, for text without comments and continued lines."""
    found = {}
    for line in text.split("\n")[:-1]:
        match = re.match(r"[ \t\f]*((?:[^\\:= \t\f]|\\.)*)[ \t\f]*[:=]?[ \t\f]*(.*)", line, re.DOTALL)
        assert match
        found[_unescape(match[1])] = _unescape(match[2])
    return found


def _unescape(text: str) -> str:
    units = re.sub(
        r"\\(u[0-9a-fA-F]{4}|.)",
        lambda match: chr(int(match[1][1:], 16)) if len(match[1]) == 5 else _UNESCAPED.get(match[1], match[1]),
        text,
    )
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_what_is_written_is_read_back(properties: dict[str, str]) -> None:
    assert _read_as_java(render(properties)) == properties


def test_ordinary_settings_stay_legible() -> None:
    listeners = "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert render({"listeners": listeners}) == f"listeners={listeners}\n"

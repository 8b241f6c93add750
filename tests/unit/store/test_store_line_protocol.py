"""If this failed, a field with an unusual name would break the lines of all others, or come back as another."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.store.flux import quoted
from stream_lineage.store.influx_text import decode, encode_name, encode_value
from stream_lineage.store.line_protocol import lines
from stream_lineage.store.ports import Point

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANY = st.text(
    st.one_of(st.characters(), st.sampled_from("%\\\"'#_$@=, \n\r\t0123456789ABCDEF-\x00\ud83d\ude00😀")), max_size=12
)


@given(ANY, ANY)
def test_every_text_comes_back_and_no_two_are_one(one: str, other: str) -> None:
    for encode in (encode_name, encode_value):
        assert decode(encode(one)) == one
        assert (encode(one) == encode(other)) == (one == other)


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        "shop.orders-v1",
        "items[].price",
        "100%",
        "50% off",
        "Größe",
        "価格",
        "😀",
        "a b=c,d",
        'say "x"',
        r"C:\temp",
    ],
)
def test_ordinary_names_are_themselves(name: str) -> None:
    assert encode_name(name) == encode_value(name) == name


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("", "%-"), ("%-", "%25-"), ("%41", "%2541"), ("%4", "%4"), ("a\\", "a%5C"), ("a\nb", "a%0Ab"), ("#x", "%23x"),
        ("_time", "%5Ftime"), ("time", "%74ime"), ("@key.id", "%40key.id"), ("\ud800", "%ED%A0%80"),
        ("a\\ b", "a%5C b"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_written_as_bytes(name: str, stored: str) -> None:
    assert encode_name(name) == stored


def test_lines_are_what_influxdb_documents() -> None:
    point = Point("lineage topic", {"b": "x y", "a,b": "1=2"}, {"n": 7, "r": 0.5, "t": 'say "hi"', "f k": True}, NOON)
    [line] = lines([point, Point("m", {}, {"n": float("nan")}, NOON)])
    assert line.decode() == (
        r'lineage\ topic,a\,b=1\=2,b=x\ y n=7.0,r=0.5,t="say \"hi\"",f\ k=true ' + str(int(NOON.timestamp()) * 10**6)
    )


@given(st.tuples(ANY, ANY, ANY, ANY, ANY))
def test_a_point_is_one_line_whatever_its_names(texts: tuple[str, ...]) -> None:
    measurement, tag, value, field, text = texts
    [line] = lines([Point(measurement, {tag: value}, {field: text}, NOON)])
    assert line.decode().isprintable()
    assert not line.startswith((b"#", b",", b" "))
    # Read as InfluxDB's grammar has it: what separates is not escaped.
    series, members = re.split(r"(?<!\\) ", re.sub(r'"(\\.|[^"\\])*" ', "T ", line.decode()), maxsplit=1)
    assert len(re.split(r"(?<!\\),", series)) == 2
    assert members.endswith(f"=T {int(NOON.timestamp()) * 10**6}")


@given(ANY)
def test_no_text_ends_a_literal_of_flux(text: str) -> None:
    literal = quoted(text)
    assert literal[0] == literal[-1] == '"'
    assert re.fullmatch(r'(?:\\(?:[\\"nrt]|x[0-9a-f]{2})|[^"\\\n$])*', literal[1:-1])

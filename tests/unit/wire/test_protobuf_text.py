"""If this fails, a Protobuf schema has another fingerprint after a change of its comments, or keeps it after others."""

from __future__ import annotations

import pytest

from stream_lineage.model.schema import SchemaType
from stream_lineage.wire.protobuf_text import canonical, first_message
from stream_lineage.wire.registered_schema import fingerprint

TEXT = """
// Says nothing.
syntax = "proto3";
package shop.v1; /* nor does
this */
message Order { // ends here
  int32 id = 1 [deprecated = true];
  map<string, int32> tags = 2;
}
"""
SHORT = 'syntax="proto3";package shop.v1;message Order{int32 id=1[deprecated=true];map<string,int32>tags=2;}'


@pytest.mark.parametrize(
    "same",
    [
        SHORT,
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("  ", "\t"),
        TEXT.replace("Order {", "Order{"),
        TEXT + "// more",
        TEXT + "/* unfinished",
        TEXT.replace("int32 id", "int32/**/id"),
    ],
)
def test_comments_and_white_space_do_not_count(same: str) -> None:
    assert canonical(same) == canonical(TEXT) == SHORT
    assert fingerprint(SchemaType.PROTOBUF, same, {}) == fingerprint(SchemaType.PROTOBUF, TEXT, {})


@pytest.mark.parametrize(
    ("old", "new"),
    [("id = 1", "id = 3"), ("int32 id", "int64 id"), ('"proto3"', '"proto 3"'), ("true", "false"), ("id", "i d")],
)
def test_all_else_counts(old: str, new: str) -> None:
    assert canonical(TEXT.replace(old, new, 1)) != canonical(TEXT)


def test_strings_are_kept() -> None:
    for text in ('a="x // y";', "a='/* ; */';", r'a="\" b";', 'a="{ }";'):
        assert canonical(f"  {text} ") == text


def test_the_first_message_at_the_top() -> None:
    assert first_message(TEXT) == "shop.v1.Order"
    assert first_message('syntax = "proto3"; import "x"; enum E { A = 0; } message M {} message N {}') == "M"
    assert first_message('syntax = "proto3"; // message Old {}\nservice S {}') is None
    assert first_message("CgtvcmRlci5wcm90bw==") is None


@pytest.mark.parametrize("piece", ["/*", '"\\"', "//", "'", '"', " ", "message ", "package ", "\\", "/* */", "a / * b"])
def test_it_ends_on_anything(piece: str) -> None:
    """Were it quadratic, this would take hours."""
    short = canonical(piece * (1_000_000 // len(piece)))
    assert canonical(short) == short
    assert first_message(short) is None

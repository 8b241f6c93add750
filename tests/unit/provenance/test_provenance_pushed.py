"""If this failed, a pushed point would become another one, or a hostile one would be taken for a point."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from stream_lineage.errors import DecodeError
from stream_lineage.model.pushed import PushedPoint
from stream_lineage.provenance.pushed import checked, decode_point, encode_point, message_key, series_key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POINT = PushedPoint("churn model", "accuracy", 0.93, NOW, {"region": "eu"}, "count", 3600.0)


def test_it_comes_back() -> None:
    assert decode_point(encode_point(POINT), NOW) == POINT
    plain = PushedPoint("clicks", "ctr", -1.5, NOW)
    assert decode_point(encode_point(plain), NOW) == plain


def test_series() -> None:
    other = replace(POINT, tags={"region": "us"})
    assert series_key(POINT) != series_key(other)
    assert message_key(POINT) == message_key(other)
    shuffled = replace(POINT, tags={"b": "1", "a": "2"})
    assert series_key(shuffled) == series_key(replace(POINT, tags={"a": "2", "b": "1"}))
    assert series_key(replace(POINT, node="a", metric="b")) != series_key(replace(POINT, node="a/b", metric="b"))


@pytest.mark.parametrize(
    "change",
    [
        {"node": ""},
        {"node": "x" * 301},
        {"node": "a\nb"},
        {"metric": "a b"},
        {"metric": "1a"},
        {"metric": ""},
        {"metric": "x" * 101},
        {"tags": {"a b": "c"}},
        {"tags": {"a": "b\x00"}},
        {"tags": {"a": "x" * 201}},
        {"tags": {f"t{n}": "" for n in range(11)}},
        {"value": math.nan},
        {"value": math.inf},
        {"kind": "count", "value": -1.0},
        {"kind": "other"},
        {"at": NOW + timedelta(days=2)},
        {"at": datetime(1999, 1, 1, tzinfo=UTC)},
        {"every_seconds": 0.0},
        {"every_seconds": math.nan},
    ],
)
def test_what_is_not_legal(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        checked(replace(POINT, **change), NOW)


def test_hostile_messages() -> None:
    good = orjson.loads(encode_point(POINT))
    hostile: list[Any] = [
        *({k: v for k, v in good.items() if k != gone} for gone in ("version", "node", "metric", "value")),
        {**good, "version": 2}, {**good, "node": 7}, {**good, "value": "much"}, {**good, "value": None},
        {**good, "at": "soon"}, {**good, "at": 5}, {**good, "tags": ["a"]}, {**good, "tags": {"a": 1}},
        {**good, "kind": []}, [], 7, None,
    ]  # fmt: skip
    for document in hostile:
        with pytest.raises(DecodeError):
            decode_point(orjson.dumps(document), NOW)
    for value in (b"", b"\xff", b"{" * 100_000, b'{"value": 1e999}'):
        with pytest.raises(DecodeError):
            decode_point(value, NOW)

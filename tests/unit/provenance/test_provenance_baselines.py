"""If this failed, a baseline would come back from its topic as another one, or a hostile one would be believed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from stream_lineage.errors import DecodeError
from stream_lineage.model.baseline import Baseline, CoveredRange, FileSource, Sample, SchemaShare, TopicSource
from stream_lineage.model.profile import Decoder, FieldProfile, Profile, TypeCount
from stream_lineage.model.schema import PLAIN_JSON
from stream_lineage.provenance.baselines import decode_baseline, encode_baseline, hash_key_id, is_legal_name
from stream_lineage.testing.observations import avro_reference, unresolved_reference

PROFILE = Profile(
    Decoder.JSON, Decoder.OPAQUE, 200, 3, None, (FieldProfile("é.x", (TypeCount("string", 200),), 200, 0, 0),), ()
)
TOPIC = TopicSource("clicks", "abc", (CoveredRange(0, 100, 200, 99), CoveredRange(3, 0, 0, 1)))
FILE = FileSource("train.csv", "ab" * 32, "csv", 123)
AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("source", [TOPIC, FILE])
@pytest.mark.parametrize("topic", ["clicks", None])
def test_it_comes_back(source: TopicSource | FileSource, topic: str | None) -> None:
    schemas = tuple(
        SchemaShare(reference, 10) for reference in (avro_reference(1), PLAIN_JSON, unresolved_reference(9))
    )
    sample = Sample(source, PROFILE, "0123", schemas, {"invalid-json": 3})
    baseline = Baseline("churn-7", topic, AT, sample, ("ids.*",))
    assert decode_baseline(encode_baseline(baseline)) == baseline


def test_hostile_messages() -> None:
    good = orjson.loads(encode_baseline(Baseline("a", None, AT, Sample(TOPIC, PROFILE, "k"))))
    hostile: list[Any] = [
        {**good, "version": 2},
        {**good, "name": "../x"},
        {**good, "name": 7},
        {**good, "created_at": "2026-03-01T12:00"},
        {**good, "created_at": "soon"},
        {**good, "profile": "%%%"},
        {**good, "profile": base64.b64encode(b"garbage").decode()},
        {**good, "source": {"kind": "topic"}},
        {**good, "source": {"kind": "file", "surprise": 1}},
        {**good, "schemas": [{"schema": {"type": "X"}, "records": 1}]},
        {**good, "left_out": []},
        *({k: v for k, v in good.items() if k != gone} for gone in good.keys() - {"fields", "records"}),
        [],
        None,
    ]  # fmt: skip
    for document in hostile:
        with pytest.raises(DecodeError):
            decode_baseline(orjson.dumps(document))
    for value in (b"", b"\xff", b"[" * 100_000):
        with pytest.raises(DecodeError):
            decode_baseline(value)
    decode_baseline(orjson.dumps(good))


def test_names() -> None:
    for name in ("a", "churn-7", "A.b_c", "x" * 100):
        assert is_legal_name(name)
    for name in ("", "-a", ".a", "a b", "a/b", "a\n", "é", "x" * 101, "\x00"):
        assert not is_legal_name(name)


def test_the_key_is_told_apart_and_not_told() -> None:
    key = b"0123456789abcdef0123456789abcdef"
    assert hash_key_id(key) == hash_key_id(key) != hash_key_id(key[::-1])
    assert key.hex() not in hash_key_id(key)
    assert len(hash_key_id(key)) == 16

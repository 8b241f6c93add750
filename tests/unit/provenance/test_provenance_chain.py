"""If this failed, a changed log could keep its hashes, or heads could be lost on their way through Kafka."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.provenance.chain import GENESIS, MAX_UNRESOLVED, Head, next_hash

SPAN = OffsetSpan(3, 10, 19, 10)
DIGEST = hashlib.sha256(b"observation").digest()


def test_the_hash_is_what_the_specification_says() -> None:
    gap = MissingRange(12, 12, MissingReason.TRANSACTION)
    span = OffsetSpan(3, 10, 19, 9, (gap,))
    expected = hashlib.sha256(
        GENESIS
        + struct.pack(">I", 1)
        + struct.pack(">iqqq", 3, 10, 19, 9)
        + struct.pack(">I", 1)
        + struct.pack(">qq", 12, 12)
        + b"transaction".ljust(16, b"\x00")
        + DIGEST
    ).digest()
    assert next_hash(GENESIS, [span], [DIGEST]) == expected


def test_order_of_spans_and_digests_does_not_matter_but_content_does() -> None:
    other = OffsetSpan(3, 20, 29, 10)
    second = hashlib.sha256(b"second").digest()
    base = next_hash(GENESIS, [SPAN, other], [DIGEST, second])
    assert next_hash(GENESIS, [other, SPAN], [second, DIGEST]) == base
    variants = [
        next_hash(DIGEST, [SPAN, other], [DIGEST, second]),
        next_hash(GENESIS, [SPAN], [DIGEST, second]),
        next_hash(GENESIS, [SPAN, OffsetSpan(3, 20, 30, 11)], [DIGEST, second]),
        next_hash(GENESIS, [SPAN, other], [DIGEST]),
        next_hash(GENESIS, [SPAN, other], []),
    ]
    assert len({base, *variants}) == len(variants) + 1


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        next_hash(b"short", [SPAN], [DIGEST])
    with pytest.raises(ValueError, match="32 bytes"):
        next_hash(GENESIS, [SPAN], [b"short"])
    with pytest.raises(ValueError, match="one partition"):
        next_hash(GENESIS, [SPAN, OffsetSpan(4, 0, 0, 1)], [DIGEST])


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**62),
    st.none() | st.text(max_size=30),
    st.lists(st.text(max_size=12), max_size=MAX_UNRESOLVED),
)
def test_heads_survive_the_metadata(digest: bytes, offset: int, topic_id: str | None, labels: list[str]) -> None:
    head = Head(digest, offset, topic_id, tuple(labels))
    assert Head.from_metadata(head.to_metadata()) == head


@pytest.mark.parametrize("topic_id", [None, "id"])
@pytest.mark.parametrize("unresolved", [(), ("value:3", "key:4")])
def test_a_head_is_read_back(topic_id: str | None, unresolved: tuple[str, ...]) -> None:
    head = Head(b"\x07" * 32, 9, topic_id, unresolved)
    assert Head.from_metadata(head.to_metadata()) == head


def test_many_unresolved_stay_within_the_metadata_limit() -> None:
    head = Head(GENESIS, 2**62, "x" * 22, tuple(f"value:{2**31 - n}" for n in range(1000)))
    assert len(head.to_metadata()) < 1024


@pytest.mark.parametrize(
    "metadata",
    [None, "", "{}", "[]", "null", "text", '{"v":2,"h":"","n":1}', '{"v":1,"h":"zz","n":1}', '{"v":1,"h":"00","n":1}',
     '{"v":1,"h":"' + "00" * 32 + '","n":"x"}', '{"v":1,"h":"' + "00" * 32 + '","n":1,"t":5}'],
)  # fmt: skip
def test_metadata_of_others_is_no_head(metadata: str | None) -> None:
    assert Head.from_metadata(metadata) is None

"""If this failed, the origin that other systems write into records would be missed, or a wrong one taken."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.model.record_edge import UNKNOWN_CLUSTER, EdgeSource, ParentRange
from stream_lineage.wire.origin_headers import ORIGIN_TOPIC_HEADERS, origin_in

Headers = list[tuple[str, bytes | None]]
STREAMS = "streams.bootstrap.lineage."
CONNECT = "__connect.errors."
SPRING = "kafka_dlt-original-"


def triple(prefix: str, topic: bytes, partition: bytes, offset: bytes) -> Headers:
    return [(f"{prefix}topic", topic), (f"{prefix}partition", partition), (f"{prefix}offset", offset)]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (triple(STREAMS, b"in", b"3", b"99"), (EdgeSource.STREAMS_BOOTSTRAP, ParentRange("in", 3, 99, 99))),
        (
            triple("k2k_", b"in", b"0", b"9223372036854775807"),
            (EdgeSource.LENSES_K2K, ParentRange("in", 0, 2**63 - 1, 2**63 - 1, cluster=UNKNOWN_CLUSTER)),
        ),
        (triple(CONNECT, b"in", b"3", b"0"), (EdgeSource.CONNECT_DEAD_LETTER, ParentRange("in", 3, 0, 0))),
        (
            triple(SPRING, b"in", struct.pack(">i", 7), struct.pack(">q", 2**40)),
            (EdgeSource.SPRING_DEAD_LETTER, ParentRange("in", 7, 2**40, 2**40)),
        ),
    ],
)
def test_each_as_its_maker_writes_it(headers: Headers, expected: tuple[EdgeSource, ParentRange]) -> None:
    assert origin_in([("a", b"1"), *headers, ("b", None)]) == expected
    assert origin_in(headers[::-1]) == expected
    assert any(name in ORIGIN_TOPIC_HEADERS for name, _ in headers)


def test_what_was_written_last_counts() -> None:
    copied, own = triple(STREAMS, b"old", b"1", b"1"), triple(CONNECT, b"new", b"2", b"2")
    assert origin_in([*copied, *own]) == (EdgeSource.CONNECT_DEAD_LETTER, ParentRange("new", 2, 2, 2))
    again = triple(SPRING, b"second", struct.pack(">i", 2), struct.pack(">q", 2))
    first = triple(SPRING, b"first", struct.pack(">i", 1), struct.pack(">q", 1))
    assert origin_in([*first, *again]) == (EdgeSource.SPRING_DEAD_LETTER, ParentRange("second", 2, 2, 2))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", b"x")],
        triple(STREAMS, b"in", b"3", b"99")[:2],
        triple(STREAMS, b"in", b"-3", b"99"),
        triple(STREAMS, b"in", b"3", b"9223372036854775808"),
        triple(STREAMS, b"in", b"2147483648", b"0"),
        triple(SPRING, b"in", struct.pack(">i", -1), struct.pack(">q", 2)),
        triple(STREAMS, b"", b"3", b"99"),
        triple(STREAMS, b"\xff", b"3", b"99"),
        triple(STREAMS, b"t" * 250, b"3", b"99"),
        triple(STREAMS, b"in", b"3", b"9" * 1_000_000),
    ],
)
def test_what_names_no_parent(headers: Headers) -> None:
    assert origin_in(headers) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [f"{p}{n}" for p in (STREAMS, CONNECT, SPRING, "k2k_") for n in ("topic", "partition", "offset")]
            ),
            st.none() | st.binary(max_size=12),
        )
    )
)
def test_whatever_the_headers_are(headers: Headers) -> None:
    found = origin_in(headers)
    assert found is None or 0 <= found[1].first_offset < 2**63

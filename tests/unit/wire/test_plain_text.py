"""If this failed, binary records would be called text, or text binary."""

from __future__ import annotations

import numpy as np
import pytest

from stream_lineage.wire.columns import Batch
from stream_lineage.wire.plain_text import looks_like_text


def batch(*records: bytes) -> Batch:
    lengths = np.array([len(record) for record in records], np.int64)
    return Batch(np.frombuffer(b"".join(records) + bytes(16), np.uint8), np.cumsum(lengths) - lengths, lengths)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([b"a,b\tc\r\n", "café,日本\n".encode()], True),
        ([b"1234"], True),
        ([("é" * 2_000).encode(), ("x" + "日" * 2_000).encode()], True),  # longer than what is looked at
        ([("xx" + "日" * 2_000).encode()], True),  # which ends within a character
        ([b"", b"a"], True),
        ([b""], None),
        ([], None),
        ([b"text", b"\x00"], False),
        ([b"caf\xe9"], False),
        (["日".encode()[:2]], False),
        ([b"a" * 500 + b"\xff" + b"a" * 2_000], False),
        ([b"\x7f"], False),
        ([b"x"] * 1_000 + [b"\x01"] * 1_000, False),
    ],
)
def test_text_or_binary(records: list[bytes], expected: bool | None) -> None:
    assert looks_like_text(batch(*records)) is expected

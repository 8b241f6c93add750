"""Bytes made of others: what a fuzzer does to a corpus, as a Hypothesis strategy, so that failures shrink."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

_LARGEST = 64 * 1024
_TELLING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\x02", b"\xff" * 10, b"\x80" * 10, b"\xfe\xff\xff\xff\x0f",
    b"\x00\x00\x00\x00\x01", b"\xed\xa0\x80", b"\xc3\x01", b"{", b"[", b'"', b"\\ud800", b"1e999", b"null", b"\n",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after up to eight changes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 16)))
        match draw(st.sampled_from(("flip", "put", "cut", "insert", "repeat", "splice", "end"))):
            case "flip" if start < len(data):
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "put":
                data[start:stop] = draw(st.sampled_from(_TELLING))
            case "cut":
                del data[start:stop]
            case "insert":
                data[start:start] = draw(st.binary(max_size=8))
            case "repeat":
                data[start:stop] = bytes(data[start:stop]) * draw(st.sampled_from((2, 3, 17, 400)))
            case "splice":
                data[start:] = draw(st.sampled_from(seeds))[draw(st.integers(0, 32)) :]
            case "end":
                del data[start:]
    return bytes(data[:_LARGEST])

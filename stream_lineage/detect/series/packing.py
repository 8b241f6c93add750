"""Arrays of numbers as text in a JSON state: eight bytes each, exact, so that a state read back judges alike."""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence


def packed(values: Sequence[float]) -> str:
    return b2a_base64(struct.pack(f"<{len(values)}d", *values), newline=False).decode()


def unpacked(text: str) -> list[float]:
    image = a2b_base64(text)
    return list(struct.unpack(f"<{len(image) // 8}d", image))

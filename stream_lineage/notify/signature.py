"""Signatures by which a receiver knows that a message is ours, as Standard Webhooks says (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"
LEAST_BYTES = 16


def signing_key(secret: str) -> bytes:
    """The bytes of ``whsec_`` and base64; the text itself where it is none.

    Raises:
        ValueError: it is too short to be a secret, or no base64 behind the prefix.
    """
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("behind whsec_ there must be base64") from None
    else:
        key = secret.encode()
    if len(key) < LEAST_BYTES:
        raise ValueError(f"must have {LEAST_BYTES} bytes at least: `openssl rand -base64 32` makes one")
    return key


def signed(key: bytes, message_id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers that go with a body. ``at``: seconds since the epoch."""
    content = b".".join((message_id.encode(), str(at).encode(), body))
    made = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{made}"}

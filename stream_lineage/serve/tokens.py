"""Bearer tokens: made once, shown once, and kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

import orjson

Role = Literal["reader", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What each may do, the next one also what those before it may: a reader asks, an operator changes and sends."""

_FORM = re.compile(r"sl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32
PREFIX = b"token/"


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token. ``digest`` is SHA-256 of its secret part, which is random and needs no slower one;
    ``expires_at`` null: never."""

    id: str
    name: str
    role: Role
    digest: str
    created_at: datetime
    expires_at: datetime | None = None

    def allows(self, role: Role) -> bool:
        """Whether it may do what this role may."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def valid(self, at: datetime) -> bool:
        return self.expires_at is None or at < self.expires_at

    @property
    def key(self) -> bytes:
        """The key under which it is kept."""
        return PREFIX + self.id.encode()

    def to_bytes(self) -> bytes:
        return orjson.dumps(
            {
                "name": self.name,
                "role": self.role,
                "sha256": self.digest,
                "created_at": self.created_at.astimezone(UTC).isoformat(),
                "expires_at": None if self.expires_at is None else self.expires_at.astimezone(UTC).isoformat(),
            }
        )


def issued(name: str, role: Role, now: datetime, expires_at: datetime | None = None) -> tuple[Token, str]:
    """A new token, and the text that its bearer says."""
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
    return Token(id_, name, role, _digest(secret), now, expires_at), f"sl_{id_}_{secret}"


def token_from(key: bytes | None, value: bytes | None) -> tuple[str, Token | None] | None:
    """The id of a token that a record of ``lineage.tokens`` is about, and the token unless it was revoked; null for a
    record of something else. One that cannot be read counts as revoked."""
    if key is None or not key.startswith(PREFIX):
        return None
    id_ = key[len(PREFIX) :].decode(errors="replace")
    if value is None:
        return id_, None
    try:
        document = orjson.loads(value)
        expires = document["expires_at"]
        role, name, digest = document["role"], document["name"], document["sha256"]
        if role not in ROLES or not isinstance(name, str) or not isinstance(digest, str):
            return id_, None
        created = datetime.fromisoformat(document["created_at"])
        return id_, Token(id_, name, role, digest, created, None if expires is None else _aware(expires))
    except (ValueError, KeyError, TypeError):
        return id_, None


def bearer(tokens: Mapping[str, Token], said: str, at: datetime) -> Token | None:
    """The token that a text is; null for what is none, was revoked or has expired."""
    parts = _FORM.fullmatch(said)
    if parts is None:
        return None
    known = tokens.get(parts[1])
    expected = known.digest if known is not None else "0" * 64
    if not hmac.compare_digest(_digest(parts[2]), expected):
        return None
    return known if known is not None and known.valid(at) else None


def _aware(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time has no time zone")
    return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

"""A URL of somebody's that is called with a CloudEvent, as the files of people say it."""

from __future__ import annotations

from pydantic import Field, field_validator

from stream_lineage.errors import SettingsError
from stream_lineage.notify.signature import signing_key
from stream_lineage.notify.strict_yaml import Secret, Strict

_SET = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection"})


class Endpoint(Strict):
    """``url`` is plain or a secret; with ``secret`` what is sent is signed."""

    url: str | Secret
    secret: Secret | None = None
    headers: dict[str, Secret] = Field(default_factory=dict, max_length=10)

    @field_validator("headers")
    @classmethod
    def _own(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name in headers:
            if not name.replace("-", "").isalnum() or not name.isascii():
                raise ValueError(f"{name!r} is no header's name")
            if name.lower() in _SET or name.lower().startswith("webhook-"):
                raise ValueError(f"{name} cannot be set")
        return headers

    def check_secrets(self, what: str) -> None:
        """``what``: whose endpoint it is.

        Raises:
            SettingsError: a secret is not there, or is none.
        """
        if isinstance(self.url, Secret):
            self.url.read(f"{what}: url")
        if self.secret is not None:
            key_of(self.secret, f"{what}: secret")
        for name, secret in self.headers.items():
            secret.read(f"{what}: {name}")


def key_of(secret: Secret, what: str) -> bytes:
    """The key that a secret is.

    Raises:
        SettingsError: it is not there, or is none.
    """
    try:
        return signing_key(secret.read(what))
    except ValueError as error:
        raise SettingsError(f"{what}: {error}") from error

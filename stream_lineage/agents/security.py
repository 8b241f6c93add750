"""librdkafka's security settings as the Kafka client under Faust wants them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from stream_lineage.errors import SettingsError
from stream_lineage.wire.kafka_security import (
    TLS_SETTINGS,
    TOKEN_SETTINGS,
    mechanism,
    protocol,
    tls_context,
    token_credentials,
    token_extensions,
)
from stream_lineage.wire.oauth import TokenSource

_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"})
_KNOWN = (
    frozenset({"security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"})
    | TOKEN_SETTINGS
    | TLS_SETTINGS
)
_HARMLESS = frozenset({"sasl.kerberos.service.name", "sasl.kerberos.kinit.cmd"})  # defaults that do nothing elsewhere


@dataclass(frozen=True, slots=True)
class Security:
    """How to be let in. ``mechanism`` is null without SASL, ``context`` without TLS, ``tokens`` but for OAUTHBEARER."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    context: ssl.SSLContext | None = None
    tokens: TokenSource | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Security({self.protocol}, {self.mechanism})"

    def credentials(self) -> Any:
        """The same as Faust writes it; null for plain text."""
        if self.tokens is not None:
            return OAuthCredentials(oauth_cb=self.token_provider(), ssl_context=self.context)
        if self.mechanism is not None:
            return SASLCredentials(
                username=self.username, password=self.password, ssl_context=self.context, mechanism=self.mechanism
            )
        return SSLCredentials(self.context) if self.context is not None else None

    def token_provider(self) -> AbstractTokenProvider | None:
        """Tokens for a Kafka client; null but for OAUTHBEARER."""
        return None if self.tokens is None else _Tokens(self.tokens, self.extensions)


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Asked at every connection, so that one that was closed when its token ran out comes back with a new one."""

    def __init__(self, source: TokenSource, extensions: Mapping[str, str]) -> None:
        self._source = source
        self._extensions = dict(extensions)

    async def token(self) -> str:
        return await self._source.fresh()

    def extensions(self) -> dict[str, str]:
        return self._extensions


def security(config: Mapping[str, str]) -> Security:
    """Translate a librdkafka configuration, in clear.

    Raises:
        SettingsError: a security setting that the agents' client has no counterpart for, or a file it cannot read.
    """
    for name in config:
        if name.startswith(("ssl.", "sasl.")) and name not in _KNOWN | _HARMLESS:
            raise SettingsError(
                f"kafka.{name} is not supported by the agents",
                hint="The agents take PLAIN, SCRAM, OAUTHBEARER by client credentials, and certificates as PEM.",
            )
    asked = protocol(config)
    if asked not in _PROTOCOLS:
        raise SettingsError(f"kafka.security.protocol must be one of {', '.join(sorted(_PROTOCOLS))}")
    context = tls_context(config) if asked.endswith("SSL") else None
    if not asked.startswith("SASL"):
        return Security(asked, context=context)
    way = mechanism(config)
    if way not in _MECHANISMS:
        raise SettingsError(
            f"kafka.sasl.mechanisms {way} is not supported by the agents",
            hint=f"They take {', '.join(sorted(_MECHANISMS))}.",
        )
    if way == "OAUTHBEARER":
        tokens = TokenSource(token_credentials(config))
        return Security(asked, way, context=context, tokens=tokens, extensions=token_extensions(config))
    username, password = config.get("sasl.username"), config.get("sasl.password")
    if username is None or password is None:
        raise SettingsError(f"kafka.sasl.username and kafka.sasl.password are needed for {way}")
    return Security(asked, way, username, password, context)

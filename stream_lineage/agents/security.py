"""librdkafka's security settings as the Kafka client under Faust wants them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from stream_lineage.errors import SettingsError
from stream_lineage.wire.oauth import ClientCredentials, TokenSource
from stream_lineage.wire.tls import TlsMaterial

_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
_PASSWORD = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
_MECHANISMS = _PASSWORD | {"OAUTHBEARER"}
_CLIENT_ID = ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id")
_CLIENT_SECRET = ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret")
_ENDPOINT = "sasl.oauthbearer.token.endpoint.url"
_KNOWN = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.extensions",
        _ENDPOINT,
        *_CLIENT_ID,
        *_CLIENT_SECRET,
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.key.location",
        "ssl.key.pem",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
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
            return OAuthCredentials(oauth_cb=_Tokens(self.tokens, self.extensions), ssl_context=self.context)
        if self.mechanism is not None:
            return SASLCredentials(
                username=self.username, password=self.password, ssl_context=self.context, mechanism=self.mechanism
            )
        return SSLCredentials(self.context) if self.context is not None else None


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
    protocol = config.get("security.protocol", "plaintext").upper()
    if protocol not in _PROTOCOLS:
        raise SettingsError(f"kafka.security.protocol must be one of {', '.join(sorted(_PROTOCOLS))}")
    context = _context(config) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL"):
        return Security(protocol, context=context)
    mechanism = config.get("sasl.mechanisms", config.get("sasl.mechanism", "GSSAPI")).upper()
    if mechanism not in _MECHANISMS:
        raise SettingsError(
            f"kafka.sasl.mechanisms {mechanism} is not supported by the agents",
            hint=f"They take {', '.join(sorted(_MECHANISMS))}.",
        )
    if mechanism == "OAUTHBEARER":
        extensions = _pairs(config.get("sasl.oauthbearer.extensions", ""))
        return Security(protocol, mechanism, context=context, tokens=_tokens(config), extensions=extensions)
    username, password = config.get("sasl.username"), config.get("sasl.password")
    if username is None or password is None:
        raise SettingsError(f"kafka.sasl.username and kafka.sasl.password are needed for {mechanism}")
    return Security(protocol, mechanism, username, password, context)


def _tokens(config: Mapping[str, str]) -> TokenSource:
    if config.get("sasl.oauthbearer.method", "default").lower() != "oidc":
        raise SettingsError(
            "kafka.sasl.oauthbearer.method must be oidc for OAUTHBEARER",
            hint=f"Tokens are fetched by client credentials: set {_ENDPOINT}, client id and client secret.",
        )
    endpoint = config.get(_ENDPOINT)
    client_id = next((config[name] for name in _CLIENT_ID if name in config), None)
    secret = next((config[name] for name in _CLIENT_SECRET if name in config), None)
    if endpoint is None or client_id is None or secret is None:
        raise SettingsError(f"kafka.{_ENDPOINT}, {_CLIENT_ID[1]} and {_CLIENT_SECRET[1]} are needed for OAUTHBEARER")
    location = config.get("https.ca.location")
    tls = TlsMaterial(
        "kafka.https.*",
        ca_location=Path(location) if location not in (None, "", "probe") else None,
        ca_pem=config.get("https.ca.pem"),
    )
    return TokenSource(
        ClientCredentials(
            endpoint, client_id, secret, "kafka.sasl.oauthbearer.*", config.get("sasl.oauthbearer.scope"), tls
        )
    )


def _pairs(text: str) -> dict[str, str]:
    """``a=1,b=2``."""
    return dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)


def _context(config: Mapping[str, str]) -> ssl.SSLContext:
    def path(name: str) -> Path | None:
        return Path(config[name]) if config.get(name) else None

    location = path("ssl.ca.location")
    context = TlsMaterial(
        "kafka.ssl.*",
        ca_location=None if str(location) == "probe" else location,
        ca_pem=config.get("ssl.ca.pem"),
        certificate_location=path("ssl.certificate.location"),
        certificate_pem=config.get("ssl.certificate.pem"),
        key_location=path("ssl.key.location"),
        key_pem=config.get("ssl.key.pem"),
        key_password=config.get("ssl.key.password"),
    ).context()
    if config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if config.get("enable.ssl.certificate.verification", "true").lower() in ("false", "0", "f"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

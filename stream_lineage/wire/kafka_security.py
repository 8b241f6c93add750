"""What librdkafka's security settings amount to, for those of our clients that are not librdkafka."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from stream_lineage.errors import SettingsError
from stream_lineage.wire.oauth import ClientCredentials
from stream_lineage.wire.tls import TlsMaterial

TOKEN_ENDPOINT = "sasl.oauthbearer.token.endpoint.url"  # noqa: S105 - the name of a setting
CLIENT_ID = ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id")
CLIENT_SECRET = ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret")
"""Two names for the same."""
TOKEN_SETTINGS = frozenset(
    {
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.extensions",
        TOKEN_ENDPOINT,
        *CLIENT_ID,
        *CLIENT_SECRET,
    }
)
TLS_SETTINGS = frozenset(
    {
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
_PROBE = "probe"  # librdkafka's word for the system's own authorities


def protocol(config: Mapping[str, str]) -> str:
    """``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``."""
    return config.get("security.protocol", "plaintext").upper()


def mechanism(config: Mapping[str, str]) -> str:
    """The SASL mechanism, in capitals."""
    return config.get("sasl.mechanisms", config.get("sasl.mechanism", "GSSAPI")).upper()


def tls_context(config: Mapping[str, str]) -> ssl.SSLContext:
    """As strict as librdkafka is with these settings.

    Raises:
        SettingsError: a certificate or key cannot be used.
    """
    context = TlsMaterial(
        "kafka.ssl.*",
        ca_location=_authorities(config.get("ssl.ca.location")),
        ca_pem=config.get("ssl.ca.pem"),
        certificate_location=_path(config.get("ssl.certificate.location")),
        certificate_pem=config.get("ssl.certificate.pem"),
        key_location=_path(config.get("ssl.key.location")),
        key_pem=config.get("ssl.key.pem"),
        key_password=config.get("ssl.key.password"),
    ).context()
    if config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if config.get("enable.ssl.certificate.verification", "true").lower() in ("false", "0", "f"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def token_credentials(config: Mapping[str, str]) -> ClientCredentials:
    """Who asks for tokens, and where.

    Raises:
        SettingsError: something is missing, or tokens are to be had in another way.
    """
    if config.get("sasl.oauthbearer.method", "default").lower() != "oidc":
        raise SettingsError(
            "kafka.sasl.oauthbearer.method must be oidc for OAUTHBEARER",
            hint=f"Tokens are fetched by client credentials: set {TOKEN_ENDPOINT}, client id and client secret.",
        )
    endpoint = config.get(TOKEN_ENDPOINT)
    client_id = next((config[name] for name in CLIENT_ID if name in config), None)
    secret = next((config[name] for name in CLIENT_SECRET if name in config), None)
    if endpoint is None or client_id is None or secret is None:
        raise SettingsError(f"kafka.{TOKEN_ENDPOINT}, {CLIENT_ID[1]} and {CLIENT_SECRET[1]} are needed for OAUTHBEARER")
    tls = TlsMaterial(
        "kafka.https.*", ca_location=_authorities(config.get("https.ca.location")), ca_pem=config.get("https.ca.pem")
    )
    settings = (
        "kafka.sasl.oauthbearer.client.id, .client.secret, .scope and .token.endpoint.url, kafka.https.ca.location"
    )
    return ClientCredentials(endpoint, client_id, secret, settings, config.get("sasl.oauthbearer.scope"), tls)


def token_extensions(config: Mapping[str, str]) -> dict[str, str]:
    """``a=1,b=2`` as a mapping."""
    text = config.get("sasl.oauthbearer.extensions", "")
    return dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)


def _authorities(location: str | None) -> Path | None:
    return None if location == _PROBE else _path(location)


def _path(location: str | None) -> Path | None:
    return Path(location) if location else None

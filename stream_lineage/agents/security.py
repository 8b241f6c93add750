"""librdkafka's security settings as the Kafka client under Faust wants them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_lineage.errors import SettingsError

_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
_KNOWN = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
)
_HARMLESS = frozenset({"sasl.kerberos.service.name", "sasl.kerberos.kinit.cmd"})  # defaults that do nothing elsewhere


@dataclass(frozen=True, slots=True)
class Security:
    """How to be let in. ``mechanism``, ``username`` and ``password`` are null without SASL, ``context`` without TLS."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Security({self.protocol}, {self.mechanism})"


def security(config: Mapping[str, str]) -> Security:
    """Translate a librdkafka configuration, in clear.

    Raises:
        SettingsError: a security setting that the agents' client has no counterpart for, or a file it cannot read.
    """
    for name in config:
        if name.startswith(("ssl.", "sasl.")) and name not in _KNOWN | _HARMLESS:
            raise SettingsError(
                f"kafka.{name} is not supported by the agents",
                hint="The agents take PLAIN and SCRAM, and certificates as PEM files.",
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
    username, password = config.get("sasl.username"), config.get("sasl.password")
    if username is None or password is None:
        raise SettingsError(f"kafka.sasl.username and kafka.sasl.password are needed for {mechanism}")
    return Security(protocol, mechanism, username, password, context)


def _context(config: Mapping[str, str]) -> ssl.SSLContext:
    ca = config.get("ssl.ca.location")
    try:
        if ca in (None, "probe"):
            context = ssl.create_default_context(cadata=config.get("ssl.ca.pem"))
        elif Path(str(ca)).is_dir():
            context = ssl.create_default_context(capath=ca)
        else:
            context = ssl.create_default_context(cafile=ca)
        certificate = config.get("ssl.certificate.location")
        if certificate is not None:
            # A callable, so that OpenSSL never asks for a password on the terminal.
            password = config.get("ssl.key.password", "")
            context.load_cert_chain(certificate, config.get("ssl.key.location"), password=lambda: password)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"the certificates of kafka.ssl.* cannot be read: {error}") from error
    if config.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if config.get("enable.ssl.certificate.verification", "true").lower() in ("false", "0", "f"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

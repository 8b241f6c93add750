"""What a failed TLS handshake is about, and what to do: from the words in which OpenSSL says it.

Clients say "certificate verify failed" and no more, or hand on OpenSSL's reason between file names and line numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the settings of one hop are called, for the mend."""

    authority: str
    certificate: str
    protocol: str


KAFKA = TlsSettings(
    "kafka.ssl.ca.location (or ssl.ca.pem)",
    "kafka.ssl.certificate.location and kafka.ssl.key.location (or ssl.certificate.pem and ssl.key.pem)",
    "kafka.security.protocol and the port",
)
REGISTRY = TlsSettings(
    "schema_registry_ca_location",
    "schema_registry_certificate_location and schema_registry_key_location",
    "https and the port in schema_registry_url",
)


@dataclass(frozen=True, slots=True)
class TlsTrouble:
    """``what`` goes on from the name of the hop: "its certificate has expired"."""

    what: str
    mend: str


def tls_trouble(said: str, settings: TlsSettings) -> TlsTrouble | None:
    """What OpenSSL means; null when it is not about TLS, or not known."""
    for pattern, what, mend in _KNOWN:
        if re.search(pattern, said, re.IGNORECASE):
            return TlsTrouble(
                what,
                mend.format(authority=settings.authority, certificate=settings.certificate, protocol=settings.protocol),
            )
    return None


_KNOWN = (
    (
        r"certificate has expired|certificate_expired.*verify",
        "has a certificate that has expired",
        "Have its certificate renewed; if it is valid, check this machine's clock.",
    ),
    (
        r"certificate is not yet valid",
        "has a certificate that is not valid yet",
        "Check this machine's clock, and the certificate's dates.",
    ),
    (
        r"hostname mismatch|ip address mismatch|doesn't match|not valid for",
        "has a certificate for another host name",
        "Use a host name that is in its certificate, or have one issued that names this host (subjectAltName).",
    ),
    (
        r"alert certificate required|certificate_required|peer did not return a certificate",
        "wants a client certificate, and got none that it trusts",
        "Set {certificate}. One that is signed by an authority that it does not trust counts as none.",
    ),
    (
        r"alert (unknown ca|bad certificate|certificate unknown|certificate expired|certificate revoked|unsupported "
        r"certificate|decrypt error)|ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(UNKNOWN|EXPIRED|REVOKED))",
        "does not accept our client certificate",
        "Check {certificate}: who signed it, its dates, and that the other side trusts that authority.",
    ),
    (
        r"unable to get (local )?issuer|self.signed certificate|unable to verify the first|certificate verify failed",
        "has a certificate whose authority is not trusted here",
        "Set {authority} to the authority that signed it.",
    ),
    (
        r"wrong.version.number|record.layer.failure|packet length too long|http request|unexpected message",
        "does not speak TLS there",
        "Check {protocol}.",
    ),
    (
        r"handshake failure|no shared cipher|unsupported protocol|protocol version",
        "and we found no common way to encrypt",
        "Check the TLS versions and ciphers on both sides; it may also want a client certificate: {certificate}.",
    ),
)

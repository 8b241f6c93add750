"""Certificates of a small authority of one's own, as PEM: for listeners and clients of the sandbox."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from stream_lineage.errors import SandboxError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName

_DAYS = 30
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, both PEM. ``key`` is PKCS#8 without a password."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Identity(...)"

    def encrypted_key(self, password: str) -> str:
        """The key as PKCS#8 that opens with a password."""
        from cryptography.hazmat.primitives import serialization as form

        key = form.load_pem_private_key(self.key.encode(), None)
        sealed = form.BestAvailableEncryption(password.encode())
        return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, sealed).decode()

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """``name.pem`` and ``name.key``, the latter for this user only; their paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_text(self.certificate, encoding="ascii")
        write_private(key, self.key)
        return certificate, key


class Authority:
    """Signs certificates. ``certificate`` (PEM) is what those trust who trust it.

    Raises:
        SandboxError: the package ``cryptography`` is not installed.
    """

    def __init__(self, name: str) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError as error:
            raise SandboxError(
                "the package cryptography is not installed", hint="pip install 'stream-lineage[sandbox]'"
            ) from error
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        unsigned = _unsigned(name, self._key, name, now - _CLOCKS_DIFFER, now + timedelta(days=_DAYS))
        self._name = name
        self._certificate = self._signed(unsigned, authority=True)
        self.certificate = _pem(self._certificate)

    def issue(
        self,
        common_name: str,
        *,
        hosts: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Identity:
        """A certificate for a server that is called by ``hosts`` (names and addresses), or for a client.

        It is valid now and for 30 days unless told otherwise.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        unsigned = _unsigned(
            common_name, key, self._name, since or now - _CLOCKS_DIFFER, until or now + timedelta(days=_DAYS)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            unsigned = unsigned.add_extension(names, critical=False)
        plain = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        return Identity(_pem(self._signed(unsigned, authority=False)), plain.decode())

    def _signed(self, unsigned: CertificateBuilder, *, authority: bool) -> Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        constraints = x509.BasicConstraints(ca=authority, path_length=0 if authority else None)
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        whole = unsigned.add_extension(constraints, critical=True).add_extension(usage, critical=True)
        return whole.add_extension(mine, critical=False).sign(self._key, hashes.SHA256())


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)


def _unsigned(
    subject: str, key: EllipticCurvePrivateKey, issuer: str, since: datetime, until: datetime
) -> CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.not_valid_before(since).not_valid_after(until).add_extension(identifier, critical=False)


def _general_name(host: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives import serialization as form

    return certificate.public_bytes(form.Encoding.PEM).decode()

"""TLS contexts from PEM: by file or inline, keys with a password or without."""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from stream_lineage.errors import SettingsError


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Whom to trust and who we are. What is null is left to the system, or left out.

    Each may be given by its path or as text; given both ways, the text counts. ``ca_location`` may be a directory.
    ``key`` is not needed where the certificate's file holds it. ``name`` is what the settings are called in errors.
    """

    name: str
    ca_location: Path | None = None
    ca_pem: str | None = None
    certificate_location: Path | None = None
    certificate_pem: str | None = None
    key_location: Path | None = None
    key_pem: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """A client's context, which checks certificates and names.

        Raises:
            SettingsError: a file cannot be read, something is no PEM, the key does not fit or does not open.
        """
        try:
            context = self._trusting()
        except (OSError, ssl.SSLError, ValueError) as error:
            given = "the text given" if self.ca_pem else str(self.ca_location)
            raise SettingsError(
                f"{self.name}: the authorities in {given} cannot be used: {_why(error)}",
                hint="It must be PEM, with -----BEGIN CERTIFICATE----- in it.",
            ) from None
        if self.certificate_location is not None or self.certificate_pem is not None:
            try:
                self._identify(context)
            except (OSError, ssl.SSLError, ValueError) as error:
                given = "the text given" if self.certificate_pem else str(self.certificate_location)
                raise SettingsError(
                    f"{self.name}: the client certificate in {given} cannot be used: {_why(error)}",
                    hint="Certificate and key must be PEM and belong together, and the key's password must be right.",
                ) from None
        return context

    def _trusting(self) -> ssl.SSLContext:
        if self.ca_pem is not None:
            return ssl.create_default_context(cadata=self.ca_pem)
        if self.ca_location is not None and self.ca_location.is_dir():
            return ssl.create_default_context(capath=self.ca_location)
        return ssl.create_default_context(cafile=self.ca_location)

    def _identify(self, context: ssl.SSLContext) -> None:
        def password() -> str:  # a callable, so that OpenSSL never asks for one on the terminal
            return self.key_password or ""

        if self.certificate_pem is None and self.key_pem is None:
            context.load_cert_chain(self.certificate_location or "", self.key_location, password=password)
            return
        # Python reads these from files only.
        with tempfile.TemporaryDirectory(prefix="stream-lineage-tls-") as directory:
            certificate, key = self.certificate_location or Path(), self.key_location
            if self.certificate_pem is not None:
                certificate = _written(Path(directory) / "certificate.pem", self.certificate_pem)
            if self.key_pem is not None:
                key = _written(Path(directory) / "key.pem", self.key_pem)
            context.load_cert_chain(certificate, key, password=password)


def _written(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _why(error: Exception) -> str:
    """OpenSSL's reason in words, without the text that it failed on."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "it is no PEM, or the key's password is wrong").replace("_", " ").lower()
        if "values mismatch" in reason:
            return "certificate and key do not belong together"
        if "bad decrypt" in reason or "pem lib" in reason or "bad password" in reason:
            return "it is no PEM, or the key's password is wrong"
        return reason
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is no PEM"

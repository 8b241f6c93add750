"""Knocks at a broker's port, to see what is wrong when a Kafka client cannot get in.

librdkafka says "certificate verify failed" of a wrong authority, a wrong name and an expired certificate alike, and
nothing at all when it speaks plain text to a port that wants TLS.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import closing, suppress

_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
"""ApiVersions v0 with correlation 1 and no client id: what every listener answers before it asks who we are."""
_METADATA = struct.pack(">hhihi", 3, 1, 2, -1, 0)
"""Metadata v1 of no topic: the first thing that a listener wants us to have logged in for."""
_TLS_ALERT = 0x15
_ANSWER = 512
_SHORT_SECONDS = 0.2
_REASON_SECONDS = 1.0


def tls_failure(host: str, port: int, context: ssl.SSLContext, *, timeout_seconds: float) -> str | None:
    """What OpenSSL has against a TLS connection; null where there is nothing, or nobody to connect to."""
    try:
        with closing(socket.create_connection((host, port), timeout_seconds)) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=host) as secured:
                    # TLS 1.3 tells only now that our certificate was not liked. Whoever hangs up on a question that was
                    # already sent resets the connection, and the reason is lost: so none is asked.
                    secured.settimeout(min(timeout_seconds, _REASON_SECONDS))
                    secured.recv(_ANSWER)
            except ssl.SSLCertVerificationError as error:
                return error.verify_message or str(error)
            except ssl.SSLError as error:
                return "wrong version number" if _no_tls(error) else str(error)
            except TimeoutError:
                return None
            except OSError:
                return "wrong version number"  # it hung up on our greeting
    except (OSError, UnicodeError):
        return None
    return None


def speaks_tls(host: str, port: int, *, timeout_seconds: float) -> bool:
    """Whether TLS is spoken there, with whomever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with closing(socket.create_connection((host, port), timeout_seconds)) as plain:
            try:
                context.wrap_socket(plain, server_hostname=host).close()
            except ssl.SSLError as error:
                return not _no_tls(error)
    except (OSError, UnicodeError):
        return False
    return True


def answers_in_the_open(host: str, port: int, *, timeout_seconds: float) -> bool:
    """Whether a Kafka listener answers there without TLS."""
    try:
        with closing(socket.create_connection((host, port), timeout_seconds)) as plain:
            plain.sendall(_framed(_API_VERSIONS))
            answer = plain.recv(_ANSWER)
    except (OSError, UnicodeError):
        return False
    return len(answer) >= 8 and answer[0] != _TLS_ALERT and answer[4:8] == b"\0\0\0\1"


def wants_a_login(host: str, port: int, context: ssl.SSLContext | None, *, timeout_seconds: float) -> bool:
    """Whether a Kafka listener talks to us and hangs up at the first request: SASL should have come before it."""
    try:
        with closing(socket.create_connection((host, port), timeout_seconds)) as plain:
            connection = plain if context is None else context.wrap_socket(plain, server_hostname=host)
            with closing(connection):
                connection.sendall(_framed(_API_VERSIONS))
                if len(connection.recv(_ANSWER)) < 8:
                    return False
                connection.settimeout(_SHORT_SECONDS)  # there may be more of the first answer
                with suppress(TimeoutError):
                    while len(connection.recv(_ANSWER)) == _ANSWER:
                        pass
                connection.settimeout(timeout_seconds)
                connection.sendall(_framed(_METADATA))
                return connection.recv(_ANSWER) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    except (OSError, UnicodeError):
        return False


def _no_tls(error: ssl.SSLError) -> bool:
    said = f"{error.reason} {error}"
    return any(word in said for word in ("WRONG_VERSION", "RECORD_LAYER", "UNEXPECTED_EOF", "EOF occurred", "TOO_LONG"))


def _framed(request: bytes) -> bytes:
    return struct.pack(">i", len(request)) + request

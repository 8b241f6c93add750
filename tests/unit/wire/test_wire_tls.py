"""If this failed, certificates would be checked less than asked for, or what is wrong with them would not be said."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lineage.errors import SettingsError
from stream_lineage.sandbox.certificates import Authority, Identity
from stream_lineage.wire.handshake import answers_in_the_open, speaks_tls, tls_failure, wants_a_login
from stream_lineage.wire.tls import TlsMaterial
from stream_lineage.wire.tls_trouble import KAFKA, tls_trouble

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("ours")


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.issue("server", hosts=(HOST,))


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where each connection is served in turn."""
    with socket.create_server((HOST, 0)) as server:
        stopping = threading.Event()

        def run() -> None:
            while not stopping.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        stopping.set()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def tls(identity: Identity, directory: Path, *, wants: Authority | None = None) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity.write(directory, "server"))
    if wants is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=wants.certificate)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(100)

    return serve


def kafka(*, login: bool) -> Callable[[socket.socket], None]:
    """Answers the first request, and hangs up at the second if it wants a login."""

    def serve(connection: socket.socket) -> None:
        for number in (1, 2):
            request = connection.recv(1_000)
            if number == 2 and login:
                return
            body = request[8:12] + bytes(6)
            connection.sendall(len(body).to_bytes(4, "big") + body)

    return serve


def test_material_by_file_and_as_text(authority: Authority, identity: Identity, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(authority.certificate)
    certificate, key = identity.write(tmp_path, "me")
    (tmp_path / "sealed.key").write_text(identity.encrypted_key("open sesame"))
    (tmp_path / "both.pem").write_text(identity.certificate + identity.key)
    for material in (
        TlsMaterial("x", ca_location=tmp_path / "ca.pem", certificate_location=certificate, key_location=key),
        TlsMaterial("x", ca_pem=authority.certificate, certificate_location=tmp_path / "both.pem"),
        TlsMaterial("x", ca_pem=authority.certificate, certificate_pem=identity.certificate, key_pem=identity.key),
        TlsMaterial("x", ca_pem=authority.certificate, certificate_location=certificate, key_pem=identity.key),
        TlsMaterial(
            "x", ca_pem=authority.certificate, certificate_location=certificate, key_location=tmp_path / "sealed.key",
            key_password="open sesame",
        ),
    ):  # fmt: skip
        context = material.context()
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert [dict(found["subject"][0])["commonName"] for found in context.get_ca_certs()] == ["ours"]
    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem", "me.pem", "me.key", "sealed.key", "both.pem"}
    assert (tmp_path / "me.key").stat().st_mode & 0o077 == 0


def test_what_cannot_be_used_is_named_and_not_shown(authority: Authority, identity: Identity, tmp_path: Path) -> None:
    certificate, key = identity.write(tmp_path, "me")
    other = authority.issue("other")
    text = tmp_path / "text.pem"
    text.write_text("open sesame")
    sealed = identity.encrypted_key("open sesame")
    for material, said in (
        (TlsMaterial("x.*", ca_location=Path("/no/such.pem")), "x.*: the authorities in /no/such.pem cannot be used"),
        (TlsMaterial("x.*", ca_location=text), "text.pem cannot be used"),
        (TlsMaterial("x.*", ca_pem="open sesame"), "the text given cannot be used"),
        (TlsMaterial("x.*", certificate_location=text, key_location=key), "client certificate in"),
        (TlsMaterial("x.*", certificate_location=certificate, key_pem=other.key), "do not belong together"),
        (TlsMaterial("x.*", certificate_location=certificate, key_pem=sealed), "password is wrong"),
        (
            TlsMaterial("x.*", certificate_location=certificate, key_pem=sealed, key_password="shut"),
            "password is wrong",
        ),
    ):
        with pytest.raises(SettingsError) as caught:
            material.context()
        assert said in caught.value.message
        assert caught.value.hint
        for secret in ("open sesame", "PRIVATE"):
            assert secret not in caught.value.message
    assert "open sesame" not in repr(TlsMaterial("x", key_pem="open sesame", key_password="open sesame"))


LATER = datetime.now(UTC) + timedelta(days=2)
EARLIER = datetime.now(UTC) - timedelta(days=2)


@pytest.mark.parametrize(
    ("issued", "trusted", "what"),
    [
        ({"hosts": (HOST,)}, True, None),
        ({"hosts": ("elsewhere.example",)}, True, "for another host name"),
        ({}, True, "for another host name"),
        ({"hosts": (HOST,), "since": EARLIER - timedelta(days=1), "until": EARLIER}, True, "has expired"),
        ({"hosts": (HOST,), "since": LATER, "until": LATER + timedelta(days=1)}, True, "not valid yet"),
        ({"hosts": (HOST,)}, False, "authority is not trusted"),
    ],
)
def test_why_a_server_is_not_trusted(
    issued: dict[str, object], trusted: bool, what: str | None, authority: Authority, tmp_path: Path
) -> None:
    server = authority.issue("server", **issued)  # type: ignore[arg-type]
    trust = authority if trusted else Authority("somebody else")
    context = TlsMaterial("x", ca_pem=trust.certificate).context()
    with listening(tls(server, tmp_path)) as port:
        said = tls_failure(HOST, port, context, timeout_seconds=5)
        found = tls_trouble(said, KAFKA) if said else None
        assert speaks_tls(HOST, port, timeout_seconds=5)
    assert (found is None) is (what is None)
    if found is not None and what is not None:
        assert what in found.what


def test_why_we_are_not_trusted(authority: Authority, identity: Identity, tmp_path: Path) -> None:
    client, stranger = authority.issue("client"), Authority("somebody else").issue("client")
    with listening(tls(identity, tmp_path, wants=authority)) as port:
        for who, what in (
            (client, None),
            (None, "wants a client certificate"),
            (stranger, "does not accept our client"),
        ):
            context = TlsMaterial(
                "x",
                ca_pem=authority.certificate,
                certificate_pem=who.certificate if who else None,
                key_pem=who.key if who else None,
            ).context()
            said = tls_failure(HOST, port, context, timeout_seconds=5)
            assert bool(said) is bool(what)
            if said and what:
                found = tls_trouble(said, KAFKA)
                assert found is not None
                assert what in found.what
                assert "ssl.certificate.location" in found.mend


def test_which_language_is_spoken(authority: Authority, identity: Identity, tmp_path: Path) -> None:
    context = TlsMaterial("x", ca_pem=authority.certificate).context()
    with listening(kafka(login=False)) as port:
        assert answers_in_the_open(HOST, port, timeout_seconds=5)
        assert not wants_a_login(HOST, port, None, timeout_seconds=5)
        assert not speaks_tls(HOST, port, timeout_seconds=5)
        found = tls_trouble(tls_failure(HOST, port, context, timeout_seconds=5) or "", KAFKA)
        assert found is not None
        assert found.what == "does not speak TLS there"
    with listening(kafka(login=True)) as port:
        assert wants_a_login(HOST, port, None, timeout_seconds=5)
    with listening(tls(identity, tmp_path)) as port:
        assert not answers_in_the_open(HOST, port, timeout_seconds=5)
    for knock in (answers_in_the_open, speaks_tls):
        assert not knock(HOST, 9, timeout_seconds=5)  # nobody is there
    assert tls_failure(HOST, 9, context, timeout_seconds=5) is None


@pytest.mark.parametrize("said", ["", "Connection refused", "timed out", "something else altogether"])
def test_what_is_not_about_tls_is_left_alone(said: str) -> None:
    assert tls_trouble(said, KAFKA) is None

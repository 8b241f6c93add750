"""If this failed, agents could not log in where collectors can, or would do so less safely than was asked for."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from stream_lineage.agents.security import security
from stream_lineage.errors import SettingsError
from stream_lineage.sandbox.certificates import Authority
from stream_lineage.sandbox.tokens import TokenServer


def test_plaintext_is_the_default() -> None:
    found = security({"bootstrap.servers": "a:9092", "client.id": "x", "fetch.max.bytes": "5"})

    assert (found.protocol, found.mechanism, found.context) == ("PLAINTEXT", None, None)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_sasl(mechanism: str, name: str) -> None:
    found = security(
        {"security.protocol": "sasl_plaintext", name: mechanism, "sasl.username": "u", "sasl.password": "secret-p"}
    )

    assert (found.protocol, found.mechanism, found.username, found.password) == (
        "SASL_PLAINTEXT", mechanism, "u", "secret-p",
    )  # fmt: skip
    assert found.context is None
    assert "secret-p" not in repr(found)


def test_tls_checks_certificates_and_names() -> None:
    context = security({"security.protocol": "ssl"}).context

    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("name", "value", "hostname", "verify"),
    [
        ("ssl.endpoint.identification.algorithm", "none", False, ssl.CERT_REQUIRED),
        ("ssl.endpoint.identification.algorithm", "https", True, ssl.CERT_REQUIRED),
        ("enable.ssl.certificate.verification", "false", False, ssl.CERT_NONE),
        ("enable.ssl.certificate.verification", "true", True, ssl.CERT_REQUIRED),
    ],
)
def test_tls_is_weakened_only_when_asked_for(name: str, value: str, hostname: bool, verify: ssl.VerifyMode) -> None:
    context = security({"security.protocol": "SSL", name: value}).context

    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (hostname, verify)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"security.protocol": "TLS"}, "security.protocol"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": "OAUTHBEARER"}, "OAUTHBEARER"),
        ({"security.protocol": "SASL_SSL"}, "GSSAPI"),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN"}, "sasl.username"),
        ({"ssl.keystore.location": "x.p12"}, "ssl.keystore.location"),
        ({"sasl.oauthbearer.config": "x"}, "sasl.oauthbearer.config"),
        (
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.client.id": "me",
            },
            "token.endpoint.url",
        ),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere.pem"}, "authorities in /nowhere.pem"),
        (
            {"security.protocol": "SSL", "ssl.certificate.location": "/nowhere.pem"},
            "client certificate in /nowhere.pem",
        ),
    ],
)
def test_what_cannot_be_done_is_said(config: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        security(config)


def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = next(iter(ssl.create_default_context().get_ca_certs(binary_form=True)), None)
    if authority is None:
        pytest.skip("this machine trusts no authority")
    file = tmp_path / "ca.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(authority))

    for config in ({"ssl.ca.location": str(file)}, {"ssl.ca.pem": file.read_text()}):
        context = security({"security.protocol": "SSL", **config}).context
        assert context is not None
        assert context.get_ca_certs(binary_form=True) == [authority]


def test_tokens(tmp_path: Path) -> None:
    server = TokenServer({"me": "secret-of-me"}, audience="kafka", lifetime_seconds=100)
    server.start()
    try:
        found = security(
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanisms": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": server.url,
                "sasl.oauthbearer.client.id": "me",
                "sasl.oauthbearer.client.secret": "secret-of-me",
                "sasl.oauthbearer.extensions": "pool=a, region=b",
            }
        )
        credentials = found.credentials()
        tokens = [asyncio.run(credentials.oauth_cb.token()) for _ in range(3)]
    finally:
        server.close()
    assert len(set(tokens)) == len(server.issued) == 1
    assert credentials.oauth_cb.extensions() == {"pool": "a", "region": "b"}
    assert credentials.protocol.value == "SASL_PLAINTEXT"
    assert "secret-of-me" not in f"{found!r}{credentials!r}"


def test_certificates_as_text(tmp_path: Path) -> None:
    authority = Authority("ours")
    client = authority.issue("me")
    found = security(
        {
            "security.protocol": "SSL",
            "ssl.ca.pem": authority.certificate,
            "ssl.certificate.pem": client.certificate,
            "ssl.key.pem": client.encrypted_key("key-password"),
            "ssl.key.password": "key-password",
        }
    )
    assert found.context is not None
    assert found.credentials().context is found.context
    assert security({}).credentials() is None

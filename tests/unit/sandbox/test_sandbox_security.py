"""If this failed, the secured listeners would trust whom they should not, or leave keys to be read by others."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from stream_lineage.sandbox.certificates import Authority
from stream_lineage.sandbox.security import LISTENERS, Listener, Security
from stream_lineage.sandbox.tokens import TokenServer


@pytest.fixture
def security(tmp_path: Path) -> Security:
    made = Security(tmp_path / "security", ("sasl", "mtls", "expired", "misnamed"))
    made.listen({"sasl": 1, "mtls": 2, "expired": 3, "misnamed": 4})
    return made


def test_keys_are_for_this_user_only(security: Security) -> None:
    private = [path for path in security.directory.iterdir() if "PRIVATE KEY" in path.read_text()]
    assert {path.name for path in private} >= {"broker.key", "broker.store.pem", "admin.key", "service.key"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_certificates_are_what_they_are_called(security: Security) -> None:
    def found(name: str) -> dict[str, object]:
        return ssl._ssl._test_decode_cert(str(security.directory / f"{name}.pem"))  # type: ignore[attr-defined, no-any-return]

    now = datetime.now(UTC).timestamp()
    for name, names in (
        ("broker", {("DNS", "localhost"), ("IP Address", "127.0.0.1")}),
        ("expired", {("DNS", "localhost"), ("IP Address", "127.0.0.1")}),
        ("misnamed", {("DNS", "elsewhere.example")}),
        ("service", set()),
    ):
        certificate = found(name)
        assert set(certificate.get("subjectAltName", ())) == names  # type: ignore[call-overload]
        assert (ssl.cert_time_to_seconds(str(certificate["notAfter"])) < now) is (name == "expired")


def test_what_the_broker_is_told(security: Security) -> None:
    config = security.broker_config()
    assert config["super.users"] == "User:ANONYMOUS;User:admin"
    assert config["listener.name.mtls.ssl.client.auth"] == "required"
    assert config["listener.name.sasl.sasl.enabled.mechanisms"] == "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
    assert config["listener.name.expired.ssl.keystore.location"].endswith("expired.store.pem")
    assert security.addresses[0] == "SASL://127.0.0.1:1"
    assert security.protocols == {"SASL": "SASL_SSL", "MTLS": "SSL", "EXPIRED": "SSL", "MISNAMED": "SSL"}
    assert [way.name for way in security.ways_in()] == ["sasl-plain", "sasl-scram", "mtls", "expired", "misnamed"]


@pytest.mark.parametrize("listener", LISTENERS)
def test_each_listener_has_a_way_in(listener: Listener, tmp_path: Path) -> None:
    security = Security(tmp_path, (listener,))
    security.listen({listener: 5})
    try:
        ways = security.ways_in()
        assert ways
        assert {way.settings["bootstrap.servers"] for way in ways} == {"127.0.0.1:5"}
    finally:
        security.close()


def test_tokens_are_for_those_who_know_the_secret(tmp_path: Path) -> None:
    authority = Authority("ours")
    identity = authority.issue("tokens", hosts=("127.0.0.1",)).write(tmp_path, "tokens")
    server = TokenServer({"me": "a%2Fb:c"}, audience="kafka", lifetime_seconds=60, tls=identity)
    server.start()
    context = ssl.create_default_context(cadata=authority.certificate)
    form = {"grant_type": "client_credentials"}
    try:
        with httpx.Client(verify=context, trust_env=False) as client:
            given = client.post(server.url, data=form, auth=("me", "a%2Fb:c"))
            assert (given.status_code, given.json()["expires_in"]) == (200, 60)
            in_form = client.post(server.url, data={**form, "client_id": "me", "client_secret": "a%2Fb:c"})
            assert in_form.status_code == 200
            assert client.post(server.url, data=form, auth=("me", "wrong")).status_code == 401
            assert client.post(server.url, data=form).status_code == 401
            assert client.post(server.url, data={"grant_type": "password"}, auth=("me", "x")).status_code == 400
            assert client.post(f"{server.url}/x", data=form).status_code == 404
    finally:
        server.close()
    assert (len(server.issued), server.refused) == (2, 2)
    [key] = server.keys["keys"]
    assert (key["kty"], key["alg"]) == ("RSA", "RS256")
    assert "d" not in key
    assert json.dumps(server.keys)

"""If this failed, who has a wrong certificate, password or protocol would not be told which, where, and what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import patient
from registry_door import basic, bearer, door
from securing import SecuredLab

from stream_lineage.cli.main import run
from stream_lineage.doctor.check import Status
from stream_lineage.doctor.examination import examine
from stream_lineage.doctor.registry import check_registry
from stream_lineage.errors import RegistryUnavailable
from stream_lineage.sandbox import Sandbox
from stream_lineage.sandbox.certificates import Authority
from stream_lineage.sandbox.security import Security
from stream_lineage.settings import load_settings
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

pytestmark = pytest.mark.kafka

MOST_SECONDS = 15.0
"""Until it is told, on a quiet machine, where it takes 0.1 to 2 seconds."""


@dataclass(frozen=True)
class Elsewhere:
    """Certificates that the broker's authority knows nothing of."""

    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    directory = tmp_path_factory.mktemp("elsewhere")
    authority = Authority("somebody else")
    (directory / "ca.pem").write_text(authority.certificate)
    return Elsewhere(directory / "ca.pem", *authority.issue("admin").write(directory, "admin"))


@contextmanager
def tokens(security: Security, **changed: object) -> Iterator[None]:
    """A token server that is not as the broker expects it."""
    server = security.tokens
    before = {name: getattr(server, name) for name in changed}
    for name, value in changed.items():
        setattr(server, name, value)
    yield
    for name, value in before.items():
        setattr(server, name, value)


Changes = Callable[[Security, Elsewhere], dict[str, str]]


@dataclass(frozen=True)
class Case:
    """How a client comes in (``way`` with ``changes``; null takes a setting away) and what it must be told."""

    way: str
    changes: Changes
    hop: str
    said: str
    mend: str
    listener: str = ""
    server: dict[str, object] | None = None


def same(_s: Security, _e: Elsewhere) -> dict[str, str]:
    return {}


def sets(**settings: str) -> Changes:
    return lambda _s, _e: {name.replace("_", "."): value for name, value in settings.items()}


KAFKA = "Kafka at {address} "
TOKENS = "token endpoint {endpoint} "
CASES = {
    "wrong authority": Case(
        "sasl-plain", lambda _s, e: {"ssl.ca.location": str(e.ca)}, KAFKA, "authority is not trusted", "ssl.ca.location"
    ),
    "wrong host name": Case("misnamed", same, KAFKA, "for another host name", "subjectAltName"),
    "expired certificate": Case("expired", same, KAFKA, "has expired", "renewed"),
    "wrong password, PLAIN": Case(
        "sasl-plain", sets(sasl_password="wrong-password"), KAFKA, "user admin (PLAIN): Authentication failed",
        "sasl.password",
    ),
    "wrong password, SCRAM": Case(
        "sasl-scram", sets(sasl_password="wrong-password"), KAFKA, "user admin (SCRAM-SHA-512): Authentication failed",
        "sasl.password",
    ),
    "unknown user": Case(
        "sasl-scram", sets(sasl_username="nobody"), KAFKA, "user nobody (SCRAM-SHA-512)", "sasl.username"
    ),
    "mechanism that is not offered": Case(
        "sasl-plain", lambda s, _e: {"bootstrap.servers": s.bootstrap_servers("oauthbearer")}, KAFKA,
        "supported mechanisms: OAUTHBEARER", "sasl.mechanisms", listener="oauthbearer",
    ),
    "wrong client secret": Case(
        "oauthbearer", sets(sasl_oauthbearer_client_secret="wrong-password"), TOKENS,
        "refused client admin (401: invalid_client", "client.secret",
    ),
    "token endpoint that is down": Case(
        "oauthbearer", sets(sasl_oauthbearer_token_endpoint_url="https://127.0.0.1:9/token"),
        "token endpoint https://127.0.0.1:9/token ", "cannot be reached", "token.endpoint.url",
    ),
    "token endpoint of another authority": Case(
        "oauthbearer", lambda _s, e: {"https.ca.location": str(e.ca)}, TOKENS, "cannot be reached", "https.ca.location"
    ),
    "token that has expired": Case(
        "oauthbearer", same, TOKENS, "gave a token that cannot be used: Must supply an unexpired token", "clock",
        server={"age_seconds": 1_000.0},
    ),
    "token for somebody else": Case(
        "oauthbearer", same, KAFKA, "the token of client admin", "audience", server={"audience": "another-service"}
    ),
    "token by another issuer": Case(
        "oauthbearer", same, KAFKA, "the token of client admin", "issuer", server={"issuer": "https://elsewhere"}
    ),
    "no client certificate": Case(
        "mtls", lambda _s, _e: {"ssl.certificate.location": "", "ssl.key.location": ""}, KAFKA,
        "wants a client certificate", "ssl.certificate.location",
    ),
    "client certificate of another authority": Case(
        "mtls", lambda _s, e: {"ssl.certificate.location": str(e.certificate), "ssl.key.location": str(e.key)}, KAFKA,
        "client certificate", "ssl.certificate.location",
    ),
    "plain text to a TLS port": Case(
        "mtls", sets(security_protocol="PLAINTEXT"), KAFKA, "wants TLS, and we speak plain text", "security.protocol"
    ),
    "SASL in plain text to a TLS port": Case(
        "sasl-plain", sets(security_protocol="SASL_PLAINTEXT"), KAFKA, "wants TLS, and we speak plain text",
        "security.protocol",
    ),
    "TLS to a plain port": Case(
        "mtls", lambda s, _e: {"bootstrap.servers": "plain"}, KAFKA, "does not speak TLS there", "security.protocol",
        listener="plain",
    ),
    "TLS without SASL": Case(
        "mtls", lambda s, _e: {"bootstrap.servers": s.bootstrap_servers("sasl")}, KAFKA, "wants a login",
        "security.protocol", listener="sasl",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_who_is_not_let_in_is_told_why(
    name: str,
    secured: Sandbox,
    secured_lab: SecuredLab,
    elsewhere: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case, security = CASES[name], secured.security
    settings = security.settings(case.way) | case.changes(security, elsewhere)
    if settings["bootstrap.servers"] == "plain":
        settings["bootstrap.servers"] = secured.bootstrap_servers
    settings = {key: value for key, value in settings.items() if value}
    assert security.tokens is not None
    hop = case.hop.format(address=settings["bootstrap.servers"], endpoint=security.tokens.url)
    secured_lab.come_in(settings)
    for variable, value in secured_lab.environment.items():
        if variable.startswith("STREAM_LINEAGE_"):
            monkeypatch.setenv(variable, value)
    with tokens(security, **(case.server or {})):
        started = time.monotonic()
        checks = {check.name: check for check in examine(load_settings(), timeout_seconds=10)}
        took = [time.monotonic() - started]
        commands = {}
        for command in ("collect", "agents"):
            started = time.monotonic()
            code = run([command])
            took.append(time.monotonic() - started)
            captured = capsys.readouterr()
            commands[command] = (code, captured.out, captured.err)
        assert run(["doctor"]) == 1
        told = " ".join(capsys.readouterr().out.split())
    assert checks["addresses"].status is Status.OK
    assert checks["security"].status is Status.FAIL
    assert checks["security"].detail.startswith(hop), checks["security"]
    assert case.said in checks["security"].detail
    assert case.mend in checks["security"].mend
    for command, (code, out, err) in commands.items():
        assert (code, out) == (1, ""), command
        assert f"error: {hop}" in err, command
        assert case.said in err, command
        assert case.mend in err.partition("hint: ")[2], command
    assert hop in told
    assert case.mend in told
    assert max(took) < patient(MOST_SECONDS)
    for secret in ("wrong-password", "admin-secret", "PRIVATE KEY"):
        assert secret not in f"{checks}{commands}{told}"


# The registry


@dataclass(frozen=True)
class Knock:
    """How a client comes to a registry's door, and what it must be told."""

    settings: Callable[[Security, Elsewhere], dict[str, object]]
    said: str
    mend: str


def trusting(security: Security, **more: object) -> dict[str, object]:
    return {"schema_registry_ca_location": security.ca_path, **more}


KNOCKS = {
    "wrong authority": Knock(
        lambda _s, e: {"schema_registry_ca_location": e.ca}, "authority is not trusted", "schema_registry_ca_location"
    ),
    "no password": Knock(lambda s, _e: trusting(s), "refused our credentials (401)", "schema_registry_basic_auth"),
    "wrong password": Knock(
        lambda s, _e: trusting(s, schema_registry_basic_auth="lineage:wrong-password"),
        "refused our credentials (401)",
        "schema_registry_basic_auth",
    ),
    "wrong token": Knock(
        lambda s, _e: trusting(s, schema_registry_bearer_token="wrong-password"),
        "refused our credentials (401)",
        "schema_registry_bearer_token",
    ),
    "wrong client secret": Knock(
        lambda s, _e: trusting(
            s,
            schema_registry_token_url=s.tokens.url if s.tokens else "",
            schema_registry_client_id="service",
            schema_registry_client_secret="wrong-password",
            schema_registry_token_ca_location=s.ca_path,
        ),
        "token endpoint {endpoint} refused client service (401: invalid_client",
        "schema_registry_client_secret",
    ),
}


def misled(settings: RegistrySettings, said: str, mend: str) -> None:
    """Both the client and the doctor say so, and show no secret."""
    with closing(SchemaRegistry(settings)) as registry, pytest.raises(RegistryUnavailable) as caught:
        registry.subjects()
    check = check_registry(settings)
    assert check.status is Status.FAIL
    for message, hint in ((caught.value.message, caught.value.hint or ""), (check.detail, check.mend)):
        assert said in message
        assert mend in hint
        assert "wrong-password" not in message + hint


@pytest.mark.parametrize("name", KNOCKS)
def test_a_registry_that_does_not_let_us_in(
    name: str, secured: Sandbox, secured_lab: SecuredLab, elsewhere: Elsewhere
) -> None:
    knock, security = KNOCKS[name], secured.security
    identity = security.directory / "broker.pem", security.directory / "broker.key"
    admits = bearer(lambda _: False) if "token" in name or "client" in name else basic("lineage", "right-password")
    with door(secured_lab.registry_at_home, identity, admits=admits) as at:
        settings = RegistrySettings.model_validate(
            {"schema_registry_url": at.url, "registry_timeout_seconds": 10, **knock.settings(security, elsewhere)}
        )
        assert security.tokens is not None
        misled(settings, knock.said.format(endpoint=security.tokens.url), knock.mend)
        assert at.passed == 0


@pytest.mark.parametrize(
    ("listener", "said", "mend"),
    [
        ("expired", "has a certificate that has expired", "renewed"),
        ("misnamed", "has a certificate for another host name", "subjectAltName"),
    ],
)
def test_a_registry_with_a_bad_certificate(
    listener: str, said: str, mend: str, secured: Sandbox, secured_lab: SecuredLab
) -> None:
    security = secured.security
    identity = security.directory / f"{listener}.pem", security.directory / f"{listener}.key"
    with door(secured_lab.registry_at_home, identity) as at:
        misled(
            RegistrySettings(schema_registry_url=at.url, schema_registry_ca_location=security.ca_path),
            f"schema registry {at.url}",
            mend,
        )
        misled(RegistrySettings(schema_registry_url=at.url, schema_registry_ca_location=security.ca_path), said, mend)


def test_a_registry_that_wants_a_client_certificate(
    secured: Sandbox, secured_lab: SecuredLab, elsewhere: Elsewhere
) -> None:
    security = secured.security
    identity = security.directory / "broker.pem", security.directory / "broker.key"
    with door(secured_lab.registry_at_home, identity, client_authority=security.ca_path) as at:
        bare = RegistrySettings(schema_registry_url=at.url, schema_registry_ca_location=security.ca_path)
        misled(bare, "wants a client certificate", "schema_registry_certificate_location")
        strange = bare.model_copy(
            update={
                "schema_registry_certificate_location": elsewhere.certificate,
                "schema_registry_key_location": elsewhere.key,
            }
        )
        misled(strange, "does not accept our client certificate", "schema_registry_certificate_location")
        plain = bare.model_copy(update={"schema_registry_url": at.url.replace("https:", "http:")})
        misled(plain, f"schema registry {plain.schema_registry_url}", "https")

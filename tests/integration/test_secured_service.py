"""If this failed, clusters and registries that want a password, a token or a certificate could not be observed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from collecting import CLICK, CLICK_2, Acknowledged
from registry_door import Door, basic, bearer, door
from securing import SecuredLab, acls_of

from stream_lineage.sandbox import Sandbox
from stream_lineage.sandbox.tokens import TokenServer

pytestmark = pytest.mark.kafka

TOKEN_SECONDS = 8.0


@contextmanager
def short_lived(sandbox: Sandbox) -> Iterator[TokenServer]:
    tokens = sandbox.security.tokens
    assert tokens is not None
    before, tokens.lifetime_seconds = tokens.lifetime_seconds, TOKEN_SECONDS
    tokens.issued.clear()
    yield tokens
    tokens.lifetime_seconds = before


def inline(settings: dict[str, str]) -> dict[str, str]:
    """The same with the PEM itself instead of the files that hold it."""
    return {
        name.replace(".location", ".pem"): Path(value).read_text() if name.endswith(".location") else value
        for name, value in settings.items()
    }


def let_in(lab: SecuredLab, principal: str) -> None:
    """Grant what the documentation says, and nothing more."""
    include = rf"{lab.name}\..*"
    lines = lab.run("doctor", "--print-acls", "--principal", principal, "--include", include).out.splitlines()
    lab.grant(binding for line in lines if not line.startswith("#") for binding in acls_of(line))


def run_the_service(lab: SecuredLab, *, hold_seconds: float = 0.0) -> None:
    """Collector and agents at work: all is observed, a changed schema is told of, the log holds."""
    topic = lab.topic("clicks", 2)
    known = Acknowledged()
    first, second = lab.clicks(topic, CLICK, 200), lab.clicks(topic, CLICK_2, 200)
    collector, agents = lab.collect(), lab.agents()
    lab.send(topic, first, known)
    lab.caught_up(known)
    until = time.monotonic() + hold_seconds
    while time.monotonic() < until:
        lab.send(topic, first[:20], known)
        lab.caught_up(known)
    lab.send(topic, second, known)
    alert = lab.alerted()
    assert (alert["kind"], alert["dataset"]["name"]) == ("schema-drift", topic)
    lab.caught_up(known)
    code, checks = lab.doctor()
    assert code == 0, checks
    assert {name for name, check in checks.items() if check["status"] != "ok"} == set()
    spans = lab.check(known, topic)[topic]
    schemas = {row["schema"]["version"] for row in spans}
    assert schemas == {1, 2}, "the registry was not asked"
    for process in (collector, agents):
        assert process.terminate() == 0, process.log()[-3000:]
        assert "-secret" not in process.log()


def test_sasl_plain_and_a_registry_with_a_password(secured: Sandbox, secured_lab: SecuredLab) -> None:
    lab, security = secured_lab, secured.security
    with door(lab.registry_at_home, broker(secured), admits=basic("lineage", "registry-secret")) as at:
        lab.registry_url = at.url
        settings = inline(security.settings("sasl-plain", "service"))
        lab.come_in(
            settings, schema_registry_basic_auth="lineage:registry-secret",
            schema_registry_ca_location=str(security.ca_path),
        )  # fmt: skip
        let_in(lab, "User:service")
        run_the_service(lab)
    assert at.passed > 0


def test_scram_and_a_registry_with_a_bearer_token(secured: Sandbox, secured_lab: SecuredLab) -> None:
    lab = secured_lab
    with door(lab.registry_at_home, broker(secured), admits=bearer(lambda token: token == "static-secret")) as at:
        lab.registry_url = at.url
        principal, settings = lab.user()
        lab.come_in(
            settings, schema_registry_bearer_token="static-secret",
            schema_registry_ca_pem=secured.security.authority.certificate,
        )  # fmt: skip
        let_in(lab, principal)
        run_the_service(lab)
    assert at.passed > 0


def test_tokens_are_refreshed_while_it_runs(secured: Sandbox, secured_lab: SecuredLab) -> None:
    """Sessions end with their tokens, which live for seconds; the registry wants tokens too."""
    lab, security = secured_lab, secured.security
    with short_lived(secured) as tokens, registry_with_tokens(secured, lab) as at:
        lab.registry_url = at.url
        lab.come_in(
            security.settings("oauthbearer", "service"), schema_registry_ca_location=str(security.ca_path),
            schema_registry_token_url=tokens.url, schema_registry_client_id="service",
            schema_registry_client_secret="service-secret",
            schema_registry_token_ca_location=str(security.ca_path),
        )  # fmt: skip
        let_in(lab, "User:service")
        run_the_service(lab, hold_seconds=2 * TOKEN_SECONDS)
        span = max(token.at for token in tokens.issued) - min(token.at for token in tokens.issued)
    assert span > 2 * TOKEN_SECONDS
    assert at.passed > 0


def test_mutual_tls_with_a_sealed_key(secured: Sandbox, secured_lab: SecuredLab, tmp_path: Path) -> None:
    lab, security = secured_lab, secured.security
    identity = security.authority.issue("service")
    sealed = tmp_path / "sealed.key"
    sealed.write_text(identity.encrypted_key("key-secret"))
    settings = security.settings("mtls", "service") | {"ssl.key.password": "key-secret"}
    del settings["ssl.certificate.location"], settings["ssl.key.location"]
    settings |= {"ssl.certificate.pem": identity.certificate, "ssl.key.pem": identity.encrypted_key("key-secret")}
    (tmp_path / "client.pem").write_text(identity.certificate)
    with door(lab.registry_at_home, broker(secured), client_authority=security.ca_path) as at:
        lab.registry_url = at.url
        lab.come_in(
            settings, schema_registry_ca_location=str(security.ca_path),
            schema_registry_certificate_location=str(tmp_path / "client.pem"),
            schema_registry_key_location=str(sealed), schema_registry_key_password="key-secret",
        )  # fmt: skip
        let_in(lab, "User:service")
        run_the_service(lab)
    assert at.passed > 0


def broker(sandbox: Sandbox) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    return sandbox.security.directory / "broker.pem", sandbox.security.directory / "broker.key"


@contextmanager
def registry_with_tokens(sandbox: Sandbox, lab: SecuredLab) -> Iterator[Door]:
    """Tokens are good for as long as they say."""

    def fresh(token: str) -> bool:
        claims = token.split(".")[1]
        return bool(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"] > time.time())

    with door(lab.registry_at_home, broker(sandbox), admits=bearer(fresh)) as at:
        yield at

"""Listeners that want to be convinced: passwords, tokens, certificates; and ACLs behind them.

Whichever way they come in, users have the same names. ``admin`` may do everything; ``service`` may do nothing until it
is granted something, and so may whoever else has a certificate or is added by the cluster's own means. The plain
listener stays: what comes in there, from this machine only, may do everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from stream_lineage.sandbox.certificates import Authority, Identity, write_private
from stream_lineage.sandbox.ports import LOOPBACK
from stream_lineage.sandbox.tokens import TokenServer

Listener = Literal["sasl", "oauthbearer", "mtls", "expired", "misnamed"]
"""``sasl`` is SASL_SSL with PLAIN and SCRAM. The last two are TLS with a certificate that has expired or is for another
host: for seeing what clients make of that."""

LISTENERS: tuple[Listener, ...] = get_args(Listener)
ADMIN, SERVICE = "admin", "service"
PASSWORDS: Mapping[str, str] = {ADMIN: "admin-secret", SERVICE: "service-secret"}
AUDIENCE = "kafka"
_ELSEWHERE = "elsewhere.example"
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_SHORT = timedelta(days=1)
_REAUTHENTICATE_MS = 3_600_000
"""Sessions end with their token, and after this at the latest."""


@dataclass(frozen=True, slots=True)
class Access:
    """One way in: what to give to a librdkafka client."""

    name: str
    settings: Mapping[str, str]


class Security:
    """Certificates, keys and a token endpoint in ``directory``, and what the broker must be told of them.

    They are made anew each time; the certificates last for 30 days.
    """

    def __init__(self, directory: Path, listeners: Sequence[Listener]) -> None:
        self.directory = directory
        self.listeners = tuple(listeners)
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority("sandbox authority")
        self.ca_path = directory / "ca.pem"
        self.ca_path.write_text(self.authority.certificate, encoding="ascii")
        self._ports: dict[Listener, int] = {}
        hosts = ("localhost", LOOPBACK)
        certificate, key = self._server("broker", self.authority.issue("broker", hosts=hosts))
        if "expired" in listeners:
            yesterday = datetime.now(UTC) - _SHORT
            self._server(
                "expired", self.authority.issue("expired", hosts=hosts, since=yesterday - _SHORT, until=yesterday)
            )
        if "misnamed" in listeners:
            self._server("misnamed", self.authority.issue("misnamed", hosts=(_ELSEWHERE,)))
        for user in PASSWORDS:
            self.client(user)
        self.tokens: TokenServer | None = None
        if "oauthbearer" in listeners:
            self.tokens = TokenServer(PASSWORDS, audience=AUDIENCE, tls=(certificate, key))
            self.keys_path.write_text(json.dumps(self.tokens.keys), encoding="ascii")
            self.tokens.start()

    @property
    def keys_path(self) -> Path:
        """What the broker verifies tokens with (JWKS)."""
        return self.directory / "jwks.json"

    def close(self) -> None:
        if self.tokens is not None:
            self.tokens.close()

    def client(self, user: str) -> tuple[Path, Path]:
        """A certificate for a user: its file, and its key's."""
        return self.authority.issue(user).write(self.directory, user)

    def listen(self, ports: Mapping[Listener, int]) -> None:
        """Say where the listeners are, before the broker is started."""
        self._ports = dict(ports)

    def bootstrap_servers(self, listener: Listener) -> str:
        return f"{LOOPBACK}:{self._ports[listener]}"

    def settings(self, name: str, user: str = ADMIN) -> dict[str, str]:
        """What a librdkafka client is given. ``name`` is ``sasl-plain``, ``sasl-scram``, or that of another
        listener."""
        authority = {"ssl.ca.location": str(self.ca_path)}
        if name in ("sasl-plain", "sasl-scram"):
            return {
                "bootstrap.servers": self.bootstrap_servers("sasl"),
                "security.protocol": "SASL_SSL",
                **authority,
                "sasl.mechanisms": "PLAIN" if name == "sasl-plain" else "SCRAM-SHA-512",
                "sasl.username": user,
                "sasl.password": PASSWORDS[user],
            }
        if name == "oauthbearer":
            assert self.tokens is not None  # noqa: S101  (it is there with the listener)
            return {
                "bootstrap.servers": self.bootstrap_servers("oauthbearer"),
                "security.protocol": "SASL_SSL",
                **authority,
                "sasl.mechanisms": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.tokens.url,
                "sasl.oauthbearer.client.id": user,
                "sasl.oauthbearer.client.secret": PASSWORDS[user],
                "https.ca.location": str(self.ca_path),
            }
        found = {"security.protocol": "SSL", **authority}
        if name == "mtls":
            certificate, key = self.directory / f"{user}.pem", self.directory / f"{user}.key"
            found |= {"ssl.certificate.location": str(certificate), "ssl.key.location": str(key)}
        listener: Listener = name  # type: ignore[assignment]
        return {"bootstrap.servers": self.bootstrap_servers(listener), **found}

    def ways_in(self) -> tuple[Access, ...]:
        """All of them, for the user who may do everything."""
        names = [name for way in self.listeners for name in (("sasl-plain", "sasl-scram") if way == "sasl" else (way,))]
        return tuple(Access(name, self.settings(name)) for name in names)

    # What the broker is told

    def broker_config(self) -> dict[str, str]:
        """Over the broker's own: ``listeners`` and the like are to be joined to these."""
        config = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{ADMIN}",
            "allow.everyone.if.no.acl.found": "false",
        }
        for listener in self.listeners:
            name = listener if listener in ("expired", "misnamed") else "broker"
            own = {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(self.directory / f"{name}.store.pem"),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(self.ca_path),
                **self._login(listener),
            }
            config |= {f"listener.name.{listener}.{key}": value for key, value in own.items()}
        return config

    @property
    def protocols(self) -> Mapping[str, str]:
        """Security protocol by listener name."""
        return {
            listener.upper(): "SASL_SSL" if listener in ("sasl", "oauthbearer") else "SSL"
            for listener in self.listeners
        }

    @property
    def addresses(self) -> tuple[str, ...]:
        """``listeners`` as Kafka writes them."""
        return tuple(f"{name.upper()}://{self.bootstrap_servers(name)}" for name in self.listeners)

    @property
    def format_arguments(self) -> tuple[str, ...]:
        """For ``kafka-storage format``: users that are in the cluster's own records."""
        users = [(mechanism, *user) for mechanism in _SCRAM for user in PASSWORDS.items()]
        return tuple(
            part
            for mechanism, name, password in users
            for part in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        )

    @property
    def java_options(self) -> tuple[str, ...]:
        return (
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.keys_path.as_uri()}",
            f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={self.keys_path}",
        )

    def _login(self, listener: Listener) -> dict[str, str]:
        if listener == "mtls":
            rule = "RULE:^CN=([^,]+).*$/$1/,DEFAULT"
            return {"ssl.client.auth": "required", "ssl.principal.mapping.rules": rule}
        if listener == "sasl":
            plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
            scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
            return {
                "sasl.enabled.mechanisms": ",".join(("PLAIN", *_SCRAM)),
                "plain.sasl.jaas.config": f"{plain} {users};",
                **{f"{mechanism.lower()}.sasl.jaas.config": scram for mechanism in _SCRAM},
            }
        if listener == "oauthbearer" and self.tokens is not None:
            package = "org.apache.kafka.common.security.oauthbearer"
            return {
                "sasl.enabled.mechanisms": "OAUTHBEARER",
                "oauthbearer.sasl.jaas.config": f"{package}.OAuthBearerLoginModule required;",
                "oauthbearer.sasl.server.callback.handler.class": f"{package}.OAuthBearerValidatorCallbackHandler",
                "oauthbearer.connections.max.reauth.ms": str(_REAUTHENTICATE_MS),
                # Kafka 4.1.0 left to its default looks at neither signature, issuer nor audience (tried).
                "sasl.oauthbearer.jwt.validator.class": f"{package}.BrokerJwtValidator",
                "sasl.oauthbearer.jwks.endpoint.url": self.keys_path.as_uri(),
                "sasl.oauthbearer.expected.audience": AUDIENCE,
                "sasl.oauthbearer.expected.issuer": self.tokens.issuer,
            }
        return {}

    def _server(self, name: str, identity: Identity) -> tuple[Path, Path]:
        """Also as Kafka wants it: key and certificate in one file."""
        write_private(self.directory / f"{name}.store.pem", identity.key + identity.certificate)
        return identity.write(self.directory, name)

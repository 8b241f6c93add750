"""Why a cluster does not let us in: which hop it is, and what to change."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable

from confluent_kafka import KafkaError

from stream_lineage.errors import ConnectionFailed, KafkaRefused, SettingsError
from stream_lineage.wire.handshake import answers_in_the_open, speaks_tls, tls_failure, wants_a_login
from stream_lineage.wire.kafka_security import CLIENT_ID, mechanism, protocol, tls_context, token_credentials
from stream_lineage.wire.oauth import TokenSource
from stream_lineage.wire.settings import KafkaSettings
from stream_lineage.wire.tls_trouble import KAFKA, TlsTrouble, tls_trouble

_KNOCK_SECONDS = 3.0
_URL = re.compile(r"(?:[a-z_]+://)?(?P<host>\[[^\]]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})/\S+: ")
_NO_TOKEN = "OAUTHBEARER token"  # noqa: S105 - librdkafka's words
_AGO = re.compile(r" \(after \d+ms in state .*")
_REASON = re.compile(r"SASL authentication error: |SASL \S+ mechanism handshake failed: (Broker: )?")
_PROTOCOL = "Check kafka.security.protocol and the port: brokers have one listener for each protocol."


def refusal(heard: Iterable[KafkaError], settings: KafkaSettings) -> KafkaRefused | None:
    """What the errors that a client has heard mean, asked after where they do not say; null when nobody refuses us.

    Takes some seconds at most.
    """
    errors = list(heard)
    config = settings.client_config()
    for error in errors:
        if _NO_TOKEN in error.str():
            return _no_token(error.str(), config)
    for error in errors:
        if _REASON.search(error.str()):
            return _not_let_in(error.str(), settings, config)
    return _another_language(errors, settings, config)


def _no_token(said: str, config: dict[str, str]) -> KafkaRefused:
    """Asked for again by ourselves: librdkafka does not say where it asked."""
    try:
        credentials = token_credentials(config)
        TokenSource(credentials, timeout_seconds=_KNOCK_SECONDS).token()
    except ConnectionFailed as error:
        return KafkaRefused(error.message, hint=error.hint)
    except SettingsError as error:
        return KafkaRefused(error.message, hint=error.hint)
    reason = said.partition(": ")[2] or said
    return KafkaRefused(
        f"token endpoint {credentials.endpoint} gave a token that cannot be used: {reason}",
        hint="Check how long its tokens live, and this machine's clock.",
    )


def _not_let_in(said: str, settings: KafkaSettings, config: dict[str, str]) -> KafkaRefused:
    way = mechanism(config)
    reason = _AGO.sub("", _REASON.split(said)[-1]).strip()
    where = _where(said, settings)
    if way == "OAUTHBEARER":
        client = next((config[name] for name in CLIENT_ID if name in config), "?")
        who, hint = (
            f"the token of client {client}",
            (
                "The broker wants another issuer, audience, scope or signature, or the token has expired: compare "
                "kafka.sasl.oauthbearer.* with the listener's sasl.oauthbearer.expected.*, and the clocks."
            ),
        )
    else:
        who = f"user {config.get('sasl.username', '?')} ({way})"
        hint = (
            "Check kafka.security.protocol, kafka.sasl.mechanisms, kafka.sasl.username and kafka.sasl.password against "
            "the broker's listener."
        )
    return KafkaRefused(f"Kafka at {where} does not let in {who}: {reason}", hint=hint)


def _another_language(errors: list[KafkaError], settings: KafkaSettings, config: dict[str, str]) -> KafkaRefused | None:
    secured = protocol(config).endswith("SSL")
    heard = next((error.str() for error in errors if error.code() == KafkaError._SSL or "SSL" in error.str()), "")
    addresses = [_address(heard)] if _URL.match(heard) else list(settings.addresses)[:3]
    for host, port in addresses:
        found = _tls_trouble(host, port, heard, config) if secured else _plain_trouble(host, port, config)
        if found is not None:
            return KafkaRefused(f"Kafka at {_shown(host, port)} {found.what}", hint=found.mend)
    if heard:
        return KafkaRefused(f"Kafka at {_where(heard, settings)}: {_AGO.sub('', _URL.sub('', heard))}", hint=_PROTOCOL)
    return None


def _tls_trouble(host: str, port: int, heard: str, config: dict[str, str]) -> TlsTrouble | None:
    try:
        context = tls_context(config)
    except SettingsError as error:
        return TlsTrouble(f"cannot be spoken to: {error.message}", error.hint or "")
    said = tls_failure(host, port, context, timeout_seconds=_KNOCK_SECONDS)
    found = tls_trouble(said, KAFKA) if said else None
    if found is None and heard:
        found = tls_trouble(heard, KAFKA)
    if found is None and protocol(config) == "SSL":
        return _login_missing(host, port, context)
    return found


def _plain_trouble(host: str, port: int, config: dict[str, str]) -> TlsTrouble | None:
    if answers_in_the_open(host, port, timeout_seconds=_KNOCK_SECONDS):
        return _login_missing(host, port, None) if protocol(config) == "PLAINTEXT" else None
    if speaks_tls(host, port, timeout_seconds=_KNOCK_SECONDS):
        return TlsTrouble("wants TLS, and we speak plain text", "Set kafka.security.protocol to SSL or SASL_SSL.")
    return None


def _login_missing(host: str, port: int, context: ssl.SSLContext | None) -> TlsTrouble | None:
    if not wants_a_login(host, port, context, timeout_seconds=_KNOCK_SECONDS):
        return None
    asked = "SASL_PLAINTEXT" if context is None else "SASL_SSL"
    return TlsTrouble(
        "wants a login, and we do not offer one", f"Set kafka.security.protocol to {asked}, and kafka.sasl.*."
    )


def _where(said: str, settings: KafkaSettings) -> str:
    return _shown(*_address(said)) if _URL.match(said) else settings.bootstrap_servers


def _address(said: str) -> tuple[str, int]:
    match = _URL.match(said)
    assert match is not None  # noqa: S101  (the caller has looked)
    return match["host"].strip("[]"), int(match["port"])


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

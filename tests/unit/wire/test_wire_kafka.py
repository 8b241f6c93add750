"""If this failed, a wrong Kafka setting or a dead broker would not say what is wrong, or would show a password."""

from __future__ import annotations

import logging
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_lineage.errors import (
    ConnectionFailed,
    Fenced,
    KafkaUnavailable,
    NotFound,
    SettingsError,
    StreamLineageError,
)
from stream_lineage.wire import kafka
from stream_lineage.wire.settings import KafkaSettings, is_secret_kafka_setting

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fetch.min.byte": "1"}, 'kafka.fetch.min.byte: No such configuration property: "fetch.min.byte"'),
        ({"security.protocol": "hunter22"}, "kafka.security.protocol: Invalid value for"),
        ({"fetch.min.bytes": "many"}, "kafka.fetch.min.bytes: Invalid value for"),
        ({"socket.keepalive.enable": "maybe"}, "kafka.socket.keepalive.enable: Expected bool"),
        ({"ssl.ca.location": "/no/such", "security.protocol": "SSL"}, "kafka.ssl.ca.location: "),
        (
            {"sasl.mechanisms": "PLAIN", "security.protocol": "SASL_PLAINTEXT"},
            "sasl.username and sasl.password must be",
        ),
        ({"ssl.key.pem": "hunter22", "security.protocol": "SSL"}, "kafka.ssl.key.pem: "),
    ],
)
@pytest.mark.parametrize("kind", ["consumer", "producer", "admin"])
def test_librdkafka_names_a_wrong_setting(
    kind: str, settings: dict[str, str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    configured = KafkaSettings(bootstrap_servers=NOBODY, kafka=dict(settings))
    arguments = ("group",) if kind == "consumer" else ()
    with pytest.raises(SettingsError) as caught:
        getattr(kafka, kind)(configured, *arguments)
    assert said in caught.value.message
    assert caught.value.hint
    assert "hunter22" not in f"{caught.value!r}"
    assert caught.value.__cause__ is None


def test_an_empty_group_is_refused_before_the_binding_aborts() -> None:
    with pytest.raises(SettingsError, match="group_id"):
        kafka.consumer(KafkaSettings(), "")


def test_nothing_is_written_past_our_logs(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    heard: list[KafkaError] = []
    settings = KafkaSettings(bootstrap_servers=NOBODY, kafka={"linger.ms": "5", "fetch.min.bytes": "1"})
    clients = [
        kafka.consumer(settings, "group", on_error=heard.append),
        kafka.producer(settings, on_error=heard.append),
        kafka.admin(settings, on_error=heard.append),
    ]
    with caplog.at_level(logging.WARNING):
        for client in clients:
            heard.clear()
            caplog.clear()
            with pytest.raises(KafkaException):
                client.list_topics(timeout=0.5)
            deadline = time.monotonic() + 20
            while not (heard and any("refused" in str(vars(record).get("text")) for record in caplog.records)):
                client.poll(0.05)
                assert time.monotonic() < deadline
            assert isinstance(kafka.translated(heard[0], "connect"), KafkaUnavailable)
            assert not any(
                "will be ignored" in str(vars(record)) for record in caplog.records
            )  # consumer settings given to producers, and the reverse
    clients[0].close()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "%3|" not in captured.err


CODES = [
    (KafkaError._TRANSPORT, KafkaUnavailable),
    (KafkaError._ALL_BROKERS_DOWN, KafkaUnavailable),
    (KafkaError._TIMED_OUT, KafkaUnavailable),
    (KafkaError._RESOLVE, KafkaUnavailable),
    (KafkaError._SSL, KafkaUnavailable),
    (KafkaError._AUTHENTICATION, KafkaUnavailable),
    (KafkaError.SASL_AUTHENTICATION_FAILED, KafkaUnavailable),
    (KafkaError.TOPIC_AUTHORIZATION_FAILED, SettingsError),
    (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SettingsError),
    (KafkaError._FENCED, Fenced),
    (KafkaError.INVALID_PRODUCER_EPOCH, Fenced),
    (KafkaError.ILLEGAL_GENERATION, Fenced),
    (KafkaError.FENCED_INSTANCE_ID, Fenced),
    (KafkaError.UNKNOWN_TOPIC_OR_PART, NotFound),
    (KafkaError._UNKNOWN_PARTITION, NotFound),
    (KafkaError.MSG_SIZE_TOO_LARGE, ConnectionFailed),
    (KafkaError._STATE, ConnectionFailed),
]


@pytest.mark.parametrize(("code", "expected"), CODES)
def test_what_errors_mean(code: int, expected: type[StreamLineageError]) -> None:
    for error in (KafkaError(code), KafkaException(KafkaError(code, "it went wrong"))):
        found = kafka.translated(error, "write observations")
        assert type(found) is expected
        assert found.message.startswith("could not write observations: ")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("sasl.password", True),
        ("ssl.key.password", True),
        ("ssl.keystore.password", True),
        ("ssl.key.pem", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.oauthbearer.config", True),
        ("ssl.key.location", False),
        ("sasl.username", False),
        ("security.protocol", False),
    ],
)
def test_which_settings_are_secret(name: str, secret: bool) -> None:
    assert is_secret_kafka_setting(name) is secret

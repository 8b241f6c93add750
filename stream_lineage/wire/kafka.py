"""Kafka clients: made in one way, heard in one place, their errors told apart.

librdkafka's own messages go to our logs, never to stderr. They and ``error_cb`` arrive while a client is polled: what
is not polled is silent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream_lineage.errors import (
    ConnectionFailed,
    Fenced,
    KafkaUnavailable,
    NotFound,
    SettingsError,
    StreamLineageError,
)
from stream_lineage.logs import get_logger
from stream_lineage.wire.settings import RESERVED_KAFKA_SETTINGS, KafkaSettings, is_secret_kafka_setting

OnError = Callable[[KafkaError], None]

_CLIENT_ID = "stream-lineage"
_READ_COMMITTED: Mapping[str, str] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
}
_PROPERTY = re.compile(r'"([a-z0-9_.]+)"|`([a-z0-9_.]+)`|\b([a-z0-9_]+(?:\.[a-z0-9_]+)+)\b')
_VALUE = re.compile(r'(Invalid value|Invalid boolean value) ".*?" (for)', re.DOTALL)

FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
"""Codes that say that another member or another producer has taken over."""

UNAUTHENTICATED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
"""Codes that say that a broker answered and did not let us in."""

UNAUTHORIZED: Mapping[int, str] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
}
"""Codes that say that we are known and not allowed, with what it is about."""

_ABSENT = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})
_UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
    }
)
_ACLS = "`stream-lineage doctor --print-acls` prints what is needed"
_groups: set[str] = set()
"""The groups that this process has made consumers for: librdkafka's errors do not say which one is meant."""
_REFUSED_SETTING = frozenset({KafkaError._INVALID_ARG, KafkaError._CRIT_SYS_RESOURCE})
_AUTHENTICATION_HINT = (
    "Check kafka.security.protocol, kafka.sasl.mechanisms, kafka.sasl.username and kafka.sasl.password against the "
    "broker's listener."
)
_UNREACHABLE_HINT = "Check bootstrap_servers, the brokers and the network; `stream-lineage doctor` tells more."


def consumer(
    settings: KafkaSettings,
    group_id: str,
    overrides: Mapping[str, str | int | float | bool] | None = None,
    *,
    on_error: OnError | None = None,
    stats_cb: Callable[[str], None] | None = None,
) -> Consumer:
    """A consumer that reads committed records only and commits nothing by itself. ``overrides`` win over settings.

    Raises:
        SettingsError: librdkafka does not know a setting, or not with this value.
    """
    if not group_id:
        raise SettingsError("group_id must not be empty")  # librdkafka's Python binding would abort the process
    _groups.add(group_id)
    config = {**settings.client_config(), **_READ_COMMITTED, "group.id": group_id, **(overrides or {})}
    callbacks = {"stats_cb": stats_cb} if stats_cb is not None else {}
    return _made(Consumer, config, "consumer", on_error, callbacks)


def producer(
    settings: KafkaSettings,
    overrides: Mapping[str, str | int | float | bool] | None = None,
    *,
    on_error: OnError | None = None,
    stats_cb: Callable[[str], None] | None = None,
) -> Producer:
    """An idempotent producer that partitions as Java clients do. With ``transactional.id`` it is transactional.

    Raises:
        SettingsError: librdkafka does not know a setting, or not with this value.
    """
    config: dict[str, Any] = {**settings.client_config(), "partitioner": "murmur2_random", **(overrides or {})}
    config.setdefault("enable.idempotence", "true")
    callbacks = {"stats_cb": stats_cb} if stats_cb is not None else {}
    kind = _TransactionalProducer if "transactional.id" in config else Producer
    return _made(kind, config, "producer", on_error, callbacks)


def admin(
    settings: KafkaSettings,
    overrides: Mapping[str, str | int | float | bool] | None = None,
    *,
    on_error: OnError | None = None,
) -> AdminClient:
    """An admin client.

    Raises:
        SettingsError: librdkafka does not know a setting, or not with this value.
    """
    return _made(AdminClient, {**settings.client_config(), **(overrides or {})}, "admin", on_error, {})


def translated(error: KafkaError | KafkaException, doing: str) -> StreamLineageError:
    """What a Kafka error means, as an error of ours to be raised. ``doing`` completes "could not ...".

    The result is: Fenced, NotFound (no such topic or partition), SettingsError (a setting or a permission that must be
    changed), KafkaUnavailable (unreachable, refused, timed out: may pass by itself), else ConnectionFailed.
    """
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if not isinstance(inner, KafkaError):
        return ConnectionFailed(f"could not {doing}: {inner}")
    code, text = inner.code(), inner.str().strip().rstrip(".")
    said = f"could not {doing}: {text} ({inner.name()})"
    if code in FENCED:
        return Fenced(said, hint="Another process runs with the same instance_id or has taken over these partitions.")
    if code in UNAUTHENTICATED or refused_at_the_door(text):
        return KafkaUnavailable(said, hint=_AUTHENTICATION_HINT)
    if code in UNAUTHORIZED:
        what = f"this {UNAUTHORIZED[code]}"
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED and _groups:
            what = f"consumer group {' or '.join(sorted(_groups))}"
        return SettingsError(said, hint=f"Ask for access to {what} (an ACL) on the cluster: {_ACLS}.")
    if code in _ABSENT:
        return NotFound(said)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return ConnectionFailed(said, hint="Raise max.message.bytes of the topic that is written.")
    if code == KafkaError._SSL:
        return KafkaUnavailable(said, hint="Check kafka.security.protocol, kafka.ssl.ca.location and the host name.")
    if code == KafkaError._RESOLVE:
        return KafkaUnavailable(said, hint="Check the host names in bootstrap_servers.")
    if inner.retriable() or code in _UNREACHABLE:
        return KafkaUnavailable(said, hint=_UNREACHABLE_HINT)
    return ConnectionFailed(said)


class _TransactionalProducer(Producer):  # type: ignore[misc]
    """Says which transactional id it is that may not be used: librdkafka does not."""

    def __init__(self, config: Mapping[str, Any], **more: Any) -> None:
        super().__init__(config, **more)
        self._transactional_id = config["transactional.id"]

    def init_transactions(self, *arguments: Any) -> None:
        try:
            super().init_transactions(*arguments)
        except KafkaException as error:
            inner = error.args[0]
            if inner.code() != KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                raise
            text = f"transactional id {self._transactional_id} may not be used"
            raise KafkaException(KafkaError(inner.code(), text)) from None


class LibrdkafkaLog:
    """Takes what librdkafka logs into ours, in the shape that the Python binding wants of a ``logging.Logger``."""

    def __init__(self, client: str) -> None:
        self._log = get_logger("stream_lineage.kafka").bind(client=client)

    def log(self, level: int, template: str, *parts: Any) -> None:
        """``parts`` are the facility (``FAIL``), the client's name and the text."""
        facility, text = (str(parts[0]), str(parts[-1])) if len(parts) == 3 else ("", template % parts)
        if facility == "CONFWARN" and "will be ignored by this" in text:
            level = logging.DEBUG  # one set of settings serves consumers and producers
        self._log.log(level, f"librdkafka {facility}".rstrip(), text=text)


def _made(
    kind: Any, config: Mapping[str, Any], name: str, on_error: OnError | None, callbacks: Mapping[str, Any]
) -> Any:
    def error_cb(error: KafkaError) -> None:
        # librdkafka logs transport errors itself; here is where those that need somebody to act are heard.
        if on_error is not None:
            on_error(error)

    merged = {"client.id": _CLIENT_ID, **config}
    try:
        return kind({**merged, "error_cb": error_cb, **callbacks}, logger=LibrdkafkaLog(name))
    except KafkaException as error:
        raise _setting_refused(error, merged) from None


def _setting_refused(error: KafkaException, config: Mapping[str, Any]) -> StreamLineageError:
    """librdkafka validates all settings when a client is made: its text names the setting, but may hold the value."""
    inner = error.args[0]
    text = " ".join(_VALUE.sub(r"\1 \2", inner.str()).split())
    for name, value in config.items():
        if is_secret_kafka_setting(name) and str(value):
            text = text.replace(str(value), "**********")
    if inner.code() not in _REFUSED_SETTING:
        return translated(error, "start a Kafka client")
    named = [next(filter(None, groups)) for groups in _PROPERTY.findall(text)]
    ours = [name for name in named if name in config]
    where = f"kafka.{ours[0]}: " if ours and ours[0] not in RESERVED_KAFKA_SETTINGS else "kafka: "
    return SettingsError(
        f"{where}{text}", hint="librdkafka's CONFIGURATION.md lists its settings; they pass through under `kafka`."
    )


def refused_at_the_door(text: str) -> bool:
    """Brokers that do not speak the configured protocol close the connection: librdkafka guesses so in words."""
    return "SASL authentication error" in text or "listener?" in text

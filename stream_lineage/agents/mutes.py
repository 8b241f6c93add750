"""Mutes: problems that are not told for a while. They are in ``lineage.state``, so that all workers know them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import KafkaUnavailable, NotFound, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.provenance.topics import STATE
from stream_lineage.wire import acknowledged
from stream_lineage.wire.kafka import consumer, translated
from stream_lineage.wire.settings import KafkaSettings

FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_PREFIX = b"mute/"
_POLL_SECONDS = 0.5
_SECONDS = 15.0
_log = get_logger("stream_lineage.agents")


@dataclass(frozen=True, slots=True)
class Mute:
    """The alerts of a fingerprint that are of a time before ``until`` are not published."""

    fingerprint: str
    until: datetime
    reason: str = ""

    def to_bytes(self) -> bytes:
        return orjson.dumps({"until": self.until.astimezone(UTC).isoformat(), "reason": self.reason})


def mute_from(key: bytes | None, value: bytes | None) -> tuple[str, Mute | None] | None:
    """The fingerprint of a record of the topic, and its mute unless that was lifted; null for a record of others."""
    if key is None or not key.startswith(_PREFIX):
        return None
    fingerprint = key[len(_PREFIX) :].decode(errors="replace")
    if value is None:
        return fingerprint, None
    try:
        document = orjson.loads(value)
        until = datetime.fromisoformat(document["until"])
        return fingerprint, Mute(fingerprint, until.astimezone(UTC), str(document["reason"]))
    except (ValueError, KeyError, TypeError):
        return None


def put_mute(settings: KafkaSettings, fingerprint: str, mute: Mute | None) -> None:
    """Mute a fingerprint, or lift its mute.

    Raises:
        KafkaUnavailable, SettingsError: it could not be written, or may not be.
    """
    value = None if mute is None else mute.to_bytes()
    acknowledged.write(settings, settings.topic(STATE), [(_PREFIX + fingerprint.encode(), value)])


def read_mutes(settings: KafkaSettings, group_id: str, at: datetime) -> list[Mute]:
    """The mutes that hold at a time, the first to end first.

    Raises:
        KafkaUnavailable, NotFound, SettingsError: the topic cannot be read.
    """
    known: dict[str, Mute] = {}
    for fingerprint, mute in _records(settings, group_id, threading.Event(), to_the_end=True):
        _apply(known, fingerprint, mute)
    return sorted((mute for mute in known.values() if mute.until > at), key=lambda mute: mute.until)


class Mutes:
    """The mutes as they are now, followed in a thread of their own. Without a right to read them there are none."""

    def __init__(self, settings: KafkaSettings, group_id: str, *, retry_seconds: float = 30.0) -> None:
        self._settings = settings
        self._group_id = group_id
        self._retry_seconds = retry_seconds
        self._known: dict[str, Mute] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mutes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def find(self, fingerprint: str, at: datetime) -> Mute | None:
        """The mute that holds for a problem at a time."""
        mute = self._known.get(fingerprint)
        return mute if mute is not None and at < mute.until else None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for fingerprint, mute in _records(self._settings, self._group_id, self._stop):
                    _apply(self._known, fingerprint, mute)
            except StreamLineageError as error:
                _log.warning("mutes cannot be read", error=error.message)
                self._stop.wait(self._retry_seconds)


def _apply(known: dict[str, Mute], fingerprint: str, mute: Mute | None) -> None:
    if mute is None:
        known.pop(fingerprint, None)
    else:
        known[fingerprint] = mute


def _records(
    settings: KafkaSettings,
    group_id: str,
    stop: threading.Event,
    *,
    to_the_end: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, Mute | None]]:
    topic = settings.topic(STATE)
    client = consumer(settings, group_id, {"enable.partition.eof": "true"})
    deadline = clock() + _SECONDS
    try:
        client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while not stop.is_set():
            message = client.poll(_POLL_SECONDS)
            if message is None:
                if to_the_end and clock() > deadline:
                    raise KafkaUnavailable(f"{topic} could not be read within {_SECONDS:.0f} s")
                continue
            error = message.error()
            if error is None:
                found = mute_from(message.key(), message.value())
                if found is not None:
                    yield found
            elif error.code() == KafkaError._PARTITION_EOF:
                if to_the_end:
                    return
            elif not error.retriable():
                raise translated(KafkaException(error), f"read {topic}")
    except KafkaException as error:
        raise translated(error, f"read {topic}") from error
    finally:
        client.close()


def lifted(settings: KafkaSettings, group_id: str, fingerprint: str, at: datetime) -> Mute:
    """Lift a mute that holds.

    Raises:
        NotFound: there is none.
    """
    for mute in read_mutes(settings, group_id, at):
        if mute.fingerprint == fingerprint:
            put_mute(settings, fingerprint, None)
            return mute
    raise NotFound(f"{fingerprint} is not muted")

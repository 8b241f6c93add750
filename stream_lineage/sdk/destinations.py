"""Where runs are told: over HTTP, on a Kafka topic, or in a file, as ``stream-lineage openlineage send`` does."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import KafkaException, Producer

from stream_lineage.sdk.declare import DECLARED, PREFIX_VARIABLE, Conf, reaches

TO_VARIABLE = "LINEAGE_RUNS_TO"
"""The environment variable that says where runs are told: a URL, ``kafka:TOPIC`` or a file."""
URL_VARIABLE, ENDPOINT_VARIABLE, KEY_VARIABLE = "OPENLINEAGE_URL", "OPENLINEAGE_ENDPOINT", "OPENLINEAGE_API_KEY"
"""As OpenLineage's own clients have them."""
TOPIC = "openlineage"
"""Behind the prefix of our own topics."""
DELIVERY_SECONDS = 30.0
_HTTP_SECONDS = 10.0
_ENDPOINT = "api/v1/lineage"
_AGAIN = (408, 425, 429)
_TOO_LARGE = "MSG_SIZE_TOO_LARGE"
Event = Mapping[str, Any]
Producers = Callable[[dict[str, Any]], Any]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Behind a redirect the event would be asked for, not sent, and whoever is there be told the token."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class Undelivered(Exception):
    """Nobody took the events: try again later."""


class Destination(ABC):
    """Where events are sent to. ``one_by_one``: each in a request of its own."""

    one_by_one = False

    @abstractmethod
    def send(self, events: Sequence[Event]) -> int:
        """Send them, in order; how many of them were refused for good.

        Raises:
            Undelivered: not all of them arrived.
        """


class ToFile(Destination):
    """A line for each event, appended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, events: Sequence[Event]) -> int:
        lines = b"".join(encoded(event) + b"\n" for event in events)
        try:
            # One write: several processes may append to one file.
            with self._path.open("ab", buffering=0) as file:
                file.write(lines)
        except OSError as error:
            raise Undelivered(f"{self._path.name} cannot be written ({error.strerror})") from error
        return 0


class ToHttp(Destination):
    """A request for each event, as every receiver of OpenLineage takes them."""

    one_by_one = True

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def send(self, events: Sequence[Event]) -> int:
        return sum(map(self._refused, events))

    def _refused(self, event: Event) -> bool:
        request = urllib.request.Request(self._url, encoded(event), self._headers)  # noqa: S310  (http or https)
        host = urlsplit(self._url).hostname
        try:
            with _OPENER.open(request, timeout=_HTTP_SECONDS):
                return False
        except urllib.error.HTTPError as error:
            with error:
                if 400 <= error.code < 500 and error.code not in _AGAIN:
                    return True
            raise Undelivered(f"{host} answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise Undelivered(f"{host} does not answer ({type(error).__name__})") from error


class ToKafka(Destination):
    """Messages of a topic, keyed by the job; the topic has to be there."""

    def __init__(self, topic: str, conf: Conf, producers: Producers = Producer) -> None:
        self._topic = topic
        self._conf = dict(conf)
        self._producers = producers
        self._producer: Any = None

    def send(self, events: Sequence[Event]) -> int:
        refused = 0
        lost: list[str] = []

        def report(error: Any, _: Any) -> None:
            nonlocal refused
            if error is None:
                return
            if error.name() == _TOO_LARGE:
                refused += 1
            else:
                lost.append(error.name())

        try:
            producer = self._made()
            for event in events:
                job = event["job"]
                key = f"{job['namespace']}/{job['name']}".encode(errors="replace")
                try:
                    producer.produce(self._topic, encoded(event), key, on_delivery=report)
                except KafkaException as error:  # the client itself finds it too large
                    if error.args[0].name() != _TOO_LARGE:
                        raise
                    refused += 1
            left = producer.flush(DELIVERY_SECONDS + 1)
        except (KafkaException, BufferError) as error:
            raise Undelivered(f"Kafka does not take them ({type(error).__name__})") from error
        if lost or left:
            # What is told twice changes nothing.
            raise Undelivered(f"Kafka did not take {len(lost) + left} of them ({', '.join(lost[:1])})")
        return refused

    def _made(self) -> Any:
        if self._producer is None:
            producer = self._producers(
                {
                    **self._conf,
                    "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                    "error_cb": lambda _: None,
                    "log_level": 2,  # the application's own clients say that Kafka is away
                }
            )
            known = producer.list_topics(timeout=DELIVERY_SECONDS).topics  # which does not create it
            if self._topic not in known:
                raise Undelivered(f"{self._topic} is not there: is stream-lineage running?")
            self._producer = producer
        return self._producer


@dataclass(slots=True)
class Chosen:
    """What the application has said of it; null: the environment, or a client of ours, shows it."""

    to: str | None = None
    token: str | None = None
    conf: dict[str, Any] | None = None


CHOSEN = Chosen()


def choose(to: str | None, token: str | None, conf: Conf | None) -> None:
    """Say where runs are told; null: as it was."""
    CHOSEN.to = CHOSEN.to if to is None else str(to)
    CHOSEN.token = CHOSEN.token if token is None else token
    if conf is not None:
        CHOSEN.conf = {name: value for name, value in conf.items() if reaches(name)}


def destination() -> Destination | None:
    """Where this process tells its runs; null: nobody knows yet. The same as long as nothing is said anew.

    What the application says counts before ``LINEAGE_RUNS_TO``. Without either runs go on our own topic, as soon as it
    is known how Kafka is reached, and until then where ``OPENLINEAGE_URL`` says.
    """
    known = os.environ
    to = CHOSEN.to or known.get(TO_VARIABLE)
    conf = CHOSEN.conf or DECLARED.conf
    token = CHOSEN.token or known.get(KEY_VARIABLE)
    if to is None and conf is None and known.get(URL_VARIABLE):
        to = f"{known[URL_VARIABLE].rstrip('/')}/{known.get(ENDPOINT_VARIABLE, _ENDPOINT).lstrip('/')}"
    if to is None:
        to = f"kafka:{known.get(PREFIX_VARIABLE, 'lineage.')}{TOPIC}"
    if to.startswith("kafka:"):
        return None if not conf else _to_kafka(to.removeprefix("kafka:").strip("/"), _Conf(conf))
    return _elsewhere(to, token)


class _Conf:
    """Configurations are the same by what is in them."""

    def __init__(self, conf: Conf) -> None:
        self.conf = conf
        self._key = tuple(sorted((name, repr(value)) for name, value in conf.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Conf) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=1)
def _to_kafka(topic: str, conf: _Conf) -> Destination:
    return ToKafka(topic, conf.conf)


@lru_cache(maxsize=1)
def _elsewhere(to: str, token: str | None) -> Destination:
    return ToHttp(to, token) if to.startswith(("http://", "https://")) else ToFile(Path(to))


os.register_at_fork(after_in_child=_to_kafka.cache_clear)


def encoded(event: Event) -> bytes:
    """As one line."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")

"""What an application declares of its jobs, in its own code: ``@declare_lineage(...)`` says which topics a function
reads and writes.

The function itself is left as it is: nothing is done when it is called. What is declared is written to
``lineage.declarations`` by a thread of its own with a producer of its own, as soon as a ``LineageConsumer`` or
``LineageProducer`` has shown how Kafka is reached, and again each day: what is not said again for long is no longer
believed. No client of the application is used for it, since in a transaction a topic that may not be written would end
that transaction, and a ``flush`` would wait for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import Producer

from stream_lineage.sdk.guard import Notices
from stream_lineage.wire.job_declarations import TOPIC, encode_job, merged, unique
from stream_lineage.wire.openlineage import parents_of_process

PREFIX_VARIABLE = "STREAM_LINEAGE_TOPIC_PREFIX"
"""The environment variable that says what our own topics start with, as for the service."""
AGAIN_SECONDS = 86_400.0
RETRY_SECONDS = 300.0
DELIVERY_SECONDS = 60.0
_SETTLE_SECONDS = 0.05
"""Decorators of one module come one after the other: they are written together."""
_PASSED_ON = ("bootstrap.", "security.", "sasl.", "ssl.", "https.", "enable.ssl.", "enable.sasl.", "broker.address.",
              "socket.", "client.")  # fmt: skip
_PASSED_ON_WHOLE = frozenset({"metadata.broker.list", "oauth_cb"})
_LONGEST_NAME = 300

Decorated = TypeVar("Decorated")
Conf = Mapping[str, Any]
Producers = Callable[[dict[str, Any]], Any]


class Declared:
    """The jobs that an application has declared, and whether they are written. ``failed`` counts errors of ours, and
    declarations that cannot be read."""

    def __init__(self, producers: Producers = Producer, *, prefix: str | None = None) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.failed = 0
        self._producers = producers
        self._prefix = prefix
        self._notices = Notices()
        self._lock = threading.Condition()
        self._said = 0  # rises with each declaration
        self._written = 0
        self._conf: dict[str, Any] | None = None
        self._thread: threading.Thread | None = None

    def add(self, job: dict[str, Any]) -> None:
        with self._lock:
            known = self.jobs.get(job["name"])
            self.jobs[job["name"]] = job if known is None else merged(known, job)
            self._said += 1
            self._lock.notify_all()
        self._start()

    def connect(self, conf: Any, *, instead: bool = False) -> None:
        """How Kafka is reached, as a client of the application was configured; the first one counts, unless another is
        named ``instead``. Never fails."""
        try:
            if (instead or self._conf is None) and isinstance(conf, Mapping):
                found = {name: value for name, value in conf.items() if reaches(name)}
                if found.keys() & {"bootstrap.servers", "metadata.broker.list"}:
                    self._conf = found
            self._start()
        except Exception as error:  # noqa: BLE001  (applications are not disturbed)
            self.trouble(error)

    @property
    def conf(self) -> Conf | None:
        """How Kafka is reached; null: no client has shown it."""
        return self._conf

    def wait(self, seconds: float) -> bool:
        """Whether all that was declared until now is written, at the latest after so long."""
        with self._lock:
            said = self._said
            return self._lock.wait_for(lambda: self._written >= said, max(seconds, 0.0))

    def trouble(self, error: BaseException) -> None:
        self.failed += 1
        self._notices.tell("declare", "lineage could not be declared", error)

    def _start(self) -> None:
        """In the process that is asked: threads do not outlive a fork."""
        if self._conf is None or not self.jobs or (self._thread is not None and self._thread.is_alive()):
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lineage-declarations", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(_SETTLE_SECONDS)
            with self._lock:
                said, jobs = self._said, [dict(job) for job in self.jobs.values()]
            try:
                whole = self._write(jobs)
            except Exception as error:  # noqa: BLE001  (told, and tried again)
                self.trouble(error)
                whole = False
            with self._lock:
                if whole:
                    self._written = said
                    self._lock.notify_all()
                self._lock.wait_for(lambda: self._said > said, AGAIN_SECONDS if whole else RETRY_SECONDS)  # noqa: B023

    def _write(self, jobs: Iterable[dict[str, Any]]) -> bool:
        """Whether the brokers have all of it."""
        prefix = os.environ.get(PREFIX_VARIABLE, "lineage.") if self._prefix is None else self._prefix
        topic = prefix + TOPIC
        refused: list[str] = []
        producer = self._producers(
            {
                **(self._conf or {}),
                "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "error_cb": lambda _: None,
                "log_level": 2,  # the application's own clients say that Kafka is away
            }
        )
        if topic not in producer.list_topics(timeout=DELIVERY_SECONDS).topics:  # which does not create it
            self._notices.tell("declare", f"lineage is declared, and {topic} is not there: is stream-lineage running?")
            return False

        def report(error: Any, _: Any) -> None:
            if error is not None:
                refused.append(error.name())

        for job in jobs:
            producer.produce(topic, encode_job(job), job["name"].encode(), on_delivery=report)
        left = producer.flush(DELIVERY_SECONDS + 1)
        if refused or left:
            self.failed += 1
            self._notices.tell("declare", f"lineage is declared, but {topic} did not take it: {', '.join(refused[:3])}")
        return not (refused or left)


DECLARED = Declared()
"""Those of this process."""


def declare_lineage(
    *,
    inputs: Iterable[Any] = (),
    outputs: Iterable[Any] = (),
    job: str | None = None,
    columns: Iterable[tuple[str, str]] | Mapping[str, str] = (),
    groups: Iterable[str] = (),
    owner: str | None = None,
    description: str | None = None,
) -> Callable[[Decorated], Decorated]:
    """Declare what a function, or a class, makes of what. It is returned as it is. Never fails: what cannot be read is
    said in the log.

    Args:
        inputs: topics that are read, or datasets elsewhere: ``{"namespace": "postgres://db:5432", "name": "users"}``.
        outputs: topics or datasets that are written.
        job: its name; else module and name of the function. Functions of one job are declared together.
        columns: columns that are made of columns, from and to, each ``TOPIC:PATH``.
        groups: consumer groups that are this job, where they are not called as it is.
        owner: who is to be asked.
        description: what it does.
    """

    def declared(function: Decorated) -> Decorated:
        try:
            DECLARED.add(_job(function, inputs, outputs, job, columns, groups, owner, description))
        except Exception as error:  # noqa: BLE001  (applications are not disturbed)
            DECLARED.trouble(error)
        return function

    return declared


def send_declarations(conf: Conf | None = None, *, wait_seconds: float = 0.0) -> bool:
    """For applications that have neither ``LineageConsumer`` nor ``LineageProducer``, or that end within seconds.

    Args:
        conf: how Kafka is reached, as for any client of confluent-kafka; null: as the first of those two.
        wait_seconds: how long to wait until the brokers have what was declared.

    Returns whether they have it. Never fails.
    """
    DECLARED.connect(conf, instead=True)
    return DECLARED.wait(wait_seconds)


def _job(
    function: Any,
    inputs: Iterable[Any],
    outputs: Iterable[Any],
    name: str | None,
    columns: Iterable[tuple[str, str]] | Mapping[str, str],
    groups: Iterable[str],
    owner: str | None,
    description: str | None,
) -> dict[str, Any]:
    if name is None:
        name = f"{function.__module__}.{function.__qualname__}"
    pairs = columns.items() if isinstance(columns, Mapping) else columns
    job = {
        "name": _text(name),
        "inputs": unique(map(_dataset, _several(inputs))),
        "outputs": unique(map(_dataset, _several(outputs))),
        "columns": unique({"from": _text(source), "to": _text(target)} for source, target in pairs),
        "groups": unique(map(_text, _several(groups))),
        "owner": None if owner is None else _text(owner),
        "description": None if description is None else _text(description),
    }
    parent, root = parents_of_process()
    if parent is not None:  # the scheduler's run that has started this process
        job["parent"] = str(parent)
        job["root"] = None if root is None else str(root)
    if not (job["inputs"] or job["outputs"]):
        raise ValueError("a job has inputs or outputs")
    if len(name) > _LONGEST_NAME:
        raise ValueError("a name is too long")
    encode_job(job)
    return job


def _several(names: Any) -> Iterable[Any]:
    """One is meant where one is given."""
    return (names,) if isinstance(names, str | Mapping) else names


def _dataset(said: Any) -> Any:
    if isinstance(said, Mapping):
        return {"namespace": _text(said["namespace"]), "name": _text(said["name"])}
    return _text(said)


def _text(said: Any) -> str:
    if not isinstance(said, str) or not said or not said.isprintable():
        raise TypeError("names are printable texts")
    return said


def reaches(name: Any) -> bool:
    """Whether an entry of a client's configuration says how Kafka is reached."""
    return isinstance(name, str) and (name.startswith(_PASSED_ON) or name in _PASSED_ON_WHOLE)

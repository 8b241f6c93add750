"""Threads that keep up to date what the API answers from: the graph, the index, and alerts as they come."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from contextlib import closing

from confluent_kafka import Message

from stream_lineage import indexing
from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.connections import log_reader
from stream_lineage.errors import DecodeError, IndexBusy, IndexUnusable, StreamLineageError
from stream_lineage.graph.graph import Graph
from stream_lineage.logs import get_logger
from stream_lineage.provenance.topics import ANOMALY_ALERTS, DRIFT_ALERTS
from stream_lineage.serve.live import LiveAlert, LiveAlerts
from stream_lineage.settings import Settings

GRAPH_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_LARGEST_ALERT = 1_000_000
_log = get_logger("stream_lineage.serve")


class Follower:
    """A thread that does something again and again until it is stopped; what fails is said and tried again."""

    def __init__(self, name: str, work: Callable[[Callable[[], bool]], None], pause_seconds: float) -> None:
        self._work = work
        self._pause = pause_seconds
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.done = 0
        """How often it was done without a failure."""
        self.since = time.monotonic()
        """When it was done last, else when it began."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._work(lambda: not self._stop.is_set())
                self.done += 1
                self.since = time.monotonic()
                pause = self._pause
            except StreamLineageError as error:
                _log.warning("what the API answers from is not up to date", what=self._name, error=error.message)
                pause = _RETRY_SECONDS
            except Exception:  # noqa: BLE001 - a thread that is gone would leave the API behind for ever
                _log.exception("what the API answers from is not up to date", what=self._name)
                pause = _RETRY_SECONDS
            self._stop.wait(pause)


def settle() -> None:
    """What is in memory by now stays: to look for garbage in a large graph again and again would hold up everybody for
    a good part of a second each time."""
    gc.collect()
    gc.freeze()


def graph_follower(
    fold: GraphFold, known: Callable[[], tuple[Graph, int] | None], whole: Callable[[], None] = lambda: None
) -> Follower:
    """Reads the graph's events, from where on they are not ``known``; says once when it has read all there are."""
    begun = False

    def work(running: Callable[[], bool]) -> None:
        nonlocal begun
        if not begun:
            if (found := known()) is not None:
                fold.start_from(*found)
            begun = True
        first = not fold.whole
        while running() and not fold.catch_up():
            pass
        if first and fold.whole:
            whole()

    return Follower("graph", work, GRAPH_SECONDS)


def index_follower(settings: Settings) -> Follower:
    """Keeps the provenance index up to date, unless another process does, and makes it anew where it must be."""

    def work(running: Callable[[], bool]) -> None:
        try:
            indexing.follow(settings, running)
        except IndexBusy:
            return  # somebody else keeps it up to date
        except IndexUnusable as error:
            _log.warning("the provenance index is made anew", reason=error.message)
            indexing.rebuild(settings)

    return Follower("index", work, _RETRY_SECONDS)


def alert_follower(settings: Settings, told: LiveAlerts) -> Follower:
    """Hands on alerts that are told from now on."""
    channels = {"drift": settings.kafka.topic(DRIFT_ALERTS), "anomaly": settings.kafka.topic(ANOMALY_ALERTS)}
    next_: dict[str, int] = {}

    def work(running: Callable[[], bool]) -> None:
        with closing(log_reader(settings)) as one, closing(log_reader(settings)) as other:
            readers = zip(channels.items(), (one, other), strict=True)
            feeds = {name: OnePartition(reader, topic, _body) for (name, topic), reader in readers}
            for name, feed in feeds.items():
                next_.setdefault(name, feed.end())
            while running():
                for name, feed in feeds.items():
                    found, next_[name] = feed.read(next_[name])
                    for offset, body in found:
                        told.tell(LiveAlert(f"{name}.{offset}", body))

    return Follower("alerts", work, _RETRY_SECONDS)


def _body(message: Message) -> bytes:
    value = message.value() or b""
    if not value.startswith(b"{") or len(value) > _LARGEST_ALERT:
        raise DecodeError("it is no alert")
    return value

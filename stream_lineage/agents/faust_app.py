"""The Faust application: the observation log in, alerts and states out.

Delivery is at least once, and our own order of doing things (``pipeline.py``) makes it exact. Faust's transactions
would not help: records sent to topics that the app does not itself consume go through another producer, outside of
them (measured in faust-streaming 0.15.3, as is what the modules beside this one mend; docs/decisions/0005-delivery.md).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import MessageSizeTooLargeError
from faust.app.base import BootStrategy

from stream_lineage.agents.alerts import Alert, Topic, reaching
from stream_lineage.agents.changelog import Changelog
from stream_lineage.agents.deliveries import Deliveries
from stream_lineage.agents.faust_consumer import CommittedTransport
from stream_lineage.agents.faust_table import StateTable, StateTables
from stream_lineage.agents.security import security
from stream_lineage.agents.window_log import encode_window
from stream_lineage.detect.window import Window
from stream_lineage.graph.codec import encode_event, message_key
from stream_lineage.logs import get_logger
from stream_lineage.model.graph import GraphEvent
from stream_lineage.provenance.codec import MAX_OBSERVATION_BYTES
from stream_lineage.provenance.topics import ANOMALY_ALERTS, DRIFT_ALERTS, GRAPH, INCIDENTS, OBSERVATIONS, WINDOWS
from stream_lineage.wire.settings import KafkaSettings

TABLE = "state"
SESSION_SECONDS = 10.0
"""After so long a worker that died is replaced. Smaller: sooner, and more rebalances when a machine stutters."""
COMMIT_SECONDS = 1.0
_log = get_logger("stream_lineage.agents")


def changelog_topic(agents_id: str) -> str:
    """The changelog of our table. It ends in ``-changelog``, which keeps it out of what is watched."""
    return f"{agents_id}-{TABLE}-changelog"


class _Boot(BootStrategy):  # type: ignore[misc]
    enable_web = False  # it listens on all addresses whatever the setting web_enabled says


class _App(faust.App):  # type: ignore[misc]
    BootStrategy = _Boot
    logger = logging.getLogger("faust.app")
    observations: str
    deliveries: Deliveries
    changelog: Changelog

    def _new_transport(self) -> Any:
        return CommittedTransport(self.conf.broker_consumer, self)


def make_app(settings: KafkaSettings, agents_id: str, state_dir: Path) -> Any:
    """The application without its agents.

    Raises:
        SettingsError: a Kafka setting that Faust has no counterpart for.
    """
    app = _App(
        agents_id,
        broker=broker_urls(settings),
        broker_credentials=security(settings.client_config()).credentials(),
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 4,
        broker_commit_interval=COMMIT_SECONDS,
        broker_max_poll_interval=300.0,
        broker_max_poll_records=500,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_OBSERVATION_BYTES,
        producer_max_request_size=MAX_OBSERVATION_BYTES,
        producer_acks=-1,
        producer_linger=0,
        store="memory://",
        datadir=str(state_dir),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        key_serializer="raw",
        value_serializer="raw",
        table_standby_replicas=0,  # rows are few: they are read back sooner than a standby is kept
        TableManager=StateTables,
    )
    app.observations = settings.topic(OBSERVATIONS)
    app.deliveries = Deliveries()
    app.changelog = Changelog(settings, changelog_topic(agents_id), agents_id)
    return app


class FaustOutlet:
    """Alerts and rows by Faust's producer, each awaited. ``reached``: what is made of a topic, by name."""

    def __init__(
        self,
        app: Any,
        settings: KafkaSettings,
        partitions: int,
        reached: Callable[[str], list[str]] = lambda _: [],
    ) -> None:
        self._reached = reached
        self.published: Counter[Topic] = Counter()
        """Alerts since the start, each when the brokers had acknowledged it."""
        self._topics: Mapping[Topic, Any] = {
            "drift": _raw_topic(app, settings.topic(DRIFT_ALERTS)),
            "anomaly": _raw_topic(app, settings.topic(ANOMALY_ALERTS)),
            "incident": _raw_topic(app, settings.topic(INCIDENTS)),
        }
        self._windows = _raw_topic(app, settings.topic(WINDOWS))
        self._graph = _raw_topic(app, settings.topic(GRAPH))
        self._table = app.tables.add(
            StateTable(
                app, name=TABLE, partitions=partitions, key_type=bytes, value_type=bytes, beacon=app.tables.beacon
            )
        )

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        data: Mapping[bytes, bytes] = self._table.data
        return data

    async def publish(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            topic = self._topics[alert.channel]
            told = alert.channel != "incident"
            value = reaching(alert, self._reached(alert.key.decode())) if told else alert.value
            try:
                await (await topic.send(key=alert.key, value=value, headers=list(alert.headers)))
            except MessageSizeTooLargeError:
                if told:
                    raise
                _log.error(
                    "an incident is not published: its topic takes no message so large (max.message.bytes)",
                    incident=alert.key.decode(), bytes=len(value),
                )  # fmt: skip
                continue
            self.published[alert.channel] += 1

    async def pass_on(self, windows: Iterable[Window]) -> None:
        sent = [await self._windows.send(key=each.topic.encode(), value=encode_window(each)) for each in windows]
        for each in sent:
            await each

    async def chart(self, events: Iterable[GraphEvent]) -> None:
        """Put events on the topic of the graph, in order; returns when the brokers have acknowledged all of them."""
        sent = [await self._graph.send(key=message_key(each), value=encode_event(each)) for each in events]
        for each in sent:
            await each

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        await self._table.keep(partition, rows)


def observations_topic(app: Any) -> Any:
    return _raw_topic(app, app.observations)


def broker_urls(settings: KafkaSettings) -> list[str]:
    """The bootstrap brokers as Faust writes them."""
    bracketed = [(f"[{host}]" if ":" in host else host, port) for host, port in settings.addresses]
    return [f"kafka://{host}:{port}" for host, port in bracketed]


def _raw_topic(app: Any, name: str) -> Any:
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

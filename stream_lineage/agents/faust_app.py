"""The Faust application: the observation log in, alerts and states out.

Where this departs from a plain Faust app, it is because of what faust-streaming 0.15.3 was measured to do:

- Without ``exactly_once`` its consumer reads uncommitted records, so that a collector's aborted flush would be counted;
  with it, records sent to topics that the app does not consume go through another producer, outside the transaction.
  So the consumer is told to read committed, delivery is at least once, and our own order of doing things
  (``pipeline.py``) makes it exact.
- Changelog records that cannot be sent are logged and forgotten. So each write is awaited.
- The web server listens on all addresses whatever ``web_enabled`` says. So it is not part of what is started.
- A late write by a worker that was taken for dead ends up last in the changelog. So the row that is further along in
  the log wins over the one that was written last.

The table is in memory: its rows are small, one per topic and detector, and are read back from the changelog.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import faust
import orjson
from faust.app.base import BootStrategy
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import RECREATED_AFTER
from stream_lineage.agents.security import Security, security
from stream_lineage.detect.detector import Channel
from stream_lineage.provenance.codec import MAX_OBSERVATION_BYTES
from stream_lineage.provenance.topics import ANOMALY_ALERTS, DRIFT_ALERTS, OBSERVATIONS
from stream_lineage.wire.settings import KafkaSettings

TABLE = "state"
SESSION_SECONDS = 10.0
"""After so long a worker that died is replaced. Smaller: sooner, and more rebalances when a machine stutters."""
COMMIT_SECONDS = 1.0


def changelog_topic(agents_id: str) -> str:
    """The changelog of our table. It ends in ``-changelog``, which keeps it out of what is watched."""
    return f"{agents_id}-{TABLE}-changelog"


class _Boot(BootStrategy):  # type: ignore[misc]
    enable_web = False


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    logger = logging.getLogger("faust.consumer")

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):  # type: ignore[misc]
    logger = logging.getLogger("faust.consumer")

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class _App(faust.App):  # type: ignore[misc]
    BootStrategy = _Boot
    logger = logging.getLogger("faust.app")

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


class _StateTable(faust.Table):  # type: ignore[misc]
    """Rows of bytes. On recovery the row that is further along wins over the one that comes later."""

    logger = logging.getLogger("faust.table")

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        newest: dict[bytes, bytes] = {}
        kept = []
        for event in batch:
            key, value = event.message.key, event.message.value
            known = newest.get(key, self.data.get(key))
            if value is None or known is None or not behind(value, known):
                newest[key] = value
                kept.append(event)
        super().apply_changelog_batch(kept)


def behind(value: bytes, known: bytes) -> bool:
    """Whether a row is of an earlier position of the log than the known one. All rows have a position and a time."""
    one, other = orjson.loads(value), orjson.loads(known)
    same_log = abs(one["at_ms"] - other["at_ms"]) <= RECREATED_AFTER.total_seconds() * 1000 or (
        one["at_ms"] < other["at_ms"]
    )
    return bool(same_log and one["position"][0] == other["position"][0] and one["position"][1] < other["position"][1])


def make_app(settings: KafkaSettings, agents_id: str, state_dir: Path) -> Any:
    """The application without its agents.

    Raises:
        SettingsError: a Kafka setting that Faust has no counterpart for.
    """
    return _App(
        agents_id,
        broker=broker_urls(settings),
        broker_credentials=_credentials(security(settings.client_config())),
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
    )


class FaustOutlet:
    """Alerts and rows by Faust's producer, each awaited."""

    def __init__(self, app: Any, settings: KafkaSettings, partitions: int) -> None:
        self._app = app
        self._topics: Mapping[Channel, Any] = {
            "drift": _raw_topic(app, settings.topic(DRIFT_ALERTS)),
            "anomaly": _raw_topic(app, settings.topic(ANOMALY_ALERTS)),
        }
        self._table = app.tables.add(
            _StateTable(
                app,
                name=TABLE,
                partitions=partitions,
                key_type=bytes,
                value_type=bytes,
                beacon=app.tables.beacon,
            )
        )

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        data: Mapping[bytes, bytes] = self._table.data
        return data

    async def publish(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            sent = await self._topics[alert.channel].send(key=alert.key, value=alert.value, headers=list(alert.headers))
            await sent

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        rows = list(rows)
        for sent in [self._table.send_changelog(partition, key, value) for key, value in rows]:
            await sent
        for key, value in rows:
            self._table.data[key] = value


def observations_topic(app: Any, settings: KafkaSettings) -> Any:
    return _raw_topic(app, settings.topic(OBSERVATIONS))


def broker_urls(settings: KafkaSettings) -> list[str]:
    """The bootstrap brokers as Faust writes them."""
    return [
        f"kafka://[{host}]:{port}" if ":" in host else f"kafka://{host}:{port}" for host, port in settings.addresses
    ]


def _raw_topic(app: Any, name: str) -> Any:
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def _credentials(wanted: Security) -> Any:
    if wanted.mechanism is not None:
        return SASLCredentials(
            username=wanted.username,
            password=wanted.password,
            ssl_context=wanted.context,
            mechanism=wanted.mechanism,
        )
    return SSLCredentials(wanted.context) if wanted.context is not None else None

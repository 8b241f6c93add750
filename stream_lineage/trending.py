"""A metric over time with what happened meanwhile: alerts, from their topics, and deploys, from the alert rules."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from stream_lineage.agents.alert_rules import read_alert_rules
from stream_lineage.connections import log_reader
from stream_lineage.errors import ConnectionFailed, NotFound
from stream_lineage.explain.trend import Mark, Trend, trend
from stream_lineage.provenance.log import read_messages
from stream_lineage.provenance.topics import ANOMALY_ALERTS, DRIFT_ALERTS
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store

MOST_WINDOWS = 96
_MARKED = 200


@dataclass(frozen=True, slots=True)
class MarkedTrend:
    """``alerts_read``: whether Kafka was asked for alerts and answered; ``trouble`` says why it did not."""

    trend: Trend
    alerts_read: bool
    trouble: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        windows = [{**asdict(window), "outside": window.outside} for window in self.trend.windows]
        return {**asdict(self.trend), "windows": windows, "alerts_read": self.alerts_read}


def marked_trend(
    settings: Settings, target: str, metric: str, start: datetime, end: datetime, *, alerts: bool = True
) -> MarkedTrend:
    """A metric of a topic, a field or a node beside what is usual for it, with schema changes, deploys and alerts.

    Raises:
        NotFound: the store has no such metric at that time.
        ConnectionFailed: the store cannot be read.
        SettingsError: the file of alert rules cannot be read.
    """
    store = open_store(settings.store)
    try:
        found = trend(store, target, metric, start, end, most_windows=MOST_WINDOWS)
    finally:
        store.close()
    found = found.with_marks(deploy_marks(settings, target.partition(":")[0], start, end))
    if not alerts:
        return MarkedTrend(found, alerts_read=False)
    try:
        return MarkedTrend(found.with_marks(alert_marks(settings, target, start, end)), alerts_read=True)
    except ConnectionFailed as error:
        return MarkedTrend(found, alerts_read=False, trouble=error.message)


def alert_marks(settings: Settings, target: str, start: datetime, end: datetime) -> list[Mark]:
    """The alerts about a topic, or about ``topic:field`` and what concerns its topic as a whole, the last ones where
    there are many. Updates and ends of what is marked already are left out.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    topic, _, field = target.partition(":")
    found: dict[str, Mark] = {}
    for name in (DRIFT_ALERTS, ANOMALY_ALERTS):
        with closing(log_reader(settings)) as reader:
            try:
                for message in read_messages(reader, settings.kafka.topic(name)):
                    if message.key() not in (topic.encode(), target.encode()):
                        continue
                    mark = _mark(message.value() or b"", field)
                    if mark is not None and start <= mark[1].time < end:
                        found.setdefault(mark[0], mark[1])
            except NotFound:
                continue  # nobody has ever told an alert
    return sorted(found.values(), key=lambda mark: mark.time)[-_MARKED:]


def deploy_marks(settings: Settings, topic: str, start: datetime, end: datetime) -> list[Mark]:
    """The deploy windows of a topic.

    Raises:
        SettingsError: the file of alert rules cannot be read.
    """
    return [
        Mark(max(window.since, start), "deploy", window.reason or "deploy", min(window.until, end))
        for window in read_alert_rules(settings.agents.alert_rules).deploys
        if window.since < end and window.until > start and window.matches(topic, max(window.since, start))
    ]


def _mark(body: bytes, field: str) -> tuple[str, Mark] | None:
    """What an alert is marked as, by what it is an alert about. Null where it is not about the field."""
    try:
        document = orjson.loads(body)
        path = document.get("field_path")
        if field and path not in (None, field):
            return None
        if document.get("phase") in ("update", "close"):
            return None
        at = datetime.fromisoformat(document["observed_at"]).astimezone(UTC)
        label = f"{document['severity']}: {document['summary']}"
        return f"{document['fingerprint']}/{document['observed_at']}", Mark(at, "alert", label)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None

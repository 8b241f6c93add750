"""Pushes metrics that others measure onto their topic."""

from __future__ import annotations

from collections.abc import Sequence

from stream_lineage.model.pushed import PushedPoint
from stream_lineage.provenance.pushed import encode_point, message_key
from stream_lineage.provenance.topics import METRICS, ensure_topics
from stream_lineage.settings import Settings
from stream_lineage.wire import acknowledged, kafka


def push(settings: Settings, points: Sequence[PushedPoint]) -> None:
    """Write all points, in order, and wait until the brokers have acknowledged each.

    Raises:
        KafkaUnavailable: the brokers did not take them; says how many they did.
        SettingsError: we may not write the topic.
    """
    ensure_topics(kafka.admin(settings.kafka), settings.kafka)
    acknowledged.write(
        settings.kafka,
        settings.kafka.topic(METRICS),
        ((message_key(point), encode_point(point)) for point in points),
        hint="Push them again: a point of the same series and time takes the place of the one before.",
    )

"""Whether topics are silent, asked of the brokers."""

from __future__ import annotations

from datetime import datetime

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.wire.kafka import translated
from stream_lineage.wire.log_offsets import listed_offsets

_ANSWER_SECONDS = 10.0


class Silence:
    """``records`` asks; it blocks."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def records(self, topic: str, start: datetime, end: datetime) -> bool:
        """Whether a topic got records between two times, by their timestamps.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        try:
            found = self._admin.list_topics(timeout=_ANSWER_SECONDS).topics.get(topic)  # of one, brokers would make it
        except KafkaException as error:
            raise translated(error, f"look at {topic}") from error
        places = [] if found is None else [(topic, partition) for partition in found.partitions]
        first, behind = (self._from(places, at) for at in (start, end))
        # Less than 0 where nothing is as young.
        return any(first[place] >= 0 and not 0 <= behind.get(place, -1) <= first[place] for place in first)

    def _from(self, places: list[tuple[str, int]], at: datetime) -> dict[tuple[str, int], int]:
        spec = OffsetSpec.for_timestamp(int(at.timestamp() * 1000))
        return listed_offsets(self._admin, places, spec, timeout_seconds=_ANSWER_SECONDS)

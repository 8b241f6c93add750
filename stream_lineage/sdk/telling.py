"""``send_runs``: where the runs of this process are told, and whether they have arrived."""

from __future__ import annotations

from stream_lineage.sdk import run_events  # noqa: F401  (loaded by now: the thread of the sender loads nothing)
from stream_lineage.sdk.declare import Conf
from stream_lineage.sdk.destinations import choose
from stream_lineage.sdk.run_sender import RUNS


def send_runs(
    to: str | None = None, *, conf: Conf | None = None, token: str | None = None, wait_seconds: float = 0.0
) -> bool:
    """Say where runs are told, or wait until they have been.

    Args:
        to: ``http(s)://...``, which takes OpenLineage's events; ``kafka:TOPIC``; or a file, to which each event is
            appended as a line. Null: as ``LINEAGE_RUNS_TO`` or ``OPENLINEAGE_URL`` say, else our own topic.
        conf: how Kafka is reached, as for any client of confluent-kafka; null: as the first ``LineageConsumer`` or
            ``LineageProducer``.
        token: a bearer token for a URL; null: ``OPENLINEAGE_API_KEY``.
        wait_seconds: how long to wait until all runs of this process until now have arrived.

    Returns whether they have, or were refused or dropped for good (``run_counts``). Never fails.
    """
    with RUNS.quietly():
        choose(to, token, conf)
        RUNS.wake()
        return RUNS.wait(wait_seconds)
    return False

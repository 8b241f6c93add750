"""Whether another process goes by our name in the group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.logs import get_logger
from stream_lineage.wire.log_offsets import answered

_log = get_logger("stream_lineage.collect")
_ASK_SECONDS = 1.0
_ANSWER_SECONDS = 5.0


def has_rival(
    make_admin: Callable[[], AdminClient],
    group_id: str,
    instance_id: str,
    *,
    session_seconds: float,
    stopping: threading.Event,
) -> bool:
    """Whether somebody keeps the static member ``instance_id`` alive, to be asked once we do not.

    A member whose coordinator is lost joins again, perhaps twice: the second time it puts itself out of the group, and
    librdkafka does not tell that from another process of that name. The other process lets its membership not time out.
    """
    deadline = time.monotonic() + session_seconds
    while not stopping.is_set():
        if _is_member(make_admin(), group_id, instance_id) is False:
            return False
        if time.monotonic() > deadline:
            return True
        stopping.wait(_ASK_SECONDS)
    return True


def _is_member(admin: AdminClient, group_id: str, instance_id: str) -> bool | None:
    """Null where that is not known. A client that has lost a coordinator never finds it: each question has its own."""
    try:
        future = admin.describe_consumer_groups([group_id], request_timeout=_ANSWER_SECONDS)[group_id]
        members = answered(future, _ANSWER_SECONDS).members
    except (KafkaException, KafkaUnavailable) as error:
        _log.debug("cannot learn who is in the group", error=str(error))
        return None
    return any(member.group_instance_id == instance_id for member in members)

"""Whether the group has forgotten us while the client believes that all is well.

After a coordinator had answered nothing for longer than the session, librdkafka 2.12 was once seen never to join again:
it owned nothing, said nothing, and the group had no member.
"""

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
IDLE_SECONDS = 60.0
"""Whoever has owned nothing for so long asks who is in the group. Joining takes less, and a member may own nothing."""
AGAIN_SECONDS = 20.0
_ANSWERS = 2
"""Answers in a row by which there is no member at all, which is less than we are."""
_ANSWER_SECONDS = 5.0


class Outsider:
    """``members`` asks how many the group has, null where that is not known; it may block."""

    def __init__(self, members: Callable[[], int | None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._members = members
        self._clock = clock
        self._ask_at: float | None = None
        self._asking: threading.Thread | None = None
        self._answer: int | None = None
        self._empty = 0

    def check(self, *, owns: bool) -> None:
        """To be called at each turn of a consumer that has subscribed.

        Raises:
            KafkaUnavailable: we are no member, and shall not become one.
        """
        now = self._clock()
        if owns:
            self._ask_at, self._empty = None, 0
            return
        if self._ask_at is None:
            self._ask_at = now + IDLE_SECONDS
        if self._asking is not None:
            if self._asking.is_alive():
                return
            self._asking = None
            self._empty = self._empty + 1 if self._answer == 0 else 0
            if self._empty >= _ANSWERS:
                raise KafkaUnavailable(
                    "the collector is no member of its consumer group any more, and does not join it again",
                    hint="Start it again (`run`, Compose, Kubernetes and systemd do): nothing is lost.",
                )
        if now >= self._ask_at:
            self._ask_at = now + AGAIN_SECONDS
            self._asking = threading.Thread(target=self._ask, name="collect-members", daemon=True)
            self._asking.start()

    def _ask(self) -> None:
        self._answer = self._members()


def member_count(make_admin: Callable[[], AdminClient], group_id: str) -> int | None:
    """How many members a classic group has. A client that has lost a coordinator never finds it: each question has its
    own."""
    try:
        future = make_admin().describe_consumer_groups([group_id], request_timeout=_ANSWER_SECONDS)[group_id]
        return len(answered(future, _ANSWER_SECONDS).members)
    except (KafkaException, KafkaUnavailable) as error:
        _log.debug("cannot learn who is in the group", error=str(error))
        return None

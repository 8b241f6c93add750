"""Consumers that remember which message is in hand. Beside that they are those of confluent-kafka."""

from __future__ import annotations

from asyncio import _get_running_loop as running_loop
from asyncio import current_task
from threading import get_ident
from typing import Any
from weakref import finalize

from confluent_kafka import Consumer, DeserializingConsumer, Message

from stream_lineage.sdk import declare
from stream_lineage.sdk.hand import Hand
from stream_lineage.sdk.lineage import Lineage

_poll = Consumer.poll


class LineageConsumer(Consumer):  # type: ignore[misc]
    """As ``confluent_kafka.Consumer``, with ``lineage`` for the producers of what is made from its messages.

    A message is in hand from the ``poll`` that returned it until the next call of ``poll``, ``consume`` or ``close``,
    in the thread and task that polled it. Commits do not end that.
    """

    def __init__(self, *args: Any, lineage: Lineage | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._attach(Lineage() if lineage is None else lineage)
        declare.DECLARED.connect(args[0] if args else kwargs)

    def _attach(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._hand: Hand = lineage.hand()
        # Who forgets to close a consumer has nothing in hand any more either.
        finalize(self, lineage.close, self._hand).atexit = False

    @property
    def lineage(self) -> Lineage:
        """To be given to producers: ``LineageProducer(conf, lineage=consumer.lineage)``."""
        return self._lineage

    def poll(self, timeout: float = -1) -> Message | None:
        hand = self._hand
        hand.message = None  # callbacks run in between
        message = _poll(self, timeout)
        if message is not None:
            hand.thread = get_ident()
            hand.task = None if running_loop() is None else current_task()
            hand.message = message
        return message

    def consume(self, *args: Any, **kwargs: Any) -> list[Message]:
        self._hand.message = None
        return super().consume(*args, **kwargs)  # type: ignore[no-any-return]

    def close(self, *args: Any, **kwargs: Any) -> Any:
        self._lineage.close(self._hand)
        return super().close(*args, **kwargs)


class LineageDeserializingConsumer(DeserializingConsumer, LineageConsumer):  # type: ignore[misc]
    """As ``confluent_kafka.DeserializingConsumer``. A message that cannot be deserialized is in hand too, so that what
    goes to a dead letter queue has it as its parent."""

    def __init__(self, conf: dict[str, Any], *, lineage: Lineage | None = None) -> None:
        super().__init__(conf)
        if lineage is not None:
            self._lineage.close(self._hand)
            self._attach(lineage)

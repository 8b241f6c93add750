"""Consumers that remember which message is in hand. Beside that they are those of confluent-kafka."""

from __future__ import annotations

from typing import Any
from weakref import finalize

from confluent_kafka import Consumer, DeserializingConsumer, Message

from stream_lineage.sdk import declare
from stream_lineage.sdk.hand import CHANGING, WORKING, Hand
from stream_lineage.sdk.lineage import Lineage

_poll = Consumer.poll


class LineageConsumer(Consumer):  # type: ignore[misc]
    """As ``confluent_kafka.Consumer``, with ``lineage`` for the producers of what is made from its messages.

    A message is in hand from the ``poll`` that returned it until the next call of ``poll``, ``consume`` or ``close``,
    in the thread and task that polled it. Commits do not end that.
    """

    __slots__ = ("__dict__", "__weakref__", "_hand", "_lineage", "_seat")  # a slot is read in a fifth of the time

    def __init__(self, *args: Any, lineage: Lineage | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._attach(Lineage() if lineage is None else lineage)
        declare.DECLARED.connect(args[0] if args else kwargs)

    def _attach(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._seat = object()
        self._own_hand()
        # Who forgets to close a consumer has nothing in hand any more either.
        finalize(self, lineage.close, self._seat).atexit = False

    @property
    def lineage(self) -> Lineage:
        """To be given to producers: ``LineageProducer(conf, lineage=consumer.lineage)``."""
        return self._lineage

    def poll(self, timeout: float = -1) -> Message | None:
        hand = self._hand
        hand.message = None  # callbacks run in between
        message = _poll(self, timeout)
        if WORKING or not hand.owner._is_owned():
            return self._handed(message)
        hand.message = message
        return message

    def _handed(self, message: Message | None) -> Message | None:
        """A message that was polled elsewhere than the one before, in the hand that this thread and task have."""
        try:
            hand = self._own_hand()
        except Exception as error:  # noqa: BLE001  (the message is the application's whatever happens to its lineage)
            self._lineage.failed(error)
        else:
            hand.message = message
        return message

    def _own_hand(self) -> Hand:
        """That of this thread and task, which is the consumer's from now on."""
        with CHANGING:
            self._hand = self._lineage.hand(self._seat)
            return self._hand

    def consume(self, *args: Any, **kwargs: Any) -> list[Message]:
        self._hand.message = None
        return super().consume(*args, **kwargs)  # type: ignore[no-any-return]

    def close(self, *args: Any, **kwargs: Any) -> Any:
        self._lineage.close(self._seat)
        return super().close(*args, **kwargs)


class LineageDeserializingConsumer(DeserializingConsumer, LineageConsumer):  # type: ignore[misc]
    """As ``confluent_kafka.DeserializingConsumer``. A message that cannot be deserialized is in hand too, so that what
    goes to a dead letter queue has it as its parent."""

    def __init__(self, conf: dict[str, Any], *, lineage: Lineage | None = None) -> None:
        super().__init__(conf)
        if lineage is not None:
            self._lineage.close(self._seat)
            self._attach(lineage)

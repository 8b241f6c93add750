"""Producers that write the parents of a record into its headers. Beside that they are those of confluent-kafka."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from threading import get_ident
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, SerializingProducer

from stream_lineage.sdk import declare
from stream_lineage.sdk.hand import SERVING, Serving
from stream_lineage.sdk.lineage import AUTOMATIC, Lineage
from stream_lineage.sdk.trace_context import Headers
from stream_lineage.wire.lineage_headers import PARENTS_HEADER, unknown_parents

_produce, _poll, _flush = Producer.produce, Producer.poll, Producer.flush


class LineageProducer(Producer):  # type: ignore[misc]
    """As ``confluent_kafka.Producer``, but for ``produce(..., parents=...)``.

    Args:
        lineage: that of the consumer whose messages the records are made from. Without one nothing is automatic: only
            parents that are named are written.
    """

    __slots__ = ("__dict__", "__weakref__", "_lineage")

    def __init__(self, *args: Any, lineage: Lineage | None = None, **kwargs: Any) -> None:
        self._lineage = Lineage() if lineage is None else lineage
        super().__init__(*args, **kwargs)
        declare.DECLARED.connect(args[0] if args else kwargs)

    @property
    def lineage(self) -> Lineage:
        return self._lineage

    def produce(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int = -1,
        callback: Any = None,
        on_delivery: Any = None,
        timestamp: int = 0,
        headers: Any = None,
        *,
        parents: Any = AUTOMATIC,
    ) -> Any:
        """As ``confluent_kafka.Producer.produce``.

        Args:
            parents: messages or coordinates that the record is made from, or a window. Without it those of the window
                that is open, else the message in hand. Null or empty: it is made from no record.
        """
        report = on_delivery if callback is None else callback
        try:
            own = self._lineage.headers(topic, parents)
            whole = (own or None) if headers is None else self._joined(headers, own)
        except Exception as error:  # noqa: BLE001  (the record is written whatever happens to its lineage)
            self._lineage.failed(error)
            own, whole = self._excused(topic, headers, parents)
        try:
            return _produce(self, topic, value, key, partition, report, None, timestamp, whole)
        except KafkaException as error:
            if not own or error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
        self._lineage.too_large()
        if any(name == PARENTS_HEADER for name, _ in own):
            with suppress(KafkaException):
                small: Headers = [(PARENTS_HEADER, unknown_parents(topic))]
                whole = small if headers is None else self._joined(headers, small)
                return _produce(self, topic, value, key, partition, report, None, timestamp, whole)
        plain = None if headers is None else self._joined(headers, [])
        return _produce(self, topic, value, key, partition, report, None, timestamp, plain)

    def produce_batch(self, topic: str, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """As ``confluent_kafka.Producer.produce_batch``, which takes no headers: no parents are written."""
        try:
            self._lineage.unnamed(len(messages))
        except Exception as error:  # noqa: BLE001
            self._lineage.failed(error)
        return super().produce_batch(topic, messages, *args, **kwargs)

    def poll(self, timeout: float = -1) -> Any:
        """As ``confluent_kafka.Producer.poll``. Delivery reports are about other messages than the one in hand."""
        thread = get_ident()  # as ``Serving``, in a third of its time: this is called for each record by many
        around = SERVING.get(thread)
        SERVING[thread] = object()
        try:
            return _poll(self, timeout)
        finally:
            if around is None:
                SERVING.pop(thread, None)
            else:
                SERVING[thread] = around

    def flush(self, *args: Any, **kwargs: Any) -> Any:
        """As ``confluent_kafka.Producer.flush``."""
        with Serving():
            return _flush(self, *args, **kwargs)

    def commit_transaction(self, *args: Any, **kwargs: Any) -> Any:
        """As ``confluent_kafka.Producer.commit_transaction``, which serves delivery reports too."""
        with Serving():
            return super().commit_transaction(*args, **kwargs)

    def abort_transaction(self, *args: Any, **kwargs: Any) -> Any:
        """As ``confluent_kafka.Producer.abort_transaction``."""
        with Serving():
            return super().abort_transaction(*args, **kwargs)

    def _excused(self, topic: str, headers: Any, parents: Any) -> tuple[Headers, Any]:
        """Our headers, and all, of a record whose lineage failed: that it has parents, if that much can be said."""
        try:
            own = self._lineage.unknown(topic, parents)
            return own, (own or None) if headers is None else self._joined(headers, own)
        except Exception:  # noqa: BLE001  (it was counted)
            return [], headers

    def _joined(self, given: Any, own: Headers) -> Any:
        """The application's headers and ours. Parents of other records, in headers that are copied from them, are left
        out; a run id and a trace context that the application gives are its own to choose."""
        if isinstance(given, Mapping):
            given = list(given.items())
        elif not isinstance(given, list):
            return given  # the client says what is wrong with it
        names = {header[0] for header in given}
        if PARENTS_HEADER in names:
            self._lineage.counts.stale += 1
            given = [header for header in given if header[0] != PARENTS_HEADER]
        if not own:
            return given
        return [*given, *(header for header in own if header[0] == PARENTS_HEADER or header[0] not in names)]


class LineageSerializingProducer(SerializingProducer, LineageProducer):  # type: ignore[misc]
    """As ``confluent_kafka.SerializingProducer``, but for ``produce(..., parents=...)``."""

    def __init__(self, conf: dict[str, Any], *, lineage: Lineage | None = None) -> None:
        super().__init__(conf)
        if lineage is not None:
            self._lineage = lineage

    def produce(self, topic: str, *args: Any, parents: Any = AUTOMATIC, **kwargs: Any) -> Any:
        """As ``confluent_kafka.SerializingProducer.produce``; ``parents`` as those of ``LineageProducer.produce``."""
        if parents is AUTOMATIC:
            return super().produce(topic, *args, **kwargs)
        with self._lineage.window_of(parents):
            return super().produce(topic, *args, **kwargs)

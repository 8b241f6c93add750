"""What comes out of a consumer beside records: ends of partitions, lost offsets, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, Message

from stream_lineage.collect.assignment import Assignment
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.open_flush import OpenFlush
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.errors import Fenced, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated

_log = get_logger("stream_lineage.collect")
_ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_UNREADABLE: Mapping[int, str] = {
    KafkaError._BAD_MSG: "a batch is damaged: its checksum or its structure is wrong",
    KafkaError._BAD_COMPRESSION: "a batch cannot be decompressed, or not within receive.message.max.bytes",
    KafkaError._NOT_IMPLEMENTED: "a batch is of a version or a compression that the Kafka client does not know",
    KafkaError._CRIT_SYS_RESOURCE: "there is not enough memory for a batch",
    KafkaError._UNDERFLOW: "a batch ends before its time",
    KafkaError.MSG_SIZE_TOO_LARGE: "a batch is larger than receive.message.max.bytes",
    KafkaError.INVALID_MSG: "the broker finds a batch damaged",
    KafkaError.INVALID_MSG_SIZE: "the broker finds a batch of an impossible size",
    KafkaError.KAFKA_STORAGE_ERROR: "the broker cannot read its disk",
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE: "the broker does not give us batches of this compression",
    KafkaError.UNKNOWN: "the broker fails to read it",
}
"""Codes that say of a partition that it cannot be read on, with the reason in words of ours: librdkafka's may hold
bytes of a payload, taken for an offset."""


def unreadable_from(messages: Sequence[Message], errors: Sequence[KafkaError | None]) -> dict[PartitionId, int]:
    """Partitions that cannot be read on, and from which place in a batch: what comes of them behind that does not
    count, since it would leave out what lies between."""
    found: dict[PartitionId, int] = {}
    for index, error in enumerate(errors):
        if error is not None and error.code() in _UNREADABLE:
            topic, partition = messages[index].topic(), messages[index].partition()
            if topic is not None and partition is not None:
                found.setdefault((topic, partition), index)
    return found


class ConsumerEvents:
    """Sees to what the consumer reports. What ends the collector is left in ``assignment.failure``."""

    def __init__(self, assignment: Assignment, flush: OpenFlush, facts: ClusterFacts) -> None:
        self._assignment = assignment
        self._flush = flush
        self._facts = facts
        self._out_of_range: dict[PartitionId, str] = {}  # with what was said

    def take(self, error: KafkaError, message: Message | None) -> None:
        """One report; with the message that it came as, if it came as one. To be followed by ``settle``."""
        code = error.code()
        state = None
        if message is not None and message.topic() is not None:
            state = self._assignment.owned.get((message.topic(), message.partition()))
            if code in _UNREADABLE:
                if state is not None:  # else it is set aside already
                    self._assignment.set_aside(state.key, state.position or 0, _UNREADABLE[code])
                return
        if code == KafkaError._PARTITION_EOF:
            if state is not None and message is not None:
                self._on_end(state, message.offset())
        elif code == KafkaError._AUTO_OFFSET_RESET:
            if state is not None:
                self._out_of_range[state.key] = (
                    f"asked for offset {message.offset() if message else None}: {error.str()}"
                )
        elif code == KafkaError._FATAL and "fenced" in error.str():
            self._assignment.failure = Fenced(
                f"this collector was put out of its group: {error.str()}",
                hint="Another collector runs with the same instance_id and has taken over.",
            )
        elif error.fatal() or code in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
            self._assignment.failure = translated(error, "stay in the consumer group")
        elif code in _ABSENT:
            _log.debug("a watched topic is gone", error=error.str())
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            _log.error("reading stood still for too long and the partitions were given to others", error=error.str())
        else:
            told = translated(error, "read a watched topic")
            topic = None if message is None else message.topic()
            _log.warning("the consumer reports", error=told.message, code=error.name(), topic=topic, hint=told.hint)

    def _on_end(self, state: PartitionProgress, offset: int) -> None:
        """Reading stands at the end, which may lie behind invisible offsets."""
        self._assignment.ends(state.key)
        if offset > (state.position or 0):
            state.position = offset
            if state.expected is not None:
                self._flush.unread(state, offset)
        if state.end_offset is None or offset >= state.end_offset:
            state.at_end = True

    def settle(self) -> None:
        """See to all partitions at once of which the log does not hold the offset where we stand: retention has
        overtaken us, or it is another log."""
        if not self._out_of_range:
            return
        reasons, self._out_of_range = self._out_of_range, {}
        states = {key: state for key in reasons if (state := self._assignment.owned.get(key)) is not None}
        try:
            topic_ids = self._facts.topic_ids({topic for topic, _ in states})
            starts, ends = self._facts.log_starts(states), self._facts.log_ends(states)
        except StreamLineageError as error:
            _log.warning("cannot find out why the log does not hold our offset", error=error.message)
            self._assignment.must_rewind = True
            return
        for key, state in states.items():
            if topic_ids.get(state.topic) != state.topic_id or not {key} <= starts.keys() & ends.keys():
                _log.warning("the topic was created again", topic=state.topic)
                self._assignment.must_rewind = True
                return
        stood = {key: state.position or 0 for key, state in states.items()}
        offsets = {key: _stands(state, starts[key], ends[key]) for key, state in states.items()}
        unmoved = [key for key, offset in offsets.items() if offset == stood[key]]
        if unmoved:
            topic, partition = unmoved[0]
            _log.warning(
                "reading stopped and goes on", partitions=len(unmoved), topic=topic, partition=partition,
                offset=offsets[unmoved[0]], reason=reasons[unmoved[0]],
            )  # fmt: skip
        if offsets and not self._assignment.move(offsets):
            self._assignment.must_rewind = True


def _stands(state: PartitionProgress, low: int, high: int) -> int:
    """Where to go on in a log from ``low`` to ``high``; says what is lost."""
    position = state.position or 0
    if position < low:
        _log.error(
            "records were deleted by retention before they were read", topic=state.topic,
            partition=state.partition, first_offset=position, last_offset=low - 1,
        )  # fmt: skip
        state.lost = (position, low)
        state.position = low
    elif position > high:
        _log.error(
            "the log was truncated below what has been observed", topic=state.topic, partition=state.partition,
            position=position, end=high,
        )  # fmt: skip
    return min(max(position, low), high)

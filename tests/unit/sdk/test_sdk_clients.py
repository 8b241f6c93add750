"""If this failed, records would name parents that they do not have, or clients would differ from those they wrap."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    DeserializingConsumer,
    KafkaException,
    Message,
    Producer,
    SerializingProducer,
    TopicPartition,
)
from confluent_kafka.error import ValueDeserializationError
from sdk_broker import SECONDS, Broker, polled, reading

from stream_lineage.model.record_edge import ParentRange
from stream_lineage.sdk import (
    Lineage,
    LineageConsumer,
    LineageDeserializingConsumer,
    LineageProducer,
    LineageSerializingProducer,
    Parent,
)
from stream_lineage.sdk import lineage as lineage_module
from stream_lineage.sdk.faust_agents import events, with_lineage
from stream_lineage.wire.lineage_headers import PARENTS_HEADER, decode_parents

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Headers = list[tuple[str, Any]]


def parents_of(message: Message) -> list[ParentRange]:
    (value,) = [value for name, value in message.headers() or () if name == PARENTS_HEADER]
    header = decode_parents(value)
    assert header.belongs_to(message.topic())
    assert not header.incomplete
    return list(header.parents)


def knows_nothing(message: Message) -> bool:
    """Whether it says that it has parents which nobody knows."""
    value = dict(message.headers() or ())[PARENTS_HEADER]
    header = decode_parents(value)
    return header.incomplete and not header.parents and header.belongs_to(message.topic())


def one(topic: str, offset: int) -> list[ParentRange]:
    return [ParentRange(topic, 0, offset, offset)]


def produced(broker: Broker, producer: Producer, topic: str, count: int) -> list[Message]:
    assert producer.flush(SECONDS) == 0
    return broker.read(topic, count)


def test_one_message_in_hand_is_the_parent(broker: Broker) -> None:
    source, out = broker.topic("in", 300), broker.topic("out")
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        for number in range(300):
            message = polled(consumer)
            assert message.offset() == number
            producer.produce(out, message.value(), partition=0)
            if number % 50 == 0:
                producer.produce(out, b"another", partition=0)
        written = produced(broker, producer, out, 306)
        expected = [number for number in range(300) for _ in range(2 if number % 50 == 0 else 1)]
        assert [parents_of(record) for record in written] == [one(source, number) for number in expected]
        assert consumer.lineage.counts.written == 306
        assert consumer.lineage.counts.missing == 0


def test_what_ends_it(broker: Broker) -> None:
    source, out = broker.topic("in", 6), broker.topic("out")
    consumer = LineageConsumer(broker.consumer_config())
    with reading(consumer, source):
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)

        def missing() -> bool:
            before = consumer.lineage.counts.missing
            producer.produce(out, b"x", partition=0)
            return consumer.lineage.counts.missing > before

        assert missing()  # before the first one
        message = polled(consumer)
        assert not missing()
        consumer.commit(message=message, asynchronous=True)
        assert not missing()
        assert len(consumer.consume(2, SECONDS)) == 2
        assert missing()
        polled(consumer)
        assert not missing()
        polled(consumer), polled(consumer)
        assert not missing()
        assert consumer.poll(0) is None
        assert missing()
    assert missing()
    assert producer.flush(SECONDS) == 0


def test_in_other_threads_and_tasks_parents_are_named(broker: Broker) -> None:
    source, out = broker.topic("in", 4), broker.topic("out")
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        counts = consumer.lineage.counts
        message = polled(consumer)
        thread = threading.Thread(target=lambda: producer.produce(out, b"thread", partition=0))
        thread.start()
        thread.join()
        assert (counts.written, counts.missing) == (0, 1)
        thread = threading.Thread(target=lambda: producer.produce(out, b"named", partition=0, parents=[message]))
        thread.start()
        thread.join()
        assert (counts.written, counts.missing) == (1, 1)

        async def first(turn: asyncio.Event, done: asyncio.Event) -> None:
            polled(consumer)
            turn.set()
            await done.wait()
            producer.produce(out, b"not in hand any more", partition=0)

        async def second(turn: asyncio.Event, done: asyncio.Event) -> None:
            await turn.wait()
            polled(consumer)
            producer.produce(out, b"in hand", partition=0)
            done.set()

        async def both() -> None:
            turn, done = asyncio.Event(), asyncio.Event()
            await asyncio.gather(first(turn, done), second(turn, done))

        asyncio.run(both())
        assert (counts.written, counts.missing) == (2, 2)
        written = produced(broker, producer, out, 4)
        assert [knows_nothing(record) for record in written] == [True, False, False, True]
        assert [parents_of(written[1]), parents_of(written[2])] == [one(source, 0), one(source, 2)]


def test_two_consumers_in_one_thread_leave_no_single_message(broker: Broker) -> None:
    left, right, out = broker.topic("left", 2), broker.topic("right", 2), broker.topic("out")
    with (
        reading(LineageConsumer(broker.consumer_config()), left) as first,
        reading(LineageConsumer(broker.consumer_config()), right) as second,
    ):
        producer = LineageProducer(broker.config(), lineage=first.lineage)
        a, b = polled(first), polled(second)
        producer.produce(out, b"joined", partition=0)
        assert first.lineage.counts.missing == 1
        producer.produce(out, b"joined", partition=0, parents=[a, b])
        polled(first)
        producer.produce(out, b"which?", partition=0)
        assert first.lineage.counts.missing == 2
        assert second.poll(0.1) is not None
        assert second.poll(0) is None
        producer.produce(out, b"of the second there is none any more", partition=0)
        written = produced(broker, producer, out, 4)
        assert [knows_nothing(record) for record in written] == [True, False, True, False]
        assert parents_of(written[1]) == [*one(left, 0), *one(right, 0)]
        assert parents_of(written[3]) == one(left, 1)
        shared = Lineage()
        with reading(LineageConsumer(broker.consumer_config(), lineage=shared), left) as third:
            LineageConsumer(broker.consumer_config(), lineage=shared).close()
            polled(third)
            assert shared.headers(out) == shared.unknown(out)  # the first consumer has a message in hand too
            first.consume(1, 0)
            assert shared.headers(out) != shared.unknown(out)


def test_consumers_that_are_gone_are_not_in_the_way(broker: Broker) -> None:
    source, out, shared = broker.topic("in", 1), broker.topic("out"), Lineage()
    with pytest.raises(KafkaException):
        LineageConsumer({**broker.consumer_config(), "no.such.setting": 1}, lineage=shared)
    forgotten: Any = LineageConsumer(broker.consumer_config(), lineage=shared)
    forgotten.assign([TopicPartition(source, 0, 0)])
    polled(forgotten)
    del forgotten
    gc.collect()
    with reading(LineageConsumer(broker.consumer_config(), lineage=shared), source) as consumer:
        polled(consumer)
        (header,) = shared.headers(out)
        assert decode_parents(header[1]).parents == tuple(one(source, 0))


def test_a_consumer_in_another_thread_does_not_disturb(broker: Broker) -> None:
    source, other, out = broker.topic("in", 3), broker.topic("other", 1), broker.topic("out")
    ready, finish = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with reading(LineageConsumer(broker.consumer_config()), other) as consumer:
            polled(consumer)
            ready.set()
            finish.wait(SECONDS)

    thread = threading.Thread(target=elsewhere)
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        thread.start()
        assert ready.wait(SECONDS)
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        polled(consumer)
        producer.produce(out, b"x", partition=0)
        finish.set()
        thread.join()
        assert parents_of(*produced(broker, producer, out, 1)) == one(source, 0)


def test_parents_that_are_named(broker: Broker) -> None:
    source, out = broker.topic("in", 5), broker.topic("out")
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        messages = [polled(consumer) for _ in range(5)]
        acknowledged: list[Message] = []
        producer.produce(
            out, b"0", partition=0, parents=messages[:3], on_delivery=lambda _, message: acknowledged.append(message)
        )
        assert producer.flush(SECONDS) == 0
        # An aggregate goes on from its own last output.
        producer.produce(out, b"1", partition=0, parents=[acknowledged[0], messages[3]])
        producer.produce(out, b"2", partition=0, parents=[("else", 4, 7), ("else", 4, 8, 12), messages[4]])
        producer.produce(out, b"3", partition=0, parents=(messages[0]))
        producer.produce(out, b"4", partition=0, parents=("else", 1, 2))
        producer.produce(out, b"5", partition=0, parents=[])
        producer.produce(out, b"6", partition=0, parents=None)
        with consumer.lineage.window(messages[0]) as window:
            window.add(messages[2], messages[1])
            producer.produce(out, b"7", partition=0)
            with consumer.lineage.window(messages[4]):
                producer.produce(out, b"8", partition=0)
            producer.produce(out, b"9", partition=0)
        producer.produce(out, b"10", partition=0, parents=window)
        producer.produce(out, b"11", partition=0)
        written = produced(broker, producer, out, 12)
        found = {int(record.value()): parents_of(record) if record.headers() else None for record in written}
        assert found == {
            0: [ParentRange(source, 0, 0, 2)],
            1: sorted([*one(out, 0), *one(source, 3)]),
            2: sorted([ParentRange("else", 4, 7, 12), *one(source, 4)]),
            3: one(source, 0),
            4: [ParentRange("else", 1, 2, 2)],
            5: None,
            6: None,
            7: [ParentRange(source, 0, 0, 2)],
            8: one(source, 4),
            9: [ParentRange(source, 0, 0, 2)],
            10: [ParentRange(source, 0, 0, 2)],
            11: one(source, 4),
        }
        assert consumer.lineage.counts.missing == 0


def test_what_is_no_parent_is_counted_and_said(broker: Broker) -> None:
    out = broker.topic("out")
    producer = LineageProducer(broker.config())
    for wrong in ("text", object(), ("a", 1), ("a", -1, 1), ("a", 0, "1"), None):
        producer.produce(out, b"x", partition=0, parents=[("in", 0, 7), wrong])
    producer.produce(out, b"x", partition=0, parents=7)
    counts = producer.lineage.counts
    assert (counts.refused, counts.failed) == (6, 1)
    *records, last = produced(broker, producer, out, 7)
    assert knows_nothing(last)
    for record in records:
        ((_, value),) = record.headers()
        assert decode_parents(value).incomplete
        assert decode_parents(value).parents == tuple(one("in", 7))


def test_a_window_that_is_closed_is_nobodys() -> None:
    lineage = Lineage()

    async def later(closed: asyncio.Event) -> list[Any]:
        inside = lineage.headers("out")
        await closed.wait()
        return [inside, lineage.headers("out")]

    async def both() -> list[Any]:
        closed = asyncio.Event()
        with lineage.window(("in", 0, 7)):
            task = asyncio.create_task(later(closed))
            await asyncio.sleep(0)
        closed.set()
        return await task

    inside, after = asyncio.run(both())
    assert [name for name, _ in inside] == [PARENTS_HEADER]
    assert after == lineage.unknown("out") != []
    assert lineage.counts.missing == 1


GIVEN: list[Any] = [None, [], {}, [("a", b"1"), ("a", "2"), ("b", None)], {"a": b"1", "b": None, "c": "text"}]


@pytest.mark.parametrize("given", GIVEN, ids=str)
@pytest.mark.parametrize("positional", [False, True])
def test_headers_of_the_application_stay(broker: Broker, given: Any, positional: bool) -> None:
    out, before = broker.topic("out"), repr(given)
    plain, ours = Producer(broker.config()), LineageProducer(broker.config(), lineage=Lineage(run_id="r-1"))
    arguments: tuple[Any, ...] = (b"v", b"k", 0, None, None, 0, given) if positional else (b"v", b"k", 0)
    keywords = {} if positional else {"headers": given}
    plain.produce(out, *arguments, **keywords)
    assert plain.flush(SECONDS) == 0
    ours.produce(out, *arguments, parents=[("in", 0, 1)], **keywords)
    first, second = produced(broker, ours, out, 2)
    assert (second.key(), second.value()) == (first.key(), first.value())
    assert second.headers()[: len(first.headers() or [])] == (first.headers() or [])
    assert [name for name, _ in second.headers()[-2:]] == [PARENTS_HEADER, "lineage-run"]
    assert repr(given) == before


def test_copied_headers_do_not_bring_parents_along(broker: Broker) -> None:
    source, middle, out = broker.topic("in", 1), broker.topic("middle"), broker.topic("out")
    producer = LineageProducer(broker.config(), lineage=Lineage(run_id="first"))
    producer.produce(middle, b"x", partition=0, parents=[(source, 0, 0)], headers=[("traceparent", TRACEPARENT)])
    (record,) = produced(broker, producer, middle, 1)
    for parents in ([record], []):
        producer.produce(out, b"y", partition=0, headers=record.headers(), parents=parents)
    first, second = produced(broker, producer, out, 2)
    assert parents_of(first) == one(middle, 0)
    assert PARENTS_HEADER not in dict(second.headers())
    assert [name for name, _ in first.headers()].count("lineage-run") == 1
    assert [name for name, _ in first.headers()].count("traceparent") == 1
    assert producer.lineage.counts.stale == 2


def test_trace_context_goes_on_from_the_only_parent(broker: Broker) -> None:
    source, out = broker.topic("in"), broker.topic("out")
    broker.put(source, [("traceparent", TRACEPARENT), ("tracestate", b"a=1"), ("other", b"x")])
    broker.put(source, [("other", b"x")])
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        first = polled(consumer)
        producer.produce(out, b"0", partition=0)
        producer.produce(out, b"1", partition=0, headers={"traceparent": b"own"})
        producer.produce(out, b"2", partition=0, parents=[first])
        second = polled(consumer)
        producer.produce(out, b"3", partition=0)
        producer.produce(out, b"4", partition=0, parents=[first, second])
        serializing = LineageSerializingProducer(broker.config(), lineage=consumer.lineage)
        serializing.produce(out, value=b"5", partition=1, parents=[first])
        assert serializing.flush(SECONDS) == 0
        with consumer.lineage.window(first):
            assert dict(consumer.lineage.headers(out))["traceparent"] == TRACEPARENT
        written = [
            {name: value for name, value in record.headers() if name != PARENTS_HEADER}
            for record in sorted(produced(broker, producer, out, 6), key=Message.value)
        ]
    forwarded = {"traceparent": TRACEPARENT, "tracestate": b"a=1"}
    assert written == [forwarded, {"traceparent": b"own", "tracestate": b"a=1"}, forwarded, {}, {}, forwarded]


def test_delivery_reports_are_not_about_the_message_in_hand(broker: Broker) -> None:
    source, out = broker.topic("in", 1), broker.topic("out")
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        polled(consumer)
        producer.produce(
            out, b"0", partition=0, on_delivery=lambda *_: producer.produce(out, b"from a report", partition=0)
        )
        assert producer.flush(SECONDS) == 0
        assert consumer.lineage.counts.missing == 1
        producer.produce(out, b"2", partition=0)
        with consumer.lineage.window(("in", 0, 7)):
            # Nor are they about the window around the call that serves them, but about one that they open.
            producer.produce(out, b"3", partition=0, on_delivery=lambda *_: reported(producer, out))
            assert producer.flush(SECONDS) == 0
        written = {record.value(): knows_nothing(record) for record in produced(broker, producer, out, 6)}
    assert written == {b"0": False, b"from a report": True, b"2": False, b"3": False, b"reported": True, b"own": False}


def reported(producer: LineageProducer, topic: str) -> None:
    producer.produce(topic, b"reported", partition=0)
    with producer.lineage.window(("in", 0, 8)):
        producer.produce(topic, b"own", partition=0)


def test_records_of_another_cluster_and_headers_of_another_size() -> None:
    lineage = Lineage(cluster="payments-eu", most_header_bytes=40)
    (name, value), *none = lineage.headers("out", [("in", 0, 7), ("in", 0, 9), ("in", 0, 100), ("in", 0, 1000)])
    assert (name, none) == (PARENTS_HEADER, [])
    assert value is not None
    assert len(value) <= 40
    parents = decode_parents(value).parents
    assert {parent.cluster for parent in parents} == {"payments-eu"}
    assert (parents[0].first_offset, parents[-1].last_offset) == (7, 1000)


def test_own_outputs_are_not_of_the_cluster_that_is_consumed_from(broker: Broker) -> None:
    shared, out, lineage = broker.topic("both", 1), broker.topic("out"), Lineage(cluster="eu")
    acknowledged: list[Message] = []
    with reading(LineageConsumer(broker.consumer_config(), lineage=lineage), shared) as consumer:
        producer = LineageProducer(broker.config(), lineage=lineage)
        message = polled(consumer)
        for topic in (out, shared):
            producer.produce(topic, b"0", partition=0, on_delivery=lambda _, report: acknowledged.append(report))
            assert producer.flush(SECONDS) == 0
        first, second = acknowledged
        producer.produce(out, b"1", partition=0, parents=[message, first, second])
        producer.produce(out, b"2", partition=0, parents=[Parent(message, None), Parent(("x", 0, 1), "us")])
        _, last, named = produced(broker, producer, out, 3)
    assert {(parent.cluster, parent.topic, parent.first_offset) for parent in parents_of(last)} == {
        ("eu", shared, 0),
        (None, out, 0),
        (None, shared, 1),
    }
    assert {(parent.cluster, parent.topic) for parent in parents_of(named)} == {(None, shared), ("us", "x")}


@pytest.mark.parametrize("left", ["break", "error", "end"])
def test_the_event_of_a_loop_that_is_over_is_nobodys_parent(left: str) -> None:
    lineage = Lineage()

    class Stream:
        async def events(self) -> Any:
            for offset in range(2):
                yield Event(offset)

    class Event:
        topic, partition, headers = "in", 0, {"traceparent": TRACEPARENT}

        def __init__(self, offset: int) -> None:
            self.offset = offset

    def parents(headers: list[Any]) -> list[ParentRange]:
        return list(decode_parents(dict(headers)[PARENTS_HEADER]).parents)

    async def agent() -> None:
        with lineage.window(("outer", 0, 9)):
            try:
                async for event in events(Stream(), lineage):
                    found = with_lineage("out", lineage)
                    assert parents(found) == one("in", event.offset)
                    assert ("traceparent", TRACEPARENT) in found
                    if left == "break":
                        break
                    if left == "error":
                        raise KeyError
            except KeyError:
                pass
            assert parents(with_lineage("out", lineage)) == one("outer", 9)
        assert parents(with_lineage("out", lineage)) == []

    asyncio.run(agent())


def test_errors_of_ours_stay_inside(broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    source, out = broker.topic("in", 1), broker.topic("out")

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("secret")

    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        monkeypatch.setattr(lineage_module, "one_parent_prefix", broken)
        polled(consumer)
        for _ in range(3):
            producer.produce(out, b"x", partition=0, headers={"a": b"1"})
        written = produced(broker, producer, out, 3)
    assert [record.headers() for record in written] == [[("a", b"1"), *consumer.lineage.unknown(out)]] * 3
    assert consumer.lineage.counts.failed == 3
    assert len(caplog.records) == 1
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_record_that_just_fits_is_written_all_the_same(broker: Broker) -> None:
    out = broker.topic("out")
    config = broker.config(**{"message.max.bytes": 1000})
    producer = LineageProducer(config)
    producer.produce(out, b"x" * 940, partition=0, parents=[("a-topic-with-a-name", 0, 1)])
    with pytest.raises(KafkaException):
        producer.produce(out, b"x" * 2000, partition=0, parents=[("a", 0, 1)])
    producer.produce(out, b"y" * 960, partition=0, parents=[("a", 0, 1)])
    small, none = produced(broker, producer, out, 2)
    assert knows_nothing(small)
    assert none.headers() is None
    assert producer.lineage.counts.too_large == 3


@pytest.mark.parametrize("wrong", [{"value": 7}, {"headers": 7}, {"headers": [1]}, {"partition": "0"}, {"nothing": 1}])
def test_mistakes_of_the_application_are_told_as_ever(broker: Broker, wrong: dict[str, Any]) -> None:
    with pytest.raises(Exception) as expected:
        Producer(broker.config()).produce("t", **wrong)
    with pytest.raises(expected.type):
        LineageProducer(broker.config()).produce("t", parents=[("a", 0, 1)], **wrong)


def test_all_other_methods_are_the_clients_own() -> None:
    wrapped = {
        (LineageConsumer, Consumer): {"poll", "consume", "close"},
        (LineageProducer, Producer): {
            "produce",
            "produce_batch",
            "poll",
            "flush",
            "commit_transaction",
            "abort_transaction",
        },
    }
    for (ours, theirs), changed in wrapped.items():
        public = {name for name in dir(theirs) if not name.startswith("_")}
        assert {name for name in public if getattr(ours, name) is not getattr(theirs, name)} == changed
    assert issubclass(LineageSerializingProducer, SerializingProducer)
    assert issubclass(LineageDeserializingConsumer, DeserializingConsumer)


def text(value: Any, _: object) -> Any:
    if value in (b"3", "never"):
        raise ValueError("cannot")
    return value.decode() if isinstance(value, bytes) else value.encode()


def test_serializing_clients(broker: Broker) -> None:
    source, out, failed = broker.topic("in", 4), broker.topic("out"), broker.topic("failed")
    deserializing = LineageDeserializingConsumer({**broker.consumer_config(), "value.deserializer": text})
    with reading(deserializing, source) as consumer:
        producer = LineageSerializingProducer({**broker.config(), "value.serializer": text}, lineage=consumer.lineage)
        messages = [polled(consumer), polled(consumer)]
        assert messages[1].value() == "1"
        producer.produce(out, value="a", partition=0)
        producer.produce(out, None, "b", 0, parents=messages)
        producer.produce(out, value="c", partition=0, parents=[])
        polled(consumer)
        with pytest.raises(ValueDeserializationError) as error:
            polled(consumer)
        assert error.value.kafka_message.offset() == 3
        producer.produce(failed, value="d", partition=0)
        with pytest.raises(NotImplementedError):
            consumer.consume(1)
        written = produced(broker, producer, out, 3)
        assert parents_of(written[0]) == one(source, 1)
        assert parents_of(written[1]) == [ParentRange(source, 0, 0, 1)]
        assert written[2].headers() is None
        assert parents_of(*broker.read(failed, 1)) == one(source, 3)
    shared = Lineage()
    other = LineageDeserializingConsumer(broker.consumer_config(), lineage=shared)
    assert other.lineage is shared
    other.close()


def test_batches_without_headers_are_counted(broker: Broker) -> None:
    source, out = broker.topic("in", 1), broker.topic("out")
    with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        assert producer.produce_batch(out, [{"value": b"a"}, {"value": b"b"}]) == 2
        assert producer.flush(SECONDS) == 0
        assert consumer.lineage.counts.missing == 2

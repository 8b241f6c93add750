"""If this failed, the message of one thread, task or moment would be taken for another's where nothing is slow."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message
from sdk_broker import SECONDS, Broker, polled, reading

from stream_lineage.sdk import Lineage, LineageConsumer, LineageProducer
from stream_lineage.sdk import consumer as consumer_module
from stream_lineage.sdk import hand as hand_module
from stream_lineage.sdk import lineage as lineage_module
from stream_lineage.wire.lineage_headers import PARENTS_HEADER, decode_parents, encode_parents
from stream_lineage.wire.parent_ranges import ParentRanges

OUT = "out"
Poll = Callable[[Any, float], Any]


class Record:
    """As much of a message as is asked for. Messages of confluent-kafka cannot be made."""

    def __init__(self, offset: int, topic: str = "in", partition: int = 0, error: Any = None) -> None:
        self.coordinates = topic, partition, offset
        self._error = error

    def topic(self) -> str:
        return self.coordinates[0]

    def partition(self) -> int:
        return self.coordinates[1]

    def offset(self) -> int:
        return self.coordinates[2]

    def error(self) -> Any:
        return self._error

    def headers(self) -> Any:
        return None


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LineageConsumer]]:
    """Consumers of no broker, whose ``poll`` is what is given."""
    made: list[LineageConsumer] = []

    def consumer(poll: Poll, lineage: Lineage | None = None) -> LineageConsumer:
        monkeypatch.setattr(consumer_module, "_poll", poll)
        made.append(LineageConsumer({"bootstrap.servers": "localhost:1", "group.id": "g"}, lineage=lineage))
        return made[-1]

    monkeypatch.setattr(lineage_module, "_headers", Record.headers)
    yield consumer
    for each in made:
        each.close()


def polling(*messages: Any) -> Poll:
    left = iter(messages)
    return lambda *_: next(left)


def in_hand(lineage: Lineage) -> tuple[str, int, int] | None:
    """What whoever asks has in hand, as it is written."""
    before = lineage.counts.missing, lineage.counts.failed
    parents = decode_parents(dict(lineage.headers(OUT))[PARENTS_HEADER]).parents
    assert lineage.counts.missing == before[0] + (not parents)
    assert lineage.counts.failed == before[1]
    if not parents:
        return None
    (parent,) = parents
    assert parent.first_offset == parent.last_offset
    return parent.topic, parent.partition, parent.first_offset


def elsewhere(work: Callable[[], Any]) -> Any:
    """What it returns in a thread of its own, which has ended."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(params=["asked at once", "asked of asyncio"])
def every_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where asyncio does not say by a dict whether any task is being worked on."""
    if request.param == "asked of asyncio":
        for module in (hand_module, consumer_module, lineage_module):
            monkeypatch.setattr(module, "WORKING", (None,))


@pytest.mark.usefixtures("every_way")
def test_a_message_is_in_hand_where_it_was_polled(consumers: Any) -> None:
    consumer = consumers(polling(*map(Record, range(10))))
    lineage = consumer.lineage
    consumer.poll()
    assert in_hand(lineage) == ("in", 0, 0)
    assert elsewhere(lambda: in_hand(lineage)) is None
    assert elsewhere(lambda: (consumer.poll(), in_hand(lineage))[1]) == ("in", 0, 1)
    assert in_hand(lineage) is None  # it was polled elsewhere since
    consumer.poll()

    async def task() -> Any:
        before = in_hand(lineage)  # it was polled by no task
        consumer.poll()
        return before, in_hand(lineage)

    async def tasks() -> Any:
        consumer.poll()
        own = in_hand(lineage)
        inner = await asyncio.create_task(task())
        callback = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: callback.set_result(in_hand(lineage)))
        return own, inner, in_hand(lineage), await callback, await asyncio.to_thread(in_hand, lineage)

    assert asyncio.run(tasks()) == (("in", 0, 3), (None, ("in", 0, 4)), None, None, None)
    assert in_hand(lineage) is None  # it was polled by a task
    consumer.poll()
    assert in_hand(lineage) == ("in", 0, 5)


@pytest.mark.usefixtures("every_way")
def test_a_callback_of_the_event_loop_is_no_task(consumers: Any) -> None:
    consumer = consumers(polling(Record(0), Record(1)))

    async def main() -> Any:
        loop, polled_in_one = asyncio.get_running_loop(), asyncio.Event()
        seen: list[Any] = []

        def first() -> None:
            consumer.poll()
            loop.call_soon(second)

        def second() -> None:
            seen.append(in_hand(consumer.lineage))
            polled_in_one.set()

        loop.call_soon(first)
        await polled_in_one.wait()
        return [*seen, in_hand(consumer.lineage)]

    assert asyncio.run(main()) == [("in", 0, 0), None]


def test_where_asyncio_says_which_tasks_are_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inside() -> bool:
        return bool(hand_module.WORKING)

    known = hand_module._working()
    assert asyncio.run(inside())
    assert sys.version_info >= (3, 14) or known == {}
    monkeypatch.setattr(hand_module, "current_task", lambda _: None)
    assert hand_module._working()  # never empty: asyncio is asked each time
    monkeypatch.setattr(asyncio.tasks, "_current_tasks", None)
    assert hand_module._working()


def test_two_threads_that_poll_one_consumer_at_once(consumers: Any) -> None:
    """Each has what it has polled, or nothing, wherever one of them is interrupted by the other."""
    answers: dict[str, Any] = {}
    inner_has_polled, outer_is_done = threading.Event(), threading.Event()

    def inner() -> None:
        consumer.poll()
        answers["inner at first"] = in_hand(lineage)
        inner_has_polled.set()
        assert outer_is_done.wait(SECONDS)
        answers["inner"] = in_hand(lineage)

    thread = threading.Thread(target=inner)

    def poll(*_: Any) -> Record:
        if threading.current_thread() is thread:
            return Record(7)
        if not thread.ident:  # between what comes from the client and what gets into the hand
            thread.start()
            assert inner_has_polled.wait(SECONDS)
        return Record(8)

    consumer = consumers(poll)
    lineage = consumer.lineage
    assert consumer.poll().offset() == 8
    answers["outer"] = in_hand(lineage)
    outer_is_done.set()
    thread.join()
    assert answers == {"inner at first": ("in", 0, 7), "outer": ("in", 0, 8), "inner": None}


def test_an_interrupted_poll_leaves_its_message_in_no_other_hand(consumers: Any) -> None:
    """As above, where the other thread comes after the look at whose the hand is."""
    consumer = consumers(polling(Record(0), Record(1), Record(2)))
    lineage, hand = consumer.lineage, consumer._hand
    ready, done = threading.Event(), threading.Event()
    answers: list[Any] = []

    def other() -> None:
        consumer.poll()
        ready.set()
        assert done.wait(SECONDS)
        answers.append(in_hand(lineage))

    thread = threading.Thread(target=other)

    class Owner:
        def _is_owned(self) -> bool:
            if threading.current_thread() is thread:
                return False
            thread.start()
            assert ready.wait(SECONDS)
            return True

    hand.owner = Owner()
    mine = consumer.poll()
    answers.append(in_hand(lineage))
    done.set()
    thread.join()
    assert answers == [None, ("in", 0, 1)]
    assert mine.offset() == 0
    consumer.poll()
    assert in_hand(lineage) == ("in", 0, 2)


def test_what_a_thread_had_in_hand_ends_with_it(consumers: Any) -> None:
    """Also for a thread that is given its number."""
    consumer = consumers(polling(Record(0), Record(1)))
    hand = elsewhere(lambda: (consumer.poll(), consumer._hand)[1])
    assert consumer._hand is hand
    assert (hand.message, hand.thread) == (None, 0)
    assert in_hand(consumer.lineage) is None
    consumer.poll()
    assert in_hand(consumer.lineage) == ("in", 0, 1)


def test_consumers_of_one_thread_are_in_each_others_way_and_those_of_two_are_not(consumers: Any) -> None:
    first, second = consumers(polling()), consumers(lambda *_: Record(0))
    first.poll()
    assert in_hand(first.lineage) == ("in", 0, 0)
    second.poll()
    assert in_hand(first.lineage) is None
    assert in_hand(second.lineage) is None
    elsewhere(second.poll)  # which leaves this thread's hand
    assert in_hand(first.lineage) == ("in", 0, 0)
    second.poll()
    assert in_hand(first.lineage) is None
    second.close()
    assert in_hand(first.lineage) == ("in", 0, 0)


def test_of_two_consumers_that_share_their_lineage_there_is_never_just_one_message(consumers: Any) -> None:
    lineage = Lineage()
    first, second = (consumers(lambda *_: Record(0), lineage) for _ in range(2))
    first.poll()
    assert in_hand(lineage) is None
    assert elsewhere(lambda: (second.poll(), in_hand(lineage))[1]) is None
    first.close()
    second.poll()
    assert in_hand(lineage) == ("in", 0, 0)


def test_while_poll_is_called_nothing_is_in_hand(consumers: Any) -> None:
    seen: list[Any] = []

    def poll(*_: Any) -> Record:
        seen.append(in_hand(consumer.lineage))  # as a callback of a rebalance
        if len(seen) == 3:
            raise KeyboardInterrupt
        return Record(len(seen))

    consumer = consumers(poll)
    consumer.poll(), consumer.poll()
    assert in_hand(consumer.lineage) == ("in", 0, 2)
    with pytest.raises(KeyboardInterrupt):
        consumer.poll()
    assert in_hand(consumer.lineage) is None
    assert seen == [None, None, None]


def test_an_error_is_nobodys_parent(consumers: Any) -> None:
    consumer = consumers(polling(Record(3, error=KafkaError(KafkaError._PARTITION_EOF)), None, Record(3)))
    for expected in (None, None, ("in", 0, 3)):
        consumer.poll()
        assert in_hand(consumer.lineage) == expected


def test_a_message_comes_out_of_poll_whatever_happens_to_its_lineage(consumers: Any, monkeypatch: Any) -> None:
    consumer = consumers(polling(Record(0), Record(1)))
    lineage = consumer.lineage
    consumer.poll()

    def broken() -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(lineage_module, "Hand", broken)
        assert elsewhere(consumer.poll).offset() == 1
    assert lineage.counts.failed == 1
    assert in_hand(lineage) is None
    assert elsewhere(lambda: in_hand(lineage)) is None


def test_headers_are_those_of_the_specification_at_every_offset_and_topic(consumers: Any) -> None:
    """They are put together from what the record before had: whatever that was."""
    borders = [0, 1, 127, 128, 129, 255, 256, 16_383, 16_384, 2**21 - 1, 2**21, 2**40 + 5, 2**62]
    coordinates = [(topic, partition, offset) for offset in borders for topic in ("in", "on") for partition in (0, 300)]
    coordinates += [("in", 0, offset) for offset in (*range(120, 140), *range(140, 120, -1))]
    coordinates += [("in", 0, 5), ("on", 0, 5), ("in", 0, 5)]
    consumer = consumers(polling(*(Record(offset, topic, partition) for topic, partition, offset in coordinates * 2)))
    for outputs in ((OUT,), (OUT, "other")):
        for parent in coordinates:
            consumer.poll()
            for out in outputs:
                alone = ParentRanges()
                alone.add(*parent)
                assert consumer.lineage.headers(out) == [(PARENTS_HEADER, encode_parents(alone, out))]


def test_run_and_cluster_are_written_beside_the_message_in_hand(consumers: Any) -> None:
    lineage = Lineage(run_id="r-1", cluster="eu")
    consumer = consumers(polling(Record(130), Record(131)), lineage)
    for offset in (130, 131):
        consumer.poll()
        parents = ParentRanges()
        parents.add("in", 0, offset, cluster="eu")
        run = ("lineage-run", b"r-1")
        assert lineage.headers(OUT) == [(PARENTS_HEADER, encode_parents(parents, OUT)), run]
        with lineage.window(("in", 0, 1)):
            assert lineage.headers(OUT)[0][1] != encode_parents(parents, OUT)
        assert lineage.headers(OUT, None) == [run]
    assert lineage.counts.written == 4


def test_a_consumer_keeps_one_message_and_ends_when_it_is_forgotten(broker: Broker) -> None:
    """Without the collector of garbage: it leaves its group when the application lets go of it, as ever."""
    source = broker.topic("in", 3)
    gc.disable()
    try:
        with reading(LineageConsumer(broker.consumer_config()), source) as consumer:
            first = polled(consumer)
            held = sys.getrefcount(first)
            second = polled(consumer)
            assert sys.getrefcount(first) == held - 1
            assert sys.getrefcount(second) == held
            assert consumer.poll(0) is not second
            consumer.consume(1, 0)
            assert sys.getrefcount(second) == held - 1
        consumer = LineageConsumer(broker.consumer_config())
        producer = LineageProducer(broker.config(), lineage=consumer.lineage)
        gone, hand = weakref.ref(consumer), weakref.ref(consumer._hand)
        del consumer
        assert (gone(), hand()) == (None, None)
        assert in_hand(producer.lineage) is None
    finally:
        gc.enable()


FORKING = """
import os, threading
from stream_lineage.sdk.hand import CHANGING

held, over = threading.Event(), threading.Event()

def hold():
    with CHANGING:
        held.set()
        over.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0 if CHANGING.acquire(blocking=False) else 1)
status = os.waitpid(child, 0)[1]
over.set()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


def test_a_child_of_a_process_waits_for_nobody_who_is_not_in_it() -> None:
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], check=False).returncode == 0


def test_both_clients_take_whatever_an_application_puts_on_them(broker: Broker) -> None:
    for client in (LineageConsumer(broker.consumer_config()), LineageProducer(broker.config())):
        client.mine = 7
        assert client.mine == 7
        assert weakref.ref(client)() is client


def test_serving_ends_with_the_call_that_serves(broker: Broker) -> None:
    out = broker.topic("out")
    producer = LineageProducer(broker.config())
    seen: list[dict[int, object]] = []

    def report(*_: Any) -> None:
        before = dict(hand_module.SERVING)
        producer.poll(0)
        seen.extend((before, dict(hand_module.SERVING)))

    producer.produce(out, b"x", partition=0, on_delivery=report)
    deadline = time.monotonic() + SECONDS
    while not seen:
        assert time.monotonic() < deadline
        producer.poll(timeout=0.1)
    before, after = seen
    assert before == after  # the one inside is over
    assert list(before) == [threading.get_ident()]
    assert hand_module.SERVING == {}
    with pytest.raises(TypeError):
        producer.poll("soon")  # type: ignore[arg-type]
    assert hand_module.SERVING == {}


def test_the_wrapped_methods_are_those_of_confluent_kafka() -> None:
    assert consumer_module._poll is Consumer.poll
    assert lineage_module._headers is Message.headers

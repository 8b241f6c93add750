"""If this failed, a hanging worker would hang for ever, a healthy one be ended, or offsets be committed too early."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from stream_lineage.agents.acks import OrderedAcks, Pending
from stream_lineage.agents.progress import Progress
from stream_lineage.agents.schema_texts import RegistryTexts
from stream_lineage.agents.watchdog import EXIT_STALLED, Watchdog
from stream_lineage.detect.detector import SchemaText
from stream_lineage.errors import RegistryUnavailable, UnknownSchema
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.testing.observations import avro_reference
from stream_lineage.wire.registered_schema import RegisteredSchema


def test_acknowledgements_come_in_order_whatever_is_done_first() -> None:
    chance = random.Random(3)
    for _ in range(50):
        said: list[tuple[int, int]] = []
        acks: OrderedAcks[tuple[int, int]] = OrderedAcks(said.append)
        pending: list[Pending[tuple[int, int]]] = [acks.begin(p, (p, n)) for n in range(10) for p in (0, 1)]
        finished: set[tuple[int, int]] = set()
        for item in chance.sample(pending, len(pending)):
            acks.done(item)
            finished.add(item.event)
            for partition in (0, 1):
                told = [n for p, n in said if p == partition]
                assert told == list(range(len(told)))
                assert all((partition, n) in finished for n in told)
                assert (partition, len(told)) not in finished
        assert acks.waiting == 0


def test_dropped_acknowledgements_are_never_said() -> None:
    said: list[int] = []
    acks: OrderedAcks[int] = OrderedAcks(said.append)
    old = acks.begin(0, 1)
    acks.drop()
    again = acks.begin(0, 2)
    acks.done(old)
    assert said == []
    acks.done(again)
    assert said == [2]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("number", "waits", "moves", "stalled"),
    [
        (1, True, False, [0]),  # something waits and nothing moves
        (2, False, False, []),  # nothing to do
        (3, True, True, []),  # it moves
    ],
)
def test_watchdog(number: int, waits: bool, moves: bool, stalled: list[int]) -> None:
    clock, found = Clock(), list[int]()
    progress = Progress(clock)
    dog = Watchdog(progress, lambda partition, offset: waits, stall_seconds=100, stalled=found.append)
    progress.assigned([0])
    for n in range(12):
        clock.now += 25
        if moves:
            progress.processed(0, n)
        if not found:
            dog.look()
    assert found == stalled, number


def test_watchdog_asks_where_the_worker_stands_and_only_for_its_partitions() -> None:
    clock, asked = Clock(), list[tuple[int, int | None]]()
    progress = Progress(clock)

    def waits(partition: int, offset: int | None) -> bool:
        asked.append((partition, offset))
        return False

    dog = Watchdog(progress, waits, stall_seconds=100, stalled=lambda _: None)
    progress.assigned([1, 2])
    progress.processed(2, 41)
    progress.processed(3, 7)  # of a partition that was taken away
    clock.now = 100
    dog.look()
    dog.look()
    assert asked == [(1, None), (2, 42)]
    progress.assigned([])
    clock.now = 1000
    dog.look()
    assert len(asked) == 2


def test_a_hanging_process_ends_with_its_code() -> None:
    code = (
        "import time\n"
        "from stream_lineage.agents.progress import Progress\n"
        "from stream_lineage.agents.watchdog import Watchdog\n"
        "progress = Progress(time.monotonic)\n"
        "progress.assigned([0])\n"
        "Watchdog(progress, lambda p, o: True, stall_seconds=0.2).start()\n"
        "while True: pass\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert ended.returncode == EXIT_STALLED


class Registry:
    def __init__(self, *answers: RegisteredSchema | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[object, str, str]] = []

    def by_id(self, key: object, *, topic: str, role: str) -> RegisteredSchema:
        self.asked.append((key, topic, role))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    by_guid = by_id


KNOWN = RegisteredSchema(avro_reference(1), '"int"', {"n": '"string"'})


def texts(registry: Registry | None, clock: Clock) -> RegistryTexts:
    def sleep(seconds: float) -> None:
        clock.now += seconds

    return RegistryTexts(registry, patience_seconds=5, pause_seconds=1, clock=clock, sleep=sleep)  # type: ignore[arg-type]


def test_texts_come_from_the_registry() -> None:
    registry = Registry(KNOWN, KNOWN, KNOWN)
    asking = texts(registry, Clock())
    guid = SchemaReference(SchemaType.AVRO, Framing.GUID_HEADER, guid="g")

    assert asking.text(avro_reference(1)) == SchemaText('"int"', {"n": '"string"'})
    assert asking.text(avro_reference(2, subject="orders-key")) is not None
    assert asking.text(guid) is not None
    assert registry.asked == [(1, "clicks", "value"), (2, "orders", "key"), ("g", "", "value")]


def test_a_silent_registry_is_asked_again_for_a_while() -> None:
    clock = Clock()
    down = RegistryUnavailable("down")

    assert texts(Registry(down, down, KNOWN), clock).text(avro_reference(1)) is not None
    assert clock.now == 2
    assert texts(Registry(*[down] * 9), clock).text(avro_reference(1)) is None
    assert clock.now == 7


def test_an_answer_is_an_answer() -> None:
    clock = Clock()

    assert texts(Registry(UnknownSchema("no")), clock).text(avro_reference(1)) is None
    assert texts(None, clock).text(avro_reference(1)) is None
    assert texts(Registry(), clock).text(SchemaReference(SchemaType.JSON, Framing.PLAIN_JSON)) is None
    assert clock.now == 0


def test_the_row_that_is_further_along_wins() -> None:
    code = (
        "from stream_lineage.agents.faust_app import broker_urls\n"
        "from stream_lineage.agents.faust_table import behind\n"
        "from stream_lineage.wire.settings import KafkaSettings\n"
        'row = lambda p, o, at: b\'{"position":[%d,%d],"at_ms":%d}\' % (p, o, at)\n'
        "print([behind(row(0, 5, 1000), row(0, 7, 2000)), behind(row(0, 7, 2000), row(0, 5, 1000)),\n"
        "       behind(row(0, 5, 1000), row(0, 5, 1000)), behind(row(0, 5, 9_000_000), row(0, 7, 2000)),\n"
        "       behind(row(1, 5, 1000), row(0, 7, 2000))])\n"
        "print(broker_urls(KafkaSettings(bootstrap_servers='a:1,[::1]:2')))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    # earlier, later, the same, of a log that was made anew, of another partition
    assert said.splitlines() == ["[True, False, False, False, False]", "['kafka://a:1', 'kafka://[::1]:2']"]

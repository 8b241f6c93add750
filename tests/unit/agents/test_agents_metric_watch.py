"""If this failed, a crash would lose an anomaly, tell it under two ids, or change what comes after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Detection, LogPosition
from stream_lineage.agents.log_clocks import LogClocks
from stream_lineage.agents.metric_watch import RING, SNAPSHOT_WINDOWS, MetricWatch
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.window import Window
from stream_lineage.model.observation import Observation
from stream_lineage.model.profile import Decoder, FieldProfile, Profile, TypeCount
from stream_lineage.model.schema import SchemaReference
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.testing.observations import NOON, avro_reference, observation, span
from stream_lineage.testing.stores import MemoryStore

WINDOW = timedelta(seconds=10)


class Crash(Exception):
    """The process dies here."""


class NoTexts:
    def text(self, reference: SchemaReference) -> None:
        return None

    def registered(self, reference: SchemaReference) -> None:
        return None

    def has_subject(self, name: str) -> None:
        return None


class World:
    """What survives: alerts, changelog, commits. It crashes before or after a number of writes."""

    def __init__(self, crashes: Iterable[tuple[int, bool]] = ()) -> None:
        self.alerts: list[Alert] = []
        self.changelog: dict[bytes, bytes] = {}
        self.committed = 0
        self.steps = 0
        self.written = 0
        self._crashes = dict(crashes)

    def again(self, crashes: Iterable[tuple[int, bool]] = ()) -> World:
        """Another one that has come as far as this one; its steps count from here."""
        other = World(crashes)
        other.alerts, other.changelog, other.committed = list(self.alerts), dict(self.changelog), self.committed
        return other

    def step(self, write: Callable[[], object]) -> None:
        self.steps += 1
        crash = self._crashes.pop(self.steps, None)
        if crash is True:
            raise Crash
        write()
        if crash is False:
            raise Crash


class Worker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.table = dict(world.changelog)
        self.now, self.wall = 0.0, NOON
        self.pipeline: Pipeline[int] = Pipeline(
            Detection([], NoTexts(), "http://ui"), self, MemoryStore(), self.acknowledge,
            MetricWatch(MetricAnomalies(), "http://ui"), clock=lambda: self.now, wall=lambda: self.wall,
        )  # fmt: skip

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        return self.table

    async def publish(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self.world.step(lambda alert=alert: self.world.alerts.append(alert))  # type: ignore[misc]

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in rows:
            self.world.written += len(value)
            self.world.step(lambda key=key, value=value: self.world.changelog.update({key: value}))  # type: ignore[misc]
        self.table = dict(self.world.changelog)

    def acknowledge(self, offset: int) -> None:
        self.world.committed = offset + 1


def log(windows: int, *, fields: int = 1, silent: range = range(0)) -> list[bytes]:
    """Two topics with an observation in each window. The nulls of one jump twice; the other is silent in
    ``silent``."""
    chance = random.Random(8)
    items: list[Observation] = []
    for number in range(windows):
        for topic in ("clicks", "orders"):
            if topic == "orders" and number in silent:
                continue
            records = 500 + chance.randrange(-40, 40)
            bad = topic == "clicks" and (number in range(80, 90) or number in range(560, 580))
            nulls = sum(chance.random() < (0.5 if bad else 0.02) for _ in range(records))
            profile = Profile(
                Decoder.COLUMNAR, Decoder.OPAQUE, records, 0, None,
                tuple(
                    FieldProfile(f"user{n}", (TypeCount("string", records - nulls),), records, nulls, 0)
                    for n in range(fields)
                ),
                (),
            )  # fmt: skip
            items.append(
                observation(
                    avro_reference(1), span(0, number * 1000, number * 1000 + records - 1), topic=topic,
                    at=NOON + number * WINDOW, profile=profile, observation_id=f"{topic}/{number}",
                )
            )  # fmt: skip
    return [encode_observation(item) for item in items]


def run(world: World, values: list[bytes], most: int = 200) -> None:
    """Workers process the log to its end, each going on where the last one died."""
    for _ in range(most):
        worker = Worker(world)

        async def work(worker: Worker = worker) -> None:
            worker.pipeline.recovered([0])
            await worker.pipeline.close_due()
            for offset in range(world.committed, len(values)):
                await worker.pipeline.take(0, offset, values[offset], offset)
                await worker.pipeline.close_due()

        with suppress(Crash):
            asyncio.run(work())
            worker.pipeline.close()
            return
        worker.pipeline.close()
    raise AssertionError("crashed too often")


def told(world: World) -> dict[str, bytes]:
    """Body by id. The same id twice must be the same alert."""
    found: dict[str, bytes] = {}
    for alert in world.alerts:
        assert found.setdefault(alert.event_id, alert.value) == alert.value
    return found


LOG = log(640)


@pytest.fixture(scope="module")
def undisturbed() -> World:
    world = World()
    run(world, LOG)
    return world


def test_two_faults_are_two_openings_and_two_closings(undisturbed: World) -> None:
    bodies = list(told(undisturbed).values())

    assert len(undisturbed.alerts) == len(bodies)
    assert [b'"phase":"open"' in body for body in bodies] == [True, False, True, False]
    assert all(b'"clicks"' in body and b"null-ratio" in body for body in bodies)


@pytest.mark.parametrize("seed", range(4))
def test_crashes_anywhere_change_nothing(undisturbed: World, seed: int) -> None:
    chance = random.Random(seed)
    world = World((chance.randrange(1, undisturbed.steps), chance.random() < 0.5) for _ in range(30))
    run(world, LOG)

    assert told(world) == told(undisturbed)


def test_crashes_at_every_step_of_an_opening_change_nothing(undisturbed: World) -> None:
    """Before and after each write. The worker has started shortly before, with nothing but the changelog."""
    calm, values = World(), LOG[:172]
    run(calm, LOG[:160])
    plain = calm.again()
    run(plain, values)
    assert told(plain)
    assert not told(calm)
    for step in range(1, plain.steps + 1):
        for before in (True, False):
            world = calm.again([(step, before)])
            run(world, values)
            assert told(world) == told(plain), (step, before)


def test_little_is_written() -> None:
    """Most of a flush is the window's numbers; baselines follow in turn."""
    some, world = 40, World()
    values = log(3 * SNAPSHOT_WINDOWS, fields=some)
    run(world, values[: 2 * SNAPSHOT_WINDOWS])
    before = world.written
    run(world, values)
    a_window = (world.written - before) / (2 * 2 * SNAPSHOT_WINDOWS)
    everything = sum(len(value) for key, value in world.changelog.items() if key.startswith(b"baseline/clicks/"))

    assert sum(key.startswith(b"baseline/clicks/") for key in world.changelog) == some + 1
    assert a_window < everything / 10
    assert sum(key.startswith(b"frozen/clicks/") for key in world.changelog) <= RING


@pytest.mark.parametrize("crashes", [(), (3, 9, 20, 31)])
def test_a_topic_that_falls_silent_is_told_by_the_clock(crashes: tuple[int, ...]) -> None:
    """Nothing else comes: only time tells. Crashes in between, and what comes late, change nothing."""
    world = World()
    values = log(200)
    run(world, values)
    assert world.committed < len(values)
    ids = []
    for second in range(160):
        if second in (0, *crashes):
            worker = Worker(world)
            worker.wall = NOON + 200 * WINDOW + timedelta(seconds=second)

            async def start(worker: Worker = worker) -> None:
                worker.pipeline.recovered([0])
                for offset in range(world.committed, len(values)):
                    await worker.pipeline.take(0, offset, values[offset], offset)

            asyncio.run(start())
        worker.now += 1
        worker.wall += timedelta(seconds=1)
        asyncio.run(worker.pipeline.close_due())
        ids = [key for key, body in told(world).items() if b'"kind":"freshness"' in body]
    assert len(ids) == 2, "one for each of the topics"
    bodies = [told(world)[each] for each in ids]
    assert all(b'"phase":"open"' in body and b"critical" in body for body in bodies)
    assert world.committed == len(values)


def test_silence_is_not_taken_for_granted_while_the_log_is_read_from_far_back() -> None:
    """The wall clock is hours ahead of what is being read; nothing is silent but what others have passed."""
    world = World()
    worker = Worker(world)
    worker.wall = NOON + timedelta(hours=6)
    values = log(200)

    async def work() -> None:
        worker.pipeline.recovered([0])
        for offset, value in enumerate(values):
            worker.now += 0.1
            await worker.pipeline.take(0, offset, value, offset)
            await worker.pipeline.close_due()

    asyncio.run(work())
    worker.pipeline.close()
    assert not [body for body in told(world).values() if b"throughput" in body or b"freshness" in body]


def test_partitions_that_come_back_unchanged_are_not_made_again(undisturbed: World) -> None:
    watch = MetricWatch(MetricAnomalies(), "http://ui")
    assert watch.resume(undisturbed.changelog, [0], 1).all_there is False
    assert watch.resume(undisturbed.changelog, [0], 9).all_there is True
    live = watch._topics["clicks"].live
    watch.drop()
    watch.resume(undisturbed.changelog, [0], 9)
    assert watch._topics["clicks"].live is live
    watch.drop()
    assert watch.resume(undisturbed.changelog, [1], 9).alerts == []
    assert watch.topics == 0


def test_log_clocks() -> None:
    now = [0.0]
    at_end = {0: False}
    clocks = LogClocks(lambda: now[0], at_end.__getitem__)
    wall = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    clocks.heard(0, wall - 100)
    assert clocks.known(0, wall) == wall - 100, "it is being read"
    clocks.heard(0, wall - 200)
    assert clocks.known(0, wall) == wall - 100, "late ones change nothing"
    now[0] = 10.0
    assert clocks.known(0, wall) == wall - 100, "nothing comes, but there is more to be read"
    at_end[0] = True
    assert clocks.known(0, wall) == wall, "it is idle"
    clocks.heard(0, wall + 1e9)
    assert clocks.known(0, wall) == wall + 3600, "a clock that is wrong moves it by an hour"


def test_baselines_of_windows_of_another_width_are_forgotten() -> None:
    world = World()
    run(world, log(40))
    narrow = MetricAnomalies(window_seconds=2)

    def taken_up() -> MetricWatch:
        watch = MetricWatch(narrow, "http://ui")
        assert watch.resume(world.changelog, [0], 9).all_there
        return watch

    watch = taken_up()
    assert watch.topics == 2
    fresh = narrow.resume({}, None).series
    assert [watch.warmth(topic)["baselines"] for topic in ("clicks", "orders")] == [fresh, fresh]
    start = (NOON + 40 * WINDOW).timestamp()
    for number in range(5):
        window = Window("test", "clicks", start + 2 * number, 2.0, records=100, bytes=1000 + number)
        world.changelog.update(watch.freeze(window, LogPosition(0, 80 + number)))
        watch.judge()
    again = taken_up()
    assert again._topics["clicks"].live.part("") == watch._topics["clicks"].live.part("")
    wide = MetricWatch(MetricAnomalies(), "http://ui")
    wide.resume(world.changelog, [0], 9)
    assert wide.warmth("orders")["baselines"] > wide.warmth("clicks")["baselines"] == fresh


def test_silence_is_filled_with_windows_of_their_width() -> None:
    watch = MetricWatch(MetricAnomalies(window_seconds=2), "http://ui")
    start = NOON.timestamp()
    watch.freeze(Window("test", "clicks", start, 2.0, records=5), LogPosition(0, 0))
    watch.judge()
    rows = watch.freeze_silence(lambda _: start + 20.0, (), 99)
    frozen = [orjson.loads(value)["window"] for key, value in rows[0] if key.startswith(b"frozen/")]
    assert [(each["start"] - start, each["seconds"]) for each in frozen] == [(2, 2), (4, 2), (6, 2), (8, 2)]

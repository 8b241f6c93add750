"""If this failed, a crash between two steps would lose an alert, repeat it under another id, or count records twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.agents.alerts import Alert, Place
from stream_lineage.agents.alerts import alert as alert_of
from stream_lineage.agents.detection import Changed, Detection, LogPosition, Outcome, stored_state
from stream_lineage.agents.metric_watch import MetricWatch
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.detect.detector import SchemaTexts
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.registry import detectors
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.store.ports import Point
from stream_lineage.testing.observations import NOON, avro_reference, observation, span
from stream_lineage.testing.stores import MemoryStore


class NoTexts:
    def text(self, reference: SchemaReference) -> None:
        return None

    def registered(self, reference: SchemaReference) -> None:
        return None

    def has_subject(self, subject: str) -> None:
        return None


class Crash(Exception):
    """The process dies here."""


@dataclass
class World:
    """What survives a crash: the topics, the changelog, the store, the committed offset. Every write to it counts as a
    step, and the step ``crash_at`` is the last one, done or not done."""

    alerts: list[Alert] = field(default_factory=list)
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=MemoryStore)
    committed: int = 0
    steps: int = 0
    crash_at: int | None = None
    crash_before: bool = True

    def step(self, write: Callable[[], object]) -> None:
        self.steps += 1
        if self.steps == self.crash_at and self.crash_before:
            raise Crash
        write()
        if self.steps == self.crash_at:
            raise Crash


class Process:
    """A worker: it starts from what survived."""

    def __init__(self, world: World, schemas: SchemaTexts | None = None) -> None:
        self.world = world
        self.table = dict(world.changelog)
        self.pipeline: Pipeline[int] = Pipeline(
            Detection(detectors().values(), schemas or NoTexts(), "http://ui"),
            self,
            self,
            self.acknowledge,
            MetricWatch(MetricAnomalies(), "http://ui"),
            clock=lambda: 0.0,
            wall=lambda: NOON,
        )

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        return self.table

    async def publish(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self.world.step(lambda alert=alert: self.world.alerts.append(alert))  # type: ignore[misc]

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in rows:
            self.world.step(lambda key=key, value=value: self.world.changelog.update({key: value}))  # type: ignore[misc]
            self.table[key] = value

    def acknowledge(self, offset: int) -> None:
        assert offset == self.world.committed, "acknowledged out of order"
        self.world.step(lambda: setattr(self.world, "committed", offset + 1))

    def write(self, points: Iterable[Point]) -> None:
        found = list(points)
        self.world.step(lambda: self.world.store.write(found))

    def latest(self, *_: Any, **__: Any) -> list[Point]:
        raise NotImplementedError

    def range(
        self, measurement: str, start: datetime, end: datetime, tags: Mapping[str, str] | None = None
    ) -> list[Point]:
        raise NotImplementedError

    def aggregate(self, *_: Any, **__: Any) -> list[Any]:
        raise NotImplementedError

    def close(self) -> None:
        self.pipeline.close()


def run(world: World, log: list[bytes]) -> None:
    """Workers process the log until its end, each going on where the last one has committed."""
    for _ in range(3):
        process = Process(world)

        async def work(process: Process = process) -> None:
            for offset in range(world.committed, len(log)):
                await process.pipeline.take(0, offset, log[offset], offset)

        try:
            asyncio.run(work())
        except Crash:
            world.crash_at = None
            continue
        finally:
            process.close()
        return
    raise AssertionError("crashed without being asked to")


def history() -> list[Observation]:
    """Two topics whose flushes alternate: drift, an update, a return, lost records, several windows."""
    v = [avro_reference(n) for n in range(4)]
    items = []
    for n, (value, partition, first, lost) in enumerate(
        [
            (v[1], 0, 0, []), (v[1], 1, 0, []), (v[2], 0, 10, []), (v[2], 1, 10, [(12, 14)]), (v[1], 0, 20, []),
            (v[1], 1, 20, []), (v[3], 0, 30, [(30, 33)]), (v[3], 0, 40, []), (v[3], 1, 30, []), (v[3], 1, 40, []),
        ]
    ):  # fmt: skip
        for topic in ("clicks", "orders"):
            items.append(
                observation(
                    value, span(partition, first, first + 9, lost), topic=topic, at=NOON + timedelta(seconds=n * 4),
                    observation_id=f"{topic}-{n}",
                )
            )  # fmt: skip
    # One flush in which two versions alternate: read again after the second, the first would look like a return.
    at = NOON + timedelta(seconds=45)
    items.append(observation(v[3], span(0, 50, 59), span(0, 70, 79), topic="orders", at=at, observation_id="orders-a"))
    items.append(observation(v[0], span(0, 60, 69), topic="orders", at=at, observation_id="orders-b"))
    end = NOON + timedelta(minutes=5)
    items.append(observation(v[3], span(0, 50, 59), topic="clicks", at=end))
    items.append(observation(v[0], span(0, 80, 89), topic="orders", at=end))
    return items


LOG = [encode_observation(item) for item in history()]


def told(world: World) -> dict[str, str]:
    """Body by id. The same id twice must be the same alert."""
    found: dict[str, str] = {}
    for alert in world.alerts:
        body = json.dumps([alert.value.decode(), [value.decode() for _, value in alert.headers]])
        assert found.setdefault(alert.event_id, body) == body
    return found


def counted(world: World) -> list[Point]:
    return world.store.range("lineage_topic", NOON - timedelta(days=1), NOON + timedelta(days=1))


def pointed(world: World) -> list[Point]:
    """The points of alerts. None of them is of the time at which the tests run."""
    return world.store.range("lineage_alert", NOON - timedelta(days=1), NOON + timedelta(days=1))


@pytest.fixture(scope="module")
def undisturbed() -> World:
    world = World()
    run(world, LOG)
    return world


def test_without_a_crash_everything_is_said_once(undisturbed: World) -> None:
    kinds = [json.loads(alert.value)["kind"] for alert in undisturbed.alerts if alert.key == b"clicks"]

    assert len({alert.event_id for alert in undisturbed.alerts}) == len(undisturbed.alerts)
    assert kinds == [
        "schema-drift", "schema-drift", "data-loss", "schema-version-returned", "schema-version-returned",
        "schema-drift", "data-loss", "schema-drift",
    ]  # fmt: skip
    expected = sum(item.records for item in history()[:-2])  # the last ones are in windows that are open
    assert sum(int(point.fields.get("records", 0)) for point in counted(undisturbed)) == expected
    assert {point.fields["event_id"] for point in pointed(undisturbed)} == {a.event_id for a in undisturbed.alerts}
    assert undisturbed.committed == len(LOG) - 2


def test_a_crash_at_any_step_changes_nothing(undisturbed: World) -> None:
    for crash_at in range(1, undisturbed.steps + 1):
        for crash_before in (True, False):
            world = World(crash_at=crash_at, crash_before=crash_before)
            run(world, LOG)
            assert told(world) == told(undisturbed), (crash_at, crash_before)
            assert counted(world) == counted(undisturbed), (crash_at, crash_before)
            assert pointed(world) == pointed(undisturbed), (crash_at, crash_before)
            assert world.committed == undisturbed.committed


def test_an_older_commit_changes_nothing(undisturbed: World) -> None:
    for back in range(len(LOG)):
        world = World()
        run(world, LOG)
        world.committed = back  # offsets were reset, or the commit was lost
        run(world, LOG)
        assert told(world) == told(undisturbed)
        assert counted(world) == counted(undisturbed)
        assert pointed(world) == pointed(undisturbed)


def test_partitions_taken_away_in_the_middle_are_counted_by_whoever_has_them(undisturbed: World) -> None:
    for at in range(len(LOG)):
        world = World()
        process = Process(world)

        async def work(process: Process = process, at: int = at, world: World = world) -> None:
            for offset in range(at):
                await process.pipeline.take(0, offset, LOG[offset], offset)
            process.pipeline.revoked()
            assert process.pipeline.waiting == 0
            for offset in range(world.committed, len(LOG)):
                await process.pipeline.take(0, offset, LOG[offset], offset)

        asyncio.run(work())
        process.close()
        assert told(world) == told(undisturbed)
        assert counted(world) == counted(undisturbed)
        assert pointed(world) == pointed(undisturbed)


def test_what_cannot_be_read_is_passed_over(undisturbed: World) -> None:
    world = World()
    log = [item for value in LOG for item in (b"rubbish", value)]
    run(world, log)

    assert {json.loads(body)[0] for body in told(world).values()} == {
        json.loads(body)[0] for body in told(undisturbed).values()
    }
    assert counted(world) == counted(undisturbed)
    assert pointed(world) == pointed(undisturbed)


def test_quiet_topics_are_stored_when_their_window_is_over() -> None:
    world = World()
    process = Process(world)
    now, wall = [0.0], [NOON]
    process.pipeline._clock = lambda: now[0]
    process.pipeline._wall = lambda: wall[0]

    async def work() -> None:
        await process.pipeline.take(0, 0, LOG[0], 0)
        await process.pipeline.close_due()
        assert counted(world) == []
        now[0] = 60.0
        await process.pipeline.close_due()
        assert counted(world) == [], "the window is not over by the clock on the wall"
        wall[0] = NOON + timedelta(seconds=10)
        await process.pipeline.close_due()

    asyncio.run(work())
    process.close()
    assert sum(int(point.fields.get("records", 0)) for point in counted(world)) == 10
    assert world.committed == 1


def test_what_comes_after_its_window_was_stored_counts_in_the_next_one() -> None:
    late = observation(avro_reference(1), span(0, 10, 13), at=NOON + timedelta(seconds=9), observation_id="late")
    last = observation(avro_reference(1), span(0, 14, 14), at=NOON + timedelta(seconds=60))
    world = World()
    for value in (LOG[0], encode_observation(late), encode_observation(last)):
        process = Process(world)  # a new worker each time: what is closed is known from the changelog alone
        process.pipeline._wall = lambda: NOON + timedelta(hours=2)
        now = [0.0]
        process.pipeline._clock = lambda now=now: now[0]  # type: ignore[misc]

        async def work(process: Process = process, value: bytes = value, now: list[float] = now) -> None:
            await process.pipeline.take(0, world.committed, value, world.committed)
            now[0] = 60.0
            await process.pipeline.close_due()

        asyncio.run(work())
        process.close()

    parts = [(point.time, point.fields["records"]) for point in counted(world) if "records" in point.fields]
    assert parts == [(NOON, 10), (NOON + timedelta(seconds=10), 4), (NOON + timedelta(seconds=60), 1)]


@settings(max_examples=40, deadline=None)
@given(
    crashes=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=4),
    lateness=st.lists(st.integers(-15, 15), min_size=len(LOG), max_size=len(LOG)),
)
def test_late_observations_are_counted_once_whatever_happens(
    crashes: list[tuple[int, bool]], lateness: list[int]
) -> None:
    items = [
        observation(
            item.value_schema, *item.spans, topic=item.topic, observation_id=item.observation_id,
            at=item.observed_at + timedelta(seconds=late),
        )
        for item, late in zip(history(), lateness, strict=True)
    ]  # fmt: skip
    log = [encode_observation(item) for item in items]
    world = World()
    for crash_at, crash_before in crashes:
        world.steps, world.crash_at, world.crash_before = 0, crash_at, crash_before
        process = Process(world)

        async def work(process: Process = process) -> None:
            for offset in range(world.committed, len(log)):
                await process.pipeline.take(0, offset, log[offset], offset)

        with suppress(Crash):
            asyncio.run(work())
        process.close()
    world.crash_at = None
    run(world, log)
    closed = sum(int(point.fields.get("records", 0)) for point in counted(world))
    total = sum(item.records for item in items)
    open_at_most = sum(item.records for item in items[world.committed :])
    assert total - open_at_most <= closed <= total


class Unsteady(NoTexts):
    """A registry that is there or away. It does not know the ids that are asked for."""

    def __init__(self) -> None:
        self.away = False

    def registered(self, reference: SchemaReference) -> bool | None:  # type: ignore[override]
        return None if self.away else False


def test_what_was_told_of_a_registry_that_is_away_after_the_crash_is_not_told_under_another_id() -> None:
    known, unknown = (
        avro_reference(1),
        SchemaReference(SchemaType.NONE, Framing.CONFLUENT_PREFIX, id=9, unresolved=True),
    )
    log = [
        encode_observation(
            observation(reference, span(0, 10 * n, 10 * n + 9), at=NOON + timedelta(seconds=n), observation_id=f"o{n}")
        )
        for n, reference in enumerate([known, unknown, unknown, known])
    ]

    def told_after(crash_at: int | None, *, crash_before: bool) -> set[str]:
        world, registry = World(crash_at=crash_at, crash_before=crash_before), Unsteady()

        async def work(process: Process) -> None:
            for offset in range(world.committed, len(log)):
                registry.away = registry.away and offset < 2  # it is back with the third observation
                await process.pipeline.take(0, offset, log[offset], offset)

        for _ in range(2):
            process = Process(world, registry)
            with suppress(Crash):
                asyncio.run(work(process))
            process.close()
            registry.away, world.crash_at = True, None
        steps.append(world.steps)
        return {alert.event_id for alert in world.alerts}

    steps: list[int] = []
    assert len(told_after(None, crash_before=True)) == 1
    for crash_at in range(1, steps[0] + 1):
        for crash_before in (True, False):
            assert len(told_after(crash_at, crash_before=crash_before)) == 1, (crash_at, crash_before)


def test_what_is_in_memory_only_is_told_once_whatever_is_found_after_a_crash() -> None:
    """A comparison with training data finds something at another place when it begins anew."""
    place = [0]

    def compared(rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        if b"training/clicks" in rows:
            return []
        place[0] += 1
        finding = Finding("training-drift", Severity.WARNING, "clicks", None, "s", "f" * 32, {0: place[0]})
        made = alert_of(finding, "anomaly", Place(f"training/{place[0]}", "test", NOON), "http://ui")
        state = Changed(b"training/clicks", stored_state(LogPosition(0, place[0]), NOON, {}))
        return [(0, Outcome((made,), (state,)))]

    for crash_at in range(1, 5):
        for crash_before in (True, False):
            world = World(crash_at=crash_at, crash_before=crash_before)
            for _ in range(2):
                process = Process(world)
                process.pipeline.recovered([0])
                with suppress(Crash):
                    asyncio.run(process.pipeline.aside(compared))
                process.close()
                world.crash_at = None
            assert len({each.event_id for each in world.alerts}) == 1, (crash_at, crash_before)
            assert b"training/clicks" in world.changelog


def test_a_note_of_a_partition_that_was_taken_away_is_carried_out_by_whoever_has_it_now() -> None:
    world = World()
    process = Process(world)
    keep = process.keep

    async def taken_away(partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        await keep(partition, rows)
        process.pipeline.revoked()

    process.keep = taken_away  # type: ignore[method-assign]

    async def work(process: Process) -> None:
        for offset in range(3):
            await process.pipeline.take(0, offset, DRIFT[offset], offset)

    asyncio.run(work(process))
    process.close()
    assert world.alerts == []
    heir = Process(world)
    asyncio.run(work(heir))
    heir.close()
    assert len(world.alerts) == 1


DRIFT = [
    encode_observation(observation(avro_reference(n), span(0, 10 * n, 10 * n + 9), at=NOON + timedelta(seconds=n)))
    for n in (1, 1, 2)
]

"""If this failed, an API would call itself ready that answers from an old index, or never again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream_lineage.errors import IndexUnusable, KafkaUnavailable
from stream_lineage.graph.graph import Graph
from stream_lineage.index.layout import WHOLE_AT
from stream_lineage.index.writer import IndexWriter, Source
from stream_lineage.serve.ports import Ends
from stream_lineage.serving.index_age import Age, IndexAge, IndexState, standing
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.serving.telemetry import ServeTelemetry
from stream_lineage.settings import load_settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO = ("edges", 0), ("observations", 1)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class World:
    """A Kafka, an index and a clock, as they are set."""

    def __init__(self) -> None:
        self.ends: Ends | None = {ONE: 10, TWO: 5}
        self.positions: dict[tuple[str, int], int] | None = {}
        self.whole_at: datetime | None = None
        self.seconds = 0.0
        self.age = IndexAge(self.asked, self.state, lambda: at(self.seconds))

    def asked(self) -> Ends:
        if self.ends is None:
            raise KafkaUnavailable("away")
        return self.ends

    def state(self) -> IndexState:
        if self.positions is None:
            raise IndexUnusable("there is none")
        return IndexState(self.positions, self.whole_at)

    def look(self, seconds: float, **changed: Any) -> Age | None:
        self.seconds = seconds
        vars(self).update(changed)
        self.age.look()
        return self.age.age


def test_an_index_is_as_of_when_its_topics_ended_where_it_is_now() -> None:
    world = World()
    assert world.look(0) == Age(None, 15)
    assert world.look(5, ends={ONE: 20, TWO: 5}, positions={ONE: 9, TWO: 5}) == Age(None, 11)
    assert world.look(10, ends={ONE: 30, TWO: 5}, positions={ONE: 10, TWO: 5}) == Age(at(0), 20)
    assert world.look(15, ends={ONE: 40, TWO: 6}, positions={ONE: 31, TWO: 5}) == Age(at(10), 10)
    assert world.look(20, positions={ONE: 40, TWO: 6}) == Age(at(20), 0)
    assert world.look(25, ends={ONE: 41, TWO: 6}) == Age(at(20), 1)


def test_one_that_is_never_quite_at_the_end_is_no_older_than_it_is() -> None:
    world = World()
    ages = [world.look(n, ends={ONE: 100 * (n + 1)}, positions={ONE: 100 * n}) for n in range(50)]
    assert ages[1:] == [Age(at(n - 1), 100) for n in range(1, 50)]


def test_what_it_says_of_itself_counts_where_it_is_younger() -> None:
    world = World()
    assert world.look(0, whole_at=at(-3600)) == Age(at(-3600), 15)
    assert world.look(5, whole_at=at(4)) == Age(at(4), 15)
    assert world.look(10, whole_at=None) == Age(at(4), 15)
    assert world.look(15, whole_at=at(9_000)) == Age(at(15), 15)  # of a clock that goes wrong


def test_without_kafka_it_grows_older_and_without_an_index_nothing_is_known() -> None:
    world = World()
    assert world.look(0, positions={ONE: 10, TWO: 5}) == Age(at(0), 0)
    with pytest.raises(KafkaUnavailable):
        world.look(60, ends=None)
    assert world.age.age == Age(at(0), None)
    assert world.age.age.seconds(at(90)) == 90
    assert world.look(120, ends={ONE: 10}, positions=None) is None
    assert world.look(125, positions={}) == Age(None, 10)


def test_an_index_that_was_made_anew_is_not_as_young_as_the_old_one() -> None:
    world = World()
    assert world.look(0, positions={ONE: 10, TWO: 5}) == Age(at(0), 0)
    assert world.look(5, positions={ONE: 3}) == Age(None, 12)


def test_what_is_kept_of_past_looks_is_bounded_and_still_tells() -> None:
    world = World()
    for n in range(3_000):
        world.look(n, ends={ONE: n + 1}, positions={ONE: 0})
    assert len(world.age._asked) <= 1_000
    found = world.look(3_000, positions={ONE: 1_500}, ends={ONE: 3_000})
    assert found is not None
    assert found.as_of is not None
    # It had all until the 1,499th second: as a look that is still kept says, none of the future.
    assert at(1_400) <= found.as_of <= at(1_499)


def test_what_is_kept_is_bounded_also_while_there_is_no_index() -> None:
    world = World()
    for n in range(3_000):
        assert world.look(n, ends={ONE: n + 1}, positions=None) is None
    assert len(world.age._asked) <= 1_000
    assert world.look(3_000, positions={ONE: 3_001}, ends={ONE: 3_001}) == Age(at(3_000), 0)


@pytest.mark.parametrize(
    ("age", "most", "holds", "detail"),
    [
        (None, 300, True, "it can be read; how old it is is not known yet"),
        (Age(at(-12), 0), 300, True, "as of 12 s ago"),
        (Age(at(-300), 7), 300, True, "as of 300 s ago; 7 messages of our own topics are not read yet"),
        (Age(at(-301), 1234), 300, False, "behind: as of 301 s ago; 1,234 messages of our own topics are not read yet"),
        (Age(at(-9000), None), None, True, "as of 9000 s ago"),
        (Age(None, 3), 300, False, "behind: it was never whole; 3 messages of our own topics are not read yet"),
        (Age(None, None), None, True, "behind: it was never whole"),
        (Age(at(5), 0), 300, True, "as of 0 s ago"),
    ],
)
def test_how_it_stands(age: Age | None, most: float | None, holds: bool, detail: str) -> None:
    assert standing(age, NOW, None if most is None else timedelta(seconds=most)) == (holds, detail)


@pytest.mark.parametrize(("most", "holds"), [(300.0, False), (0.0, True), (7_200.0, True)])
def test_the_api_says_it(most: float, holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.sqlite"
    whole = datetime.now(UTC) - timedelta(hours=1)
    writer = IndexWriter(path)
    writer.write([], {Source("lineage.edges", 0, "id"): 4}, facts={WHOLE_AT: whole.isoformat()})
    writer.close()
    pool, graph = IndexPool(path), SimpleNamespace(done=1, since=0.0)
    fold: Any = SimpleNamespace(graph=Graph())
    live = LiveLineage(load_settings({"index_path": str(path)}, {}), fold, None, pool)  # type: ignore[arg-type]
    monkeypatch.setattr(live, "_own_ends", lambda: {("lineage.edges", 0): 10})
    live._ends._ask = live._own_ends
    age = IndexAge(live.ends, live.index_state, lambda: datetime.now(UTC))
    told = ServeTelemetry(live, fold, pool, graph, age, most)  # type: ignore[arg-type]

    def gauges() -> dict[str, list[float]]:
        return {each.name.removeprefix("stream_lineage_serve_"): [one.value for one in each.samples] for each in
                told.metrics()}  # fmt: skip

    assert (gauges()["index_age_seconds"], gauges()["index_missing_messages"]) == ([], [])
    assert next(each for each in told.ready() if each.name == "index").holds
    age.look()
    condition = next(each for each in told.ready() if each.name == "index")
    assert condition.holds is holds
    assert "6 messages" in condition.detail
    assert gauges()["index_missing_messages"] == [6]
    assert gauges()["index_age_seconds"][0] >= 3_600
    live.close()

"""If this failed, a change in the registry would go unannounced, be announced twice, or overwhelm the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Detection, LogPosition
from stream_lineage.agents.registry_poll import RegistryPoll, watched_subjects
from stream_lineage.agents.schema_texts import RegistryTexts
from stream_lineage.detect.schema_drift import SchemaDrift
from stream_lineage.model.schema import OPAQUE, SchemaReference
from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry
from stream_lineage.testing.observations import NOON, observation, span
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings


def text(*fields: str) -> str:
    rows = [{"name": name, "type": ["null", "int"], "default": None} for name in fields]
    return json.dumps({"type": "record", "name": "R", "fields": rows})


class Agent:
    """One worker's rows, and what it does to them."""

    def __init__(self, fake: FakeRegistry, **options: Any) -> None:
        settings = RegistrySettings(
            schema_registry_url=fake.url, registry_negative_ttl_seconds=0, registry_retry_seconds=0.01
        )
        self.fake = fake
        self.registry = SchemaRegistry(settings)
        texts = RegistryTexts(self.registry, patience_seconds=0)
        self.detection = Detection([SchemaDrift()], texts, "http://ui")
        self.poll = RegistryPoll(self.registry, texts, "test", "http://ui", wall=lambda: NOON, **options)
        self.poll.assigned([0, 3])
        self.rows: dict[bytes, bytes] = {}
        self.offsets: dict[str, int] = {}

    def observed(self, topic: str, reference: SchemaReference, partition: int = 3) -> None:
        """A flush of ten records."""
        first = self.offsets.get(topic, 0)
        self.offsets[topic] = first + 10
        item = observation(reference, span(0, first, first + 9), topic=topic)
        outcome = self.detection.observe(item, LogPosition(partition, first), self.rows)
        self.rows.update((row.key, row.value) for row in outcome.changed)

    def register(self, topic: str, *fields: str) -> SchemaReference:
        id_ = self.fake.register(f"{topic}-value", text(*fields))
        return self.registry.by_id(id_, topic=topic, role="value").reference

    def round(self, *, kept: bool = True) -> list[Alert]:
        """One round; not ``kept`` is a crash between the alerts and the states."""
        alerts: list[Alert] = []
        for _, outcome in self.poll.judge(self.poll.ask(dict(self.rows)), self.rows):
            alerts += outcome.alerts
            if kept:
                self.rows.update((row.key, row.value) for row in outcome.changed)
        return alerts


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def agent(fake: FakeRegistry) -> Iterator[Agent]:
    made = Agent(fake)
    yield made
    made.registry.close()


def told(alerts: list[Alert]) -> list[tuple[str, str, str]]:
    bodies = [json.loads(alert.value) for alert in alerts]
    return [(body["kind"], body["severity"], body["topic"]) for body in bodies]


def test_a_new_version_is_announced_before_it_is_on_the_wire(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    assert agent.round() == []
    agent.register("clicks", "a", "b")

    [alert] = agent.round()

    body = json.loads(alert.value)
    assert told([alert]) == [("upcoming-schema", "info", "clicks")]
    assert [(change["kind"], change["path"]) for change in body["changes"]] == [("field-added", "b")]
    assert (body["before"]["version"], body["after"]["version"]) == (1, 2)
    assert (body["first_offsets"], body["compatibility"]["verdict"]) == ({}, "full")
    assert dict(alert.headers)["ce_type"] == b"io.stream-lineage.drift.v1"
    assert agent.round() == []


def test_what_is_on_the_wire_by_then_is_not_announced(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.round()
    agent.observed("clicks", agent.register("clicks", "a", "b"))

    assert agent.round() == []


def test_levels_and_deletions(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.round()
    agent.fake.levels["clicks-value"] = "NONE"
    assert told(agent.round()) == [("compatibility-changed", "warning", "clicks")]
    agent.fake.delete("clicks-value")
    assert [told(agent.round()) for _ in range(3)] == [[], [("subject-deleted", "warning", "clicks")], []]
    agent.fake.restore("clicks-value")
    assert agent.round() == []


def test_a_subject_deleted_for_good(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.round()
    agent.fake.delete("clicks-value", permanently=True)

    assert [told(agent.round()) for _ in range(2)] == [[], [("subject-deleted", "critical", "clicks")]]


def test_a_schema_that_lives_on_under_another_subject_can_still_be_read(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.register("copies", "a")
    agent.round()
    agent.fake.delete("clicks-value", permanently=True)

    assert [told(agent.round()) for _ in range(2)] == [[], [("subject-deleted", "warning", "clicks")]]


def test_after_a_crash_the_same_is_told_under_the_same_ids(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.round()
    agent.register("clicks", "a", "b")
    agent.fake.levels["clicks-value"] = "FULL"
    lost = agent.round(kept=False)
    agent.register("clicks", "a", "b", "c")  # meanwhile

    again = agent.round()

    ids = [alert.event_id for alert in again]
    assert len(set(ids)) == 3
    assert {alert.event_id for alert in lost} < set(ids)
    agent.fake.levels["clicks-value"] = "NONE"
    agent.round()
    agent.fake.levels["clicks-value"] = "FULL"
    [back] = agent.round()
    assert back.event_id not in ids


@pytest.mark.parametrize("behaviour", [Behaviour.FAIL, Behaviour.HTML, Behaviour.NONSENSE, Behaviour.BUSY])
def test_a_registry_that_does_not_answer_says_nothing(agent: Agent, behaviour: Behaviour) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.round()
    before = dict(agent.rows)
    agent.fake.behaviour = behaviour

    assert [agent.round() for _ in range(3)] == [[], [], []]
    assert agent.rows == before


def test_rounds_are_bounded_and_take_turns(fake: FakeRegistry) -> None:
    agent = Agent(fake, subjects_per_round=4)
    topics = [f"topic-{n}" for n in range(10)]
    for topic in topics:
        agent.observed(topic, agent.register(topic, topic.replace("-", "_")))
    fake.requests.clear()
    agent.round()
    assert fake.requests.total() == 1 + 2 * 4  # the default level, then versions and level of each
    agent.round()
    agent.round()
    asked = {path.split("/")[-1] for path in fake.requests if path.startswith("GET /config/")}
    agent.registry.close()

    assert asked == {f"{topic}-value" for topic in topics}


def test_only_topics_of_own_partitions_are_looked_after(agent: Agent) -> None:
    agent.observed("mine", agent.register("mine", "a"), partition=3)
    agent.observed("others", agent.register("others", "b"), partition=1)
    agent.observed("raw", OPAQUE, partition=3)

    assert [each.subject.name for each in watched_subjects(agent.rows, {0, 3}, "test")] == ["mine-value"]
    answers = agent.poll.ask(agent.rows)
    agent.poll.assigned([])
    assert agent.poll.judge(answers, agent.rows) == []


def test_an_answer_that_is_behind_the_state_counts_for_nothing(agent: Agent) -> None:
    agent.observed("clicks", agent.register("clicks", "a"))
    agent.round()
    agent.register("clicks", "a", "b")
    late = agent.poll.ask(dict(agent.rows))
    assert len(agent.round()) == 1

    assert agent.poll.judge(late, agent.rows) == []


def test_what_we_may_not_read_holds_up_nothing(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    for topic in ("clicks", "secret", "users"):
        agent.observed(topic, agent.register(topic, topic))
    answer = agent.fake.answer

    def refuse(method: str, path: str, body: Any) -> tuple[int, Any]:
        forbidden = path.startswith("/config") or "secret" in path
        return (403, {"error_code": 40301, "message": "no"}) if forbidden else answer(method, path, body)

    monkeypatch.setattr(FakeRegistry, "answer", lambda _, *arguments: refuse(*arguments))
    assert agent.round() == []
    for topic in ("clicks", "users"):
        agent.register(topic, topic, "b")

    assert {topic for _, _, topic in told(agent.round())} == {"clicks", "users"}


def acts(agent: Agent) -> list[Any]:
    """What happens in the registry and on the wire, a round after each."""
    fake, places = agent.fake, (("a", 0), ("b", 3))
    return [
        lambda: [agent.observed(topic, agent.register(topic, topic), partition) for topic, partition in places],
        lambda: agent.register("a", "a", "more"),
        lambda: [agent.register("b", "b", "more"), agent.register("b", "b", "other")],
        lambda: fake.levels.update({"a-value": "NONE", "b-value": "FULL"}),
        lambda: agent.observed("a", agent.register("a", "a", "more")),
        lambda: fake.levels.update({"a-value": "FULL"}),
        lambda: fake.delete("b-value"),
        lambda: None,
        lambda: fake.levels.update({"a-value": "NONE"}),
        lambda: [fake.restore("b-value"), agent.register("b", "b", "last")],
    ]  # fmt: skip


def lived_through(crashes: set[int]) -> tuple[set[str], int]:
    """The ids that are told when the worker dies after publishing in these rounds, and how many messages that took."""
    with FakeRegistry() as fake:
        agent = Agent(fake)
        told_ids: list[str] = []
        for number, act in enumerate(acts(agent)):
            act()
            if number in crashes:
                told_ids += [alert.event_id for alert in agent.round(kept=False)]
            told_ids += [alert.event_id for alert in agent.round()]
        agent.registry.close()
        return set(told_ids), len(told_ids)


def test_whenever_the_worker_dies_none_is_missing_and_none_extra() -> None:
    expected, messages = lived_through(set())
    assert len(expected) == messages == 9

    for crash in range(10):
        assert lived_through({crash})[0] == expected, crash
    again, more = lived_through(set(range(10)))
    assert (again, more) == (expected, 2 * messages)

"""If this failed, a registry that is away would be taken for one that knows nothing, and page for each topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import orjson
import pytest

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Changed, Detection, Outcome
from stream_lineage.agents.metric_watch import MetricWatch
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.agents.schema_texts import RegistryTexts
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry
from stream_lineage.testing.observations import avro_reference, unresolved_reference
from stream_lineage.testing.stores import MemoryStore
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.register("clicks-value", '"int"')
        yield registry


@pytest.fixture
def texts(fake: FakeRegistry) -> Iterator[RegistryTexts]:
    registry = SchemaRegistry(RegistrySettings(schema_registry_url=fake.url, registry_retry_seconds=0.01))
    yield RegistryTexts(registry, patience_seconds=60, sleep=lambda _: pytest.fail("it must not wait"))
    registry.close()


def test_what_the_registry_knows(fake: FakeRegistry, texts: RegistryTexts) -> None:
    guid = SchemaReference(SchemaType.NONE, Framing.GUID_HEADER, guid=fake.guid_of(1), unresolved=True)

    assert texts.registered(unresolved_reference(1)) is True
    assert texts.registered(guid) is True
    assert texts.registered(unresolved_reference(2)) is False
    assert texts.registered(OPAQUE) is None
    assert texts.has_subject("clicks-value") is True
    assert texts.has_subject("orders-value") is False
    fake.delete("clicks-value")
    assert texts.has_subject("clicks-value") is False


def test_a_schema_that_cannot_be_had_is_as_good_as_none(fake: FakeRegistry, texts: RegistryTexts) -> None:
    lost = ({"name": "other", "subject": "gone", "version": 1},)
    broken = fake.register("broken-value", '{"type":"record","name":"R","fields":[]}', references=lost)

    assert texts.registered(unresolved_reference(broken)) is False


@pytest.mark.parametrize("behaviour", [Behaviour.FAIL, Behaviour.HTML, Behaviour.BUSY, Behaviour.NONSENSE])
def test_a_registry_that_is_away_says_nothing(fake: FakeRegistry, texts: RegistryTexts, behaviour: Behaviour) -> None:
    fake.behaviour = behaviour

    assert texts.registered(unresolved_reference(2)) is None
    assert texts.has_subject("clicks-value") is None


def test_without_a_registry_nothing_is_known() -> None:
    texts = RegistryTexts(None)

    assert texts.registered(avro_reference(1)) is None
    assert texts.has_subject("clicks-value") is None


ALERT = Alert(
    "drift",
    "0123456789abcdef",
    b"clicks",
    orjson.dumps(
        {
            "dataset": {"namespace": "kafka://c", "name": "clicks"},
            "topic": "clicks",
            "kind": "schema-drift",
            "severity": "warning",
            "phase": None,
            "fingerprint": "f",
            "field_path": None,
            "job": None,
            "summary": "s",
            "url": "u",
            "score": None,
            "observed_at": "2026-03-01T12:00:00+00:00",
        }
    ),
    (),
)


class Outlet:
    """What was written, in order."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.rows: Mapping[bytes, bytes] = {b"known": b"row"}
        self.pipeline: Pipeline[int] | None = None

    async def publish(self, alerts: Iterable[Alert]) -> None:
        self.written += [f"alert {alert.event_id}" for alert in alerts]

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        self.written += [f"row {key.decode()} of {partition}" for key, _ in rows]
        if self.pipeline is not None:
            self.pipeline.revoked()


@pytest.mark.parametrize("revoked", [False, True])
def test_what_is_done_aside_tells_then_keeps(revoked: bool) -> None:
    outlet = Outlet()
    pipeline: Pipeline[int] = Pipeline(
        Detection([], RegistryTexts(None), "http://ui"), outlet, MemoryStore(), lambda _: None,
        MetricWatch(MetricAnomalies(), "http://ui"),
    )  # fmt: skip
    outlet.pipeline = pipeline if revoked else None

    def work(rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        assert rows == {b"known": b"row"}
        return [(n, Outcome((ALERT,), (Changed(f"state{n}".encode(), b"{}"),))) for n in (1, 2)]

    pipeline.recovered([1, 2])
    asyncio.run(pipeline.aside(work))
    pipeline.close()

    first, second = (
        [f"row journal/{n} of {n}", f"alert {ALERT.event_id}", f"row state{n} of {n}", f"row journal/{n} of {n}"]
        for n in (1, 2)
    )
    # Once it is noted, whoever has the partition carries it out.
    assert outlet.written == (first[:1] if revoked else [*first, *second])

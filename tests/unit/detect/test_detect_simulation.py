"""If this failed, the simulation that vouches for metric anomalies would be wrong, or they would miss plain faults."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.unmeasured


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "simulation.py"
    spec = importlib.util.spec_from_file_location("simulation_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_two_hours_of_four_topics(simulation: ModuleType) -> None:
    names = {"clicks", "orders", "temperature", "locations"}
    topics = [each for each in simulation.TOPICS if each.name in names]
    faults = [
        simulation.Fault("new category", "clicks", "event_type", 540, 60, 0.5),
        simulation.Fault("silence", "locations", None, 600, 60, 0.5),
    ]

    results = simulation.simulate(3, hours=2, days=0, topics=topics, faults=faults)

    found = {fault.topic: (delay, summary) for each in results for fault, delay, summary in each.found}
    assert found.keys() == {"clicks", "locations"}
    assert found["clicks"][0] == 1
    assert "scroll" in found["clicks"][1]
    assert found["locations"][0] == 6  # windows of a minute: a young topic is not missed sooner
    assert [alert for each in results for alert in each.clean + each.beside] == []


def test_the_same_seed_is_the_same_traffic(simulation: ModuleType) -> None:
    topic = simulation.TOPICS[0]
    one, same, other = (list(simulation.traffic(topic, seed, 0, 1).windows(0, 360)) for seed in (5, 5, 6))
    assert one == same
    assert one != other
    records = [window.records for window in one]
    assert all(sum(each.items.values()) == each.values for w in one for each in w.fields if each.items)
    assert 0 < sum(records) < 2 * 360 * topic.rate


def test_faults_are_apart_and_where_they_can_be(simulation: ModuleType) -> None:
    faults = simulation.plant(9, 24, simulation.TOPICS, simulation.FAULTS_OF_A_KIND)
    assert len(faults) == simulation.FAULTS_OF_A_KIND * len(simulation.KINDS)
    assert {each.kind for each in faults} == set(simulation.KINDS)
    for each in faults:
        assert (each.topic, each.path) in simulation.candidates(each.kind)
        for other in faults:
            if other is not each and other.topic == each.topic:
                assert abs(each.start - other.start) >= 180

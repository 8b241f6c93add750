"""If this failed, a detector could not be restarted, moved to another worker or replayed without a wrong alert."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from typing import Any

import pytest

from stream_lineage.detect.registry import detectors
from stream_lineage.model.observation import ObservationKind
from stream_lineage.testing.detector_suite import DetectorSuite, Schemas, history
from stream_lineage.testing.observations import NOON, avro_reference, observation, span

EVERY = sorted(detectors())

for _name in EVERY:  # one class of tests for each detector that there is
    _title = "Test" + _name.title().replace("-", "")
    globals()[_title] = type(_title, (DetectorSuite,), {"make": staticmethod(lambda name=_name: detectors()[name])})


def test_the_histories_hold_what_matters() -> None:
    items = [item for seed in range(40) for item in history(seed)]

    assert {item.kind for item in items} == set(ObservationKind)
    assert any(item.value_schema.unresolved for item in items)
    assert any(gap for item in items for each in item.spans for gap in each.missing)
    assert any(item.profile and item.profile.fields for item in items)
    assert {name: bool([1 for seed in range(40) if _finds(name, seed)]) for name in EVERY} == dict.fromkeys(EVERY, True)


def _finds(name: str, seed: int) -> bool:
    detector = detectors()[name]
    state = detector.initial()
    for item in history(seed):
        state, findings = detector.observe(state, item, item.observed_at, Schemas())
        if findings:
            return True
    return False


@pytest.mark.parametrize("name", EVERY)
def test_detectors_have_no_clock_and_no_chance(name: str) -> None:
    source = inspect.getsource(sys.modules[type(detectors()[name]).__module__])

    for word in ("time.time", "datetime.now", "utcnow", "monotonic", "random", "uuid", "hash("):
        assert word not in source


def test_every_detector_is_registered_under_its_name() -> None:
    assert {name: detector.name for name, detector in detectors().items()} == {name: name for name in EVERY}
    assert set(EVERY) >= {"schema-drift", "payload-structure", "data-loss"}


def test_fingerprints_do_not_depend_on_the_process() -> None:
    detector = detectors()["schema-drift"]
    first = observation(avro_reference(1), span(0, 0, 9))
    state, _ = detector.observe(detector.initial(), first, NOON, Schemas())
    _, [finding] = detector.observe(state, observation(avro_reference(2), span(0, 10, 19)), NOON, Schemas())
    parts: list[Any] = ["schema-drift", "test", "clicks", *(hashlib.sha256(n).hexdigest() for n in (b"1", b"2"))]

    assert finding.fingerprint == hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

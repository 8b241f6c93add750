"""If this failed, a detector could not be restarted, moved to another worker or replayed without a wrong alert."""

from __future__ import annotations

import hashlib
import inspect
import json
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_lineage.detect.data_loss
import stream_lineage.detect.schema_drift
from stream_lineage.detect.detector import Detector, SchemaText, State
from stream_lineage.detect.registry import detectors
from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, SchemaReference
from stream_lineage.testing.observations import NOON, avro_reference, observation, span, unresolved_reference

EVERY = sorted(detectors())
STATE_BOUND = 60_000  # bytes of JSON for a topic of three partitions


class Texts:
    def text(self, reference: SchemaReference) -> SchemaText | None:
        kind = "int" if (reference.id or 0) % 2 else "string"
        return SchemaText(json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}))

    def registered(self, reference: SchemaReference) -> bool | None:
        return None if reference.id is None else reference.id % 3 > 0


REFERENCES = st.one_of(
    st.integers(1, 40).map(avro_reference),
    st.integers(1, 40).map(unresolved_reference),
    st.integers(1, 5).map(lambda n: avro_reference(100 + n, subject=f"com.shop.T{n}")),
    st.just(OPAQUE),
    st.just(PLAIN_JSON),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Observation]:
    """What a collector may write: partitions are covered in order, schemas alternate, epochs change, time goes on."""
    ends = {0: 0, 1: 0, 2: 0}
    epoch, seconds = 1, 0.0
    items: list[Observation] = []
    for index in range(draw(st.integers(1, 25))):
        seconds += draw(st.sampled_from([0.0, 1.0, 30.0, 4000.0]))
        at = NOON + timedelta(seconds=seconds)
        value = draw(REFERENCES)
        if draw(st.integers(0, 7)) == 0:
            resolved = avro_reference(draw(st.integers(1, 40)))
            items.append(observation(resolved, kind=ObservationKind.RESOLUTION, at=at, topic_id=f"epoch-{epoch}"))
            continue
        if draw(st.integers(0, 19)) == 0:
            epoch += 1
            ends = dict.fromkeys(ends, 0)
        spans = []
        for partition in draw(st.lists(st.sampled_from(sorted(ends)), min_size=1, max_size=4)):
            first = ends[partition]
            last = first + draw(st.integers(0, 9))
            lost = [(first, draw(st.integers(first, last)))] if draw(st.integers(0, 3)) == 0 else []
            reason = draw(st.sampled_from(["retention", "compacted"]))
            spans.append(span(partition, first, last, lost, reason))
            ends[partition] = last + 1
        key = draw(st.one_of(st.just(OPAQUE), REFERENCES))
        items.append(
            observation(value, *spans, key=key, at=at, topic_id=f"epoch-{epoch}", observation_id=f"id-{index}")
        )
    return items


def step(detector: Detector, state: State, item: Observation) -> tuple[State, tuple[Finding, ...]]:
    before = json.dumps(state)
    result = detector.observe(state, item, item.observed_at, Texts())
    assert json.dumps(state) == before, "a detector must not change the state that it was given"
    return result


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=80, deadline=None)
@given(history=histories())
def test_states_survive_json(name: str, history: list[Observation]) -> None:
    detector = detectors()[name]
    kept = stored = detector.initial()
    for item in history:
        kept, found = step(detector, kept, item)
        stored, again = step(detector, json.loads(json.dumps(stored)), item)
        assert found == again
        assert json.loads(json.dumps(kept)) == kept == stored


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=80, deadline=None)
@given(history=histories())
def test_the_same_observation_again_changes_nothing(name: str, history: list[Observation]) -> None:
    detector = detectors()[name]
    state = detector.initial()
    for item in history:
        state, _ = step(detector, state, item)
        after, findings = step(detector, state, item)
        assert after is state or after == state
        assert findings == ()


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_no_change_is_the_same_object(name: str, history: list[Observation]) -> None:
    detector = detectors()[name]
    state = detector.initial()
    for item in history:
        after, _ = step(detector, state, item)
        assert (after is state) == (after == state)
        state = after


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_findings_are_well_formed_and_the_state_is_bounded(name: str, history: list[Observation]) -> None:
    detector = detectors()[name]
    state = detector.initial()
    for item in history:
        state, findings = step(detector, state, item)
        said = [(finding.fingerprint, json.dumps(sorted(finding.first_offsets.items()))) for finding in findings]
        assert len(set(said)) == len(said)
        for finding in findings:
            assert finding.topic == item.topic
            assert finding.summary
            assert finding.first_offsets
    assert len(json.dumps(state)) < STATE_BOUND


@pytest.mark.parametrize("module", [stream_lineage.detect.schema_drift, stream_lineage.detect.data_loss])
def test_detectors_have_no_clock_and_no_chance(module: ModuleType) -> None:
    source = inspect.getsource(module)

    for word in ("time.time", "datetime.now", "utcnow", "monotonic", "random", "uuid", "hash("):
        assert word not in source


def test_every_detector_is_registered_under_its_name() -> None:
    assert {name: detector.name for name, detector in detectors().items()} == {name: name for name in EVERY}
    assert set(EVERY) == {"schema-drift", "payload-structure", "data-loss"}


def test_fingerprints_do_not_depend_on_the_process() -> None:
    detector = detectors()["schema-drift"]
    state, _ = step(detector, detector.initial(), observation(avro_reference(1), span(0, 0, 9)))
    _, [finding] = step(detector, state, observation(avro_reference(2), span(0, 10, 19)))
    parts: list[Any] = ["schema-drift", "test", "clicks", *(hashlib.sha256(n).hexdigest() for n in (b"1", b"2"))]

    assert finding.fingerprint == hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

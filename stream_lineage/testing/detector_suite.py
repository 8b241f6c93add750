"""What every detector must hold, as tests to inherit: ours run them, and plugins do.

    class TestLateOrders(DetectorSuite):
        make = LateOrders

Histories are made from seeds, so that a failure comes again; each is what a collector may write.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

from stream_lineage.detect.detector import Detector, SchemaText, State
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import EventTimes, Observation, ObservationKind
from stream_lineage.model.profile import Decoder, FieldProfile, LengthProfile, NumericProfile, Profile, TypeCount
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, SchemaReference
from stream_lineage.testing.observations import NOON, avro_reference, observation, span, unresolved_reference

SEEDS = 40
STATE_BYTES = 60_000
"""Of JSON, for a topic of three partitions and a dozen fields."""
_NUMBERS = (0.0, 1.0, -1e300, 1e300, float("nan"), float("inf"))


class Schemas:
    """Schemas of one field, an int under odd ids and a string under even ones; one id in three is not registered,
    subjects of an odd length are."""

    def text(self, reference: SchemaReference) -> SchemaText | None:
        kind = "int" if (reference.id or 0) % 2 else "string"
        return SchemaText(json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}))

    def registered(self, reference: SchemaReference) -> bool | None:
        return None if reference.id is None else reference.id % 3 > 0

    def has_subject(self, subject: str) -> bool | None:
        return len(subject) % 2 > 0


def history(seed: int) -> list[Observation]:
    """Observations of one topic: partitions are covered in order, schemas and profiles change, records are lost, the
    topic is made anew, time goes on, and sometimes far."""
    chance = random.Random(seed)
    ends = {0: 0, 1: 0, 2: 0}
    epoch, seconds = 1, 0.0
    reference = _reference(chance)
    items: list[Observation] = []
    for index in range(chance.randint(1, 40)):
        seconds += chance.choice([0.0, 1.0, 30.0, 4000.0])
        at = NOON + timedelta(seconds=seconds)
        if chance.random() < 0.1:
            known = avro_reference(chance.randint(1, 40))
            items.append(observation(known, kind=ObservationKind.RESOLUTION, at=at, topic_id=f"epoch-{epoch}"))
            continue
        if chance.random() < 0.05:
            epoch += 1
            ends = dict.fromkeys(ends, 0)
        reference = _reference(chance) if chance.random() < 0.4 else reference
        spans = []
        for partition in chance.sample(sorted(ends), chance.randint(1, 3)):
            first = ends[partition]
            last = first + chance.choice([0, 9, 400])
            lost = [(first, chance.randint(first, last))] if chance.random() < 0.2 else []
            spans.append(span(partition, first, last, lost, chance.choice(["retention", "compacted", "transaction"])))
            ends[partition] = last + 1
        records = sum(each.count for each in spans)
        items.append(
            observation(
                reference,
                *spans,
                key=_reference(chance) if chance.random() < 0.2 else OPAQUE,
                at=at,
                topic_id=f"epoch-{epoch}",
                observation_id=f"id-{index}",
                profile=None if reference.unresolved else _profile(chance, reference, records),
                event_times=EventTimes(records, 0, chance.randint(0, records), 0, 10**15, 5.0, 10**9),
                tombstones=chance.randint(0, records),
                links=(),
            )
        )
    return items


class DetectorSuite:
    """Tests of whatever ``make`` gives; ``seeds`` is how many histories each of them looks at, ``state_bytes`` how
    large a state may be."""

    make: ClassVar[Callable[[], Detector]]
    seeds: ClassVar[int] = SEEDS
    state_bytes: ClassVar[int] = STATE_BYTES
    kinds: ClassVar[str] = ""
    """What kinds of findings start with: ``x-`` for plugins."""

    def test_a_state_comes_back_from_json_as_it_was(self) -> None:
        """Or a worker that starts again would go on with another one."""
        for detector, items in self._runs():
            kept = stored = detector.initial()
            for item in items:
                kept, found = _step(detector, kept, item)
                stored, again = _step(detector, json.loads(json.dumps(stored, allow_nan=False)), item)
                assert found == again, "the same state and observation must lead to the same findings"
                assert json.loads(json.dumps(kept, allow_nan=False)) == kept == stored

    def test_an_observation_that_comes_again_changes_nothing(self) -> None:
        """Or a worker that reads it again after a crash would alert twice."""
        for detector, items in self._runs():
            state = detector.initial()
            for item in items:
                state, _ = _step(detector, state, item)
                after, findings = _step(detector, state, item)
                assert after == state
                assert findings == ()

    def test_no_change_is_the_same_object(self) -> None:
        """Or a state would be written with every observation."""
        for detector, items in self._runs():
            state = detector.initial()
            for item in items:
                after, _ = _step(detector, state, item)
                assert (after is state) == (after == state)
                state = after

    def test_states_are_small(self) -> None:
        """Or the changelog would grow beyond what it describes."""
        for detector, items in self._runs():
            state = detector.initial()
            for item in items:
                state, _ = _step(detector, state, item)
                assert len(json.dumps(state)) < self.state_bytes

    def test_findings_are_whole(self) -> None:
        """Or subscribers would get alerts that are none."""
        for detector, items in self._runs():
            state = detector.initial()
            for item in items:
                state, findings = _step(detector, state, item)
                said = [(finding.fingerprint, sorted(finding.first_offsets.items())) for finding in findings]
                assert all(said.count(each) == 1 for each in said), "nothing is said twice"
                for finding in findings:
                    _assert_whole(finding, item, self.kinds)

    def test_two_of_them_agree(self) -> None:
        """Or what is found would depend on the worker: nothing is kept outside of the state."""
        for _, items in self._runs():
            one, other = type(self).make(), type(self).make()
            state = one.initial()
            assert state == other.initial()
            for index, item in enumerate(items):
                expected = _step(one, state, item)
                fresh = type(self).make() if index % 2 else other
                assert _step(fresh, state, item) == expected
                state = expected[0]

    def _runs(self) -> Iterator[tuple[Detector, list[Observation]]]:
        for seed in range(self.seeds):
            yield type(self).make(), history(seed)


def _step(detector: Detector, state: State, item: Observation) -> tuple[State, tuple[Finding, ...]]:
    before = json.dumps(state)
    after, findings = detector.observe(state, item, item.observed_at, Schemas())
    assert json.dumps(state) == before, "a detector must not change the state that it was given"
    return after, tuple(findings)


def _assert_whole(finding: Finding, item: Observation, kinds: str) -> None:
    assert finding.topic == item.topic
    assert finding.summary
    assert isinstance(finding.severity, Severity)
    assert finding.kind.startswith(kinds)
    assert len(finding.fingerprint) == 32
    assert set(finding.fingerprint) <= set("0123456789abcdef")
    assert finding.first_offsets
    assert all(first >= 0 for first in finding.first_offsets.values())
    for partition, last in finding.last_offsets.items():
        assert finding.first_offsets[partition] <= last


def _reference(chance: random.Random) -> SchemaReference:
    return chance.choice(
        [
            avro_reference(chance.randint(1, 40)),
            avro_reference(chance.randint(1, 3)),
            unresolved_reference(chance.randint(1, 40)),
            avro_reference(100 + chance.randint(1, 5), subject=f"com.shop.T{chance.randint(1, 5)}"),
            OPAQUE,
            PLAIN_JSON,
            PLAIN_JSON,
        ]
    )


def _profile(chance: random.Random, reference: SchemaReference, records: int) -> Profile:
    decoder = Decoder.JSON if reference == PLAIN_JSON else Decoder.COLUMNAR
    names: list[str] = chance.sample(["a", "b", "c.d", "c.e", "items[]", "items[].sku", "map{}", '"x.y"', "$"], 5)
    fields = tuple(_field(chance, name, records) for name in names) if records else ()
    return Profile(decoder, Decoder.OPAQUE, records, 0, None, fields, (), truncated_fields=chance.choice([0, 0, 0, 3]))


def _field(chance: random.Random, path: str, records: int) -> FieldProfile:
    missing, nulls = chance.choice([(0, 0), (records, 0), (records // 2, 0), (0, records // 3)])
    values = records - missing - nulls
    kind = chance.choice(["integer", "number", "string", "object", "boolean"])
    counts: list[Any] = [TypeCount(kind, values)] if values else []
    number = chance.choice(_NUMBERS)
    return FieldProfile(
        path,
        tuple(counts),
        records,
        nulls,
        missing,
        numeric=NumericProfile(values, chance.choice([0, 3]), number, number, number, abs(number), b"")
        if kind in ("integer", "number") and values
        else None,
        lengths=LengthProfile(values, 0, 10**9, 5.0, 1e300) if kind == "string" and values else None,
    )

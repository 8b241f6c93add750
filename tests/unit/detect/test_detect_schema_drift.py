"""If this failed, a changed schema would go unreported, be reported at the wrong offset, or over and over."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stream_lineage.detect.detector import SchemaText, State
from stream_lineage.detect.drift_state import MANY_PRODUCERS, MAX_PENDING, MAX_VERSIONS
from stream_lineage.detect.schema_drift import SchemaDrift
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.testing.observations import NOON, avro_reference, observation, span, unresolved_reference

TEXTS = {
    1: '{"type":"record","name":"C","fields":[{"name":"age","type":"int"}]}',
    2: '{"type":"record","name":"C","fields":[{"name":"age","type":"string"}]}',
    3: '{"type":"record","name":"C","fields":[{"name":"age","type":"int"},'
    '{"name":"city","type":["null","string"],"default":null}]}',
    4: '{"type":"record","name":"C","fields":[{"name":"age","type":"long"}]}',
}
V1, V2, V3, V4 = (avro_reference(id) for id in TEXTS)
TEXTS[41] = '{"type":"record","name":"Refund","namespace":"com.shop","fields":[{"name":"age","type":"int"}]}'
STRAY = avro_reference(41, subject="refunds-value")  # another topic's
BY_RECORD = avro_reference(41, subject="com.shop.Refund")
BY_TOPIC_AND_RECORD = avro_reference(41, subject="clicks-com.shop.Refund")
IN_CONTEXT = avro_reference(42, subject=":.eu:clicks-value", version=2)
UNREGISTERED = range(500, 600)


class Texts:
    def text(self, reference: SchemaReference) -> SchemaText | None:
        return SchemaText(TEXTS[reference.id]) if reference.id in TEXTS else None

    def registered(self, reference: SchemaReference) -> bool | None:
        return False if reference.id in UNREGISTERED else None

    def has_subject(self, subject: str) -> bool:
        return subject == "unborn-value"


def run(observations: Iterable[Observation], state: State | None = None) -> tuple[State, list[list[Finding]]]:
    detector = SchemaDrift()
    state = detector.initial() if state is None else state
    found = []
    for item in observations:
        state, findings = detector.observe(state, item, item.observed_at, Texts())
        state = json.loads(json.dumps(state))
        found.append(list(findings))
    return state, found


def told(found: list[list[Finding]]) -> list[list[tuple[str, dict[int, int]]]]:
    return [[(finding.kind, dict(finding.first_offsets)) for finding in findings] for findings in found]


def later(seconds: float) -> Any:
    return NOON + timedelta(seconds=seconds)


V1_AGAIN = replace(V1, id=77, version=5)
ORDER = avro_reference(21, subject="com.shop.Order")
PAYMENT = avro_reference(22, subject="com.shop.Payment")


# number, why, observations, what each reports
TABLE: list[tuple[int, str, list[Observation], list[list[tuple[str, dict[int, int]]]]]] = [
    (1, "the first schema of a topic is no drift", [observation(V1, span(0, 0, 9), span(1, 5, 9))], [[]]),
    (
        2,
        "another version: exact first offset",
        [observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        3,
        "both in one flush",
        [observation(V1, span(0, 0, 9), span(0, 20, 29)), observation(V2, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        4,
        "missing offsets at the front of the span are not records",
        [observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19, lost=[(10, 12)], reason="transaction"))],
        [[], [("schema-drift", {0: 13})]],
    ),
    (
        5,
        "further partitions: an update with all first offsets; then silence",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9), span(2, 0, 9)),
            observation(V2, span(0, 10, 19)),
            observation(V1, span(1, 10, 14)),
            observation(V2, span(1, 15, 19), span(0, 20, 29)),
            observation(V2, span(0, 30, 39), span(1, 20, 29)),
            observation(V2, span(2, 10, 19)),
        ],
        [[], [("schema-drift", {0: 10})], [], [("schema-drift", {0: 10, 1: 15})], [],
         [("schema-drift", {0: 10, 1: 15, 2: 10})]],
    ),
    (
        6,
        "the same schema under a new id",
        [observation(V1, span(0, 0, 9)), observation(V1_AGAIN, span(0, 10, 19))],
        [[], []],
    ),
    (
        7,
        "poison and tombstones in between are no version",
        [observation(V1, span(0, 0, 9)), observation(OPAQUE, span(0, 10, 10)), observation(V1, span(0, 11, 19))],
        [[], [], []],
    ),
    (
        8,
        "a version coming back",
        [observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19)), observation(V1, span(0, 20, 29))],
        [[], [("schema-drift", {0: 10})], [("schema-version-returned", {0: 20})]],
    ),
    (
        9,
        "writers that alternate are told once",
        [observation(V1, span(0, 0, 9))]
        + [observation(V2 if n % 2 else V1, span(0, n * 10, n * 10 + 9), at=later(n)) for n in range(1, 12)],
        [[], [("schema-drift", {0: 10})], [("schema-version-returned", {0: 20})],
         [("schema-version-returned", {0: 30})], [("mixed-versions", {0: 10})]] + [[]] * 7,
    ),
    (
        10,
        "returns far apart are events of their own",
        [observation(V1, span(0, 0, 9))]
        + [observation(V2 if n % 2 else V1, span(0, n * 10, n * 10 + 9), at=later(n * 7200)) for n in range(1, 6)],
        [[], [("schema-drift", {0: 10})]] + [[("schema-version-returned", {0: n * 10})] for n in range(2, 6)],
    ),
    (
        11,
        "a partition that was never on the new version has none coming back",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(V2, span(0, 10, 19)),
            observation(V1, span(1, 10, 19)),
        ],
        [[], [("schema-drift", {0: 10})], []],
    ),
    (
        12,
        "an unresolved id says nothing until it is resolved, then with the exact offsets",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(unresolved_reference(2), span(0, 10, 19)),
            observation(unresolved_reference(2), span(0, 20, 29), span(1, 12, 19)),
            observation(V2, kind=ObservationKind.RESOLUTION),
            observation(V2, span(0, 30, 39)),
        ],
        [[], [], [], [("schema-drift", {0: 10, 1: 12})], []],
    ),
    (
        13,
        "an unresolved id whose schema is the old one",
        [
            observation(V1, span(0, 0, 9)),
            observation(unresolved_reference(77), span(0, 10, 19)),
            observation(V1_AGAIN, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], []],
    ),
    (
        14,
        "resolved by the next observation instead",
        [
            observation(V1, span(0, 0, 9)),
            observation(unresolved_reference(2), span(0, 10, 19)),
            observation(V2, span(0, 20, 29)),
            observation(V2, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], [("schema-drift", {0: 10})], []],
    ),
    (
        15,
        "unresolved first: the later one is the drift",
        [
            observation(unresolved_reference(1), span(0, 0, 9)),
            observation(V2, span(0, 10, 19)),
            observation(V1, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], [("schema-drift", {0: 10})]],
    ),
    (
        16,
        "unresolved in between",
        [
            observation(V1, span(0, 0, 9)),
            observation(unresolved_reference(2), span(0, 10, 19)),
            observation(V4, span(0, 20, 29)),
            observation(V2, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], [("schema-drift", {0: 20})], [("schema-drift", {0: 10})]],
    ),
    (
        17,
        "keys drift too",
        [
            observation(V1, span(0, 0, 9), key=avro_reference(31, subject="clicks-key")),
            observation(V1, span(0, 10, 19), key=avro_reference(32, subject="clicks-key")),
        ],
        [[], [("key-schema-drift", {0: 10})]],
    ),
    (
        18,
        "keys that look like JSON are no drift",
        [observation(V1, span(0, 0, 9), key=PLAIN_JSON), observation(V1, span(0, 10, 19), key=V2)],
        [[], []],
    ),
    (
        19,
        "Avro turns into JSON",
        [observation(V1, span(0, 0, 9)), observation(PLAIN_JSON, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        20,
        "several record types in one topic are no drift of each other",
        [observation(ORDER, span(0, 0, 9)), observation(PAYMENT, span(0, 10, 19)), observation(ORDER, span(0, 20, 29))],
        [[], [("subject-added", {0: 10})], []],
    ),
    (
        21,
        "a foreign subject in a topic that has its own",
        [observation(V1, span(0, 0, 9)), observation(ORDER, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        22,
        "a topic made anew: what it was on is expected, offsets start over",
        [
            observation(V1, span(0, 0, 99)),
            observation(V1, span(0, 0, 9), topic_id="epoch-2"),
            observation(V2, span(0, 10, 19), topic_id="epoch-2"),
            observation(V1, span(0, 100, 109)),
        ],
        [[], [], [("schema-drift", {0: 10})], []],
    ),
    (
        23,
        "a topic made anew with another schema",
        [observation(V1, span(0, 0, 99)), observation(V2, span(0, 0, 9), topic_id="epoch-2")],
        [[], [("schema-drift", {0: 0})]],
    ),
    (
        24,
        "a new partition that starts on the old version, one that starts on a new one",
        [observation(V1, span(0, 0, 9)), observation(V1, span(1, 0, 9)), observation(V2, span(2, 0, 9))],
        [[], [], [("schema-drift", {2: 0})]],
    ),
    (
        25,
        "a known id while the registry is away",
        [
            observation(V1, span(0, 0, 9)),
            observation(V2, span(0, 10, 19)),
            observation(unresolved_reference(1), span(0, 20, 29)),
        ],
        [[], [("schema-drift", {0: 10})], [("schema-version-returned", {0: 20})]],
    ),
    (
        26,
        "a span without records says nothing",
        [observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19, lost=[(10, 19)]))],
        [[], []],
    ),
    (
        27,
        "a rollback, partition by partition, is one event",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(V2, span(0, 10, 19), span(1, 10, 19)),
            observation(V1, span(0, 20, 29)),
            observation(V1, span(1, 22, 29), span(0, 30, 39)),
        ],
        [[], [("schema-drift", {0: 10, 1: 10})], [("schema-version-returned", {0: 20})],
         [("schema-version-returned", {0: 20, 1: 22})]],
    ),
    (
        28,
        "the registry's answer shows that the first schema was there earlier",
        [
            observation(unresolved_reference(77), span(0, 0, 9)),
            observation(V1, span(0, 10, 19)),
            observation(V1_AGAIN, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], []],
    ),
    (
        29,
        "unresolved in between in several partitions",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(unresolved_reference(2), span(0, 10, 19), span(1, 12, 19)),
            observation(V4, span(0, 20, 29), span(1, 22, 29)),
            observation(V2, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], [("schema-drift", {0: 20, 1: 22})], [("schema-drift", {0: 10, 1: 12})]],
    ),
    (
        31,
        "unresolved before what was told as drift: compared with what the topic started with",
        [
            observation(V1, span(0, 0, 9)),
            observation(unresolved_reference(4), span(2, 0, 9)),
            observation(V2, span(2, 10, 19)),
            observation(V4, kind=ObservationKind.RESOLUTION),
        ],
        [[], [], [("schema-drift", {2: 10})], [("schema-drift", {2: 0})]],
    ),
    (
        30,
        "a partition that goes back and forth while others go back: told before, and too seldom for a mix",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(V2, span(0, 10, 19), span(1, 10, 19)),
            observation(V1, span(0, 20, 29), at=later(0)),
            observation(V1, span(1, 20, 29), at=later(550)),
            observation(V2, span(0, 30, 39), at=later(700)),
            observation(V1, span(0, 40, 49), at=later(800)),
        ],
        [[], [("schema-drift", {0: 10, 1: 10})], [("schema-version-returned", {0: 20})],
         [("schema-version-returned", {0: 20, 1: 20})], [("schema-version-returned", {0: 30})], []],
    ),
    (
        40,
        "an id that the registry does not know: at once, and again with further partitions; then silence",
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(unresolved_reference(500), span(0, 10, 19)),
            observation(unresolved_reference(500), span(0, 20, 29), span(1, 10, 19)),
            observation(unresolved_reference(500), span(0, 30, 39)),
            observation(V1, span(0, 40, 49)),
        ],
        [[], [("unknown-schema", {0: 10})], [("unknown-schema", {0: 10, 1: 10})], [], []],
    ),
    (
        41,
        "an id that is not known yet since the registry is away",
        [observation(V1, span(0, 0, 9)), observation(unresolved_reference(2), span(0, 10, 19))]
        + [observation(V1, span(0, n, n), at=later(n)) for n in range(20, 25)],
        [[]] * 7,
    ),
    (
        42,
        "unknown, and registered later: then it is drift",
        [
            observation(V1, span(0, 0, 9)),
            observation(unresolved_reference(500), span(0, 10, 19)),
            observation(avro_reference(500), kind=ObservationKind.RESOLUTION),
        ],
        [[], [("unknown-schema", {0: 10})], [("schema-drift", {0: 10})]],
    ),
    (
        43,
        "all of a topic's ids are unknown: some are told, for it may be no ids at all",
        [observation(unresolved_reference(500 + n), span(0, n * 10, n * 10 + 9)) for n in range(5)],
        [[("unknown-schema", {0: 0})], [("unknown-schema", {0: 10})], [], [], []],
    ),
    (
        44,
        "keys that are numbers look like unknown ids",
        [observation(V1, span(0, n * 10, n * 10 + 9), key=unresolved_reference(500 + n)) for n in range(3)],
        [[], [], []],
    ),
    (
        45,
        "keys that had a schema have an unknown one",
        [
            observation(V1, span(0, 0, 9), key=avro_reference(31, subject="clicks-key")),
            observation(V1, span(0, 10, 19), key=unresolved_reference(500)),
        ],
        [[], [("key-unknown-schema", {0: 10})]],
    ),
    (
        46,
        "another topic's subject, where this one has its own; what is right comes back without a word",
        [observation(V1, span(0, 0, 9)), observation(STRAY, span(0, 10, 10)), observation(V1, span(0, 11, 19))],
        [[], [("wrong-subject", {0: 10})], []],
    ),
    (
        47,
        "another topic's subject from the start: copies and dead letters keep the ids of what they come from",
        [observation(STRAY, span(0, 0, 9)), observation(STRAY, span(1, 0, 9))],
        [[], []],
    ),
    (
        54,
        "another topic's subject from the start, where this one has its own in the registry; what is right is no news",
        [
            observation(STRAY, span(0, 0, 9), topic="unborn"),
            observation(STRAY, span(1, 0, 9), topic="unborn"),
            observation(avro_reference(1, subject="unborn-value"), span(0, 10, 19), topic="unborn"),
            observation(avro_reference(2, subject="unborn-value"), span(0, 20, 29), topic="unborn"),
        ],
        [[("wrong-subject", {0: 0})], [("wrong-subject", {0: 0, 1: 0})], [], [("schema-drift", {0: 20})]],
    ),
    (
        55,
        "a subject named after the record from the start, and a topic's own in the registry",
        [observation(BY_RECORD, span(0, 0, 9), topic="unborn")],
        [[]],
    ),
    (
        48,
        "a subject named after the record is no wrong one",
        [observation(V1, span(0, 0, 9)), observation(BY_RECORD, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        49,
        "nor is one named after topic and record",
        [observation(V1, span(0, 0, 9)), observation(BY_TOPIC_AND_RECORD, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        50,
        "nor is the topic's own in a context of the registry",
        [observation(V1, span(0, 0, 9)), observation(IN_CONTEXT, span(0, 10, 19))],
        [[], [("schema-drift", {0: 10})]],
    ),
    (
        51,
        "partitions that stay on different versions: one producer was forgotten",
        [observation(V1, span(0, 0, 9), span(1, 0, 9)), observation(V2, span(0, 10, 19))]
        + [observation((V2, V1)[n % 2], span(n % 2, n * 100, n * 100 + 9), at=later(n * 300)) for n in range(1, 9)],
        [[], [("schema-drift", {0: 10})], [], [], [("mixed-versions", {0: 10})], [], [], [], [], []],
    ),
    (
        52,
        "a deployment that moves one partition after the other, each within minutes, is no mix",
        [observation(V1, *(span(p, 0, 9) for p in range(4)))]
        + [
            observation(V2 if p <= n else V1, span(p, 100 + n * 10, 109 + n * 10), at=later(n * 400 + p))
            for n in range(5)
            for p in range(4)
        ],
        [[], [("schema-drift", {0: 100})], [], [], [], [], [("schema-drift", {0: 100, 1: 110})], [], []]
        + [[], [], [("schema-drift", {0: 100, 1: 110, 2: 120})], []]
        + [[], [], [], [("schema-drift", {0: 100, 1: 110, 2: 120, 3: 130})]] + [[]] * 4,
    ),
    (
        53,
        "a partition that is idle stays on the old version, and nobody writes it",
        [observation(V1, span(0, 0, 9), span(1, 0, 9))]
        + [observation(V2, span(0, n * 10, n * 10 + 9), at=later(n * 300)) for n in range(1, 9)],
        [[], [("schema-drift", {0: 10})]] + [[]] * 7,
    ),
    (
        56,
        "an id that no record has begins nowhere",
        [
            observation(V1, span(0, 0, 9)),
            observation(unresolved_reference(2), span(0, 10, 19, lost=[(10, 19)])),
            observation(V2, span(0, 30, 39)),
        ],
        [[], [], [("schema-drift", {0: 30})]],
    ),
    (
        57,
        "an observation of before, once more",
        [observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19)), observation(V1, span(0, 0, 9))],
        [[], [("schema-drift", {0: 10})], []],
    ),
    (
        58,
        "one of three partitions stays on the new version, the others are written on the old one at once",
        [
            observation(V1, *(span(p, 0, 9) for p in range(3))),
            observation(V2, span(2, 10, 19)),
            observation(V1, span(0, 10, 19), span(1, 10, 19), at=later(700)),
            observation(V2, span(2, 20, 29), at=later(710)),
            observation(V1, span(0, 20, 29), span(1, 20, 29), at=later(720)),
        ],
        [[], [("schema-drift", {2: 10})], [], [("mixed-versions", {2: 10})], []],
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]}" for row in TABLE])
def test_truth_table(row: tuple[int, str, list[Observation], list[Any]]) -> None:
    number, why, observations, expected = row

    assert told(run(observations)[1]) == expected, (number, why)


def test_the_finding_says_all() -> None:
    _, found = run([observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19))])
    [finding] = found[1]

    assert finding.severity is Severity.CRITICAL
    assert (finding.before, finding.after) == (V1, V2)
    assert finding.compatibility is not None
    assert finding.compatibility.verdict == "none"
    assert [(change.kind, change.path, change.old, change.new) for change in finding.changes] == [
        ("type-changed", "age", "int", "string")
    ]
    assert finding.field_path == "age"
    assert finding.summary == (
        "clicks: the value schema changed from clicks-value v1 (id 1) to clicks-value v2 (id 2): "
        "type-changed age (int to string); consumers on either schema cannot read the other's records; "
        "partition 0 from offset 10"
    )


@pytest.mark.parametrize(
    ("after", "severity", "verdict"),
    [
        (V2, Severity.CRITICAL, "none"),
        (V3, Severity.INFO, "full"),
        (V4, Severity.WARNING, "backward"),
        (avro_reference(9), Severity.WARNING, None),
        (PLAIN_JSON, Severity.CRITICAL, "none"),
    ],
)
def test_severity_is_what_breaks(after: SchemaReference, severity: Severity, verdict: str | None) -> None:
    _, found = run([observation(V1, span(0, 0, 9)), observation(after, span(0, 10, 19))])
    [finding] = found[1]

    assert finding.severity is severity
    assert (finding.compatibility.verdict if finding.compatibility else None) == verdict


def test_updates_keep_the_fingerprint_and_other_problems_have_another() -> None:
    _, found = run(
        [
            observation(V1, span(0, 0, 9), span(1, 0, 9)),
            observation(V2, span(0, 10, 19)),
            observation(V2, span(1, 10, 19)),
            observation(V3, span(0, 20, 29)),
            observation(V1, span(0, 30, 39)),
        ]
    )
    prints = [finding.fingerprint for findings in found for finding in findings]

    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_settled_observations_return_the_same_state() -> None:
    detector = SchemaDrift()
    state, _ = detector.observe(detector.initial(), observation(V1, span(0, 0, 9)), NOON, Texts())

    after, findings = detector.observe(state, observation(V1, span(0, 10, 19)), NOON, Texts())

    assert after is state
    assert findings == ()


def test_the_state_is_bounded() -> None:
    many = [observation(avro_reference(n), span(0, n * 10, n * 10 + 9)) for n in range(200)]
    many += [observation(unresolved_reference(n), span(0, n * 10, n * 10 + 9)) for n in range(1000, 1200)]
    many += [observation(avro_reference(n, subject=f"s{n}"), span(0, n * 10, n * 10 + 9)) for n in range(2000, 2200)]
    state, _ = run(many)

    assert len(state["value"]["versions"]) <= MAX_VERSIONS
    assert len(state["value"]["pending"]) <= MAX_PENDING
    assert len(json.dumps(state)) < 60_000


def test_a_mix_that_ended_is_told_again_when_it_comes_back() -> None:
    alternating = [observation(V1, span(0, 0, 9))]
    for n in range(1, 12):
        pause = 0 if n < 8 else 7200
        alternating.append(observation(V2 if n % 2 else V1, span(0, n * 10, n * 10 + 9), at=later(n + pause)))
    kinds = [[finding.kind for finding in findings] for findings in run(alternating)[1]]

    assert kinds == [
        [], ["schema-drift"], ["schema-version-returned"], ["schema-version-returned"], ["mixed-versions"],
        [], [], [], ["schema-version-returned"], ["schema-version-returned"], ["mixed-versions"], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        ((10, 310, 610), "mixed-versions"),
        ((10, 310, 610.5), "schema-version-returned"),
        ((10, 310, 610, 1210), None),
        ((10, 310, 610, 1210.5), "schema-version-returned"),
    ],
    ids=[
        "three within ten minutes",
        "three in more",
        "the mix goes on within ten minutes",
        "it is told anew after more",
    ],
)
def test_the_window_of_a_mix(seconds: tuple[float, ...], kind: str | None) -> None:
    flushes = [observation(V1, span(0, 0, 9)), observation(V2, span(0, 10, 19), at=later(1))]
    for n, second in enumerate(seconds):
        flushes.append(observation((V1, V2)[n % 2], span(0, 20 + n * 10, 29 + n * 10), at=later(second)))

    assert [finding.kind for finding in run(flushes)[1][-1]] == ([] if kind is None else [kind])


def test_versions_told_apart_by_guid_and_without_a_fingerprint() -> None:
    one, two = (SchemaReference(SchemaType.AVRO, Framing.GUID_HEADER, guid=guid) for guid in "ab")
    _, found = run(
        [observation(one, span(0, 0, 9)), observation(one, span(0, 10, 19)), observation(two, span(0, 20, 29))]
    )

    assert told(found) == [[], [], [("schema-drift", {0: 20})]]


def test_a_schema_that_cannot_be_parsed_changed_all_the_same() -> None:
    TEXTS[98], TEXTS[99] = "{", '"int"'
    _, found = run([observation(avro_reference(98), span(0, 0, 9)), observation(avro_reference(99), span(0, 10, 19))])
    [finding] = found[1]

    assert finding.compatibility is None
    assert [change.kind for change in finding.changes] == ["schema-changed"]


def test_what_was_forgotten_is_new_again() -> None:
    flushes = [observation(avro_reference(1000 + n), span(0, n * 10, n * 10 + 9)) for n in range(60)]
    flushes.append(observation(avro_reference(1000), span(0, 600, 609)))
    _, found = run(flushes)

    assert told(found)[-1] == [("schema-drift", {0: 600})]


def test_a_partition_whose_version_was_forgotten_still_drifts() -> None:
    flushes = [observation(avro_reference(1000), span(0, 0, 9), span(1, 0, 9))]
    flushes += [observation(avro_reference(1000 + n), span(0, n * 10, n * 10 + 9)) for n in range(1, 60)]
    last = avro_reference(2000)
    _, found = run([*flushes, observation(last, span(1, 10, 19))])
    [finding] = found[-1]

    assert (finding.kind, finding.first_offsets) == ("schema-drift", {1: 10})
    assert (finding.before, finding.after) == (avro_reference(1059), last)


def test_nothing_is_left_to_compare_with() -> None:
    flushes = [observation(V1, span(0, 0, 9), span(1, 0, 9)), observation(V2, span(0, 10, 19), span(1, 10, 19))]
    flushes += [
        observation(avro_reference(n, subject=f"s{n}"), span(2, n * 10, n * 10 + 9)) for n in range(100, 100 + 20)
    ]
    state, _ = run(flushes)
    line = state["value"]
    del line["versions"][V1.fingerprint]  # as if forgotten
    state, found = run([observation(V1, span(0, 20, 29))], state)
    assert told(found) == [[("schema-drift", {0: 20})]]
    del state["value"]["versions"][V2.fingerprint]
    for version in list(state["value"]["versions"]):
        if version != V1.fingerprint:
            del state["value"]["versions"][version]
    state["value"]["versions"][V1.fingerprint]["first"]["1"] = 3
    [[finding]] = run([observation(V1, span(1, 20, 29))], state)[1]

    assert (finding.kind, finding.before, finding.compatibility) == ("schema-version-returned", None, None)
    assert "from one that is forgotten to" in finding.summary


def test_an_answer_that_comes_when_all_else_in_its_partition_is_forgotten() -> None:
    flushes = [observation(unresolved_reference(2000), span(0, 5, 9)), observation(V1, span(0, 10, 19))]
    flushes += [observation(avro_reference(1000 + n), span(1, n * 10, n * 10 + 9)) for n in range(MAX_VERSIONS + 2)]
    late = avro_reference(2000)
    state, found = run([*flushes, observation(late, span(0, 5, 9), kind=ObservationKind.RESOLUTION)])
    [finding] = found[-1]

    assert V1.fingerprint not in state["value"]["versions"]
    assert (finding.kind, finding.first_offsets) == ("schema-drift", {0: 5})
    assert (finding.before, finding.after, finding.compatibility) == (None, late, None)
    assert "from one that is forgotten to" in finding.summary


def test_a_mix_names_the_older_version_first() -> None:
    """Whichever of both was written last: the offsets are those of the younger one."""
    both = [observation(V1, span(0, 0, 9), span(1, 0, 9)), observation(V2, span(1, 10, 19))]
    stay = [observation(V1, span(0, 10, 19), at=later(700)), observation(V2, span(1, 20, 29), at=later(700))]
    for order in (stay, stay[::-1]):
        finding = mixed(run([*both, *order])[1])
        assert (finding.before, finding.after, finding.first_offsets) == (V1, V2, {1: 10})
        assert f"writers with {V1.label()} and {V2.label()} as value write" in finding.summary, "nobody is named"


def test_many_ways_back_are_bounded() -> None:
    versions = [avro_reference(n) for n in range(1, 9)]
    order = [(a, b) for a in range(8) for b in range(8) if a != b]
    flushes = [observation(version, span(0, n * 10, n * 10 + 9)) for n, version in enumerate(versions)]
    offset = 80
    for number, (a, b) in enumerate(order):
        for version in (versions[a], versions[b]):
            at = later(number * 7200 + offset)
            flushes.append(observation(version, span(0, offset, offset + 9), at=at))
            offset += 10
    state, _ = run(flushes)

    assert len(state["value"]["groups"][""]["returns"]) <= MAX_VERSIONS


def test_many_record_types_are_bounded() -> None:
    state, found = run(observation(avro_reference(n, subject=f"s{n}"), span(0, n * 10, n * 10 + 9)) for n in range(100))

    assert [finding.kind for findings in found for finding in findings] == ["subject-added"] * 99
    assert len(json.dumps(state)) < 60_000


def test_an_unknown_id_says_where_and_how_bad() -> None:
    _, found = run([observation(V1, span(0, 0, 9)), observation(unresolved_reference(500), span(0, 10, 19))])
    [finding] = found[1]

    assert (finding.severity, finding.before) == (Severity.CRITICAL, V1)
    assert finding.after is not None
    assert (finding.after.id, finding.after.subject) == (500, None)
    assert "schema 500, which the registry does not know" in finding.summary
    assert finding.summary.endswith("partition 0 from offset 10")
    _, found = run([observation(unresolved_reference(500), span(0, 10, 19))])
    assert found[0][0].severity is Severity.WARNING
    types = [observation(ORDER, span(0, 0, 9)), observation(PAYMENT, span(0, 10, 19))]
    _, found = run([*types, observation(unresolved_reference(500), span(0, 20, 29))])
    assert found[-1][0].before == PAYMENT, "the type that was there last"


def test_a_wrong_subject_is_a_warning_though_it_reads() -> None:
    TEXTS[43] = TEXTS[1].replace('"C"', '"C","namespace":"same"')
    stray = avro_reference(43, subject="same-value")
    _, found = run([observation(V1, span(0, 0, 9)), observation(stray, span(0, 10, 10))])
    [finding] = found[1]

    assert (finding.kind, finding.severity) == ("wrong-subject", Severity.WARNING)
    assert "values have same-value v43 (id 43), which is registered for something else" in finding.summary


def test_a_topic_whose_keys_are_numbers_stays_settled() -> None:
    detector = SchemaDrift()
    state = detector.initial()
    for n in range(3):
        item = observation(V1, span(0, n * 10, n * 10 + 9), key=unresolved_reference(500))
        before, (state, _) = state, detector.observe(state, item, NOON, Texts())

    assert state is before


def alternating(*producers: list[str]) -> list[Observation]:
    """Flushes of one partition that alternate between two versions, with who wrote each."""
    return [
        observation((V1, V2)[n % 2], span(0, 10 * n, 10 * n + 9), at=later(n), producers=own)
        for n, own in enumerate(producers)
    ]


def mixed(found: list[list[Finding]]) -> Finding:
    [finding] = [each for findings in found for each in findings if each.kind == "mixed-versions"]
    return finding


def test_writers_of_mixed_versions_are_named() -> None:
    _, found = run(alternating(["shop", "app"], ["import"], ["app"], ["import"], ["shop"]))
    told = mixed(found).summary
    assert "clicks-value v1 (id 1) (shop, app) and clicks-value v2 (id 2) (import) as value alternate" in told


def test_who_went_over_to_the_other_version_is_named_there_only() -> None:
    _, found = run(alternating(["a", "b"], ["b"], ["a"], ["b"], ["a"]))
    assert "(id 1) (a) and clicks-value v2 (id 2) (b)" in mixed(found).summary


def test_of_very_many_writers_none_is_named_and_the_state_stays_as_it_is() -> None:
    many = [[f"device-{n}-{k}" for k in range(5)] for n in range(20)]
    state, _ = run([observation(V1, span(0, 10 * n, 10 * n + 9), producers=own) for n, own in enumerate(many)])
    [version] = state["value"]["versions"].values()
    assert version["producers"] == [MANY_PRODUCERS]
    again, _ = SchemaDrift().observe(state, observation(V1, span(0, 900, 909), producers=["another"]), NOON, Texts())
    assert again is state


def test_states_of_before_there_were_producers_go_on() -> None:
    state, _ = run([observation(V1, span(0, 0, 9))])
    for version in state["value"]["versions"].values():
        del version["producers"]
    _, found = run(alternating([], ["import"], ["shop"], ["import"], ["shop"])[1:], state)
    assert "(id 1) (shop) and clicks-value v2 (id 2) (import)" in mixed(found).summary

"""If this failed, values would be compared at any cost, or show edges where something better is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from stream_lineage.agents.graph_watch import GraphWatch
from stream_lineage.agents.value_look import KEPT_SECONDS, MOST_FIELDS, ValueLook
from stream_lineage.errors import KafkaUnavailable
from stream_lineage.graph.claim import Claim
from stream_lineage.graph.from_values import HIGHEST, FieldValues
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.graph.value_pairs import ValuePairs, read_and_unmade
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON
from stream_lineage.profile.distinct import DistinctSketch

NAMES = naming("test", [("b", 9092)])
START = datetime(2026, 3, 1, tzinfo=UTC)


def sketch(seed: int, size: int = 500) -> DistinctSketch:
    made = DistinctSketch(10)
    made.add(np.random.default_rng(seed).integers(0, 2**63, size).astype(np.uint64))
    return made


def known(*edges: tuple[Node, Node, EvidenceClass, float], at: datetime = START) -> Graph:
    return Graph(
        GraphEvent(GraphEdge(source, target), Evidence(by, "s", at, at, sure)) for source, target, by, sure in edges
    )


def reads(topic: str, job: str) -> tuple[Node, Node, EvidenceClass, float]:
    return NAMES.topic(topic), NAMES.job(job), EvidenceClass.GROUP, 0.95


def writes(job: str, topic: str) -> tuple[Node, Node, EvidenceClass, float]:
    return NAMES.job(job), NAMES.topic(topic), EvidenceClass.DECLARED, 1.0


def test_what_is_read_and_what_nobody_makes() -> None:
    elsewhere = Node(NAMES.topic("x").kind, "postgres://db", "orders")
    graph = known(
        reads("orders", "enrich"), writes("enrich", "enriched"), reads("enriched", "score"),
        (elsewhere, NAMES.job("enrich"), EvidenceClass.DECLARED, 1.0),
        (NAMES.topic("orders"), NAMES.topic("scores"), EvidenceClass.VALUES, 0.4),
        (NAMES.topic("orders"), NAMES.topic("copies"), EvidenceClass.HEADER, 1.0), reads("gone", "old"),
    )  # fmt: skip
    topics = ["orders", "enriched", "scores", "copies"]
    assert read_and_unmade(graph, topics, NAMES.namespace) == ({"orders", "enriched"}, {"orders", "scores"})


def test_all_pairs_have_their_turn_within_the_bound() -> None:
    fields = {name: [FieldValues(name, "id", sketch(3), 0.0)] for name in "abcdefg"}
    pairs, looks = ValuePairs(most=10), 0
    seen: set[tuple[str, str]] = set()
    while not pairs.rounds:
        done, matches = pairs.matches(fields, fields, fields)
        assert len(matches) == len(done) <= 10
        assert not seen & done
        seen |= done
        looks += 1
    assert len(seen) == 7 * 6
    assert looks == 5
    again, _ = pairs.matches(fields, fields, fields)
    assert again <= seen


def test_sizes_and_time_are_looked_at_first() -> None:
    fields = {
        "old": [FieldValues("old", "id", sketch(1), 1.0), FieldValues("old", "n", sketch(2, 60), 1.0)],
        "new": [FieldValues("new", "id", sketch(1), 2.0), FieldValues("new", "all", sketch(1, 5_000), 2.0)],
    }
    done, matches = ValuePairs().matches(fields, fields, fields)
    assert done == {("old", "new"), ("new", "old")}
    assert [(each.first.topic, each.first.path, each.later.path) for each in matches] == [("old", "id", "id")]
    few = ValuePairs(most=1)
    few.matches(fields, ["old"], ["new"])
    assert few.rounds == 1  # the one that may match was compared, the others cost nothing


def observation(topic: str, at: datetime, **fields: DistinctSketch | bytes) -> Observation:
    profiles = tuple(
        FieldProfile(path, (), 500, 0, 0, distinct=own if isinstance(own, bytes) else own.to_bytes())
        for path, own in fields.items()
    )
    profile = Profile(Decoder.JSON, Decoder.OPAQUE, 500, 0, None, profiles, ())
    return Observation(
        "o", ObservationKind.OBSERVATION, "test", topic, None, "c", at, PLAIN_JSON, OPAQUE, 500, 0, 0, None, (),
        profile, (),
    )  # fmt: skip


class Log:
    """What the tail of the log has; ``away`` while no broker answers."""

    def __init__(self) -> None:
        self.held: list[Observation] = []
        self.away = False

    def __call__(self) -> Iterable[Observation]:
        if self.away:
            raise KafkaUnavailable("away")
        return self.held


def ends(claims: list[Claim] | None) -> list[str]:
    assert claims is not None
    return [f"{each.subject.source.name} {each.subject.target.name}" for each in claims]  # type: ignore[union-attr]


def test_candidates_come_and_go_with_what_is_known() -> None:
    now, log = START.timestamp(), Log()
    look = ValueLook(log, NAMES, seconds=600, clock=lambda: now)
    watch, graph = GraphWatch([], NAMES, clock=lambda: now), known(reads("orders", "enrich"))
    topics = {"orders", "enriched", "other", "private"}
    log.held = [
        observation("enriched", START + timedelta(minutes=2), order=sketch(1), broken=b"no sketch"),
        observation("orders", START, id=sketch(1), price=sketch(2)),
        observation("other", START, id=sketch(9)),
        observation("not-watched", START, id=sketch(1)),
    ]
    claims = look.look(graph, topics)
    assert ends(claims) == ["orders enriched"]
    assert claims is not None
    (claim,) = claims
    assert claim.confidence == HIGHEST
    assert dict(claim.detail)["fields"] == "id order"
    assert look.look(graph, topics) is None  # not yet
    watch.values(claims, whole=look.whole)
    for event in watch.events(graph, []):
        graph.take(event)
    now += 600
    log.away = True
    assert look.look(graph, topics) is None
    now += 600
    log.away = False
    assert ends(look.look(graph, topics)) == ["orders enriched"]
    # As soon as somebody is known to make the topic nothing is compared any more, and the candidate is taken back.
    for each in known(writes("enrich", "enriched")).events():
        graph.take(each)
    now += 600
    found = look.look(graph, topics)
    assert found == []
    watch.values(found, whole=look.whole)
    (event,) = [each for each in watch.events(graph, []) if each.evidence.by is EvidenceClass.VALUES]
    assert event.evidence.withdrawn_at is not None


def test_sketches_begin_anew_each_day_and_fields_are_bounded() -> None:
    now, log = START.timestamp(), Log()
    look = ValueLook(log, NAMES, seconds=1, clock=lambda: now)
    graph = known(reads("orders", "enrich"))
    wide = {f"f{number}": sketch(number, 400 + 50 * number) for number in range(MOST_FIELDS + 4)}
    log.held = [observation("orders", START, **wide), observation("copy", START + timedelta(1), f0=sketch(0, 400))]
    assert ends(look.look(graph, {"orders", "copy"})) == []  # its best fields are others
    log.held = [observation("orders", START, id=sketch(7, 5_000)), observation("copy", START, id=sketch(7, 5_000))]
    now += 2
    assert ends(look.look(graph, {"orders", "copy"})) == ["orders copy"]
    log.held = []
    now += KEPT_SECONDS + 2
    assert ends(look.look(graph, {"orders", "copy"})) == []

"""How often each class of evidence is right about a pipeline that is known: ``python benchmarks/lineage_graph.py``.

30 applications on 60 topics, each seen in the ways that it would be: by its consumer group, and some by headers, by
declarations, by OpenLineage's events, by transactions, by Kafka Connect. Beside them decoys: groups whose names begin
alike and that read the same topics at the same time, runs that failed, headers of others that are passed on, values
that are the same by chance or by a common origin. Prints a row for each class, over 20 seeds.

An edge counts as true if the application does read or write the topic; from topic to topic, if some application makes
the one of the other. ``direct`` leaves out what is true over several steps only.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from stream_lineage.graph.claim import Claim, news
from stream_lineage.graph.declarations import Declarations
from stream_lineage.graph.from_connect import Connector, claims_of_connectors
from stream_lineage.graph.from_declarations import claims_of_file
from stream_lineage.graph.from_groups import GroupFacts, Member, claims_of_groups
from stream_lineage.graph.from_headers import BatchHead, HeaderFlows
from stream_lineage.graph.from_openlineage import claims_of_event
from stream_lineage.graph.from_transactions import Producers, claims_of_transactions
from stream_lineage.graph.from_values import FieldValues, claims_of_matches, claims_of_values
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.naming import naming
from stream_lineage.graph.value_pairs import ValuePairs, read_and_unmade
from stream_lineage.model.graph import EvidenceClass, GraphEdge, NodeKind
from stream_lineage.model.record_edge import EdgeSource, ParentRange, RecordEdge
from stream_lineage.profile.distinct import DistinctSketch

SEEDS = 20
APPLICATIONS, TOPICS = 30, 60
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = naming("prod", [("b1", 9092)])
UUID = "6f9a1b2c-1111-2222-3333-44445555{:04d}"
PREFIXES = ("shop", "shop-eu", "shop-eu-west", "billing", "ml", "ml-features")


@dataclass
class Application:
    name: str
    inputs: list[str]
    outputs: list[str]
    seen_by: set[str]


@dataclass
class World:
    """What is so, and what is seen of it."""

    applications: list[Application]
    topics: list[str]
    readers: list[tuple[str, str]] = field(default_factory=list)  # decoys: groups that read and write nothing

    def job_edges(self) -> set[tuple[str, str]]:
        read = {(topic, each.name) for each in self.applications for topic in each.inputs}
        wrote = {(each.name, topic) for each in self.applications for topic in each.outputs}
        return read | wrote | {(topic, group) for group, topic in self.readers}

    def topic_edges(self) -> set[tuple[str, str]]:
        return {(one, other) for each in self.applications for one in each.inputs for other in each.outputs}

    def reachable(self) -> set[tuple[str, str]]:
        after = defaultdict(set)
        for one, other in self.topic_edges():
            after[one].add(other)
        found = set()
        for start in list(after):
            todo = [start]
            seen: set[str] = set()
            while todo:
                for other in after[todo.pop()] - seen:
                    seen.add(other)
                    todo.append(other)
            found |= {(start, other) for other in seen}
        return found


def world(chance: random.Random) -> World:
    topics = [f"{chance.choice(PREFIXES)}-{kind}-{number}" for number in range(TOPICS // 3)
              for kind in ("orders", "users", "scores")]  # fmt: skip
    applications = []
    ways = ["header"] * 10 + ["declared"] * 8 + ["openlineage"] * 6 + ["transaction"] * 8 + ["streams"] * 4
    for number in range(APPLICATIONS):
        place = number * (TOPICS - 12) // APPLICATIONS  # topics lie in the order in which they are made
        inputs = chance.sample(topics[max(0, place - 6) : place + 6], chance.randint(1, 3))
        rest = [topic for topic in topics[place + 6 : place + 14] if topic not in inputs]
        seen = {way for way in chance.sample(ways, 2)}
        outputs = chance.sample(rest, chance.randint(1, 2))
        applications.append(Application(f"{chance.choice(PREFIXES)}-app-{number}", inputs, outputs, seen))
    made = World(applications, topics)
    for number in range(10):
        other = chance.choice(applications)
        made.readers += [(f"{other.name}-audit-{number}", topic) for topic in other.inputs]
    return made


def header_claims(made: World, chance: random.Random) -> Graph:
    flows, graph = HeaderFlows(NAMES, timedelta(hours=1)), Graph()
    flows.know(graph, made.topics)
    for each in made.applications:
        if "header" not in each.seen_by:
            continue
        for output in each.outputs:
            _batch(flows, output, each.inputs, EdgeSource.LINEAGE)
    # A mirror writes its header; whoever reads the mirror passes it on: true, in more steps than one.
    for each in chance.sample(made.applications, 3):
        later = [other for other in made.applications if set(other.inputs) & set(each.outputs)]
        for target in [*each.outputs, *(output for other in later for output in other.outputs)]:
            _batch(flows, target, each.inputs[:1], EdgeSource.STREAMS_BOOTSTRAP)
    for event in flows.events(graph, NOW, whole=True, records=lambda *_: True):
        graph.take(event)
    return graph


def _batch(flows: HeaderFlows, target: str, sources: Iterable[str], kind: EdgeSource) -> None:
    parents = tuple(ParentRange(topic, 0, 1, 9) for topic in sources)
    head = BatchHead("prod", target, NOW, frozenset((None, each.topic) for each in parents))
    flows.take(head, [RecordEdge(0, 1, parents, kind)])


def claims(made: World, chance: random.Random) -> Iterator[Claim]:
    declared = [
        {"name": each.name, "inputs": each.inputs, "outputs": each.outputs}
        for each in made.applications
        if "declared" in each.seen_by
    ]
    yield from claims_of_file(Declarations.model_validate({"jobs": declared}), NAMES)
    for number, each in enumerate(made.applications):
        if "openlineage" in each.seen_by:
            yield from claims_of_event(_event(each.name, each.inputs, each.outputs, "COMPLETE"), NAMES)
            # A run that failed before it wrote what it was meant to, and a namespace said otherwise.
            wrong = chance.choice(made.topics)
            yield from claims_of_event(
                _event(each.name, each.inputs, [wrong], "FAIL", "SASL_SSL://b1:9092,b2:1"), NAMES
            )
        if number % 15 == 0:
            topics = frozenset(each.outputs)
            yield from claims_of_connectors([Connector(each.name, "source", {"file": "/data/in.csv"}, topics)], NAMES)
    yield from claims_of_groups(_groups(made), _internal(made), NAMES)
    committed = {n: frozenset({e.name}) for n, e in enumerate(made.applications) if "transaction" in e.seen_by}
    written = {n: frozenset(made.applications[n].outputs) for n in committed}
    for number in range(100, 110):  # producers that are idempotent only, on the same topics
        written[number] = frozenset(chance.sample(made.topics, 2))
    yield from claims_of_transactions(Producers(committed, written), NAMES)


def _groups(made: World) -> list[GroupFacts]:
    groups = []
    for number, each in enumerate(made.applications):
        client = (
            f"{each.name}-{UUID.format(number)}-StreamThread-1-consumer" if "streams" in each.seen_by else "client-1"
        )
        own = frozenset(topic for topic in _internal(made) if topic.startswith(f"{each.name}-") and "rep" in topic)
        groups.append(GroupFacts(each.name, frozenset(each.inputs) | own, (Member(client, "/10.0.0.1"),)))
    read = defaultdict(set)
    for group, topic in made.readers:
        read[group].add(topic)
    return groups + [GroupFacts(group, frozenset(topics)) for group, topics in read.items()]


def _internal(made: World) -> list[str]:
    found = []
    for each in made.applications:
        if "streams" in each.seen_by:
            found += [
                f"{each.name}-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog",
                f"{each.name}-KSTREAM-KEY-SELECT-0000000005-repartition",
                f"{each.name}-totals-changelog",
            ]
    return found


def _event(
    job: str, inputs: list[str], outputs: list[str], kind: str, namespace: str = "kafka://b1:9092"
) -> dict[str, object]:
    return {
        "eventType": kind,
        "producer": "https://example.com/airflow",
        "job": {"namespace": "kafka://b1:9092", "name": job},
        "inputs": [{"namespace": namespace, "name": topic} for topic in inputs],
        "outputs": [{"namespace": namespace, "name": topic} for topic in outputs],
    }


def _values(made: World, chance: random.Random) -> list[FieldValues]:
    """Each topic has one field: of its own, or of the first input; some count from one, as others do."""
    hashes: dict[str, list[int]] = {}
    counting = [chance.getrandbits(64) for _ in range(200)]
    for topic in made.topics:
        own = [chance.getrandbits(64) for _ in range(200)]
        hashes[topic] = counting if chance.random() < 0.15 else own
    for each in made.applications:
        for output in each.outputs:
            if chance.random() < 0.5:
                hashes[output] = hashes[each.inputs[0]]
    since = {topic: float(number) for number, topic in enumerate(made.topics)}
    return [FieldValues(topic, "id", _sketch(hashes[topic]), since[topic]) for topic in made.topics]


def _sketch(hashes: list[int]) -> DistinctSketch:
    made = DistinctSketch(11)
    made.add(np.array(hashes, np.uint64))
    return made


def main() -> None:
    """Print the table."""
    claimed: Counter[str] = Counter()
    true: Counter[str] = Counter()
    direct: Counter[str] = Counter()
    sure_wrong: Counter[str] = Counter()
    possible: Counter[str] = Counter()
    live: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(SEEDS):
        chance = random.Random(seed)
        made = world(chance)
        graph = header_claims(made, chance)
        for event in news(graph, claims(made, chance), lambda *_: False, NOW, timedelta(hours=1)):
            graph.take(event)
        fields = _values(made, chance)
        groups_alone = Graph(
            news(Graph(), claims_of_groups(_groups(made), (), NAMES), lambda *_: False, NOW, timedelta(hours=1))
        )
        for name, seen in (("all others", graph), ("groups alone", groups_alone)):
            compared = ValuePairs().matches({each.topic: [each] for each in fields}, *_candidates(seen, made))[1]
            live[name].update(_judged(claims_of_matches(compared, NAMES), made))
        for event in news(graph, claims_of_values(fields, NAMES), lambda *_: False, NOW, timedelta(hours=1)):
            graph.take(event)
        jobs, topics, far = made.job_edges(), made.topic_edges(), made.reachable()
        internal = set(_internal(made))
        for view in graph.edges():
            ends = view.edge.source.label, view.edge.target.label
            for by in {each.by for each in view.evidence}:
                claimed[by] += 1
                straight = _straight(view.edge, ends, jobs, topics, internal)
                direct[by] += straight
                right = straight or (view.edge.source.kind is view.edge.target.kind and ends in far)
                true[by] += right
                sure_wrong[by] += not right and view.confidence >= LOW
        for by in EvidenceClass:
            possible[by] += len(topics if by in (EvidenceClass.HEADER, EvidenceClass.VALUES) else jobs)
    print(f"| class | edges | precision | direct | recall | false ones at {LOW} or more |")
    print("| --- | --- | --- | --- | --- | --- |")
    for by in EvidenceClass:
        n = claimed[by]
        shares = true[by] / n, direct[by] / n, direct[by] / possible[by]
        print(f"| `{by}` | {n} | {shares[0]:.3f} | {shares[1]:.3f} | {shares[2]:.2f} | {sure_wrong[by]} |")
    for name, counts in live.items():
        n, all_ = counts["claimed"], possible[EvidenceClass.VALUES]
        shares = counts["true"] / n, counts["direct"] / n, counts["direct"] / all_
        print(f"| `values` beside {name} | {n} | {shares[0]:.3f} | {shares[1]:.3f} | {shares[2]:.2f} | 0 |")
    for by in (EvidenceClass.HEADER, EvidenceClass.DECLARED, EvidenceClass.OPENLINEAGE, EvidenceClass.TRANSACTION):
        assert true[by] == claimed[by] > 0, by
    assert not any(sure_wrong.values())


def _candidates(graph: Graph, made: World) -> tuple[set[str], set[str]]:
    return read_and_unmade(graph, made.topics, NAMES.namespace)


def _judged(found: Iterable[Claim], made: World) -> Iterator[str]:
    """What there is to count of claims from topic to topic."""
    for claim in found:
        assert isinstance(claim.subject, GraphEdge)
        assert claim.confidence < LOW
        ends = claim.subject.source.label, claim.subject.target.label
        yield "claimed"
        if ends in made.reachable():
            yield "true"
        if ends in made.topic_edges():
            yield "direct"


def _straight(
    edge: GraphEdge, ends: tuple[str, str], jobs: set[tuple[str, str]], topics: set[tuple[str, str]], internal: set[str]
) -> bool:
    if edge.source.kind is edge.target.kind is NodeKind.DATASET:
        return ends in topics
    if edge.source.namespace == "file":
        return ends[1].startswith("connect-")
    if ends[0].startswith("connect-"):
        return (ends[0].removeprefix("connect-"), ends[1]) in jobs
    for job, topic in (ends, ends[::-1]):
        if topic in internal:
            return topic.startswith(f"{job}-") and topic[len(job) + 1 :].startswith(("KSTREAM", "totals"))
    return ends in jobs


if __name__ == "__main__":
    main()

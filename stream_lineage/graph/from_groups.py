"""Evidence of the class ``group``: which consumer groups read which topics, and what their names give away.

A group shows what is read and never what is written. Two groups that read the same topics at the same time, or whose
names begin alike, have nothing to do with each other. What is written is known of Kafka Streams' internal topics only,
and of those only where the name says whose they are and nothing else could be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.naming import Naming
from stream_lineage.model.graph import Detail, EvidenceClass, GraphEdge, detail, legal

READS = 0.95
"""A group that has committed offsets of the topic, or is assigned partitions of it. Kafka forgets what a group without
members has committed after some days."""
INTERNAL = 0.9
"""A topic of the application's own by a name that Kafka Streams makes up."""
SOURCE = "group/"
_GENERATED = re.compile(
    r"(?P<application>.+?)-(?:KSTREAM|KTABLE|STATE-STORE)-[A-Z0-9-]*\d{10}-(?:changelog|repartition)"
)
_STREAM_THREAD = re.compile(r"-StreamThread-\d+-consumer")
_VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![A-Za-z])\d+(?![A-Za-z])")
_CONNECT = "connect-"
_MOST_CLIENTS = 5


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group as the brokers know it."""

    client_id: str
    host: str
    topics: frozenset[str] = frozenset()
    """Of which it is assigned partitions, where that is known."""


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What is known of one group at one moment."""

    group: str
    topics: frozenset[str]
    """Of which it has committed offsets."""
    members: Sequence[Member] = ()


def claims_of_groups(groups: Iterable[GroupFacts], topics: Iterable[str], naming: Naming) -> Iterator[Claim]:
    """``topics``: all that there are, internal ones of applications too."""
    groups = list(groups)
    streams = {each.group: each.topics for each in groups if application(each) == "kafka-streams"}
    for each in groups:
        if legal(each.group) and len(each.group) + len(SOURCE) <= 1000:
            yield from _reads(each, naming)
    by_application = internal_topics(topics, streams)
    for group, names in sorted(by_application.items()):
        for name in sorted(names):
            written = GraphEdge(naming.group(group), naming.topic(name))
            known = detail(application="kafka-streams", internal="true")
            yield Claim(written, EvidenceClass.GROUP, SOURCE + group, INTERNAL, known)


def internal_topics(topics: Iterable[str], streams: Mapping[str, frozenset[str]]) -> dict[str, set[str]]:
    """The internal topics of each Kafka Streams application that are its own beyond doubt. ``streams``: what each of
    them reads.

    ``shop-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog`` is of ``shop``. ``shop-eu-totals-changelog`` may be of
    ``shop`` or ``shop-eu``, whether or not ``shop-eu`` runs at the moment: it is of nobody. A repartition topic is of
    the application that reads it and whose name it begins with: nobody else does.
    """
    found: dict[str, set[str]] = {}
    for topic in topics:
        match = _GENERATED.fullmatch(topic)
        if match is not None and match["application"] in streams:
            found.setdefault(match["application"], set()).add(topic)
    for name, read in streams.items():
        own = {topic for topic in read if topic.startswith(f"{name}-") and topic.endswith("-repartition")}
        if own:
            found.setdefault(name, set()).update(own)
    return found


def application(facts: GroupFacts) -> str | None:
    """``kafka-streams``, ``kafka-connect``, or null where the names say nothing."""
    if any(_STREAM_THREAD.search(member.client_id) for member in facts.members):
        return "kafka-streams"
    if facts.group.startswith(_CONNECT) and any(
        member.client_id.startswith("connector-consumer-") for member in facts.members
    ):
        return "kafka-connect"
    return None


def _reads(facts: GroupFacts, naming: Naming) -> Iterator[Claim]:
    assigned = frozenset(topic for member in facts.members for topic in member.topics)
    known = _known(facts)
    job = naming.group(facts.group)
    for topic in sorted(facts.topics | assigned):
        yield Claim(GraphEdge(naming.topic(topic), job), EvidenceClass.GROUP, SOURCE + facts.group, READS, known)


def _known(facts: GroupFacts) -> Detail:
    """Without what changes whenever something is started again."""
    clients = sorted({_VARIES.sub("*", member.client_id) for member in facts.members})[:_MOST_CLIENTS]
    hosts = sorted({member.host.lstrip("/") for member in facts.members})[:_MOST_CLIENTS]
    kind = application(facts)
    connector = facts.group.removeprefix(_CONNECT) if kind == "kafka-connect" else None
    said: Mapping[str, str | None] = {
        "group": facts.group,
        "application": kind,
        "connector": connector,
        "clients": ", ".join(clients),
        "hosts": ", ".join(hosts),
    }
    return detail(**said)

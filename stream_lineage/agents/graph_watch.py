"""The lineage graph, kept up to date: what people declare, what consumer groups read, as events on ``lineage.graph``.

The worker that has the first partition of the observation log does it. It first reads the topic to its end, so that
only news is written: after a crash what was written already is known, and what was not is found again. Two workers that
both take themselves for that one write the same thing twice, which changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from stream_lineage.agents.group_offsets import Round
from stream_lineage.graph.claim import Claim, news
from stream_lineage.graph.declarations import DeclaredJob
from stream_lineage.graph.from_applications import SOURCE as APPLICATION
from stream_lineage.graph.from_applications import aliases_of, claims_of_applications
from stream_lineage.graph.from_connect import SOURCE as CONNECT
from stream_lineage.graph.from_connect import Connector, claims_of_connectors
from stream_lineage.graph.from_declarations import SOURCES
from stream_lineage.graph.from_groups import SOURCE, GroupFacts, Member, claims_of_groups
from stream_lineage.graph.from_transactions import SOURCE as TRANSACTION
from stream_lineage.graph.from_transactions import Producers, claims_of_transactions
from stream_lineage.graph.from_values import SOURCE as SKETCHES
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.model.graph import EvidenceClass, GraphEdge, GraphEvent

REFRESH = timedelta(hours=1)
"""What is known and still so is written again so often. Larger: fewer events, and less is known of when it was so."""
WRITES_SECONDS = 7 * 86_400.0
"""What a transaction showed counts for so long. A job that writes less often is seen and gone in turn."""
_MISSED = 3
"""Looks without it after which a group, or a topic of it, is gone: one may be a coordinator that has just moved."""


class GraphWatch:
    """``groups`` with each look at them, ``events`` now and then."""

    def __init__(self, declared: Sequence[Claim], naming: Naming, *, clock: Callable[[], float] = time.time) -> None:
        self._declared = declared
        self._naming = self._file_naming = naming
        self._clock = clock
        self._applications: Sequence[DeclaredJob] | None = None
        self._values: Sequence[Claim] = ()
        self._values_whole = False
        self._reads: dict[str, dict[str, int]] = {}  # by group, each topic with the looks that have missed it
        self._answers: Counter[str] = Counter()
        self._lists: deque[frozenset[str]] = deque(maxlen=_MISSED)
        self._members: dict[str, Sequence[Member]] = {}
        self._writes: dict[tuple[str, str], float] = {}  # group and topic, and when a transaction showed it last
        self._transactions_since: float | None = None
        self._connectors: dict[str, Connector] = {}
        self._connector_lists: deque[frozenset[str]] = deque(maxlen=_MISSED)

    def groups(self, found: Round) -> None:
        """What a look has found."""
        if found.listed is not None:
            self._lists.append(found.listed)
        for group, now in found.reads.items():
            self._answers[group] += 1
            before = self._reads.get(group, {})
            missed = {topic: looks + 1 for topic, looks in before.items() if looks + 1 < _MISSED}
            self._reads[group] = {**missed, **dict.fromkeys(now, 0)}
        for group in [each for each in self._reads if self._gone(each)]:
            del self._reads[group]
            self._members.pop(group, None)

    @property
    def reading(self) -> list[str]:
        """The groups that are known."""
        return sorted(self._reads)

    def members(self, found: Mapping[str, Sequence[Member]]) -> None:
        self._members.update((group, members) for group, members in found.items() if group in self._reads)

    def transactions(self, found: Producers) -> None:
        """What a look at transactions has found. A producer that has paused for a day is no longer seen, so what was
        seen counts for longer than that."""
        now = self._clock()
        if self._transactions_since is None:
            self._transactions_since = now
        for claim in claims_of_transactions(found, Naming(self._naming.cluster)):
            if isinstance(claim.subject, GraphEdge):
                self._writes[claim.source.removeprefix(TRANSACTION), claim.subject.target.name] = now
        self._writes = {key: at for key, at in self._writes.items() if now - at < WRITES_SECONDS}

    def connectors(self, listed: Iterable[str], found: Iterable[Connector]) -> None:
        """The names of all connectors that Kafka Connect has, and those of which something is known now."""
        now = {each.name: each for each in found}
        self._connector_lists.append(frozenset(listed))
        self._connectors = {
            name: each for name, each in {**self._connectors, **now}.items() if not self._connector_gone(name)
        }

    def applications(self, jobs: Sequence[DeclaredJob]) -> None:
        """All that applications declare. What the file says of a consumer group goes before what they say."""
        self._applications = jobs
        aliases = {**aliases_of(jobs), **self._file_naming.aliases}
        if aliases != self._naming.aliases:
            self._naming = replace(self._file_naming, aliases=aliases)

    def values(self, claims: Sequence[Claim], *, whole: bool) -> None:
        """The candidates by values; ``whole`` where there are no others."""
        self._values, self._values_whole = claims, whole

    def drop(self) -> None:
        """Another worker may have looked meanwhile."""
        self._applications = None
        self._values, self._values_whole = (), False
        self._reads.clear()
        self._answers.clear()
        self._lists.clear()
        self._members.clear()
        self._writes.clear()
        self._transactions_since = None
        self._connectors.clear()
        self._connector_lists.clear()

    def events(self, graph: Graph, topics: Iterable[str]) -> list[GraphEvent]:
        """What the graph does not know yet, or no longer rightly. ``topics``: all that there are."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        facts = [
            GroupFacts(group, frozenset(read), self._members.get(group, ()))
            for group, read in sorted(self._reads.items())
        ]
        written: dict[int, frozenset[str]] = {}
        committed: dict[int, frozenset[str]] = {}
        for number, (group, topic) in enumerate(sorted(self._writes)):
            committed[number], written[number] = frozenset({group}), frozenset({topic})
        claims = [
            *self._declared,
            *claims_of_applications(self._applications or (), self._naming),
            *claims_of_groups(facts, topics, self._naming),
            *claims_of_transactions(Producers(committed, written), self._naming),
            *self._values,
            *claims_of_connectors(list(self._connectors.values()), self._naming),
        ]
        return news(graph, claims, self._owned, now, REFRESH)

    def _owned(self, by: EvidenceClass, source: str) -> bool:
        if by is EvidenceClass.DECLARED and source.startswith(CONNECT):
            return self._connector_known(source.removeprefix(CONNECT))
        if by is EvidenceClass.DECLARED and source.startswith(APPLICATION):
            return self._applications is not None
        if by is EvidenceClass.DECLARED:
            return source in SOURCES
        if by is EvidenceClass.TRANSACTION and source.startswith(TRANSACTION):
            since = self._transactions_since
            return since is not None and self._clock() - since >= WRITES_SECONDS
        if by is EvidenceClass.VALUES:
            return source == SKETCHES and self._values_whole
        if by is not EvidenceClass.GROUP or not source.startswith(SOURCE):
            return False
        group = source.removeprefix(SOURCE)
        return self._answers[group] >= _MISSED or self._gone(group)

    def _connector_known(self, name: str) -> bool:
        """Whether it is known what it uses, or that it is gone. One that is idle has not used anything since it was
        started, and may use again what it did."""
        connector = self._connectors.get(name)
        return self._connector_gone(name) if connector is None else bool(connector.topics)

    def _connector_gone(self, name: str) -> bool:
        lists = self._connector_lists
        return len(lists) == _MISSED and not any(name in listed for listed in lists)

    def _gone(self, group: str) -> bool:
        return len(self._lists) == _MISSED and not any(group in listed for listed in self._lists)

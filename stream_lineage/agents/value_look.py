"""Evidence of the class ``values``, collected at a bounded cost: the distinct values of the fields of topics, as the
newest observations sketch them, of topics that are worth comparing.

It is off unless asked for: values are right less than half of the time, and never count for more than a candidate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence

from stream_lineage.errors import DecodeError, StreamLineageError
from stream_lineage.graph.claim import Claim
from stream_lineage.graph.from_values import LEAST_VALUES, FieldValues, Match, claims_of_matches
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.graph.value_pairs import ValuePairs, read_and_unmade
from stream_lineage.logs import get_logger
from stream_lineage.model.observation import Observation
from stream_lineage.profile.distinct import DistinctSketch

MOST_FIELDS = 8
"""Of a topic: those with the most distinct values."""
MOST_TOPICS = 1_000
KEPT_SECONDS = 86_400.0
"""Sketches begin anew so often: what they gather grows, and tells less and less apart. What matched counts as long."""
RETRY_SECONDS = 60.0
_log = get_logger("stream_lineage.agents")
Tail = Callable[[], Iterable[Observation]]


class ValueLook:
    """``look`` as often as one likes: it does something each ``seconds``."""

    def __init__(self, tail: Tail, naming: Naming, *, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._tail = tail
        self._naming = naming
        self._seconds = seconds
        self._clock = clock
        self.drop()

    def drop(self) -> None:
        """Another worker may have looked meanwhile."""
        self._due = 0.0
        self._began = self._clock()
        self._sketches: dict[tuple[str, str], tuple[DistinctSketch, float]] = {}
        self._pairs = ValuePairs()
        self._matches: dict[tuple[str, str], tuple[list[Match], float]] = {}

    @property
    def whole(self) -> bool:
        """Whether all pairs were looked at once: what does not match then is no candidate any more."""
        return self._pairs.rounds > 0

    def look(self, graph: Graph, topics: Collection[str]) -> list[Claim] | None:
        """The candidates; null where nothing was done. Never fails: what cannot be read is said."""
        now = self._clock()
        if now < self._due:
            return None
        self._due = now + self._seconds
        if now - self._began >= KEPT_SECONDS:
            self._began = now
            self._sketches.clear()
        read, unmade = read_and_unmade(graph, topics, self._naming.namespace)
        wanted = read | unmade if read and unmade else set()
        try:
            for observation in self._tail():
                if observation.topic in wanted:
                    self._take(observation)
        except StreamLineageError as error:
            _log.warning("values of topics cannot be compared", error=error.message)
            self._due = now + min(self._seconds, RETRY_SECONDS)
            return None
        done, matches = self._pairs.matches(self._fields(), read, unmade)
        for pair in done:
            self._matches.pop(pair, None)
        for match in matches:
            self._matches.setdefault((match.first.topic, match.later.topic), ([], now))[0].append(match)
        held = {
            pair: known
            for pair, known in self._matches.items()
            if pair[0] in read and pair[1] in unmade and now - known[1] < KEPT_SECONDS
        }
        self._matches = held
        return list(claims_of_matches((each for known, _ in held.values() for each in known), self._naming))

    def _take(self, observation: Observation) -> None:
        topic, profile = observation.topic, observation.profile
        if profile is None:
            return
        at = observation.observed_at.timestamp()
        for field in profile.fields:
            if field.distinct is None:
                continue
            known = self._sketches.get((topic, field.path))
            if known is None and len(self._sketches) >= MOST_TOPICS * MOST_FIELDS:
                continue
            try:
                sketch = DistinctSketch.from_bytes(field.distinct)
            except DecodeError:
                continue
            if known is not None:
                known[0].merge(sketch)
            self._sketches[topic, field.path] = (sketch, at) if known is None else (known[0], min(known[1], at))

    def _fields(self) -> dict[str, Sequence[FieldValues]]:
        found: dict[str, list[FieldValues]] = {}
        for (topic, path), (sketch, since) in self._sketches.items():
            values = FieldValues(topic, path, sketch, since)
            if values.count >= LEAST_VALUES:
                found.setdefault(topic, []).append(values)
        return {
            topic: sorted(fields, key=lambda each: (-each.count, each.path))[:MOST_FIELDS]
            for topic, fields in found.items()
        }

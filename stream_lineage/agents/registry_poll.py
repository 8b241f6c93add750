"""Looking into the registry for what is not on the wire yet.

Each worker looks after the subjects of the topics that it has, as the detectors' states name them: so every subject of
a topic is looked after by exactly one worker, and what is known of it moves with the topic's partition of the
observation log. A round asks for some subjects only and the next one goes on behind them. What a round finds is told,
then kept, in between two observations; after a crash it is found again, under the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from stream_lineage.agents.alerts import Place, alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, state_key, stored_state
from stream_lineage.detect.detector import SchemaTexts, State
from stream_lineage.detect.references import reference_from_json
from stream_lineage.detect.registry_watch import (
    Holding,
    RegistryWatch,
    Subject,
    changes_told,
    wanted,
    without_others,
)
from stream_lineage.detect.schema_drift import ROLES, SchemaDrift
from stream_lineage.errors import NotFound, RegistryUnavailable, SchemaError, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.model.schema import SchemaReference
from stream_lineage.wire.registry import SchemaRegistry

SUBJECTS_PER_ROUND = 100
"""Subjects that one round asks for, with two requests each and one for each new version. Larger: many subjects are
looked at more often, and the registry has more to do."""
_WIRE = state_key(SchemaDrift.name, "")
_log = get_logger("stream_lineage.agents")


@dataclass(frozen=True, slots=True)
class Watched:
    """A subject, where its topic's states are kept, and the topic's state as it is now, after so many ``rounds``."""

    partition: int
    subject: Subject
    state: State
    rounds: int


class RegistryPoll:
    """``ask`` does the I/O, anywhere and for as long as it takes; ``judge`` follows from its answers and the rows."""

    def __init__(
        self,
        registry: SchemaRegistry,
        schemas: SchemaTexts,
        cluster: str,
        public_url: str,
        *,
        subjects_per_round: int = SUBJECTS_PER_ROUND,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = registry
        self._schemas = schemas
        self._cluster = cluster
        self._public_url = public_url
        self._subjects_per_round = subjects_per_round
        self._wall = wall
        self._detector = RegistryWatch()
        self._mine: frozenset[int] = frozenset()
        self._last: tuple[str, str] = ("", "")

    def assigned(self, partitions: Iterable[int]) -> None:
        """The partitions of the observation log that this worker has now."""
        self._mine = frozenset(partitions)

    def ask(self, rows: Mapping[bytes, bytes]) -> list[tuple[Watched, Holding]]:
        """What the registry holds of the subjects whose turn it is. Those that it does not answer for are left out."""
        answers: list[tuple[Watched, Holding]] = []
        failures: list[StreamLineageError] = []
        default = self._level(None)
        for watched in self._next(watched_subjects(rows, self._mine, self._cluster)):
            try:
                answers.append((watched, self._holding(watched, default)))
            except StreamLineageError as error:
                failures.append(error)  # it may answer for others; where it is away, that is known without asking
            self._last = (watched.subject.topic, watched.subject.name)
        if failures:
            _log.warning("subjects cannot be looked at", subjects=len(failures), error=failures[0].message)
        return answers

    def judge(
        self, answers: Iterable[tuple[Watched, Holding]], rows: Mapping[bytes, bytes]
    ) -> list[tuple[int, Outcome]]:
        """The alerts and new states that answers lead to, by partition. Answers for partitions that are gone, and for
        topics whose state has changed meanwhile, lead to nothing: the next round asks again."""
        by_topic: dict[tuple[int, str], list[tuple[Watched, Holding]]] = {}
        for watched, holding in answers:
            if watched.partition in self._mine:
                by_topic.setdefault((watched.partition, watched.subject.topic), []).append((watched, holding))
        outcomes = []
        for (partition, topic), found in by_topic.items():
            key = state_key(self._detector.name, topic)
            rounds, stored = _kept(rows.get(key))
            state = found[0][0].state
            if rounds != found[0][0].rounds:
                continue
            at, after, alerts = self._wall(), state, []
            for watched, holding in found:
                place = f"registry/{watched.subject.name}/{changes_told(state, watched.subject.name)}"
                after, findings = self._detector.look(after, watched.subject, holding, self._schemas)
                look = Place(place, self._cluster, at)
                alerts += [alert(finding, self._detector.channel, look, self._public_url) for finding in findings]
            if after != stored:
                # Rows of one partition follow each other by their rounds, as others do by the log.
                value = stored_state(LogPosition(partition, rounds + 1), at, after)
                outcomes.append((partition, Outcome(tuple(alerts), (Changed(key, value),))))
        return outcomes

    def _next(self, watched: list[Watched]) -> list[Watched]:
        """Those behind the last one, in turn."""
        watched.sort(key=lambda each: (each.subject.topic, each.subject.name))
        behind = [each for each in watched if (each.subject.topic, each.subject.name) > self._last]
        return [*behind, *watched[: len(watched) - len(behind)]][: self._subjects_per_round]

    def _holding(self, watched: Watched, default: str | None) -> Holding:
        name = watched.subject.name
        try:
            versions = self._registry.versions(name, deleted=False)
        except NotFound:
            versions = ()
        if not versions:
            return Holding((), permanently=self._is_gone(watched.subject))
        added: dict[int, SchemaReference] = {}
        for version in wanted(watched.state, name, versions):
            try:
                added[version] = self._registry.version(name, version).reference
            except (NotFound, SchemaError) as error:
                _log.warning("version cannot be read", subject=name, version=version, error=error.message)
        for reference in (watched.subject.current, *added.values()) if added else ():
            self._schemas.text(reference)  # so that nothing waits for it while it is judged
        return Holding(versions, level=self._level(name) or default, default=default, added=added)

    def _level(self, subject: str | None) -> str | None:
        """Null also where we may not read it."""
        try:
            return self._registry.compatibility(subject)
        except RegistryUnavailable:
            return None

    def _is_gone(self, subject: Subject) -> bool:
        """Whether records of a deleted subject can no longer be read, by nobody who has not asked before."""
        try:
            if self._registry.versions(subject.name):
                return False
        except NotFound:
            pass
        return subject.current.id is None or not self._registry.versions_of(subject.current.id)


def watched_subjects(rows: Mapping[bytes, bytes], partitions: Collection[int], cluster: str) -> list[Watched]:
    """The subjects under which records of the topics of these partitions were written last."""
    found = []
    for key, value in list(rows.items()):
        if not key.startswith(_WIRE):
            continue
        document = orjson.loads(value)
        partition = document["position"][0]
        if partition not in partitions:
            continue
        topic = key[len(_WIRE) :].decode()
        subjects = [
            subject for role in ROLES for subject in _on_the_wire(document["state"][role], cluster, topic, role)
        ]
        rounds, state = _kept(rows.get(state_key(RegistryWatch.name, topic)))
        state = without_others(state, frozenset(subject.name for subject in subjects))
        found += [Watched(partition, subject, state, rounds) for subject in subjects]
    return found


def _on_the_wire(line: Mapping[str, Any], cluster: str, topic: str, role: str) -> list[Subject]:
    seen = frozenset(line["versions"])
    found: dict[str, Subject] = {}
    for group in line["groups"].values():
        version = line["versions"].get(group["current"])
        if version is None:
            continue
        current = reference_from_json(version["reference"])
        if current.subject is not None:
            found[current.subject] = Subject(cluster, topic, role, current.subject, current, seen)
    return list(found.values())


def _kept(value: bytes | None) -> tuple[int, State]:
    """The round and the state of a row."""
    if value is None:
        return 0, RegistryWatch().initial()
    document = orjson.loads(value)
    return document["position"][1], document["state"]

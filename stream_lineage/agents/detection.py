"""Running the detectors over the observation log, so that doing it again after a crash changes nothing.

Each detector's state of a topic is kept with the log position of the observation that changed it last. The log is read
in order, and observations that are read again are those that came before a commit; one at or before the position has
been taken in already and is passed over. One after it, which changed nothing then, changes nothing again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stream_lineage.agents.alerts import Alert, alert
from stream_lineage.detect.detector import Detector, SchemaTexts, State
from stream_lineage.model.observation import Observation

RECREATED_AFTER = timedelta(minutes=5)
"""An observation at a low offset but so much younger than the state is of a log that was made anew, and counts."""


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """Where an observation stands in the observation topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A detector's state to be stored: ``key`` and ``value`` as the table has them; null deletes the row."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one observation led to. The alerts must be on their topic before the states are stored."""

    alerts: tuple[Alert, ...]
    changed: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    value: bytes
    position: LogPosition
    at: datetime
    state: State


class Detection:
    """All detectors over all topics of the partitions that this worker has. States are parsed once, not per call."""

    def __init__(self, detectors: Iterable[Detector], schemas: SchemaTexts, public_url: str) -> None:
        self._detectors = tuple(detectors)
        self._schemas = schemas
        self._public_url = public_url
        self._parsed: dict[bytes, _Kept] = {}

    def observe(self, observation: Observation, position: LogPosition, states: Mapping[bytes, bytes]) -> Outcome:
        """Run every detector. ``states`` is what is stored; nothing of it is changed here."""
        alerts: list[Alert] = []
        changed: list[Changed] = []
        for detector in self._detectors:
            key = state_key(detector.name, observation.topic)
            kept = self._kept(key, states.get(key))
            if kept is not None and _passed(kept, position, observation.observed_at):
                continue
            state = detector.initial() if kept is None else kept.state
            # The time of the observation, not of this run: what is found must not depend on when.
            after, findings = detector.observe(state, observation, observation.observed_at, self._schemas)
            alerts += [alert(finding, detector.channel, observation, self._public_url) for finding in findings]
            if after is not state:
                changed.append(Changed(key, stored_state(position, observation.observed_at, after)))
        return Outcome(tuple(alerts), tuple(changed))

    def _kept(self, key: bytes, value: bytes | None) -> _Kept | None:
        if value is None:
            self._parsed.pop(key, None)
            return None
        kept = self._parsed.get(key)
        if kept is None or kept.value != value:
            document: dict[str, Any] = orjson.loads(value)
            at = datetime.fromtimestamp(document["at_ms"] / 1000, UTC)
            kept = _Kept(value, LogPosition(*document["position"]), at, document["state"])
            self._parsed[key] = kept
        return kept


def state_key(detector: str, topic: str) -> bytes:
    """The key of a detector's state of a topic. Neither name holds a slash first: detectors' names have none."""
    return f"{detector}/{topic}".encode()


def _passed(kept: _Kept, position: LogPosition, observed_at: datetime) -> bool:
    return (
        kept.position.partition == position.partition
        and position.offset <= kept.position.offset
        and observed_at <= kept.at + RECREATED_AFTER
    )


def stored_state(position: LogPosition, at: datetime, state: State) -> bytes:
    return orjson.dumps(
        {"position": [position.partition, position.offset], "at_ms": int(at.timestamp() * 1000), "state": state}
    )

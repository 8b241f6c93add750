"""Pushed metrics: into the store, and each series judged as our own metrics are.

The worker that has the first partition of the observation log reads the topic, from the offset behind the last point
that it or another one took in. A point is stored, judged, told of, then noted: after a crash it is taken in again with
the same result, for a series knows the offset of its last point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, stored_state
from stream_lineage.agents.home import HOME
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.detect.detector import State
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.series.detector import DEFAULT_SENSITIVITY, SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.verdict import Verdict
from stream_lineage.logs import get_logger
from stream_lineage.model.finding import Finding, Phase, SchemaChange, Severity
from stream_lineage.model.pushed import PushedPoint
from stream_lineage.provenance.pushed import decode_point, series_key
from stream_lineage.store.ports import MetricStore, Point

if TYPE_CHECKING:
    from confluent_kafka import Consumer

KIND = "pushed-metric"
MEASUREMENT = "lineage_pushed"
MAX_SERIES = 5_000
"""Series that are judged. Points of others are stored only."""
_PREFIX = b"pushed/"
_PLACE = b"pushed-offset/"
_CRITICAL_SCORE = 0.9
_log = get_logger("stream_lineage.agents")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A point and its offset."""

    offset: int
    point: PushedPoint


class PushedFeed:
    """Reads the points."""

    def __init__(
        self, consumer: Consumer, topic: str, wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._log = OnePartition(consumer, topic, lambda message: decode_point(message.value() or b"", wall()))

    def read(self, start: int) -> tuple[list[Pushed], int]:
        """The points from here on, a portion of them, and where to go on.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        found, through = self._log.read(start)
        return [Pushed(offset, point) for offset, point in found], through


class PushedWatch:
    """``judge`` what a feed has read. ``cluster`` is where the alerts come from."""

    def __init__(
        self, store: MetricStore, cluster: str, public_url: str, *, sensitivity: float = DEFAULT_SENSITIVITY
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._public_url = public_url
        self._sensitivity = sensitivity

    def place(self, rows: Mapping[bytes, bytes]) -> int:
        """The offset from which on nothing has been taken in."""
        value = rows.get(_PLACE)
        return 0 if value is None else int(orjson.loads(value)["position"][1])

    def judge(self, points: Iterable[Pushed], through: int, rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        """Store the points and judge them; ``through`` is the offset behind the last message that was read.

        Raises:
            ConnectionFailed: the store cannot be written.
        """
        start = self.place(rows)
        fresh = [each for each in points if each.offset >= start]
        if through <= start:
            return []
        self._store.write(_stored(each.point) for each in fresh)
        states: dict[bytes, tuple[State, Pushed]] = {}
        alerts: list[Alert] = []
        known = sum(key.startswith(_PREFIX) for key in rows)
        for each in fresh:
            key = _PREFIX + hashlib.sha256(series_key(each.point)).hexdigest()[:32].encode()
            value = rows.get(key)
            if value is None and key not in states:
                if known >= MAX_SERIES:
                    continue
                known += 1
            if value is not None and each.offset < orjson.loads(value)["position"][1]:
                continue  # taken in before a crash
            state = _state(key, value, states)
            after, verdict = self._observe(state, each.point)
            alerts += self._alerts(each, state is not None and state["told"], verdict)
            states[key] = after, each
        last = max((each.point.at for each in fresh), default=datetime.now(UTC))
        changed = [
            Changed(key, stored_state(LogPosition(HOME, each.offset + 1), each.point.at, state))
            for key, (state, each) in states.items()
        ]
        changed.append(Changed(_PLACE, stored_state(LogPosition(HOME, through), last, {})))
        return [(HOME, Outcome(tuple(alerts), tuple(changed)))]

    def _observe(self, state: State | None, point: PushedPoint) -> tuple[State, Verdict]:
        detector = SeriesDetector(
            SeriesKind(point.kind), sensitivity=self._sensitivity, window_seconds=point.every_seconds
        )
        state = {"series": detector.initial(), "told": False} if state is None else state
        series, verdict = detector.observe(state["series"], point.at.timestamp(), point.value)
        return {"series": series, "told": verdict.alert}, verdict

    def _alerts(self, pushed: Pushed, told: bool, verdict: Verdict) -> list[Alert]:
        """An excursion is told when it begins and when it is over."""
        if verdict.alert == told:
            return []
        phase: Phase = "open" if verdict.alert else "close"
        finding = _finding(pushed.point, verdict, phase, self._cluster)
        origin = Place(f"pushed/{pushed.offset}/{phase}", self._cluster, pushed.point.at)
        return [alert(finding, "anomaly", origin, self._public_url)]


def _state(key: bytes, value: bytes | None, states: Mapping[bytes, tuple[State, Pushed]]) -> State | None:
    if key in states:
        return states[key][0]
    if value is None:
        return None
    state: State = orjson.loads(value)["state"]
    return state


def _finding(point: PushedPoint, verdict: Verdict, phase: Phase, cluster: str) -> Finding:
    expected = "unknown" if verdict.expected is None else f"{verdict.expected:.6g}"
    tags = "".join(f", {name}={value}" for name, value in sorted(point.tags.items()))
    said = "is again as usual" if phase == "close" else f"is {point.value:.6g}, expected {expected}"
    grave = phase == "open" and verdict.score >= _CRITICAL_SCORE
    return Finding(
        kind=KIND,
        severity=Severity.INFO if phase == "close" else Severity.CRITICAL if grave else Severity.WARNING,
        topic=point.node,
        field_path=None,
        summary=f"{point.node}: {point.metric}{tags} {said}",
        fingerprint=finding_fingerprint(KIND, cluster, series_key(point).decode()),
        first_offsets={},
        changes=(SchemaChange(KIND, point.metric, expected, f"{point.value:.6g}"),),
        phase=phase,
        score=round(min(max(verdict.score, 0.0), 1.0), 4),
    )


def _stored(point: PushedPoint) -> Point:
    tags = {**{f"tag_{name}": value for name, value in point.tags.items()}, "node": point.node, "metric": point.metric}
    return Point(MEASUREMENT, tags, {"value": point.value}, point.at)

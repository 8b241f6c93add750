"""Metric anomalies: each topic and each of its fields against what they have been like.

The baselines of a field, those of the topic as a whole and the episodes under way are separate parts of the state, so
that whoever stores them writes few at a time: the baselines follow from the windows, and windows are small.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from stream_lineage.detect.detector import State
from stream_lineage.detect.episodes import Episodes, Muted, never
from stream_lineage.detect.expectations import TopicExpectation
from stream_lineage.detect.metric_field import FieldBaselines, Open
from stream_lineage.detect.metric_topic import TopicBaselines
from stream_lineage.detect.offset_trail import OffsetTrail
from stream_lineage.detect.series.detector import DEFAULT_SENSITIVITY, SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.window import MAX_FIELDS, Window
from stream_lineage.model.finding import Finding

TOPIC = ""
"""The name of the part that holds the topic's own baselines; the others are named after their fields, ``.`` first."""

Detectors = Mapping[SeriesKind, SeriesDetector]


class TopicMetrics:
    """The metrics of one topic as a living object. ``parts`` and ``episodes`` are its state."""

    def __init__(
        self,
        detectors: Detectors,
        parts: Mapping[str, State],
        episodes: State | None,
        expectations: Mapping[str, TopicExpectation],
    ) -> None:
        self._detectors = detectors
        self._expectations = expectations
        topic = parts.get(TOPIC, {})
        self._topic = TopicBaselines(detectors, topic.get("topic"))
        self._trail = OffsetTrail(topic.get("trail"))
        self._fields = {
            name[1:]: FieldBaselines(name[1:], detectors, state) for name, state in parts.items() if name != TOPIC
        }
        self._gone: list[str] = []
        self.resume_episodes(episodes)

    def judge(self, window: Window, muted: Muted = never) -> tuple[Finding, ...]:
        """Take in the next window; what is to be told, in order."""
        self._trail.observe(window)
        found = self._topic.observe(window) | self._learn(window)
        expected = self._expectations.get(window.topic)
        unmet = {} if expected is None else expected.unmet(window, self._topic.usual_records)
        return (
            *self._declared.advance(window, unmet, self._trail, muted),
            *self._episodes.advance(window, found, self._trail, muted),
        )

    def catch_up(self, window: Window, but: Collection[str]) -> None:
        """Take in a window that was judged before, except into the parts of these names, which have it already."""
        if TOPIC not in but:
            self._trail.observe(window)
            self._topic.observe(window)
        self._learn(window, but)

    def _learn(self, window: Window, but: Collection[str] = ()) -> Open:
        found: Open = {}
        if not window.fields:
            for path, known in self._fields.items():
                if not but or f".{path}" not in but:
                    found |= known.absent()
            return found
        seen = set()
        for each in window.fields:
            seen.add(each.path)
            if but and f".{each.path}" in but:
                continue
            field = self._fields.get(each.path)
            if field is None:
                if len(self._fields) >= MAX_FIELDS:
                    continue
                field = self._fields[each.path] = FieldBaselines(each.path, self._detectors)
            found |= field.observe(window.start, each, waited=self._topic.waited)
        for path in [path for path in self._fields if path not in seen and f".{path}" not in but]:
            found |= self._fields[path].absent()
            if self._fields[path].forgotten:
                del self._fields[path]
                self._gone.append(f".{path}")
        return found

    def resume_episodes(self, episodes: State | None) -> None:
        """Set the episodes to a state that was kept."""
        episodes = episodes or {}
        self._episodes = Episodes("metric", episodes.get("metric"))
        self._declared = Episodes("expectation", episodes.get("expectation"), join_windows=0, cooldown_windows=0)

    @property
    def names(self) -> list[str]:
        """The names of the parts of the state."""
        return [TOPIC, *(f".{path}" for path in self._fields)]

    def gone(self) -> list[str]:
        """The names of parts that there are no more, since this was asked last."""
        gone, self._gone = self._gone, []
        return gone

    def part(self, name: str) -> State:
        if name == TOPIC:
            return {"topic": self._topic.state(), "trail": self._trail.state()}
        return self._fields[name[1:]].state()

    def episodes(self) -> State:
        return {"metric": self._episodes.state(), "expectation": self._declared.state()}

    @property
    def last_record(self) -> float:
        """The end of the last window in which something came, seconds since the epoch."""
        return self._topic.last_record

    @property
    def series(self) -> int:
        """How many series there are."""
        return self._topic.series + sum(field.series for field in self._fields.values())

    @property
    def warming_up(self) -> int:
        """How many of them said in the last window that their memory is young; constant ones say nothing."""
        return self._topic.warming_up + sum(field.warming_up for field in self._fields.values())


class MetricAnomalies:
    """The detector. ``sensitivity``: false alarms to expect of one series in a month. ``expectations``: what is
    declared, by topic."""

    name = "metric-anomalies"

    def __init__(
        self,
        *,
        sensitivity: float = DEFAULT_SENSITIVITY,
        window_seconds: float = 10.0,
        expectations: Mapping[str, TopicExpectation] | None = None,
    ) -> None:
        self._expectations = expectations or {}
        self.window_seconds = window_seconds
        self._detectors: Detectors = {
            kind: SeriesDetector(kind, sensitivity=sensitivity, window_seconds=window_seconds) for kind in SeriesKind
        }

    def initial(self) -> State:
        return {"parts": {}, "episodes": None}

    def resume(self, parts: Mapping[str, State], episodes: State | None) -> TopicMetrics:
        """A topic to give many windows to, one after the other."""
        return TopicMetrics(self._detectors, parts, episodes, self._expectations)

    def judge(self, state: State, window: Window, now: datetime) -> tuple[State, tuple[Finding, ...]]:
        live = self.resume(state["parts"], state["episodes"])
        findings = live.judge(window)
        return {"parts": {name: live.part(name) for name in live.names}, "episodes": live.episodes()}, findings

    def run(self, windows: Iterable[Window]) -> Iterator[tuple[Window, Finding]]:
        """What would be told of windows of any topics, each topic's in order: for simulations and audits."""
        topics: dict[tuple[str, str], TopicMetrics] = {}
        for window in windows:
            key = (window.cluster, window.topic)
            live = topics.get(key)
            if live is None:
                live = topics[key] = self.resume({}, None)
            for finding in live.judge(window):
                yield window, finding

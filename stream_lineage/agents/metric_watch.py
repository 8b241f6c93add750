"""Baselines of all topics of a worker, kept so that a crash changes nothing and little is written.

A window is *frozen* before it is judged: its numbers are in the changelog, with the episodes as they were before it.
What is found follows from the frozen windows, so that whoever comes after a crash finds the same, under the same ids,
and tells again what was frozen last. Baselines are many and change with every window: each is written once in
``SNAPSHOT_WINDOWS`` windows, in turn, and is brought up to date from the frozen windows, of which the last ``RING`` are
kept. It is written as it was before the windows that it is frozen with: those are always judged again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import orjson

from stream_lineage.agents.alerts import Alert, alert
from stream_lineage.agents.detection import LogPosition
from stream_lineage.agents.muting import Muting
from stream_lineage.agents.windows import PASSED_SECONDS, window_key
from stream_lineage.detect.detector import State
from stream_lineage.detect.episodes import Muted, never
from stream_lineage.detect.metric_anomalies import MetricAnomalies, TopicMetrics
from stream_lineage.detect.window import Window
from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Link

SNAPSHOT_WINDOWS = 60
"""A baseline is written once in so many windows. Larger: less is written, more is to be made again at a start."""
RING = 128
"""Frozen windows that are kept; more than two rounds of snapshots, one of which may be cut off by a crash."""
MAX_FILLED = 60
"""Empty windows that are judged in one gap. Of longer ones the rest of the time is left out."""
GIVEN_UP_SECONDS = 86_400.0
"""A topic that was silent for so long is no more looked at until something comes."""

Row = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """The place of a finding that was made from a window."""

    observation_id: str
    cluster: str
    observed_at: datetime
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Resumed:
    """Alerts that may not have been published, and whether all topics are taken up."""

    alerts: list[Alert]
    all_there: bool


@dataclass(slots=True)
class _Topic:
    live: TopicMetrics
    windows: int
    position: LogPosition
    through: float
    cluster: str
    note: bytes = b""
    frozen: list[Window] = field(default_factory=list)


class MetricWatch:
    """``freeze`` windows, put the rows into the table, then ``judge`` them and publish the alerts."""

    def __init__(
        self,
        detector: MetricAnomalies,
        public_url: str,
        muting: Muting | None = None,
        *,
        passed_on: Collection[str] = (),
    ) -> None:
        """Windows of the topics in ``passed_on`` are kept for ``passed`` once they are judged."""
        self._detector = detector
        self.window_seconds = int(detector.window_seconds)
        self._public_url = public_url
        self._muting = muting
        self._passed_on = frozenset(passed_on)
        self._passed: list[Window] = []
        self._topics: dict[str, _Topic] = {}
        self._former: dict[str, _Topic] = {}
        self._names: dict[str, list[str]] | None = None

    def drop(self) -> None:
        """Partitions were taken away: everything is made again from what is kept, but for topics that nobody else had
        meanwhile."""
        self._former = self._topics
        self._topics = {}
        self._names = None
        self._passed = []

    def passed(self) -> list[Window]:
        """Windows that were judged since this was asked last. After a crash some come again, as they were."""
        passed, self._passed = self._passed, []
        return passed

    def resume(self, rows: Mapping[bytes, bytes], partitions: Collection[int], most: int) -> Resumed:
        """Take up some topics of these partitions that are not yet, with the alerts that were frozen last."""
        alerts: list[Alert] = []
        for key in [key for key in list(rows) if key.startswith(_NOTES)]:
            topic = key[len(_NOTES) :].decode()
            if topic in self._topics or orjson.loads(rows[key])["position"][0] not in partitions:
                continue
            if most <= 0:
                return Resumed(alerts, all_there=False)
            alerts += self._load(topic, rows)
            most -= 1
        return Resumed(alerts, all_there=True)

    def take_up(self, topics: Iterable[str], rows: Mapping[bytes, bytes]) -> list[Alert]:
        """Take up topics unless they are, with the alerts that were frozen last and may not have been published."""
        return [alert for topic in topics if topic not in self._topics for alert in self._load(topic, rows)]

    def freeze(self, window: Window, position: LogPosition) -> list[Row]:
        """The rows that make a window a part of the past. Its topic must be taken up."""
        topic = self._topics.get(window.topic)
        if topic is None:
            live = self._detector.resume({}, None)
            topic = _Topic(live, 0, position, window.start, window.cluster)
            self._topics[window.topic] = topic
        topic.position = position
        topic.frozen = [*self._empty(window.topic, topic, window.start), window]
        return self._frozen_rows(window.topic, topic)

    def freeze_silence(self, until: Callable[[int], float], busy: Collection[str], most: int) -> dict[int, list[Row]]:
        """Freeze windows that are over and in which nothing came, of topics that are not ``busy``; rows by partition of
        the log. ``until`` says up to when, in seconds since the epoch, all that came to a partition is known."""
        found: dict[int, list[Row]] = {}
        for name, topic in self._topics.items():
            if name in busy or topic.through - topic.live.last_record > GIVEN_UP_SECONDS:
                continue
            topic.frozen = list(self._empty(name, topic, until(topic.position.partition) - PASSED_SECONDS))[:most]
            if topic.frozen:
                found.setdefault(topic.position.partition, []).extend(self._frozen_rows(name, topic))
                most -= len(topic.frozen)
                if most <= 0:
                    break
        return found

    def judge(self) -> list[Alert]:
        """Judge what was frozen: the alerts to be published."""
        alerts: list[Alert] = []
        for topic in self._topics.values():
            for window in topic.frozen:
                alerts += self._alerts(window, topic.live.judge(window, self._muted(window)))
            topic.frozen = []
        return alerts

    def warmth(self, topic: str) -> dict[str, int]:
        """How many baselines a topic has, and how many of them are young; of the window before."""
        known = self._topics.get(topic)
        if known is None:
            return {"baselines": 0, "baselines_warming_up": 0}
        return {"baselines": known.live.series, "baselines_warming_up": known.live.warming_up}

    @property
    def topics(self) -> int:
        return len(self._topics)

    def _load(self, name: str, rows: Mapping[bytes, bytes]) -> list[Alert]:
        note = rows.get(window_key(name))
        if note is None:
            return []
        former = self._former.pop(name, None)
        if former is not None and former.note == note and not former.frozen:
            self._topics[name] = former
            return []
        document = orjson.loads(note)
        windows: int = document.get("windows", 0)
        position = LogPosition(*document["position"])
        through = document["at_ms"] / 1000
        # Baselines of windows of another width are forgotten: a tenth of the time has a tenth of the records.
        latest = takewhile(
            lambda row: row.window.seconds == self.window_seconds, reversed(_frozen(name, rows, windows))
        )
        frozen = list(latest)[::-1]
        oldest = frozen[0].number - 1 if frozen else windows
        parts = {part: known for part, known in self._parts(name, rows, windows).items() if known[0] >= oldest}
        since = {part: number for part, (number, _) in parts.items()}
        live = self._detector.resume({part: state for part, (_, state) in parts.items()}, None)
        alerts: list[Alert] = []
        cluster = ""
        for row in frozen:
            cluster = row.window.cluster
            if row.number < row.last_first:
                live.catch_up(row.window, {part for part, number in since.items() if number >= row.number})
                continue
            if row.number == row.last_first:
                live.resume_episodes(row.episodes)
            alerts += self._alerts(row.window, live.judge(row.window, self._muted(row.window)))
        self._topics[name] = _Topic(live, windows, position, through, cluster, note)
        return alerts

    def _parts(self, name: str, rows: Mapping[bytes, bytes], windows: int) -> dict[str, tuple[int, State]]:
        """The baselines that can be brought up to date from the frozen windows."""
        if self._names is None:
            self._names = {}
            for key in list(rows):
                if key.startswith(_BASELINES):
                    topic, _, part = key[len(_BASELINES) :].decode().partition("/")
                    self._names.setdefault(topic, []).append(part)
        found = {}
        for part in self._names.get(name, ()):
            document = orjson.loads(rows[baseline_key(name, part)])
            if document["state"] is not None and windows - RING < document["windows"] <= windows:
                found[part] = (document["windows"], document["state"])
        return found

    def _frozen_rows(self, name: str, topic: _Topic) -> list[Row]:
        before = topic.windows
        first = before + 1
        episodes = topic.live.episodes()
        rows: list[Row] = []
        for window in topic.frozen:
            topic.windows += 1
            topic.through = window.end
            members = {"first": first, "episodes": episodes, "window": window.to_json()}
            rows.append((frozen_key(name, topic.windows), _row(topic, topic.windows, members)))
        topic.note = _row(topic, topic.windows, {})
        rows.append((window_key(name), topic.note))
        turns = {number % SNAPSHOT_WINDOWS for number in range(first, topic.windows + 1)}
        for part in topic.live.names if before else ():
            if zlib.crc32(part.encode()) % SNAPSHOT_WINDOWS in turns:
                rows.append((baseline_key(name, part), _row(topic, before, {"state": topic.live.part(part)})))
        rows += [(baseline_key(name, part), _row(topic, before, {"state": None})) for part in topic.live.gone()]
        return rows

    def _empty(self, name: str, topic: _Topic, until: float) -> Iterator[Window]:
        """The windows between the last one of a topic and a time, in which nothing came."""
        start, seconds = topic.through, self.window_seconds
        for _ in range(MAX_FILLED if topic.windows else 0):
            if start + seconds > until:
                return
            yield Window(topic.cluster, name, start, seconds)
            start += seconds

    def _muted(self, window: Window) -> Muted:
        muting = self._muting
        at = _end(window)
        return never if muting is None else lambda finding: muting.mutes(finding, at)

    def _alerts(self, window: Window, findings: Iterable[Finding]) -> list[Alert]:
        if window.topic in self._passed_on:
            self._passed.append(window)
        return [
            alert(
                finding,
                "anomaly",
                ClosedWindow(_place(window, finding), window.cluster, _end(window)),
                self._public_url,
            )
            for finding in findings
        ]


def _place(window: Window, finding: Finding) -> str:
    return f"window/{window.topic}/{window.start:.3f}/{finding.phase}"


def _end(window: Window) -> datetime:
    return datetime.fromtimestamp(window.end, UTC)


_NOTES = window_key("")
_BASELINES = b"baseline/"


def baseline_key(topic: str, part: str) -> bytes:
    return _BASELINES + f"{topic}/{part}".encode()


def frozen_key(topic: str, number: int) -> bytes:
    return f"frozen/{topic}/{number % RING}".encode()


def _row(topic: _Topic, windows: int, members: Mapping[str, Any]) -> bytes:
    """A row of the table, with its place in the log, and the windows up to which it holds."""
    place = [topic.position.partition, topic.position.offset]
    at_ms = int(topic.through * 1000)
    return orjson.dumps({"position": place, "at_ms": at_ms, "windows": windows, **members})


@dataclass(frozen=True, slots=True)
class _Frozen:
    """``last_first``: the first of the windows that were frozen together last."""

    number: int
    episodes: State
    window: Window
    last_first: int


def _frozen(name: str, rows: Mapping[bytes, bytes], windows: int) -> list[_Frozen]:
    """The frozen windows that are kept, oldest first."""
    documents = []
    for number in range(max(1, windows - RING + 1), windows + 1):
        value = rows.get(frozen_key(name, number))
        if value is not None:
            document = orjson.loads(value)
            if document["windows"] == number:
                documents.append(document)
    if not documents:
        return []
    last_first = documents[-1]["first"]
    return [
        _Frozen(each["windows"], each["episodes"], Window.from_json(each["window"]), last_first) for each in documents
    ]

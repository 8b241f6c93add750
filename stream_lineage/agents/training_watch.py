"""Live data against training baselines: the windows of a topic are put together until there are enough of them, then
compared with each baseline of the topic.

What is told is kept in the table, and follows from what is kept and what was compared. What has been put together is in
memory only: after a crash or a rebalance it begins anew, and a comparison comes later by at most its own length. What
was found right before is told as it was found (``journal.py``), not as another comparison would find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from stream_lineage.agents.alerts import Place, alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, state_key, stored_state
from stream_lineage.agents.metrics import TopicWindow
from stream_lineage.detect.detector import State
from stream_lineage.detect.training import compare
from stream_lineage.detect.training_drift import Compared, TrainingDrift
from stream_lineage.errors import DecodeError
from stream_lineage.logs import get_logger
from stream_lineage.model.baseline import Baseline, Sample, TopicSource
from stream_lineage.model.profile import Profile
from stream_lineage.profile.merge import merge_profiles

ENOUGH_RECORDS = 1_000
"""Records to be compared. Where fewer have come in the time of a comparison they are waited for, up to a day."""
LONGEST_SECONDS = 86_400.0
_log = get_logger("stream_lineage.agents")


@dataclass(slots=True)
class _Gathered:
    """Windows of one topic."""

    cluster: str
    partition: int
    start: float
    end: float
    profile: Profile
    first_offsets: dict[int, int] = field(default_factory=dict)
    last_offsets: dict[int, int] = field(default_factory=dict)

    def is_due(self, seconds: float) -> bool:
        enough = self.profile.decoded >= ENOUGH_RECORDS
        return self.end - self.start >= (seconds if enough else LONGEST_SECONDS)


class TrainingWatch:
    """``learn`` the baselines, ``add`` windows, and ``judge`` now and then.

    ``key_id`` tells the key of the hashes in live profiles; null where that is not known: then it is taken to be that
    of the baseline.
    """

    def __init__(self, public_url: str, *, seconds: float, key_id: str | None = None) -> None:
        self._public_url = public_url
        self._seconds = seconds
        self._key_id = key_id
        self._detector = TrainingDrift()
        self._baselines: dict[str, list[Baseline]] = {}
        self._gathered: dict[str, _Gathered] = {}

    def learn(self, baselines: Iterable[Baseline]) -> None:
        """The baselines that there are now."""
        found: dict[str, list[Baseline]] = {}
        for baseline in baselines:
            if baseline.topic is not None:
                found.setdefault(baseline.topic, []).append(baseline)
        self._baselines = found
        _log.info("training baselines", topics=len(found), baselines=sum(map(len, found.values())))
        for topic in self._gathered.keys() - found.keys():
            del self._gathered[topic]

    def drop(self) -> None:
        """Partitions were taken away."""
        self._gathered.clear()

    def add(self, window: TopicWindow, partition: int) -> None:
        """Take in a closed window, whose last observation is in this partition of the log."""
        if window.topic not in self._baselines or window.profile is None:
            return
        start, end = window.start.timestamp(), window.end.timestamp()
        known = self._gathered.get(window.topic)
        if known is None:
            known = _Gathered(window.cluster, partition, start, end, window.profile)
            self._gathered[window.topic] = known
        else:
            try:
                known.profile = merge_profiles(known.profile, window.profile)
            except DecodeError as error:
                _log.error("a window is left out of the comparison", topic=window.topic, error=error.message)
                return
        known.partition, known.end = partition, max(known.end, end)
        for number, offset in window.first_offsets.items():
            known.first_offsets.setdefault(number, offset)
        known.last_offsets |= window.last_offsets

    def turn(self, news: Iterable[Baseline] | None, rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        """Learn the baselines where there are ``news``, then judge."""
        if news is not None:
            self.learn(news)
        return self.judge(rows)

    def judge(self, rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        """What comparisons that are due lead to, by partition of the log. ``rows`` is the table."""
        outcomes = []
        for topic, gathered in list(self._gathered.items()):
            if gathered.is_due(self._seconds):
                del self._gathered[topic]
                outcomes.append((gathered.partition, self._compared(topic, gathered, rows)))
        return outcomes

    def _compared(self, topic: str, gathered: _Gathered, rows: Mapping[bytes, bytes]) -> Outcome:
        key = state_key(self._detector.name, topic)
        kept = _kept(rows.get(key))
        at = datetime.fromtimestamp(gathered.end, UTC)
        profile = gathered.profile
        about = Compared(
            gathered.cluster,
            topic,
            dict(sorted(gathered.first_offsets.items())) or {0: 0},
            dict(sorted(gathered.last_offsets.items())),
            profile.decoded,
        )
        states: State = {}
        alerts = []
        for baseline in self._baselines[topic]:
            live = Sample(TopicSource(topic, None, ()), profile, self._key_id or baseline.sample.hash_key_id)
            found = compare(baseline.sample, live, baseline.ignored)
            before = kept.get(baseline.name, self._detector.initial())
            after, findings = self._detector.judge(before, baseline, found, about)
            states[baseline.name] = after
            place = f"training/{topic}/{baseline.name}/{after['created_at']}/{after['rounds']}"
            origin = Place(place, gathered.cluster, at)
            alerts += [alert(finding, self._detector.channel, origin, self._public_url) for finding in findings]
        if states == kept:
            return Outcome((), ())
        # Rows of one partition follow each other by their times, as others do by the log.
        value = stored_state(LogPosition(gathered.partition, int(gathered.end)), at, states)
        return Outcome(tuple(alerts), (Changed(key, value),))


def _kept(value: bytes | None) -> State:
    """The states by baseline."""
    state: State = {} if value is None else orjson.loads(value)["state"]
    return state

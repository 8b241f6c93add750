"""Consumer groups of the watched topics: their lag into the store, and what is wrong with them as alerts.

The worker that has the first partition of the observation log looks after all of them. Looks are facts of the moment
and kept in memory: after a crash a window begins anew, and a problem that was told stays open until it is seen to be
over. What is told and the state that goes with it are one note in the journal first, so that no crash parts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import orjson

from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, stored_state
from stream_lineage.agents.group_offsets import Round
from stream_lineage.agents.home import HOME
from stream_lineage.agents.muting import Muting
from stream_lineage.detect.detector import State
from stream_lineage.detect.episodes import Muted, never
from stream_lineage.detect.group_lag import GroupLag
from stream_lineage.detect.group_window import GroupWindow
from stream_lineage.model.finding import Finding
from stream_lineage.model.group import GroupLook
from stream_lineage.store.ports import FieldValue, MetricStore, Point

MEASUREMENT = "lineage_group"
MAX_WINDOWS = 10_000
"""Groups, each with a topic, that are judged; of others the lag is stored only."""
_PREFIX = b"group/"
_MISSED = 2
"""Rounds without it after which a group is gone: one may be a coordinator that has just moved."""
_ALL = "all"


class GroupWatch:
    """``judge`` each round."""

    def __init__(
        self, store: MetricStore, cluster: str, public_url: str, *, seconds: float, muting: Muting | None = None
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._public_url = public_url
        self._seconds = seconds
        self._muting = muting
        self._detector = GroupLag(cluster)
        self._windows: dict[tuple[str, str], GroupWindow] = {}
        self._missed: dict[tuple[str, str], int] = {}

    def judge(self, found: Round, rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        """Store the lags; what is to be told, and the states that follow from the looks.

        Raises:
            ConnectionFailed: the store cannot be written.
        """
        told: list[Alert] = []
        changed: list[Changed] = []
        points: list[Point] = []
        seen = set()
        for look in found.looks:
            key = (look.group, look.topic)
            seen.add(key)
            self._missed.pop(key, None)
            window = self._windows.get(key)
            if window is None:
                if len(self._windows) >= MAX_WINDOWS:
                    points += self._points(look, None)
                    continue
                window = self._windows[key] = GroupWindow(self._seconds)
            before = _kept(rows.get(_row_key(*key)), self._detector)
            after, findings = self._detector.judge(before, window, look, self._muted(look.at))
            told += self._alerts(key, look.at, findings)
            if after is not before:
                changed.append(self._changed(key, look.at, after))
            points += self._points(look, window)
        for key, at, after, findings in self._gone(found, seen, rows):
            told += self._alerts(key, at, findings)
            changed.append(self._changed(key, at, after))
        self._store.write(points)
        return [(HOME, Outcome(tuple(told), tuple(changed)))] if told or changed else []

    def _gone(
        self, found: Round, seen: set[tuple[str, str]], rows: Mapping[bytes, bytes]
    ) -> Iterator[tuple[tuple[str, str], float, State, tuple[Finding, ...]]]:
        """Groups and topics that are no longer there and of which something is kept, with what follows from that."""
        if found.listed is None:
            return
        kept = {_pair(key) for key in rows if key.startswith(_PREFIX)}
        for key in sorted((kept | self._windows.keys()) - seen):
            if key[0] in found.listed and key[0] not in found.asked:
                continue  # it was not asked for, or did not answer
            self._missed[key] = self._missed.get(key, 0) + 1
            if self._missed[key] < _MISSED:
                continue
            del self._missed[key]
            window = self._windows.pop(key, None)
            row = rows.get(_row_key(*key))
            if row is not None:
                at = window.at if window is not None else orjson.loads(row)["at_ms"] / 1000
                yield key, at, *self._detector.gone(_kept(row, self._detector), *key)

    def _changed(self, key: tuple[str, str], at: float, state: State) -> Changed:
        """The row; none where nothing is known of a group but that it is there."""
        if not any(state[name] for name in ("alive", "pauses", "episode")):
            return Changed(_row_key(*key), None)
        # Rows of one partition follow each other by their times, as others do by the log.
        return Changed(_row_key(*key), stored_state(LogPosition(HOME, int(at * 1000)), _time(at), state))

    def _alerts(self, key: tuple[str, str], at: float, findings: Iterable[Finding]) -> list[Alert]:
        place = Place(f"group/{key[1]}/{key[0]}/{int(at * 1000)}", self._cluster, _time(at))
        return [alert(finding, "anomaly", place, self._public_url) for finding in findings]

    def _points(self, look: GroupLook, window: GroupWindow | None) -> list[Point]:
        tags = {"cluster": self._cluster, "group": look.group, "topic": look.topic}
        at = _time(look.at)
        points: list[Point] = []
        longest: float | None = None
        for partition, read in look.partitions.items():
            fields: dict[str, FieldValue] = {"committed": read.committed, "log_end": read.end, "lag": read.lag}
            seconds = window.lag_seconds(partition) if window is not None else None
            if seconds is not None:
                fields["lag_seconds"] = seconds
                longest = seconds if longest is None else max(longest, seconds)
            points.append(Point(MEASUREMENT, {**tags, "partition": str(partition)}, fields, at))
        whole: dict[str, FieldValue] = {
            "lag": sum(read.lag for read in look.partitions.values()),
            "empty": look.empty,
        }
        if longest is not None:
            whole["lag_seconds"] = longest
        points.append(Point(MEASUREMENT, {**tags, "partition": _ALL}, whole, at))
        return points

    def _muted(self, at: float) -> Muted:
        muting = self._muting
        return never if muting is None else lambda finding: muting.mutes(finding, _time(at))


def _row_key(group: str, topic: str) -> bytes:
    return _PREFIX + f"{topic}/{group}".encode()


def _pair(key: bytes) -> tuple[str, str]:
    topic, _, group = key[len(_PREFIX) :].decode().partition("/")
    return group, topic


def _kept(value: bytes | None, detector: GroupLag) -> State:
    state: State = detector.initial() if value is None else orjson.loads(value)["state"]
    return state


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)

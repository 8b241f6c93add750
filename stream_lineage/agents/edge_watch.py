"""Edges of declared jobs: the windows of all their topics, from whichever worker, judged by one.

The worker that has the first partition of the observation log reads ``lineage.windows`` and judges. What is found
follows from the messages alone. States are kept when something is told, and every ten minutes of the log's time, with
the offset up to which they hold: after a crash the messages behind it are judged again, with the same result, and what
is told again has the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import orjson

from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, stored_state
from stream_lineage.agents.home import HOME
from stream_lineage.agents.muting import Muting
from stream_lineage.detect.detector import State
from stream_lineage.detect.edge_flow import JobFlow, flows
from stream_lineage.detect.episodes import Muted, never
from stream_lineage.detect.series.detector import DEFAULT_SENSITIVITY
from stream_lineage.detect.window import Window
from stream_lineage.model.edge import Edge

KEPT_SECONDS = 600.0
"""States are kept so often. Larger: less is written, and more is judged again after a crash."""
_PREFIX = b"edges/"
_PLACE = b"edges-offset/"


class EdgeWatch:
    """``judge`` what was read from ``place`` on. Edges that come from elsewhere than the rules are judged alike."""

    def __init__(
        self,
        edges: Sequence[Edge],
        public_url: str,
        *,
        sensitivity: float = DEFAULT_SENSITIVITY,
        muting: Muting | None = None,
    ) -> None:
        self._edges = edges
        self._public_url = public_url
        self._sensitivity = sensitivity
        self._muting = muting
        self._flows: dict[str, JobFlow] = {}
        self._from: dict[str, int] = {}
        self._through: int | None = None
        self._kept_at: float | None = None

    def drop(self) -> None:
        """Another worker may judge now: what is kept counts."""
        self._through = None

    def place(self, rows: Mapping[bytes, bytes]) -> int:
        """The offset from which on nothing has been taken in."""
        if self._through is None:
            self._resume(rows)
        return self._through or 0

    def judge(
        self, windows: Iterable[tuple[int, Window]], through: int, rows: Mapping[bytes, bytes]
    ) -> list[tuple[int, Outcome]]:
        """Take in windows with their offsets; ``through`` is the offset behind the last message that was read."""
        start = self.place(rows)
        if through <= start:
            return []
        alerts: list[Alert] = []
        latest: float | None = None
        for offset, window in windows:
            if offset < start:
                continue
            latest = window.end
            for job, flow in self._flows.items():
                if window.topic in flow.topics and offset >= self._from[job]:
                    alerts += self._alerts(flow, window)
        self._through = through
        if latest is None:
            return []
        if self._kept_at is None:
            self._kept_at = latest
        if not alerts and abs(latest - self._kept_at) < KEPT_SECONDS:
            return []
        self._kept_at = latest
        at = datetime.fromtimestamp(latest, UTC)
        position = LogPosition(HOME, through)
        changed = [
            Changed(_row_key(job), stored_state(position, at, {"edges": self._known(job), "flow": flow.state()}))
            for job, flow in self._flows.items()
        ]
        changed.append(Changed(_PLACE, stored_state(position, at, {})))
        return [(HOME, Outcome(tuple(alerts), tuple(changed)))]

    def _resume(self, rows: Mapping[bytes, bytes]) -> None:
        place = rows.get(_PLACE)
        self._through = 0 if place is None else int(orjson.loads(place)["position"][1])
        self._kept_at = None
        self._from = {}
        states: dict[str, State] = {}
        for job in {edge.job for edge in self._edges}:
            row = rows.get(_row_key(job))
            self._from[job] = 0
            if row is None:
                continue
            document = orjson.loads(row)
            if document["state"]["edges"] == self._known(job):
                states[job] = document["state"]["flow"]
                # Rows are kept one after the other: a crash in between leaves some further along than the place.
                self._from[job] = int(document["position"][1])
        self._flows = flows(self._edges, sensitivity=self._sensitivity, states=states)

    def _known(self, job: str) -> str:
        """Of a job that was declared otherwise nothing is known."""
        edges = [
            [
                e.input,
                e.output,
                None if e.fields is None else sorted(e.fields.items()),
                e.ratio,
                e.within,
                e.lag_seconds,
            ]
            for e in self._edges
            if e.job == job
        ]
        return hashlib.sha256(orjson.dumps(edges)).hexdigest()[:16]

    def _alerts(self, flow: JobFlow, window: Window) -> list[Alert]:
        found = []
        muted = self._muted(window.end)
        for number, (end, finding) in enumerate(flow.take(window, muted)):
            at = datetime.fromtimestamp(end, UTC)
            name = f"edge/{flow.job}/{finding.topic}/{end:.0f}/{finding.phase}/{number}"
            found.append(alert(finding, "anomaly", Place(name, window.cluster, at), self._public_url))
        return found

    def _muted(self, at: float) -> Muted:
        muting = self._muting
        return never if muting is None else lambda finding: muting.mutes(finding, datetime.fromtimestamp(at, UTC))


def _row_key(job: str) -> bytes:
    return _PREFIX + job.encode()

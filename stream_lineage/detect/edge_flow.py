"""What goes into a job against what comes out of it: a join or a filter that starts to drop, to fan out or to lose
values.

``JobFlow`` takes the windows of the job's topics as they come, whatever order the topics are in among each other; what
it finds follows from them and the state alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stream_lineage.detect.detector import State
from stream_lineage.detect.edge_minutes import MINUTE, Minute, Minutes, Side
from stream_lineage.detect.edge_nulls import EdgeNulls
from stream_lineage.detect.edge_rows import EdgeRows
from stream_lineage.detect.episodes import Episodes, Muted, never
from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.offset_trail import OffsetTrail
from stream_lineage.detect.series.detector import DEFAULT_SENSITIVITY, SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.window import Window
from stream_lineage.model.edge import Edge
from stream_lineage.model.finding import Finding

MAX_FIELDS = 30
"""Fields of an edge that are compared, of those that nobody mapped."""
_MOST_FIELDS = 100
_JOIN_MINUTES = 5
_COOLDOWN_MINUTES = 10


class JobFlow:
    """One job: all edges of which it is the ``job``. ``state`` is JSON, from which another one goes on exactly alike.

    Of several inputs of one output, one may grow or shrink without the others. So an edge is told only if none of the
    others that would show such a change says that the output is as usual.
    """

    def __init__(
        self, edges: Sequence[Edge], *, sensitivity: float = DEFAULT_SENSITIVITY, state: State | None = None
    ) -> None:
        state = state or {}
        self.job = edges[0].job
        self._edges = list(edges)
        self._detector = SeriesDetector(SeriesKind.LEVEL, sensitivity=sensitivity, window_seconds=MINUTE)
        self.topics = {topic for edge in edges for topic in (edge.input, edge.output)}
        self._cluster: str = state.get("cluster", "")
        self._minutes = Minutes({topic: _paths(edges, topic) for topic in self.topics}, state.get("minutes"))
        rows, nulls = state.get("rows", {}), state.get("nulls", {})
        self._rows = {edge.name: EdgeRows(edge, self._detector, rows.get(edge.name)) for edge in edges}
        self._nulls = {
            edge.name: {
                (before, after): EdgeNulls(before, after, self._detector, each)
                for before, after, each in nulls.get(edge.name, ())
            }
            for edge in edges
        }
        outputs = sorted({edge.output for edge in edges})
        trails, episodes = state.get("trails", {}), state.get("episodes", {})
        self._trails = {output: OffsetTrail(trails.get(output)) for output in outputs}
        self._episodes = {
            output: Episodes(
                f"edge {self.job}", episodes.get(output), join_windows=_JOIN_MINUTES, cooldown_windows=_COOLDOWN_MINUTES
            )
            for output in outputs
        }

    def state(self) -> State:
        return {
            "cluster": self._cluster,
            "minutes": self._minutes.state(),
            "rows": {name: rows.state() for name, rows in self._rows.items()},
            "nulls": {
                name: [[*key, each.state()] for key, each in pairs.items()] for name, pairs in self._nulls.items()
            },
            "trails": {output: trail.state() for output, trail in self._trails.items()},
            "episodes": {output: episodes.state() for output, episodes in self._episodes.items()},
        }

    def take(self, window: Window, muted: Muted = never) -> list[tuple[float, Finding]]:
        """Take in a window of one of the topics: what is to be told now, with the end of the minute that it is of."""
        self._cluster = window.cluster
        found = []
        for minute in self._minutes.add(window):
            found += [(minute.start + MINUTE, finding) for finding in self._judge(minute, muted)]
        return found

    def _judge(self, minute: Minute, muted: Muted) -> list[Finding]:
        found: dict[str, dict[str, Excursion]] = {output: {} for output in self._episodes}
        known = []
        for edge in self._edges:
            into, out = minute.sides.get(edge.input), minute.sides.get(edge.output)
            if into is None or out is None:
                self._rows[edge.name].change = None
                continue
            known.append(edge)
            rows = self._rows[edge.name]
            rows.observe(minute.start, into, out)
            self._find_pairs(edge, into, out)
            for each in self._nulls[edge.name].values():
                each.observe(minute.start, into, out, rows.allowed)
                excursion = each.excursion(edge.name)
                if excursion is not None:
                    found[edge.output][excursion.key] = excursion
        for edge in known:
            if not self._contradicted(edge):
                excursion = self._rows[edge.name].excursion()
                if excursion is not None:
                    found[edge.output][excursion.key] = excursion
        findings: list[Finding] = []
        for output, episodes in self._episodes.items():
            side = minute.sides.get(output)
            if side is None:
                continue  # nobody knows
            window = Window(
                self._cluster, output, minute.start, MINUTE, side.records, first_offsets=side.first,
                last_offsets=side.last,
            )  # fmt: skip
            trail = self._trails[output]
            trail.observe(window)

            def of_job(finding: Finding) -> bool:
                return muted(self._of_job(finding))

            findings += map(self._of_job, episodes.advance(window, found[output], trail, of_job))
        return findings

    def _contradicted(self, edge: Edge) -> bool:
        change = self._rows[edge.name].change
        if change is None:
            return False
        for other in self._edges:
            if other.output != edge.output or other.input == edge.input:
                continue
            rows = self._rows[other.name]
            said = rows.change
            if said is not None and rows.precise < abs(change) and (said * change <= 0 or abs(said) < abs(change) / 3):
                return True
        return False

    def _find_pairs(self, edge: Edge, into: Side, out: Side) -> None:
        """The fields that are compared: those that are mapped, or else those that are on both sides."""
        known = self._nulls[edge.name]
        if edge.fields is not None:
            pairs = list(edge.fields.items())[:_MOST_FIELDS] if not known else []
        else:
            pairs = [(path, path) for path in into.fields if path in out.fields] if len(known) < MAX_FIELDS else []
            pairs = [pair for pair in pairs if pair not in known][: MAX_FIELDS - len(known)]
        for before, after in pairs:
            known[before, after] = EdgeNulls(before, after, self._detector)

    def _of_job(self, finding: Finding) -> Finding:
        of_fields = all(change.kind == "edge-nulls" for change in finding.changes)
        path = finding.field_path or ""
        field = path.rpartition(", ")[2].rpartition(" -> ")[2] if of_fields and ", " in path else None
        return replace(finding, job=self.job, field_path=field, summary=f"job {self.job}: {finding.summary}")


def _paths(edges: Sequence[Edge], topic: str) -> set[str] | None:
    """The fields of a topic that these edges are about; null where some edge is about any."""
    found: set[str] = set()
    for edge in edges:
        if topic in (edge.input, edge.output):
            if edge.fields is None:
                return None
            found |= set(edge.fields if topic == edge.input else edge.fields.values())
    return found


def flows(
    edges: Sequence[Edge], *, sensitivity: float = DEFAULT_SENSITIVITY, states: Mapping[str, State] | None = None
) -> dict[str, JobFlow]:
    """The jobs of these edges by name, each going on from its state if there is one."""
    by_job: dict[str, list[Edge]] = {}
    for edge in edges:
        by_job.setdefault(edge.job, []).append(edge)
    known = states or {}
    return {job: JobFlow(each, sensitivity=sensitivity, state=known.get(job)) for job, each in by_job.items()}

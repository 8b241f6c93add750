"""An API over an index and a graph that were made for a test: no Kafka, no network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson

from stream_lineage.errors import NotFound, UnknownSchema
from stream_lineage.explain.trend import trend
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.index.kept import Kept
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.trace import Trace
from stream_lineage.index.walk import Direction
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind, detail
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.model.telemetry import Condition, Metric, Sample
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.serve.live import LiveAlerts
from stream_lineage.serve.ports import Ends, Sources
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.wire.registered_schema import RegisteredSchema

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = Naming("prod", frozenset({"b1:9092", "b2:9092"}))
OLD, NEW = (
    SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, n, None, "clicks-value", n, f"{n}{n}" * 32)
    for n in (1, 2)
)
TEXTS = {
    1: '{"type": "record", "name": "C", "fields": [{"name": "a", "type": "int"}]}',
    2: '{"type": "record", "name": "C", "fields": [{"name": "b", "type": "int"}]}',
}


def seen(topic: str, spans: Iterable[tuple[int, int, int, SchemaReference]], gap: int | None = None) -> Iterator[Entry]:
    """Partition, first and last offset, schema."""
    for partition, first, last, schema in spans:
        gaps = () if gap is None or not first < gap < last else (MissingRange(gap, gap, MissingReason.COMPACTED),)
        span = OffsetSpan(partition, first, last, last - first + 1 - len(gaps), gaps)
        made = Observation(
            "o", ObservationKind.OBSERVATION, "prod", topic, "id", "c", NOW, schema, OPAQUE, span.count, 0, 0, None,
            (span,), None, (),
        )  # fmt: skip
        yield Entry("observations", encode_observation(made))


def alert(number: int, **more: Any) -> Entry:
    document = {
        "kind": "mean", "severity": "warning", "phase": "open", "summary": "far off", "topic": "clicks",
        "field_path": "a", "after": None, "fingerprint": f"{number % 2}" * 32, "first_offsets": {"0": number},
        "last_offsets": {}, "observed_at": (NOW + timedelta(minutes=number)).isoformat(), **more,
    }  # fmt: skip
    return Entry("alerts", orjson.dumps(document), f"e{number}")


def incident(number: int, *, over: bool = False, **more: Any) -> dict[str, Any]:
    """As its topic has it; the even ones are about ``clicks``."""
    at = (NOW + timedelta(minutes=number // 2)).isoformat()
    told = {
        "fingerprint": "f", "event_id": f"e{number}", "kind": "mean", "severity": "warning",
        "topic": "scored" if number % 2 else "clicks", "field_path": "a", "job": None, "node": "n", "summary": "off",
        "first_at": at, "last_at": at, "once": False, "over_at": at if over else None,
    }  # fmt: skip
    return {
        "id": f"{number:032x}", "state": "resolved" if over else "open", "revision": 1, "severity": "warning",
        "opened_at": at, "updated_at": at, "resolved_at": at if over else None, "reopened": 0, "summary": "far off",
        "breach": {"node": "n", "metric": "mean", "field": "a", "at": at}, "cause": None, "cause_after_seconds": None,
        "related": [], "alerts": [told], "url": "http://ui/incidents/1", **more,
    }  # fmt: skip


def fill(path: Path) -> None:
    """The index: 40 alternating spans of ``clicks``, ``scored`` made of it one by one, five alerts, and 20 incidents,
    of which every third is over."""
    spans = [(n % 2, n // 2 * 10, n // 2 * 10 + 9, (OLD, NEW)[n // 2 % 2]) for n in range(40)]
    rows = tuple(RecordEdge(0, n, (ParentRange("clicks", 0, 2 * n, 2 * n + 1),)) for n in range(10))
    writer = IndexWriter(path)
    writer.write(
        [
            *seen("clicks", spans, gap=5),
            *seen("scored", [(0, 0, 9, NEW)]),
            Entry("edges", encode_edges(EdgeBatch("b", "prod", "scored", "id", "c", NOW, rows))),
            *(alert(n) for n in range(5)),
            *(Entry("incidents", orjson.dumps(incident(n, over=n % 3 == 0))) for n in range(20)),
        ],
        {},
    )
    writer.close()


def graph() -> Graph:
    """``clicks`` → job ``score`` → ``scored`` → model ``churn``, a column, and one guessed edge."""
    clicks, scored, job = NAMES.topic("clicks"), NAMES.topic("scored"), NAMES.job("score")
    model = Node(NodeKind.MODEL, NAMES.namespace, "churn")
    pairs = [(clicks, job), (job, scored), (scored, model), (NAMES.column("clicks", "a"), NAMES.column("scored", "b"))]
    found = Graph()
    for pair in pairs:
        found.take(GraphEvent(GraphEdge(*pair), Evidence(EvidenceClass.DECLARED, "lineage file", NOW, NOW, 1.0)))
    guessed = Evidence(EvidenceClass.VALUES, "values", NOW, NOW, 0.3)
    found.take(GraphEvent(GraphEdge(scored, NAMES.topic("copies")), guessed))
    owner = Evidence(EvidenceClass.DECLARED, "lineage file", NOW, NOW, 1.0, detail(owner="team"))
    found.take(GraphEvent(clicks, owner))
    return found


class MadeLineage:
    """``serve.ports.Lineage`` over files and objects."""

    def __init__(self, directory: Path) -> None:
        self.naming = NAMES
        self.at_once: Sources = self
        self.alerts = LiveAlerts()
        self.graph = graph()
        self.taken: list[tuple[bytes, bytes]] = []
        self.labels: dict[str, Mapping[str, Any]] = {}
        self.doubted: list[str] = []
        self.ends: Ends | None = None
        self.waited: list[float] = []
        self.path = directory / "index.sqlite"
        fill(self.path)
        self.store = SqliteStore(directory / "metrics.sqlite", retention=timedelta(days=36_500))
        tags = {"cluster": "prod", "topic": "clicks", "partition": "all", "schema_version": "1"}
        self.store.write(
            Point("lineage_topic", tags, {"records": 5.0}, NOW + timedelta(minutes=n)) for n in range(0, 600, 5)
        )

    room: int | None = None

    @contextmanager
    def index(self) -> Iterator[ProvenanceIndex]:
        with ProvenanceIndex(self.path) as index, index.snapshot():
            yield index

    def ask(self, question: Callable[[Graph], T], at: datetime | None = None) -> T:
        if at is not None and at < NOW:
            raise NotFound("nothing was known of the graph at that time")
        return question(self.graph if at is None else self.graph.as_of(at))

    def caught_up(self, seconds: float) -> Ends | None:
        self.waited.append(seconds)
        return self.ends

    def doubts(
        self, index: ProvenanceIndex, direction: Direction, begun: datetime, ends: Ends | None = None
    ) -> Sequence[str]:
        return self.doubted if ends is None else []

    def kept(self, found: Trace) -> Kept:
        return Kept(trouble="there is no Kafka here")

    def schema(self, subject: str, version: int | None) -> RegisteredSchema:
        if subject != "clicks-value" or version not in (None, 1, 2):
            raise UnknownSchema(f"there is no {subject}")
        number = version or 2
        return RegisteredSchema((OLD, NEW)[number - 1], TEXTS[number])

    def trend(self, target: str, metric: str, start: datetime, end: datetime, *, alerts: bool) -> Mapping[str, Any]:
        from stream_lineage.trending import MarkedTrend

        return MarkedTrend(trend(self.store, target, metric, start, end), alerts).document()

    def accept(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        self.taken += events

    def incident_label(self, incident_ids: Collection[str]) -> Mapping[str, Any] | None:
        return next((said for name, said in self.labels.items() if name in incident_ids), None)

    def label_incident(self, incident: Mapping[str, Any], verdict: bool, cause: str | None) -> Mapping[str, Any]:
        self.labels[incident["id"]] = {"verdict": verdict, "cause": cause, "at": NOW.isoformat()}
        return self.labels[incident["id"]]

    def incident_bundle(self, incident: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"graph": {"nodes": [], "edges": []}, "series": [], "events": [], "breach": incident["breach"]}

    def incident_replay(self, incident: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        if incident["cause"] is None:
            raise NotFound("the first bad records are not known")
        return []


class Told:
    """A role that is well."""

    def metrics(self) -> Sequence[Metric]:
        return [Metric("things_total", "counter", "Things.", [Sample(1)])]

    def alive(self) -> Sequence[Condition]:
        return [Condition("answers", True, "it answers")]

    def ready(self) -> Sequence[Condition]:
        return [Condition("graph", False, "not read yet")]

"""What the API answers, as pydantic models: its documentation, against which tests hold every answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class SchemaName(Document):
    """A schema reference. ``crc64`` and ``unresolved`` are there only where they say something."""

    type: str
    framing: str
    id: int | None
    guid: str | None
    subject: str | None
    version: int | None
    fingerprint: str | None
    crc64: str | None = None
    unresolved: bool = False


class MissingOffsets(Document):
    first_offset: int
    last_offset: int
    reason: Literal["compacted", "transaction", "retention", "unknown"]


class Span(Document):
    """Records ``first_offset`` to ``last_offset``, both with, of one partition and one pair of schemas."""

    partition: int
    first_offset: int
    last_offset: int
    count: int
    missing: list[MissingOffsets]
    schema_: SchemaName = Field(alias="schema")
    key_schema: SchemaName
    topic_id: str | None


class Record(Document):
    cluster: str
    topic: str
    topic_id: str | None
    partition: int
    offset: int
    schema_: SchemaName = Field(alias="schema")
    key_schema: SchemaName


class Place(Document):
    """``cluster`` is there only for another one than the watched one."""

    topic: str
    topic_id: str | None
    partition: int
    cluster: str | None = None


Offsets = list[list[int]]
InKafka = Literal["all", "some", "none", "compacted"] | None


class TracedRecord(Place):
    offset: int
    schema_: SchemaName | None = Field(alias="schema")
    key_schema: SchemaName | None
    in_kafka: InKafka
    timestamp: datetime | None
    run_id: str | None
    code_version: str | None
    trace_id: str | None
    key_hash: str | None


class ReadRecord(Document):
    offset: int
    timestamp: datetime | None
    run_id: str | None
    code_version: str | None
    trace_id: str | None


class Stretch(Place):
    """Records of one partition with one pair of schemas; ``ranges`` are of first and last offset, both with."""

    hop: int
    count: int
    ranges: Offsets
    schema_: SchemaName | None = Field(alias="schema")
    key_schema: SchemaName | None
    uncertain: Offsets
    ends: Offsets
    in_kafka: InKafka
    read: list[ReadRecord]


class PathEnd(Place):
    """``source`` or, downstream, ``outcome``; or why the path may go on there."""

    kind: Literal["source", "outcome", "unknown-parents", "not-observed", "in-doubt"]
    count: int
    ranges: Offsets
    in_kafka: InKafka


class UnknownParents(Place):
    count: int
    ranges: Offsets


class RecordRange(Place):
    first_offset: int
    last_offset: int


class RecordEdge(Document):
    output: RecordRange
    parent: RecordRange
    parents_each: int | None
    widened: bool
    incomplete: bool
    unclear: bool
    source: str | None
    run_id: str | None
    first_timestamp: datetime | None
    last_timestamp: datetime | None


class PathAlert(Document):
    topic: str
    partition: int
    offset: int
    kind: str
    severity: str
    field_path: str | None
    summary: str
    fingerprint: str
    event_id: str
    observed_at: datetime
    closed_at: datetime | None


class RecordPath(Document):
    """What ``stream-lineage trace --output json`` prints."""

    record: TracedRecord
    direction: Literal["upstream", "downstream"]
    exact: bool
    cut: bool
    count: int
    hops: int
    records: list[Stretch]
    ends: list[PathEnd]
    unknown_parents: list[UnknownParents]
    edges: list[RecordEdge]
    alerts: list[PathAlert]
    notes: list[str]


class EvidencePiece(Document):
    class_: str = Field(alias="class")
    source: str
    first_seen: datetime
    last_seen: datetime
    withdrawn_at: datetime | None
    confidence: float
    detail: dict[str, str]


class RunOfJob(Document):
    """A run of a job. ``node`` is the job's id in the graph."""

    node: str
    namespace: str
    name: str
    run: str


class NodeDocument(Document):
    """``depth`` and ``confidence`` are there where it was walked from a node. ``parent``: the run that has started the
    last run of a job that said so, and ``root`` the one that all of it began with."""

    id: str
    kind: Literal["dataset", "job", "column", "model", "dashboard"]
    namespace: str
    name: str
    field: str | None
    depth: int | None = None
    confidence: float | None = None
    parent: RunOfJob | None = None
    root: RunOfJob | None = None
    evidence: list[EvidencePiece]


class EdgeDocument(Document):
    id: str
    from_: str = Field(alias="from")
    to: str
    confidence: float
    evidence: list[EvidencePiece]


class GraphDocument(Document):
    """What ``stream-lineage graph show --output json`` prints, and whether it was ``cut``."""

    at: datetime | None
    start: str | None
    nodes: list[NodeDocument]
    edges: list[EdgeDocument]
    cut: bool


class Impact(GraphDocument):
    """``counts``: how many of each kind are hit, whatever was cut."""

    counts: dict[str, int]


class EdgeChange(Document):
    before: EdgeDocument
    after: EdgeDocument


class GraphChanges(Document):
    nodes_added: list[str]
    nodes_removed: list[str]
    edges_added: list[EdgeDocument]
    edges_removed: list[EdgeDocument]
    edges_changed: list[EdgeChange]
    cut: bool


class ColumnDocument(Document):
    id: str
    field: str
    sources: list[EdgeDocument]
    targets: list[EdgeDocument]
    cut: bool


class TopicLifeDocument(Document):
    topic_id: str | None
    first_seen: datetime
    last_seen: datetime


class Dataset(Document):
    """A dataset of the graph, or a topic that was observed (``observed``), or both."""

    id: str
    namespace: str
    name: str
    observed: list[TopicLifeDocument]
    owner: str | None
    description: str | None


class PartitionDocument(Document):
    partition: int
    first_offset: int
    last_offset: int


class TopicDocument(Document):
    """``partitions`` are those of the newest life."""

    id: str
    topic: str
    observed: list[TopicLifeDocument]
    partitions: list[PartitionDocument]


class SchemaInUse(Document):
    """``first_offsets`` by partition."""

    role: Literal["value", "key"]
    schema_: SchemaName = Field(alias="schema")
    first_offsets: dict[str, int]


class SchemaText(Document):
    """``references``: what it refers to, by name."""

    schema_: SchemaName = Field(alias="schema")
    text: str
    references: dict[str, str]


class Verdict(Document):
    backward: bool
    forward: bool
    full: bool


class SchemaChangeDocument(Document):
    kind: str
    path: str
    old: Any
    new: Any
    breaks: list[str]


class SchemaDiffDocument(Document):
    """What ``stream-lineage schema diff --output json`` prints."""

    compatibility: Verdict | None
    changes: list[SchemaChangeDocument]


class AlertDocument(Document):
    """An alert as the index has it; its whole body is on its topic and in the live stream."""

    event_id: str
    topic: str
    kind: str
    severity: str
    phase: str | None
    field_path: str | None
    summary: str
    fingerprint: str
    observed_at: datetime
    first_offsets: dict[str, int]
    last_offsets: dict[str, int]


class TrendWindowDocument(Document):
    time: datetime
    value: float | None
    low: float | None
    high: float | None
    outside: bool


class MarkDocument(Document):
    time: datetime
    kind: Literal["schema", "alert", "deploy"]
    label: str
    until: datetime | None


class TrendDocument(Document):
    """What ``stream-lineage trend --output json`` prints."""

    target: str
    metric: str
    measurement: str
    window_seconds: int
    aggregation: str
    band: str | None
    windows: list[TrendWindowDocument]
    marks: list[MarkDocument]
    alerts_read: bool


class ConditionDocument(Document):
    holds: bool
    detail: str


class Health(Document):
    status: Literal["ok", "failing"]
    conditions: dict[str, ConditionDocument]


class Accepted(Document):
    """How many events were kept."""

    accepted: int


class IncidentBreach(Document):
    node: str
    metric: str | None
    field: str | None
    at: datetime


class IncidentAlert(Document):
    fingerprint: str
    event_id: str
    kind: str
    severity: Literal["info", "warning", "critical"]
    topic: str
    field_path: str | None
    job: str | None
    node: str
    summary: str
    first_at: datetime
    last_at: datetime
    once: bool
    over_at: datetime | None


class IncidentDocument(BaseModel):
    """The body of its newest message on `lineage.incidents`, as `incident.schema.json` has it. ``cause`` is the answer
    of `stream-lineage explain`, null until there is one."""

    id: str
    state: Literal["open", "updated", "root-cause", "escalated", "resolved", "reopened"]
    revision: int
    severity: Literal["info", "warning", "critical"]
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    reopened: int
    summary: str
    breach: IncidentBreach
    cause: dict[str, Any] | None
    cause_after_seconds: float | None
    related: list[str]
    alerts: list[IncidentAlert]
    url: str
    merged_into: str | None = Field(default=None, description="The older incident that it turned out to be part of.")


class IncidentLabel(Document):
    """What people found: whether it was an incident, and which node broke first. ``at`` is when that was said."""

    verdict: StrictBool
    cause: str | None = Field(default=None, min_length=1, max_length=5000, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
    at: datetime | None = Field(default=None, description="Given by the answer; not read.")


class LabelledIncident(IncidentDocument):
    label: IncidentLabel | None


class BundleDocument(Document):
    """docs/root-cause.md has the members."""

    graph: dict[str, Any]
    series: list[dict[str, Any]]
    events: list[dict[str, Any]]
    breach: dict[str, Any]


class ReplayPlans(Document):
    """One for each topic, as `stream-lineage replay --output json` prints it."""

    items: list[dict[str, Any]]

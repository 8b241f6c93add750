"""What the API asks. Whoever wires the process together says where the answers come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeVar

from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.index.kept import Kept
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.trace import Trace
from stream_lineage.index.walk import Direction
from stream_lineage.serve.live import LiveAlerts
from stream_lineage.wire.registered_schema import RegisteredSchema

T = TypeVar("T")
Ends = Mapping[tuple[str, int], int]
"""Where our own topics end: by topic and partition, the offset that the next message will have."""


class TakesLonger(Exception):
    """What is asked at once would take longer than everybody else can wait: it is asked once more, in a thread."""


class Sources(Protocol):
    """What the index and the graph say."""

    @property
    def naming(self) -> Naming:
        """How the cluster's topics are called in the graph."""
        ...

    @property
    def room(self) -> int | None:
        """So many edges an answer may have at most; whoever finds more raises ``TakesLonger``. Null: as many as there
        are."""
        ...

    def index(self) -> AbstractContextManager[ProvenanceIndex]:
        """The provenance index, in one state, for one thread."""
        ...

    def ask(self, question: Callable[[Graph], T], at: datetime | None = None) -> T:
        """Ask the graph, as it was at a time or as it is."""
        ...

    def doubts(
        self, index: ProvenanceIndex, direction: Direction, begun: datetime, ends: Ends | None = None
    ) -> Sequence[str]:
        """Why the index may lack records of a path, in sentences, for a question that came at ``begun``, or before
        ``caught_up`` gave ``ends``."""
        ...


class Lineage(Sources, Protocol):
    """Every method may be called from any thread. They raise errors of ours: NotFound, ConnectionFailed,
    IndexUnusable, SettingsError."""

    @property
    def at_once(self) -> Sources:
        """The same for the event loop alone: each question raises ``TakesLonger`` instead of waiting for anybody, of
        looking at many rows, and of saying what is wrong with the index."""
        ...

    @property
    def alerts(self) -> LiveAlerts:
        """Alerts as they come."""
        ...

    def caught_up(self, seconds: float) -> Ends | None:
        """Wait until the index has what our own topics hold now, so many seconds at most, and give their ends, whether
        it has or not; null where they are not known in time. Raises nothing."""
        ...

    def kept(self, found: Trace) -> Kept:
        """What Kafka still has of a path."""
        ...

    def schema(self, subject: str, version: int | None) -> RegisteredSchema:
        """A registered schema, the latest where no version is given."""
        ...

    def trend(self, target: str, metric: str, start: datetime, end: datetime, *, alerts: bool) -> Mapping[str, Any]:
        """A metric over time, as JSON."""
        ...

    def accept(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep OpenLineage's events, each with its key; returns when they will not be lost any more."""
        ...

    def incident_label(self, incident_ids: Collection[str]) -> Mapping[str, Any] | None:
        """What people said last of incidents that are one, as JSON; null where nobody did."""
        ...

    def label_incident(self, incident: Mapping[str, Any], verdict: bool, cause: str | None) -> Mapping[str, Any]:
        """Say it of an incident as a document; returns what was said when it will not be lost any more."""
        ...

    def incident_bundle(self, incident: Mapping[str, Any]) -> Mapping[str, Any]:
        """What ``explain`` reads, of an incident as a document."""
        ...

    def incident_replay(self, incident: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The way back from the first bad records of an incident, as documents."""
        ...

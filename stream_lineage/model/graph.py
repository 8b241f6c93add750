"""The lineage graph: its nodes, its edges, and what is known of each, from where.

An edge points where the data goes: from a dataset to the job that reads it, from a job to the dataset that it writes,
or from a dataset straight to another one where no job is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote

LONGEST_NAME = 1_000
"""Characters of a name, a namespace or the path of a field."""
LONGEST_DETAIL = 1_000
MOST_DETAILS = 20
_IN_NAMESPACES = ":/[]"


class NodeKind(StrEnum):
    DATASET = "dataset"
    JOB = "job"
    COLUMN = "column"
    MODEL = "model"
    DASHBOARD = "dashboard"


class EvidenceClass(StrEnum):
    """Where something is known from, the surest first."""

    HEADER = "header"
    OPENLINEAGE = "openlineage"
    DECLARED = "declared"
    TRANSACTION = "transaction"
    GROUP = "group"
    VALUES = "values"


def legal(text: str) -> bool:
    """Whether it can be a name, a namespace or the path of a field: printable, neither empty nor endless."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """Names are OpenLineage's: a topic's namespace is ``kafka://host:port``. ``field`` is the path of a column, whose
    ``name`` is its dataset's; else null.

    Raises:
        ValueError: a name is not ``legal``, or only a column has a field, or has none.
    """

    kind: NodeKind
    namespace: str
    name: str
    field: str | None = None

    def __post_init__(self) -> None:
        if not all(legal(text) for text in (self.namespace, self.name, self.field) if text is not None):
            raise ValueError(f"a name is 1 to {LONGEST_NAME} printable characters")
        if (self.kind is NodeKind.COLUMN) != (self.field is not None):
            raise ValueError("columns have a field, and nothing else has")

    @property
    def id(self) -> str:
        """Two nodes have the same id only if they are the same. It has no blanks, quotes or angle brackets."""
        parts = [_quoted(self.namespace, _IN_NAMESPACES), _quoted(self.name)]
        if self.field is not None:
            parts.append(_quoted(self.field))
        return f"{self.kind}:{'/'.join(parts)}"

    @property
    def label(self) -> str:
        """As people call it: ``orders``, or ``orders:user.id``."""
        return self.name if self.field is None else f"{self.name}:{self.field}"

    @property
    def dataset(self) -> Node | None:
        """Of a column, the dataset that it is in."""
        return None if self.field is None else Node(NodeKind.DATASET, self.namespace, self.name)


@dataclass(frozen=True, slots=True, order=True)
class GraphEdge:
    """Data go from ``source`` to ``target``."""

    source: Node
    target: Node

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise ValueError("an edge leads from one node to another one")

    @property
    def id(self) -> str:
        return f"{self.source.id}>{self.target.id}"


@lru_cache(maxsize=65_536)
def _quoted(text: str, safe: str = "") -> str:
    """The same names are asked for again and again."""
    return quote(text, safe=safe)


Subject = Node | GraphEdge
Detail = tuple[tuple[str, str], ...]
"""What else is known, in the order of its names. It holds no counts: every change of it is an event."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """That something is so, by one ``source`` of one class, from ``first_seen`` on.

    What was withdrawn and is seen again begins anew, with another ``first_seen``. ``confidence`` is above 0 and at
    most 1. ``withdrawn_at`` is when it was found to be so no longer; null while it is.
    """

    by: EvidenceClass
    source: str
    first_seen: datetime
    last_seen: datetime
    confidence: float
    detail: Detail = ()
    withdrawn_at: datetime | None = None

    @property
    def holds(self) -> bool:
        return self.withdrawn_at is None or self.last_seen > self.withdrawn_at


@dataclass(frozen=True, slots=True)
class GraphEvent:
    """One change of evidence: what ``lineage.graph`` is made of. Taking one in twice, or in another order, changes
    nothing."""

    subject: Subject
    evidence: Evidence

    @property
    def at(self) -> datetime:
        """Of when it tells."""
        withdrawn = self.evidence.withdrawn_at
        return self.evidence.last_seen if withdrawn is None else max(withdrawn, self.evidence.last_seen)


def detail(**known: str | None) -> Detail:
    """The details that are known, shortened to what may be kept."""
    return tuple(sorted((name, value[:LONGEST_DETAIL]) for name, value in known.items() if value))[:MOST_DETAILS]

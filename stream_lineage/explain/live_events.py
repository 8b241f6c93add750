"""What happened at the nodes of a neighbourhood, from the metric store: alerts that are no restatement of a series, new
schema versions, deploys.

Alerts about metrics are left out. They follow from the series that a bundle holds anyway, and would support themselves.
Nothing that is kept here quotes data: kinds, names of fields and versions only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.store.ports import MetricStore, Point

MOST_EVENTS = 2_000
DEPLOY, SCHEMA_CHANGE = "deploy", "schema-change"
_OF_SCHEMAS = ("schema", "structure-drift", "mixed-versions", "subject-", "wrong-subject", "unknown-schema")
_OF_METRICS = frozenset({"group-lagging"})
_ALERTS, _DEPLOYS, _TOPICS = "lineage_alert", "lineage_deploy", "lineage_topic"


@dataclass(frozen=True, slots=True)
class Happened:
    """``at`` is in epoch seconds."""

    node: Node
    kind: str
    at: float
    detail: str


def is_schema_kind(kind: str) -> bool:
    """Whether alerts of this kind are about schemas."""
    return kind.removeprefix("key-").startswith(_OF_SCHEMAS)


def is_event(kind: str) -> bool:
    """Whether an alert of this kind tells of something that happened, and not of how a series goes."""
    told = kind.startswith(("group-", "graph-")) or kind == "data-loss" or is_schema_kind(kind)
    return told and kind not in _OF_METRICS


def events(
    store: MetricStore, cluster: str, namespace: str, nodes: Mapping[Node, str], start: datetime, end: datetime
) -> list[Happened]:
    """What happened to these nodes, in the order of time; of more than ``MOST_EVENTS`` the last ones.

    Raises:
        ConnectionFailed: the store cannot be read.
    """
    topics = {node.name: node for node in nodes if node.namespace == namespace and node.kind is NodeKind.DATASET}
    jobs = {node.name: node for node in nodes if node.kind is NodeKind.JOB}
    found: dict[tuple[Node, str, float], Happened] = {}
    for each in (
        *_alerts(store.range(_ALERTS, start, end, {"cluster": cluster}), topics, jobs),
        *_deploys(store.range(_DEPLOYS, start, end, {"cluster": cluster}), topics),
    ):
        found.setdefault((each.node, each.kind, each.at), each)
    return sorted(found.values(), key=lambda each: (each.at, each.node, each.kind))[-MOST_EVENTS:]


def versions(store: MetricStore, cluster: str, node: Node, start: datetime, end: datetime) -> list[Happened]:
    """When a topic had a schema version that it did not have before.

    Raises:
        ConnectionFailed: the store cannot be read.
    """
    seen: dict[str, datetime] = {}
    for point in store.range(_TOPICS, start, end, {"cluster": cluster, "topic": node.name}):
        version, count = point.tags.get("schema_version", "all"), point.fields.get("records")
        if version != "all" and isinstance(count, int | float) and count > 0:
            seen[version] = min(point.time, seen.get(version, point.time))
    first = min(seen.values(), default=start)
    return [
        Happened(node, SCHEMA_CHANGE, at.timestamp(), f"version {version}")
        for version, at in sorted(seen.items())
        if at > first
    ]


def _alerts(points: list[Point], topics: Mapping[str, Node], jobs: Mapping[str, Node]) -> Iterator[Happened]:
    for point in points:
        tags = point.tags
        kind = tags.get("kind", "")
        if tags.get("phase") in ("update", "close") or not is_event(kind):
            continue
        node = jobs.get(tags.get("job", "")) or topics.get(tags.get("topic", ""))
        if node is not None:
            detail = f"{tags.get('severity', '')}{', ' + tags['field'] if 'field' in tags else ''}"
            yield Happened(node, kind, point.time.timestamp(), detail)


def _deploys(points: list[Point], topics: Mapping[str, Node]) -> Iterator[Happened]:
    for point in points:
        pattern = point.tags.get("topic", "")
        for name, node in topics.items():
            if fnmatchcase(name, pattern):
                yield Happened(node, DEPLOY, point.time.timestamp(), str(point.fields.get("reason", "")))

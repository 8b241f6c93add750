"""Our jobs, datasets and runs told to others as OpenLineage's events: over HTTP, to a Kafka topic, or into a file."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson

from stream_lineage.connections import registry_of
from stream_lineage.errors import (
    ConnectionFailed,
    IndexUnusable,
    NotFound,
    RegistryUnavailable,
    SchemaError,
    SettingsError,
)
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming, naming
from stream_lineage.graph.openlineage_events import openlineage_events
from stream_lineage.graph.openlineage_runs import Assertion, ColumnFacts, DatasetFacts, dataset_facets, run_events
from stream_lineage.graph.picture import Picture, whole
from stream_lineage.graphing import graph_at
from stream_lineage.index.pages import alerts_before, schemas_in_use, topic_lives
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.logs import get_logger
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.provenance.log import Progress
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store
from stream_lineage.store.ports import Aggregation, MetricStore
from stream_lineage.wire import acknowledged
from stream_lineage.wire.declared_fields import declared_fields
from stream_lineage.wire.registered_schema import RegisteredSchema
from stream_lineage.wire.registry import SchemaRegistry

_HOUR = timedelta(hours=1)
_MOST_ALERTS = 100
_TIMEOUT_SECONDS = 10.0
_KEY_PREFIX = "@key"
_QUANTILES = ("p05", "p25", "p50", "p75", "p95")
_RUNS_ONLY = "/openapi/openlineage/"
"""Where DataHub takes events. It fails on any that is no run (its issue 15196)."""
_log = get_logger("stream_lineage.openlineage")
_TOGETHER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum, "min": min, "max": max, "last": lambda values: values[-1],
}  # fmt: skip
"""How values of several hours become one."""
Events = Sequence[Mapping[str, Any]]
Send = Callable[[Events], None]


def our_events(settings: Settings, now: datetime, progress: Progress | None = None) -> list[dict[str, Any]]:
    """All jobs as runs, and all datasets with what is known of them.

    Raises:
        NotFound: there is no graph.
        ConnectionFailed: Kafka or the metric store did not answer.
    """
    graph = graph_at(settings, None, progress)
    picture = whole(graph)
    names = naming(settings.kafka.cluster_name, settings.kafka.addresses, others=settings.kafka.cluster_aliases)
    topics = [node for node in picture.nodes if node.kind is NodeKind.DATASET and node.namespace == names.namespace]
    return events_of(graph, picture, _facts(settings, names, topics, now), now)


def events_of(
    graph: Graph, picture: Picture, facts: Mapping[Node, DatasetFacts], now: datetime
) -> list[dict[str, Any]]:
    """Jobs as runs; models and dashboards as jobs, which have no runs that we know of; datasets."""
    jobs = {(node.namespace, node.name) for node in picture.nodes if node.kind is NodeKind.JOB}
    known = {(node.namespace, node.name): dataset_facets(each) for node, each in facts.items()}
    found: list[dict[str, Any]] = run_events(graph, facts, now)
    for event in openlineage_events(picture, now):
        if "dataset" in event:
            about = event["dataset"]
            about["facets"] |= known.get((about["namespace"], about["name"]), {})
            found.append(event)
        elif (event["job"]["namespace"], event["job"]["name"]) not in jobs:
            found.append(event)
    return found


def sender(to: str, settings: Settings, token: str | None = None) -> Send:
    """What sends events to ``http(s)://...``, ``kafka:TOPIC`` or a file, one event a line.

    Raises:
        SettingsError: it is none of these.
    """
    if to.startswith(("http://", "https://")):
        return lambda events: _to_http(to, events, token)
    if to.startswith("kafka:"):
        topic = to.removeprefix("kafka:").strip("/")
        if not topic:
            raise SettingsError("kafka:TOPIC names no topic")
        return lambda events: _to_kafka(settings, topic, events)
    return lambda events: _to_file(Path(to), events)


def _to_http(url: str, events: Events, token: str | None) -> None:
    if _RUNS_ONLY in url:
        events = [event for event in events if "run" in event]
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, headers=headers) as client:
            for number, event in enumerate(events):
                answer = client.post(url, content=orjson.dumps(event))
                if not answer.is_success:
                    raise ConnectionFailed(
                        f"{url} answered {answer.status_code} to event {number} of {len(events)}",
                        hint="401 and 403: --token-file names a file with a token. 404: Marquez takes events at "
                        "/api/v1/lineage, DataHub at /openapi/openlineage/api/v1/lineage.",
                    )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConnectionFailed(f"{url} does not answer: {type(error).__name__}") from error


def _to_kafka(settings: Settings, topic: str, events: Events) -> None:
    acknowledged.write(settings.kafka, topic, [(_key(event), orjson.dumps(event)) for event in events])


def _to_file(path: Path, events: Events) -> None:
    """A file that is there is replaced at once and whole."""
    body = b"".join(orjson.dumps(event) + b"\n" for event in events)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
        beside.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error


def _key(event: Mapping[str, Any]) -> bytes:
    about = event.get("job") or event["dataset"]
    return f"{about['namespace']}/{about['name']}".encode()


def _facts(settings: Settings, names: Naming, topics: Sequence[Node], now: datetime) -> dict[Node, DatasetFacts]:
    store = open_store(settings.store)
    try:
        found = {node: _measured(store, names.cluster, node.name, now) for node in topics}
    finally:
        store.close()
    try:
        with ProvenanceIndex(settings.index.index_path) as index, index.snapshot():
            schemas = {node: _newest_schema(index, node.name) for node in topics}
            found = {node: _with_index(index, node.name, known, schemas[node]) for node, known in found.items()}
    except (NotFound, IndexUnusable) as error:
        _log.warning("without schema versions and alerts: there is no provenance index", reason=error.message)
        return found
    return _with_types(settings, found, schemas)


def _measured(store: MetricStore, cluster: str, topic: str, now: datetime) -> DatasetFacts:
    tags = {"cluster": cluster, "topic": topic}

    def of_topic(field: str) -> int | None:
        buckets = store.aggregate(
            "lineage_topic", field, now - _HOUR, now, window_seconds=3600, aggregation="sum", tags=tags
        )
        return round(sum(bucket.value for bucket in buckets)) if buckets else None

    def of_fields(field: str, aggregation: Aggregation) -> dict[str, float]:
        together = _TOGETHER[aggregation]
        values: dict[str, list[float]] = {}
        for bucket in store.aggregate(
            "lineage_field", field, now - _HOUR, now, window_seconds=3600, aggregation=aggregation, tags=tags
        ):
            values.setdefault(bucket.tags["field"], []).append(bucket.value)
        return {path: together(each) for path, each in values.items()}

    slots, nulls = of_fields("slots", "sum"), of_fields("nulls", "sum")
    low, high = of_fields("min", "min"), of_fields("max", "max")
    middle = {name: of_fields(name, "last") for name in _QUANTILES}
    columns = {
        path: ColumnFacts(
            round(slots[path]),
            None if path not in nulls else round(nulls[path]),
            low.get(path),
            high.get(path),
            {name: values[path] for name, values in middle.items() if path in values},
        )
        for path in slots
        if not path.startswith(_KEY_PREFIX)
    }
    return DatasetFacts(rows=of_topic("records"), bytes=of_topic("bytes"), columns=columns)


def _newest_schema(index: ProvenanceIndex, topic: str) -> SchemaReference | None:
    """The one that came last to any partition of the topic that is there now."""
    lives = topic_lives(index, topic)
    used = schemas_in_use(index, topic, lives[-1].topic_id) if lives else []
    newest = max((each for each in used if each[0] == "value"), key=lambda each: max(each[2].values()), default=None)
    return None if newest is None else newest[1]


def _with_types(
    settings: Settings, found: Mapping[Node, DatasetFacts], schemas: Mapping[Node, SchemaReference | None]
) -> dict[Node, DatasetFacts]:
    """With the types that registered schemas declare, as far as the registry and the schemas allow."""
    registry = registry_of(settings)
    if registry is None:
        return dict(found)
    out = {}
    with closing(registry):
        for node, known in found.items():
            reference = schemas[node]
            try:
                declared = None if reference is None else _registered(registry, node.name, reference)
                out[node] = known if declared is None else replace(known, types=declared_fields(declared))
            except RegistryUnavailable as error:
                _log.warning("without the types of fields: the registry does not answer", reason=error.message)
                return {**found, **out}
            except (NotFound, SchemaError) as error:
                _log.warning("without the types of its fields", topic=node.name, reason=error.message)
                out[node] = known
    return out


def _registered(registry: SchemaRegistry, topic: str, reference: SchemaReference) -> RegisteredSchema | None:
    if reference.id is not None:
        return registry.by_id(reference.id, topic=topic, role="value")
    return None if reference.guid is None else registry.by_guid(reference.guid, topic=topic, role="value")


def _with_index(
    index: ProvenanceIndex, topic: str, known: DatasetFacts, schema: SchemaReference | None
) -> DatasetFacts:
    version = None if schema is None else schema.fingerprint
    latest: dict[str, Any] = {}
    for alert in alerts_before(index, None, _MOST_ALERTS, topic=topic)[0]:
        if alert.phase is not None:
            latest.setdefault(alert.fingerprint, alert)  # the newest word of each comes first
    assertions = [
        Assertion(each.kind, each.field_path, each.phase == "close", each.severity == "critical")
        for each in latest.values()
    ]
    troubles = [each.summary for each in latest.values() if each.phase != "close" and each.severity == "critical"]
    return DatasetFacts(version, known.rows, known.bytes, known.columns, assertions, troubles)

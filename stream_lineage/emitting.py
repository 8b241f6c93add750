"""Our jobs, datasets and runs told to others as OpenLineage's events: over HTTP, to a Kafka topic, or into a file."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson

from stream_lineage.errors import ConnectionFailed, IndexUnusable, NotFound, SettingsError
from stream_lineage.graph.naming import Naming, naming
from stream_lineage.graph.openlineage_events import openlineage_events
from stream_lineage.graph.openlineage_runs import Assertion, ColumnFacts, DatasetFacts, dataset_facets, run_events
from stream_lineage.graph.picture import whole
from stream_lineage.graphing import graph_at
from stream_lineage.index.pages import alerts_before, schemas_in_use, topic_lives
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.logs import get_logger
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.provenance.log import Progress
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store
from stream_lineage.store.ports import Aggregation, MetricStore
from stream_lineage.wire import acknowledged

_HOUR = timedelta(hours=1)
_MOST_ALERTS = 100
_TIMEOUT_SECONDS = 10.0
_KEY_PREFIX = "@key"
_QUANTILES = ("p05", "p25", "p50", "p75", "p95")
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
    facts = _facts(settings, names, topics, now)
    static = [event for event in openlineage_events(picture, now) if "dataset" in event]
    by_name = {node.name: known for node, known in facts.items()}
    for event in static:
        if event["dataset"]["namespace"] == names.namespace and event["dataset"]["name"] in by_name:
            event["dataset"]["facets"] |= dataset_facets(by_name[event["dataset"]["name"]])
    return [*run_events(graph, facts, now), *static]


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
            return {node: _with_index(index, node.name, known) for node, known in found.items()}
    except (NotFound, IndexUnusable) as error:
        _log.warning("without schema versions and alerts: there is no provenance index", reason=error.message)
        return found


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


def _with_index(index: ProvenanceIndex, topic: str, known: DatasetFacts) -> DatasetFacts:
    lives = topic_lives(index, topic)
    version = None
    if lives:
        used = [each for each in schemas_in_use(index, topic, lives[-1].topic_id) if each[0] == "value"]
        newest = max(used, key=lambda each: max(each[2].values()), default=None)
        version = None if newest is None else newest[1].fingerprint
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

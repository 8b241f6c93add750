"""If this failed, lineage that Airflow, Spark, dbt or Flink tell in their own way would be lost or joined wrongly.

The events are of the forms that these integrations document: with the facets of their own, in the versions that they
have had, started by one another, and with what each says at START, while it runs, and at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage.agents.openlineage_watch import OpenLineageWatch, Sent, sent
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.serve.routes.openlineage import accepted

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = naming("prod", [("b1", 9092), ("b2", 9092)])
RUN, PARENT = "0190a1b2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000002"
URL = "https://openlineage.io/spec"
GITHUB = "https://github.com/OpenLineage/OpenLineage/tree/1.40.0/integration"


def facet(name: str, /, **content: Any) -> dict[str, Any]:
    return {"_producer": GITHUB, "_schemaURL": f"{URL}/facets/1-0-0/{name}.json", **content}


def event(
    producer: str,
    job: tuple[str, str],
    kind: str | None,
    inputs: Iterable[Any] = (),
    outputs: Iterable[Any] = (),
    run: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    schema: str = "2-0-2",
) -> dict[str, Any]:
    found = {
        "eventTime": NOW.isoformat(),
        "producer": producer,
        "schemaURL": f"{URL}/{schema}/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": RUN, "facets": run or {}},
        "job": {"namespace": job[0], "name": job[1], "facets": about or {}},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }
    return found if kind is None else {**found, "eventType": kind}


def dataset(namespace: str, name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "facets": facets}


def parent(namespace: str, name: str) -> dict[str, Any]:
    return {"parent": facet("ParentRunFacet", run={"runId": PARENT}, job={"namespace": namespace, "name": name})}


AIRFLOW = "https://github.com/apache/airflow/tree/providers-openlineage/2.7.1"
SPARK, DBT, FLINK = (f"{GITHUB}/{name}" for name in ("spark", "common/openlineage", "flink"))
TABLE, ORDERS = ("postgres://db:5432", "shop.public.orders"), ("kafka://b1:9092", "orders")
SPARK_JOB = ("jobs", "enrich.execute_insert_into_hadoop_fs_relation_command")
SYMLINK = facet(
    "SymlinksDatasetFacet",
    identifiers=[{"namespace": "hive://metastore:9083", "name": "shop.enriched", "type": "TABLE"}],
)

AIRFLOW_EVENTS = [
    # The DAG itself has neither inputs nor outputs; a task says at START what it will do.
    event(
        AIRFLOW,
        ("airflow", "nightly"),
        "START",
        run={"airflowDagRun": facet("AirflowDagRunFacet", dag={"dag_id": "nightly"})},
    ),
    event(
        AIRFLOW,
        ("airflow", "nightly.load"),
        "START",
        [dataset(*ORDERS)],
        [dataset(*TABLE)],
        {**parent("airflow", "nightly"), "nominalTime": facet("NominalTimeRunFacet", nominalStartTime=NOW.isoformat())},
        {
            "jobType": facet("JobTypeJobFacet", processingType="BATCH", integration="AIRFLOW", jobType="TASK"),
            "ownership": facet("OwnershipJobFacet", owners=[{"name": "team-shop"}]),
            "sql": facet("SQLJobFacet", query="insert into shop.public.orders select ..."),
        },
    ),
    event(AIRFLOW, ("airflow", "nightly.load"), "COMPLETE", [dataset(*ORDERS)], [dataset(*TABLE)]),
]
SPARK_EVENTS = [
    event(
        SPARK,
        ("jobs", "enrich"),
        "START",
        run={"spark_properties": facet("SparkPropertiesFacet", properties={"spark.master": "yarn"})},
    ),
    event(SPARK, SPARK_JOB, "START", [dataset("kafka://b2:9092", "orders")], [], parent("jobs", "enrich")),
    event(
        SPARK,
        SPARK_JOB,
        "RUNNING",
        [dataset("kafka://b2:9092", "orders")],
        [
            dataset(
                "s3://lake",
                "/enriched",
                symlinks=SYMLINK,
                columnLineage=facet(
                    "ColumnLineageDatasetFacet",
                    fields={
                        "amount": {
                            "inputFields": [
                                {
                                    "namespace": "kafka://b2:9092",
                                    "name": "orders",
                                    "field": "amount",
                                    "transformations": [
                                        {"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": False}
                                    ],
                                },
                                {
                                    "namespace": "kafka://b2:9092",
                                    "name": "orders",
                                    "field": "country",
                                    "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}],
                                },
                            ]
                        }
                    },
                    dataset=[{"namespace": "kafka://b2:9092", "name": "orders", "field": "country"}],
                ),
            )
        ],
        {
            "processing_engine": facet("ProcessingEngineRunFacet", version="3.5.0", name="spark"),
            "spark.logicalPlan": facet("LogicalPlanFacet", plan=[{"class": "Project", "num-children": 1}]),
        },
    ),
    event(SPARK, SPARK_JOB, "COMPLETE"),  # what it did was said while it ran
]
DBT_EVENTS = [
    event(
        DBT,
        ("dbt", "shop.public.shop.orders_by_day"),
        "START",
        [dataset(*TABLE)],
        [],
        parent("airflow", "nightly.dbt"),
        schema="1-0-0",
    ),
    event(
        DBT,
        ("dbt", "shop.public.shop.orders_by_day"),
        "COMPLETE",
        [
            {
                **dataset(*TABLE),
                "inputFacets": {
                    "dataQualityAssertions": facet(
                        "DataQualityAssertionsDatasetFacet",
                        assertions=[{"assertion": "not_null", "success": True, "column": "id"}],
                    )
                },
            }
        ],
        [
            dataset(
                "postgres://db:5432",
                "shop.public.orders_by_day",
                columnLineage=facet(
                    "ColumnLineageDatasetFacet",
                    fields={
                        "day": {
                            "inputFields": [{"namespace": TABLE[0], "name": TABLE[1], "field": "at"}],
                            "transformationType": "IDENTITY",
                            "transformationDescription": "date",
                        }
                    },
                ),
            )
        ],
        {"dbt_run": facet("DbtRunRunFacet", invocation_id="x")},
        schema="1-0-0",
    ),
]
FLINK_EVENTS = [
    # A job without an end says all at START, and afterwards only that it runs; a checkpoint is OTHER.
    event(
        FLINK,
        ("flink", "score"),
        "START",
        [dataset("kafka://b1:9092,b2:9092", "orders")],
        [dataset("kafka://b1:9092", "scores")],
        about={"jobType": facet("JobTypeJobFacet", processingType="STREAMING", integration="FLINK", jobType="JOB")},
    ),
    event(FLINK, ("flink", "score"), "RUNNING", run={"checkpoints": facet("CheckpointFacet", completed=3)}),
    event(FLINK, ("flink", "score"), "OTHER"),
]
OURS, LAKE = "kafka://prod/orders", "s3://lake//enriched"
EXPECTED = [
    (AIRFLOW_EVENTS, {(OURS, "airflow/nightly.load"), ("airflow/nightly.load", "/".join(TABLE))}),
    (SPARK_EVENTS, {(OURS, "/".join(SPARK_JOB)), ("/".join(SPARK_JOB), LAKE)}),
    (
        DBT_EVENTS,
        {
            ("/".join(TABLE), "dbt/shop.public.shop.orders_by_day"),
            ("dbt/shop.public.shop.orders_by_day", "postgres://db:5432/shop.public.orders_by_day"),
        },
    ),
    (FLINK_EVENTS, {(OURS, "flink/score"), ("flink/score", "kafka://prod/scores")}),
    (
        [{key: value for key, value in FLINK_EVENTS[0].items() if key != "eventType"}],
        {(OURS, "flink/score"), ("flink/score", "kafka://prod/scores")},
    ),
    ([FLINK_EVENTS[0]], {(OURS, "flink/score"), ("flink/score", "kafka://prod/scores")}),
]


class Kept:
    """The topic: what the API has accepted."""

    def __init__(self, events: Iterable[Mapping[str, Any]]) -> None:
        self.events = [sent(self) for _, self.raw in accepted(json.dumps(list(events)).encode())]

    def value(self) -> bytes:
        return self.raw

    def timestamp(self) -> tuple[int, int]:
        return 2, int(NOW.timestamp() * 1000)

    def end(self) -> int:
        return len(self.events)

    def read(self, start: int) -> tuple[list[tuple[int, Sent]], int]:
        return list(enumerate(self.events))[start:], len(self.events)


def charted(events: Iterable[Mapping[str, Any]]) -> Graph:
    graph = Graph()
    watch = OpenLineageWatch(Kept(events), lambda _: 0, NAMES, timedelta(hours=1))
    for each in watch.look(lambda question: question(graph)):
        graph.take(each)
    return graph


@pytest.mark.parametrize(("events", "expected"), EXPECTED)
def test_their_jobs_and_datasets_are_in_the_graph(
    events: list[Mapping[str, Any]], expected: set[tuple[str, str]]
) -> None:
    ends = [(view.edge.source, view.edge.target) for view in charted(events).edges()]
    found = {tuple(f"{node.namespace}/{node.name}" for node in pair) for pair in ends if pair[0].field is None}
    assert found == expected


def test_columns_and_how_they_are_made() -> None:
    views = [view for view in charted(SPARK_EVENTS + DBT_EVENTS).edges() if view.edge.source.field is not None]
    said = {
        (view.edge.source.label, view.edge.target.label): dict(view.evidence[0].detail)["transformation"]
        for view in views
    }
    assert said == {
        ("orders:amount", "/enriched:amount"): "DIRECT TRANSFORMATION",
        ("orders:country", "/enriched:amount"): "INDIRECT FILTER",
        ("shop.public.orders:at", "shop.public.orders_by_day:day"): "IDENTITY",
    }


def test_all_of_them_together_meet_at_what_they_share() -> None:
    graph = charted([*AIRFLOW_EVENTS, *SPARK_EVENTS, *DBT_EVENTS, *FLINK_EVENTS])
    readers = {view.edge.target.name for view in graph.edges() if view.edge.source == NAMES.topic("orders")}
    assert readers == {"nightly.load", SPARK_JOB[1], "score"}

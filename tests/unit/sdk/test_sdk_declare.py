"""If this failed, what an application declares would not reach the graph, or would disturb the application."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Consumer, Producer
from sdk_broker import SECONDS, Broker, polled, reading

from stream_lineage.graph.from_applications import claims_of_applications, decode_job
from stream_lineage.graph.naming import naming
from stream_lineage.model.schema_files import schema_text
from stream_lineage.sdk import LineageProducer, declare, declare_lineage, send_declarations
from stream_lineage.sdk.declare import Declared
from stream_lineage.wire.job_declarations import encode_job

SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text("declaration.schema.json")))


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Declared:
    """Those of a process that has just begun."""
    fresh = Declared(prefix="none.")
    monkeypatch.setattr(declare, "DECLARED", fresh)
    return fresh


def test_the_function_is_left_as_it_is(declared: Declared) -> None:
    def score(order: int) -> int:
        return order + 1

    assert declare_lineage(inputs=["orders"], outputs=["scores"])(score) is score
    (job,) = declared.jobs.values()
    name = f"{__name__}.test_the_function_is_left_as_it_is.<locals>.score"
    assert (job["name"], job["inputs"], job["outputs"]) == (name, ["orders"], ["scores"])


def test_functions_of_one_job_are_declared_together(declared: Declared) -> None:
    users = {"namespace": "postgres://db:5432", "name": "users"}

    @declare_lineage(job="enrich", inputs=["orders", users], outputs="enriched", groups=["enrich-v2"])
    def one() -> None: ...

    @declare_lineage(
        job="enrich",
        inputs=["orders", "prices"],
        columns={"orders:id": "enriched:id"},
        owner="shop",
        groups="enrich-v3",
    )
    class Other: ...

    (job,) = declared.jobs.values()
    assert job == {
        "name": "enrich", "inputs": ["orders", users, "prices"], "outputs": ["enriched"],
        "columns": [{"from": "orders:id", "to": "enriched:id"}], "groups": ["enrich-v2", "enrich-v3"],
        "owner": "shop", "description": None,
    }  # fmt: skip
    SCHEMA.validate({"version": 1, "job": job})


def test_a_job_says_which_run_has_started_its_process(declared: Declared, monkeypatch: pytest.MonkeyPatch) -> None:
    run, root = "0190a1b2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000002"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow://prod/nightly.score/{run}")
    monkeypatch.setenv("OPENLINEAGE_ROOT_PARENT_ID", f"airflow://prod/nightly/{root}")
    declare_lineage(job="score", inputs="orders")(object)
    SCHEMA.validate({"version": 1, "job": declared.jobs["score"]})
    message = decode_job(b"score", encode_job(declared.jobs["score"]), datetime(2026, 3, 1, tzinfo=UTC))
    assert message.job is not None
    [said, *_] = claims_of_applications([message.job], naming("test", [("b", 9092)]))
    assert dict(said.detail) == {
        "parent": f"airflow://prod/nightly.score/{run}", "root": f"airflow://prod/nightly/{root}",
    }  # fmt: skip


class Odd:
    def __iter__(self) -> Any:
        raise RuntimeError("no")


NONSENSE: list[dict[str, Any]] = [
    {},
    {"inputs": [7]},
    {"inputs": 7},
    {"inputs": Odd()},
    {"inputs": ["a"], "job": ""},
    {"inputs": ["a"], "job": 7},
    {"inputs": ["a\nb"]},
    {"inputs": [{"name": "users"}]},
    {"inputs": ["a"], "columns": ["a:b"]},
    {"inputs": ["a"], "columns": 3},
    {"inputs": ["a"] * 2, "job": "x" * 301},
    {"inputs": [f"topic-{n}" * 50 for n in range(1_000)]},
    {"inputs": ["a"], "groups": [None]},
]


@pytest.mark.parametrize("said", NONSENSE)
def test_nonsense_is_counted_and_disturbs_nobody(said: dict[str, Any], declared: Declared) -> None:
    def function() -> int:
        return 3

    assert declare_lineage(**said)(function)() == 3
    assert (declared.jobs, declared.failed) == ({}, 1)


def test_it_is_written_once_a_client_has_shown_where(
    broker: Broker, declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic("declarations")
    monkeypatch.setattr(declare, "TOPIC", topic)
    monkeypatch.setattr(declared, "_prefix", "")

    @declare_lineage(job="first", inputs=["a"], outputs=["b"])
    def first() -> None: ...

    assert not send_declarations()  # nobody knows where
    LineageProducer({**broker.config(), "linger.ms": 3, "transactional.id": "t", "on_delivery": print})
    assert declared.wait(SECONDS)
    declare_lineage(job="second", inputs=["b"])(first)
    assert send_declarations(wait_seconds=SECONDS)
    with reading(Consumer(broker.consumer_config()), topic, partitions=4) as consumer:
        messages = [polled(consumer) for _ in range(3)]
    found = [(message.key(), json.loads(message.value())) for message in messages]
    assert sorted(key for key, _ in found) == [b"first", b"first", b"second"]
    for key, document in found:
        SCHEMA.validate(document)
        assert document["job"]["name"].encode() == key
    assert declared.failed == 0


def test_no_topic_is_created_and_nobody_waits(broker: Broker, declared: Declared, caplog: Any) -> None:
    """The broker creates topics that are produced to or asked for by name."""
    with caplog.at_level(logging.WARNING, "stream_lineage.sdk"):
        declare_lineage(job="a", inputs=["a"])(print)
        assert not send_declarations(broker.config())
        thread = declared._thread
        assert thread is not None
        assert thread.daemon
        deadline = time.monotonic() + SECONDS
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "none.declarations is not there" in caplog.text
    assert "none.declarations" not in Producer(broker.config()).list_topics(timeout=SECONDS).topics


class Refusing:
    """A client that may not write."""

    def __init__(self, conf: dict[str, Any]) -> None:
        self.conf = conf
        self.reports: list[Any] = []
        SEEN.append(conf)

    def list_topics(self, timeout: float) -> Any:
        return type("Metadata", (), {"topics": {"none.declarations": 1}})

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None:
        self.reports.append(on_delivery)

    def flush(self, timeout: float) -> int:
        for each in self.reports:
            each(type("Error", (), {"name": lambda _: "TOPIC_AUTHORIZATION_FAILED"})(), None)
        return 0


SEEN: list[dict[str, Any]] = []


def test_a_refusal_is_said_and_only_what_leads_to_kafka_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    SEEN.clear()
    fresh = Declared(Refusing, prefix="none.")
    monkeypatch.setattr(declare, "DECLARED", fresh)
    declare_lineage(job="a", inputs=["a"])(print)
    with caplog.at_level(logging.WARNING, "stream_lineage.sdk"):
        strange: dict[Any, Any] = {7: 8, "linger.ms": 100}
        send_declarations(
            strange
            | {
                "bootstrap.servers": "b:1", "sasl.password": "p", "group.id": "g", "transactional.id": "t",
                "key.serializer": print, "on_delivery": print, "oauth_cb": print,
            }
        )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "TOPIC_AUTHORIZATION_FAILED" in caplog.text
    assert not fresh.wait(0)
    assert SEEN[0].keys() == {
        "bootstrap.servers",
        "sasl.password",
        "oauth_cb",
        "message.timeout.ms",
        "error_cb",
        "log_level",
    }
    fresh.connect(object())
    fresh.connect(Odd())
    assert fresh.failed == 1


@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_that_was_forked_declares_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Declared(Refusing, prefix="none.")
    monkeypatch.setattr(declare, "DECLARED", fresh)
    fresh.connect({"bootstrap.servers": "b:1"})
    declare_lineage(job="a", inputs=["a"])(print)
    first = fresh._thread
    assert first is not None
    child = os.fork()
    if child == 0:
        fresh.connect(None)
        os._exit(0 if fresh._thread is not first and fresh._thread is not None and fresh._thread.is_alive() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

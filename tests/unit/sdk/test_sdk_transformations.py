"""If this failed, transformations would change what functions do, or be told other than they were."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pytest
from referencing import Registry, Resource

from stream_lineage.frames import held
from stream_lineage.model.schema_files import schema_text
from stream_lineage.sdk import (
    current_run,
    datasets,
    run,
    run_sender,
    runs,
    send_runs,
    track_lineage,
    transform,
    transform_lineage,
)
from stream_lineage.sdk.datasets import dataset
from stream_lineage.sdk.declare import Declared
from stream_lineage.sdk.destinations import Destination, Undelivered
from stream_lineage.sdk.run_sender import RunSender

SECONDS = 60.0
KAFKA = "kafka://broker:9092"
ROWS = [{"id": number, "amount": None if number % 4 == 0 else number / 2} for number in range(8)]


class Kept(Destination):
    """Keeps what is sent to it, or does what it is told to."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.open = threading.Event()
        self.open.set()

    def send(self, events: Any) -> int:
        assert self.open.wait(SECONDS)
        self.events += [json.loads(json.dumps(event, allow_nan=False)) for event in events]
        return 0


class Told:
    """What the runs of one test were told as."""

    def __init__(self, sender: RunSender, kept: Kept) -> None:
        self.sender = sender
        self.kept = kept

    def events(self) -> list[Any]:
        assert self.sender.wait(SECONDS)
        assert self.sender.counts.failed == 0
        return self.kept.events

    def only(self, kind: str = "COMPLETE") -> Any:
        (event,) = [event for event in self.events() if event["eventType"] == kind]
        return event


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    for name in list(os.environ):
        if name.startswith(("OPENLINEAGE_P", "OPENLINEAGE_R", "OPENLINEAGE_N", "LINEAGE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STREAM_LINEAGE_BOOTSTRAP_SERVERS", "broker:9092,other:9092")
    monkeypatch.setattr(datasets, "DECLARED", Declared())  # clients of other tests have shown nothing
    kept = Kept()
    sender = RunSender(lambda: kept)
    for module in (run_sender, runs, transform):
        monkeypatch.setattr(module, "RUNS", sender)
    return Told(sender, kept)


def frame(kind: str) -> Any:
    """The same rows."""
    return {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.Table.from_pylist, "rows": list}[kind](ROWS)


def frame_facet(dataset: Any) -> Any:
    return dataset["facets"]["streamLineage_frame"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "rows"])
def test_what_goes_in_and_comes_out(kind: str, told: Told) -> None:
    given = frame(kind)

    @transform_lineage(
        inputs=["orders"], outputs=["s3://lake/features"], job="clean", key="id", owner="shop",
        column_lineage={"orders:amount": "s3://lake/features:amount"},
    )  # fmt: skip
    def clean(orders: Any, least: float = 1.5, api_key: str = "k") -> Any:
        """Leave out what has no amount.

        And more.
        """
        assert orders is given
        return orders[:3] if kind != "pyarrow" else orders.slice(0, 3)

    assert len(clean(given, 2.5)) == 3
    event = told.only()
    [read], [written] = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == (KAFKA, "orders")
    assert (written["namespace"], written["name"]) == ("s3://lake", "features")
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 8
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == ["id", "amount"]
    assert [field["type"] for field in read["facets"]["schema"]["fields"]] == ["int64", "float64"]
    assert read["inputFacets"]["dataQualityMetrics"]["columnMetrics"]["amount"] == {"nullCount": 2}
    facet = frame_facet(read)
    assert (facet["library"], facet["rows"], facet["nullRatios"]) == (kind, 8, {"id": 0.0, "amount": 0.25})
    assert facet["keyChecksum"] != frame_facet(written)["keyChecksum"]
    [made] = written["facets"]["columnLineage"]["fields"]["amount"]["inputFields"]
    assert made == {"namespace": KAFKA, "name": "orders", "field": "amount"}
    facets = event["run"]["facets"]
    parameters = {each["key"]: each["value"] for each in facets["executionParameters"]["parameters"]}
    assert parameters == {"least": "2.5", "api_key": "***"}
    own = facets["streamLineage_transformation"]
    assert own["nodeId"] == f"job:{KAFKA}/clean"
    assert own["code"]["function"].endswith(".clean")
    assert len(own["code"]["sourceHash"]) == 64
    assert own["durationSeconds"] >= 0
    [difference] = own["differences"]
    assert difference["rows"] == {"before": 8, "after": 3, "change": -5}
    assert difference["nullRatios"] == {"amount": {"before": 0.25, "after": pytest.approx(1 / 3)}}
    assert (difference["keys"], difference["from"]) == ("changed", "orders")
    job = event["job"]
    assert (job["namespace"], job["name"]) == (KAFKA, "clean")
    assert job["facets"]["documentation"]["description"] == "Leave out what has no amount."
    assert job["facets"]["ownership"]["owners"] == [{"name": "shop"}]
    start = told.only("START")
    assert (start["run"]["runId"], start["inputs"][0]["facets"]) == (event["run"]["runId"], {})
    assert UUID(event["run"]["runId"]).version == 7


def test_frames_are_as_they_were_when_they_were_given(told: Told) -> None:
    given = pd.DataFrame(ROWS)

    @transform_lineage(inputs="orders", outputs="orders-mended", key=["id"])
    def mend(orders: pd.DataFrame) -> None:
        orders["amount"] = orders["amount"].fillna(0.0)
        orders["new"] = "x"

    told.kept.open.clear()
    assert mend(given) is None
    given["id"] = -1  # the run is over
    told.kept.open.set()
    event = told.only()
    assert frame_facet(event["inputs"][0])["nullRatios"] == {"id": 0.0, "amount": 0.25}
    assert frame_facet(event["outputs"][0])["nullRatios"] == {"id": 0.0, "amount": 0.0, "new": 0.0}
    [difference] = event["run"]["facets"]["streamLineage_transformation"]["differences"]
    assert (difference["keys"], difference["columns"]["added"]) == ("same", ["new"])


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(KeyError("customer 4711"), "FAIL"), (Odd(), "FAIL"), (SystemExit(3), "FAIL"), (KeyboardInterrupt(), "ABORT")],
)
def test_exceptions_come_out_as_they_were_raised(error: BaseException, kind: str, told: Told) -> None:
    @transform_lineage(inputs=["orders"], outputs=["features"])
    def fails(orders: Any) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        fails(ROWS)
    assert raised.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert current_run() is None
    event = told.only(kind)
    said = event["run"]["facets"]["errorMessage"]
    assert said["message"].startswith(f"{type(error).__name__} at test_sdk_transformations.py:")
    assert (said["programmingLanguage"], "4711" in json.dumps(event)) == ("Python", False)
    assert event["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 8


def test_the_text_of_an_error_is_told_if_asked_for(told: Told) -> None:
    with pytest.raises(ValueError, match="beyond"), run("nightly", error_text=True):
        raise ValueError("beyond the range")
    assert told.only("FAIL")["run"]["facets"]["errorMessage"]["message"].endswith(": beyond the range")


def test_an_error_without_a_text_is_told(told: Told) -> None:
    with pytest.raises(Odd), run("nightly", error_text=True):
        raise Odd
    assert told.only("FAIL")["run"]["facets"]["errorMessage"]["message"].startswith("Odd at ")


def test_a_run_may_be_given_its_id(told: Told) -> None:
    given = uuid4()
    for each in (given, str(given)):
        with run("nightly", run_id=each, parameters={"a": 1}) as this:  # type: ignore[arg-type]
            assert (this.run_id, this.parameters) == (str(given), {"a": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pwd", "x"), ("aws_access_key_id", "x"), ("conn_str", "x"), ("session_cookie", "x"),
        ("url", "postgres://u:hunter2@db/shop"), ("conn", "host=db password=hunter2"), ("blob", "https://a/b?sv=1&sig=x"),
    ],
)  # fmt: skip
def test_secrets_are_hidden(name: str, value: str) -> None:
    assert run("nightly", parameters={name: value}).parameters == {name: "***"}


@pytest.mark.parametrize(
    ("said", "namespace", "name"),
    [
        ("postgres://u:hunter2@db:5432/shop.users", "postgres://db:5432", "shop.users"),
        ("https://token@host/a.csv?sig=x", "https://host", "a.csv"),
        ("abfss://files@account.dfs.core.windows.net/a", "abfss://files@account.dfs.core.windows.net", "a"),
        ("s3://bucket/a?b", "s3://bucket", "a?b"),
    ],
)
def test_passwords_are_no_part_of_a_dataset(said: str, namespace: str, name: str) -> None:
    assert dataset(said) == datasets.Dataset(namespace, name)


def test_what_is_decorated_can_go_to_other_processes() -> None:
    """As joblib, Spark and Ray send functions of notebooks: by value, with all that they need."""
    assert pickle.loads(pickle.dumps(run_sender.RUNS)) is run_sender.RUNS  # noqa: S301  (ours)


def test_objects_that_can_be_called(told: Told) -> None:
    assert transform_lineage(job="partial")(functools.partial(max, 3))(7) == 7
    assert told.only()["job"]["name"] == "partial"


def test_a_class_stays_one(told: Told) -> None:
    assert isinstance(track_lineage(Odd)(), Odd)
    assert told.sender.counts.failed == 1


def test_several_threads_share_a_block(told: Told) -> None:
    """Each leaves the run that it has entered."""
    block = track_lineage("block")
    left, inside = threading.Event(), threading.Event()
    found: list[Any] = []

    def other() -> None:
        with block as this:
            found.append(this)
            inside.set()
            assert left.wait(SECONDS)
        found.append(current_run())

    thread = threading.Thread(target=other)
    with block as mine:
        thread.start()
        assert inside.wait(SECONDS)
    ended = (mine.ended is not None, found[0].ended)
    left.set()
    thread.join(SECONDS)
    assert ended == (True, None)
    assert (found[0].ended is not None, found[1], current_run()) == (True, None, None)


def test_a_log_that_fails_disturbs_nobody(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Any) -> bool:
        raise RuntimeError("of the application")

    monkeypatch.setattr(logging.getLogger("stream_lineage.sdk"), "filters", [fails])
    with run("nightly") as this:
        this.input(7)
    assert told.sender.counts.failed == 1


class Panic(BaseException):
    """As Polars raises them."""


def test_a_panic_is_told_as_less(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(*_: Any) -> Any:
        raise Panic

    monkeypatch.setattr(held, "_checksum", panics)
    with run("nightly", key="id") as this:
        this.input("orders", pl.DataFrame(ROWS))
    assert told.sender.wait(SECONDS)
    assert [event["eventType"] for event in told.kept.events] == ["START", "COMPLETE"]
    assert told.sender.counts.failed == 1
    facet = frame_facet(told.kept.events[1]["inputs"][0])
    assert (facet["rows"], facet["columns"], facet["keyChecksum"], facet["whole"]) == (8, 2, None, False)
    monkeypatch.setattr(held, "_polars", panics)  # in the application's own time
    with run("nightly") as this:
        this.input("orders", pl.DataFrame(ROWS))
    assert told.sender.wait(SECONDS)
    assert told.sender.counts.failed == 2
    assert told.kept.events[-1]["inputs"][0]["facets"] == {}


def test_runs_inside_runs_are_its_children(told: Told) -> None:
    @transform_lineage(job="inner")
    def inner() -> None:
        pass

    with run("outer", run_id="0193f9b8-0000-7000-8000-000000000001") as outer:
        with run("middle") as middle:
            assert current_run() is middle
            inner()
        assert current_run() is outer
    events = {event["job"]["name"]: event for event in told.events() if event["eventType"] == "COMPLETE"}
    assert "parent" not in events["outer"]["run"]["facets"]
    parent = events["inner"]["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]) == (middle.run_id, {"namespace": KAFKA, "name": "middle"})
    assert parent["root"]["run"]["runId"] == outer.run_id == "0193f9b8-0000-7000-8000-000000000001"
    assert events["middle"]["run"]["facets"]["parent"]["run"]["runId"] == outer.run_id


def test_runs_of_other_processes_are_children_by_their_environment(told: Told, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    code = "from stream_lineage.sdk import run\nwith run('child'):\n    pass"
    with run("outer") as outer, run("inner") as inner:
        environment = {**os.environ, **inner.environment, "LINEAGE_RUNS_TO": str(file)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=SECONDS)
    assert inner.environment["LINEAGE_RUN_ID"] == inner.run_id
    start, complete = map(json.loads, file.read_text().splitlines())  # sent before the process had ended
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    parent = complete["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["root"]["run"]["runId"]) == (inner.run_id, outer.run_id)


def test_coroutines(told: Told) -> None:
    @transform_lineage(inputs="orders", outputs="features", job="async")
    async def work(orders: Any, number: int) -> Any:
        await asyncio.sleep(0)
        assert current_run() is not None
        return orders[:number]

    async def several() -> None:
        assert inspect.iscoroutinefunction(work)
        results = await asyncio.gather(*(work(ROWS, number) for number in (1, 2, 3)))
        assert [len(each) for each in results] == [1, 2, 3]
        assert current_run() is None
        with pytest.raises(TypeError):
            await work(ROWS, "x")  # type: ignore[arg-type]
        waits = asyncio.ensure_future(stopped())
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

    @transform_lineage(job="stopped")
    async def stopped() -> None:
        await asyncio.Event().wait()

    asyncio.run(several())
    events = told.events()
    complete = [event for event in events if event["eventType"] == "COMPLETE"]
    rows = [event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] for event in complete]
    assert sorted(rows) == [1, 2, 3]
    assert len({event["run"]["runId"] for event in complete}) == 3
    assert [event["job"]["name"] for event in events if event["eventType"] in ("FAIL", "ABORT")] == ["async", "stopped"]


def test_generators_last_until_they_are_exhausted_or_closed(told: Told) -> None:
    @transform_lineage(outputs="features", key="id", job="parts")
    def parts(count: int) -> Generator[Any, Any, Any]:
        got: list[Any] = []
        for first in range(count):
            try:
                got.append((yield frame("polars")[first : first + 2]))
            except LookupError as error:
                got.append(error)
        return got

    assert inspect.isgeneratorfunction(parts)
    taken = parts(4)
    assert told.sender.wait(SECONDS)
    assert told.kept.events == []  # nothing has begun
    assert len(next(taken)) == 2
    assert current_run() is None
    assert len(taken.send("a")) == 2
    error = LookupError("b")
    taken.throw(error)
    next(taken)
    with pytest.raises(StopIteration) as stop:
        next(taken)
    assert stop.value.value == ["a", error, None, None]
    written = told.only()["outputs"][0]
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 8
    whole = pd.concat([pd.DataFrame(ROWS[first : first + 2]) for first in range(4)])

    @transform_lineage(outputs="features", key="id", job="whole")
    def at_once() -> Any:
        return whole

    at_once()
    last = told.events()[-1]
    assert frame_facet(last["outputs"][0])["keyChecksum"] == frame_facet(written)["keyChecksum"]
    for _ in parts(9):
        break
    del _
    assert [event["eventType"] for event in told.events()].count("COMPLETE") == 3


def test_asynchronous_generators(told: Told) -> None:
    closed = []

    @transform_lineage(outputs="features")
    async def parts() -> AsyncGenerator[Any, None]:
        try:
            for row in ROWS:
                yield [row]
        finally:
            closed.append(True)

    async def read() -> int:
        count = 0
        async for part in parts():
            count += len(part)
        taken = parts()
        await anext(taken)
        await taken.aclose()
        return count

    assert inspect.isasyncgenfunction(parts)
    assert (asyncio.run(read()), closed) == (8, [True, True])
    events = [event for event in told.events() if event["eventType"] == "COMPLETE"]
    counts = [event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] for event in events]
    assert counts == [8, 1]


class Pipeline:
    @transform_lineage(inputs=["orders"], outputs=["features"])
    def method(self, orders: Any, least: int) -> Any:
        return orders[least:]

    @classmethod
    @transform_lineage(inputs=["orders"], outputs=["features"])
    def below(cls, orders: Any) -> Any:
        return orders[1:]

    @transform_lineage(inputs=["orders"], outputs=["features"])
    @staticmethod
    def above(orders: Any) -> Any:
        return orders[1:]


def test_methods(told: Told) -> None:
    assert len(Pipeline().method(ROWS, least=2)) == 6
    assert len(Pipeline.below(ROWS)) == len(Pipeline().above(ROWS)) == 7
    events = [event for event in told.events() if event["eventType"] == "COMPLETE"]
    names = [event["job"]["name"].rpartition(".")[2] for event in events]
    assert names == ["method", "below", "above"]
    parameters = [event["run"]["facets"].get("executionParameters") for event in events]
    assert [each["key"] for each in parameters[0]["parameters"]] == ["least"]
    assert parameters[1:] == [None, None]


def test_which_frame_is_which_dataset_may_be_said(told: Told) -> None:
    @transform_lineage(inputs={"people": "users", "orders": "orders"}, outputs={"good": "joined", "bad": "rejected"})
    def join(orders: Any, people: Any, *, extra: Any = None) -> Any:
        return {"bad": orders[:1], "good": orders[1:], "other": 3}

    join(ROWS, [], extra=pd.DataFrame({"a": [1]}))
    event = told.only()
    rows = {each["name"]: frame_facet(each)["rows"] for each in (*event["inputs"], *event["outputs"])}
    assert rows == {"users": 0, "orders": 8, "joined": 7, "rejected": 1}
    frames = event["run"]["facets"]["streamLineage_transformation"]["frames"]
    [unnamed] = [each for each in frames if "dataset" not in each]
    assert (unnamed["name"], unnamed["rows"]) == ("extra", 1)


def test_several_frames_come_back_in_order(told: Told) -> None:
    @transform_lineage(inputs=["orders"], outputs=["good", {"namespace": "postgres://db:5432", "name": "bad"}])
    def split(orders: Any) -> Any:
        return orders[:1], 7, orders[1:]

    split(ROWS)
    rows = [frame_facet(each)["rows"] for each in told.only()["outputs"]]
    assert rows == [1, 7]


def test_tracked_without_a_name(told: Told) -> None:
    @track_lineage
    def doubled(given: Any) -> Any:
        return given + given

    with track_lineage("step", key="id") as step:
        step.input("orders", ROWS)
        step.parameter("least", 3)
        step.output("features", doubled(ROWS))
    inner, outer = [event for event in told.events() if event["eventType"] == "COMPLETE"]
    own = inner["run"]["facets"]["streamLineage_transformation"]
    assert [(each["role"], each["name"], each["rows"]) for each in own["frames"]] == [
        ("input", "given", 8), ("output", "result", 16),
    ]  # fmt: skip
    assert own["differences"][0]["rows"]["change"] == 8
    assert inner["run"]["facets"]["parent"]["run"]["runId"] == outer["run"]["runId"] == step.run_id
    assert frame_facet(outer["outputs"][0])["rows"] == 16


class Structure:
    """As ``pyspark.sql.types`` has them."""

    class Type:
        def __init__(self, name: str) -> None:
            self.name = name

        def simpleString(self) -> str:
            return self.name

    def __init__(self, **fields: str) -> None:
        self.fields = [type("Field", (), {"name": name, "dataType": self.Type(kind)}) for name, kind in fields.items()]


def test_frames_that_would_have_to_be_computed_are_told_by_their_schema(told: Told) -> None:
    spark: Any = type("DataFrame", (), {"__module__": "pyspark.sql.classic.dataframe"})()
    spark.schema = Structure(id="bigint", name="string", at="timestamp")

    @transform_lineage(inputs=["orders"], outputs=["features"], key="id")
    def through(orders: Any) -> Any:
        return orders

    through(spark)
    through(pl.LazyFrame(ROWS).filter(pl.col("id") > 2))
    # As pandas' interface on Spark has it, where any other attribute would be a column.
    on_spark: Any = type("DataFrame", (), {"__module__": "pyspark.pandas.frame"})()
    on_spark.spark = SimpleNamespace(schema=lambda: spark.schema)
    through(on_spark)
    first, second, third = [event for event in told.events() if event["eventType"] == "COMPLETE"]
    fields = first["inputs"][0]["facets"]["schema"]["fields"]
    assert [(each["name"], each["type"]) for each in fields] == [
        ("id", "int64"), ("name", "string"), ("at", "timestamp"),
    ]  # fmt: skip
    assert third["inputs"] == first["inputs"]
    for event in (first, second, third):
        facet = frame_facet(event["outputs"][0])
        assert (facet["rows"], facet["nullRatios"], facet["keyChecksum"]) == (None, {}, None)
        assert "inputStatistics" not in event["inputs"][0]["inputFacets"]
    assert [each["name"] for each in second["inputs"][0]["facets"]["schema"]["fields"]] == ["id", "amount"]


class Broken(pd.DataFrame):  # type: ignore[misc]
    @property
    def _constructor(self) -> Callable[..., Broken]:
        return Broken

    @property
    def iloc(self) -> Any:
        raise RuntimeError("cannot be read")


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": [7]}, {"inputs": 7}, {"outputs": [""]}, {"outputs": [{"name": "x"}]}, {"column_lineage": {"a": "b"}},
        {"column_lineage": 3}, {"parameters": 3}, {"key": 3}, {"inputs": ["a\nb"]},
    ],
)  # fmt: skip
def test_nonsense_is_counted_and_disturbs_nobody(options: dict[str, Any], told: Told) -> None:
    @transform_lineage(**options)
    def function(number: int) -> int:
        return number + 1

    assert function(3) == 4
    assert told.sender.counts.failed == 1
    with run("still", **{name: value for name, value in options.items() if name != "parameters"}):
        pass
    with track_lineage("block", **options) as step:
        step.input(object(), Broken(ROWS))
        step.output("fine", Broken(ROWS))


def test_frames_that_cannot_be_read_disturb_nobody(told: Told) -> None:
    @transform_lineage(inputs="orders", outputs="features")
    def through(orders: Any) -> Any:
        return orders

    given = Broken(ROWS)
    assert through(given) is given
    assert told.sender.wait(SECONDS)
    assert [event["eventType"] for event in told.kept.events] == ["START", "COMPLETE"]
    assert told.sender.counts.failed == 2


def test_nobody_waits_for_whoever_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    kept.open.clear()
    sender = RunSender(lambda: kept, most_waiting=10)
    monkeypatch.setattr(runs, "RUNS", sender)
    monkeypatch.setattr(transform, "RUNS", sender)

    @transform_lineage(job="many")
    def many() -> None:
        pass

    for _ in range(500):
        many()  # although nobody takes any of it
    assert not sender.wait(0.0)
    assert sender.counts.sent == 0
    kept.open.set()
    assert sender.wait(SECONDS)
    assert sender.counts.dropped > 0
    assert (sender.counts.sent + sender.counts.dropped, len(kept.events)) == (1_000, sender.counts.sent)


def test_frames_that_wait_have_bounded_memory(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, busy = Kept(), threading.Event()
    sender = RunSender(lambda: kept, most_held_bytes=1_000)
    monkeypatch.setattr(runs, "RUNS", sender)
    big = pa.table({"id": np.arange(1_000)})

    class Slow:
        def __init__(self) -> None:
            self.bytes = 0

        def measure(self) -> Any:
            assert busy.wait(SECONDS)
            raise RuntimeError

        describe = measure

    with run("first") as first:
        first.input("orders")
        first.inputs[0].waiting.append(Slow())  # type: ignore[arg-type]
    with run("second", key="id") as second:
        second.input("one", big)  # the only one that waits
        second.input("two", big)
    busy.set()
    assert sender.wait(SECONDS)
    one, two = kept.events[-1]["inputs"]
    assert sender.counts.unmeasured == 1
    assert (frame_facet(one)["whole"], frame_facet(one)["nullRatios"]) == (True, {"id": 0.0})
    assert (frame_facet(two)["whole"], frame_facet(two)["rows"], frame_facet(two)["keyChecksum"]) == (
        False,
        1_000,
        None,
    )
    assert frame_facet(one)["keyChecksum"] is not None


def test_what_did_not_arrive_is_sent_again(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Kept):
        asked = 0

        def send(self, events: Any) -> int:
            self.asked += 1
            if self.asked == 1:
                raise Undelivered("away")
            return super().send(events)

    monkeypatch.setattr(run_sender, "_RETRY_SECONDS", (0.01,))
    away = Away()
    sender = RunSender(lambda: away)
    monkeypatch.setattr(runs, "RUNS", sender)
    with run("nightly"):
        pass
    assert sender.wait(SECONDS)
    assert [event["eventType"] for event in away.events] == ["START", "COMPLETE"]


def test_a_child_of_fork_tells_its_own_runs_only(told: Told, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    code = (
        "import os, sys\nfrom stream_lineage.sdk import run, send_runs\n"
        "with run('before'):\n    pid = os.fork()\n    if pid == 0:\n        with run('child'):\n            pass\n"
        "        sys.exit(0 if send_runs(wait_seconds=50) else 1)\n    assert os.waitpid(pid, 0)[1] == 0\n"
    )
    environment = {**os.environ, "LINEAGE_RUNS_TO": str(file)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True, timeout=SECONDS)
    found = [json.loads(line) for line in file.read_text().splitlines()]
    kinds = sorted((event["job"]["name"], event["eventType"]) for event in found)
    # The child ends inside the run that it was born in: that is told by both.
    assert (
        kinds.count(("before", "START")) == kinds.count(("child", "START")) == kinds.count(("child", "COMPLETE")) == 1
    )
    [child] = [event for event in found if (event["job"]["name"], event["eventType"]) == ("child", "COMPLETE")]
    assert child["run"]["facets"]["parent"]["job"]["name"] == "before"


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_of_multiprocessing_tell_all_of_their_runs(way: str, tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from stream_lineage.sdk import run, run_sender\n"
        f"run_sender.EXIT_SECONDS = {SECONDS}\n"
        "def work():\n"
        "    with run('child'):\n"
        "        pass\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context(sys.argv[1]).Process(target=work)\n"
        "    process.start()\n"
        "    process.join()\n"
    )
    told_to = tmp_path / "runs.ndjson"
    environment = {**os.environ, "LINEAGE_RUNS_TO": str(told_to)}
    subprocess.run([sys.executable, str(script), way], env=environment, check=True, timeout=4 * SECONDS)
    kinds = [json.loads(line)["eventType"] for line in told_to.read_text().splitlines()]
    assert kinds == ["START", "COMPLETE"]


def test_it_can_be_switched_off(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")

    @transform_lineage(inputs="orders")
    def through(orders: Any) -> Any:
        return orders

    assert through(ROWS) is ROWS
    with run("nightly") as nightly:
        nightly.input("orders", pa.table({"a": [1]}))
    assert told.events() == []


def test_importing_it_imports_none_of_what_the_application_may_not_have() -> None:
    code = (
        "import sys, stream_lineage.sdk\n"
        "heavy = ('numpy', 'pandas', 'polars', 'pyarrow', 'pydantic', 'mlflow', 'orjson')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert found.stdout.strip() == "[]"


def test_send_runs_never_fails() -> None:
    assert send_runs(conf=3) is False  # type: ignore[arg-type]


SPEC = os.environ.get("OPENLINEAGE_SPEC_DIR")


def registry() -> Registry[Any]:
    files = [json.loads(schema_text("transformation.schema.json"))]
    files += [json.loads(path.read_text()) for path in Path(SPEC or "/nowhere").rglob("*.json")]
    return Registry().with_resources((file["$id"], Resource.from_contents(file)) for file in files)


def valid(what: Any, url: str, known: Registry[Any]) -> None:
    checks = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator({"$ref": url}, registry=known, format_checker=checks).validate(what)


def test_events_are_as_they_are_specified(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own facets by our schema; all of it by OpenLineage's, where OPENLINEAGE_SPEC_DIR says where that lies."""
    result = json.loads((Path(__file__).parent / "great_expectations_1_24.json").read_text())

    @transform_lineage(inputs=["orders"], outputs=["features"], key="id", column_lineage={"orders:id": "features:id"})
    def work(orders: Any, fail: bool) -> Any:
        found = current_run()
        assert found is not None
        found.expectations("orders", result)
        found.expectations("features", result)
        if fail:
            raise ValueError("no")
        return orders

    with run("outer", owner="shop", description="all of it"):
        for kind in ("pandas", "polars", "pyarrow", "rows"):
            work(frame(kind), False)
        with pytest.raises(ValueError, match="no"):
            work(ROWS, True)
        track_lineage(lambda given: given)(pd.DataFrame(ROWS))
    known, seen = registry(), set()
    for event in told.events():
        assert datetime.fromisoformat(event["eventTime"]).tzinfo == UTC
        if SPEC:
            valid(event, event["schemaURL"], known)
        groups = [event["run"]["facets"], event["job"]["facets"]]
        for each in (*event["inputs"], *event["outputs"]):
            groups += [each.get(name, {}) for name in ("facets", "inputFacets", "outputFacets")]
        for facets in groups:
            for name, facet in facets.items():
                seen.add(name)
                if SPEC or name.startswith("streamLineage"):
                    valid(facet, facet["_schemaURL"], known)
    assert seen >= {
        "parent", "errorMessage", "executionParameters", "processing_engine", "streamLineage_transformation", "jobType",
        "ownership", "documentation", "schema", "streamLineage_frame", "inputStatistics", "dataQualityMetrics",
        "dataQualityAssertions", "outputStatistics", "columnLineage",
    }  # fmt: skip


def test_expectations_are_assertions(told: Told) -> None:
    result = json.loads((Path(__file__).parent / "great_expectations_1_24.json").read_text())
    with track_lineage("check", inputs="orders") as step:
        step.expectations("orders", result)
        step.expectations("other", json.dumps(result))
    other, event = [event for event in told.events() if event["eventType"] == "COMPLETE"]
    found = event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(each["assertion"].removeprefix("expect_"), each["success"], each.get("column")) for each in found] == [
        ("column_max_to_be_between", False, "nope"),
        ("column_values_to_not_be_null", False, "amount"),
        ("column_values_to_be_between", False, "amount"),
        ("table_row_count_to_equal", True, None),
        ("column_pair_values_to_be_equal", False, None),
    ]
    assert [each["actual"] for each in found] == [
        "could not be evaluated", "1 unexpected of 3", "1 unexpected of 3", "3", "2 unexpected of 3",
    ]  # fmt: skip
    assert [each["severity"] for each in found] == ["error", "warn", "error", "error", "error"]
    assert found[2]["expected"] == '{"max_value": 100.0, "min_value": 0.0}'
    assert "500" not in json.dumps(found)  # what was found in the data
    assert (other["job"]["name"], other["inputs"][0]["name"]) == ("check.expectations", "other")
    assert other["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"] == found
    assert other["run"]["facets"]["parent"]["run"]["runId"] == event["run"]["runId"]

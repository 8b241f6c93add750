"""If this failed, nobody could tell later what a model was made of."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition
from sdk_broker import SECONDS, Broker

from stream_lineage.errors import SchemaError
from stream_lineage.frames import held as holding
from stream_lineage.model.schema_files import schema_text
from stream_lineage.sdk import (
    Lineage,
    LineageConsumer,
    Manifest,
    data_hash,
    lineage_manifest,
    log_to_mlflow,
    run,
    runs,
    verify_input,
)
from stream_lineage.sdk.code_version import CodeVersion, code_version
from stream_lineage.sdk.run_sender import RunSender

SCHEMA = jsonschema.Draft202012Validator(
    json.loads(schema_text("manifest.schema.json")), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
SPEC = Path(__file__).parents[3] / "docs" / "specs" / "manifest.md"
ROWS = [{"id": number, "age": number + 20, "amount": None if number == 2 else number / 2} for number in range(4)]


@pytest.fixture(autouse=True)
def nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID", "OPENLINEAGE_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runs, "RUNS", RunSender(lambda: None))


def test_all_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "lineage_manifest.json"
    window = Lineage().window(("orders", 0, 10, 20), ("orders", 0, 21), ("orders", 3, 5), ("users", 1, 7))
    with run("train", run_id="0193f9b8-0000-7000-8000-000000000001") as outer, run("fit") as fit:
        made = lineage_manifest(
            "fraud", "7", training_data=pl.DataFrame(ROWS), ignore=["id"], offsets=window,
            schemas={"orders": 3, "users": [{"version": 1, "fingerprint": "ab12"}, {"id": 9}]}, schema_hash="cd34",
            feature_version="2026-03", path=path,
        )  # fmt: skip
    document = json.loads(path.read_text(encoding="utf-8"))
    SCHEMA.validate(document)
    assert document == made.document
    del document["created_at"]
    known = document.pop("training_data")
    document["run"].pop("code_version", None)  # where there is a repository
    assert document == {
        "manifest_version": 1, "model": "fraud", "model_version": "7", "features": ["age", "amount"], "ignore": ["id"],
        "schema_hash": "cd34", "feature_version": "2026-03",
        "offsets": {
            "orders": [
                {"partition": 0, "first_offset": 10, "last_offset": 21},
                {"partition": 3, "first_offset": 5, "last_offset": 5},
            ],
            "users": [{"partition": 1, "first_offset": 7, "last_offset": 7}],
        },
        "schemas": {"orders": [{"version": 3}], "users": [{"version": 1, "fingerprint": "ab12"}, {"id": 9}]},
        "run": {"id": fit.run_id, "job": {"namespace": fit.namespace, "name": "fit"}, "root": outer.run_id},
    }  # fmt: skip
    assert (known["rows"], known["hash"]) == (4, data_hash(ROWS[::-1]))
    read = Manifest.read(path)
    assert read.document == made.document
    assert verify_input({"id": 1, "age": 30, "amount": 1.0}, read, schema_hash="cd34").ok
    assert not verify_input({"id": 1, "age": 30}, read).ok


def test_messages_say_where_they_are_and_what_they_claim(broker: Broker) -> None:
    topic = broker.topic("training")
    producer = Producer(broker.config())
    for number in range(3):
        producer.produce(topic, b"\x00" + (40 + number // 2).to_bytes(4, "big") + b"x", partition=0)
    assert producer.flush(SECONDS) == 0
    consumer = LineageConsumer(broker.consumer_config())
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[Any] = []
    while len(messages) < 3:
        message = consumer.poll(SECONDS)
        assert message is not None
        assert message.error() is None
        messages.append(message)
    consumer.close()
    made = lineage_manifest("m", "1", features=["a"], offsets=messages).document
    SCHEMA.validate(made)
    assert made["offsets"] == {topic: [{"partition": 0, "first_offset": 0, "last_offset": 2}]}
    assert made["schemas"] == {topic: [{"id": 40}, {"id": 41}]}


def test_the_hash_of_training_data_is_of_all_of_it() -> None:
    table = pa.Table.from_pylist(ROWS)
    same = data_hash(table)
    assert {data_hash(each) for each in (table.take([3, 1, 0, 2]), pl.from_arrow(table))} == {same}
    assert data_hash(pd.DataFrame(ROWS)) == same
    others = [
        table.set_column(1, "age", [[20, 21, 22, 24]]), table.slice(1), pa.concat_tables([table, table.slice(0, 1)]),
        table.rename_columns(["id", "Age", "amount"]), table.select(["age", "id", "amount"]),
        table.set_column(0, "id", [[1, 0, 2, 3]]),
    ]  # fmt: skip
    assert len({same, *map(data_hash, others)}) == 7


def test_the_hash_of_a_long_list_is_of_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "EVALUATED_ROWS", 3)
    rows = [{"id": number} for number in range(40)]
    found = {data_hash(rows)}
    for place in range(40):
        others: list[dict[str, Any]] = [dict(row) for row in rows]
        others[place]["label"] = 1
        found.add(data_hash(others))
        assert lineage_manifest("m", "1", training_data=others).features == ("id", "label")
    assert len(found) == 41


def test_code_that_is_elsewhere_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    (tmp_path / "checkout" / ".git" / "HEAD").write_text("a" * 40)
    (tmp_path / "real.py").write_text("")
    link = tmp_path / "checkout" / "job.py"
    link.symlink_to(tmp_path / "real.py")
    assert code_version(None, str(tmp_path / "checkout" / "own.py")).version == "a" * 40
    assert code_version(None, str(link)) == CodeVersion()


def test_files_are_hashed_by_their_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_bytes(b"a,b\n1,2\n")
    two.write_bytes(b"")
    known = lineage_manifest("m", "1", features=["a"], training_data=one).document["training_data"]
    assert known == {"hash": f"sha256:{hashlib.sha256(one.read_bytes()).hexdigest()}", "files": 1}
    both = lineage_manifest("m", "1", features=["a"], training_data=[one, str(two)]).document["training_data"]
    hashes = "\n".join(hashlib.sha256(each.read_bytes()).hexdigest() for each in (one, two))
    assert both == {"hash": f"sha256:{hashlib.sha256(hashes.encode()).hexdigest()}", "files": 2}
    given = lineage_manifest("m", "1", features=["a"], training_data="sha256:ab").document["training_data"]
    assert given == {"hash": "sha256:ab"}


@pytest.mark.parametrize(
    "options",
    [
        {}, {"training_data": 7}, {"training_data": pl.LazyFrame(ROWS)}, {"features": ["a"], "offsets": [7]},
        {"features": ["a"], "schemas": {"orders": "x"}}, {"features": ["a"], "schemas": {"orders": {"no": 1}}},
        {"features": [7]},
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        lineage_manifest("m", "1", **options)


def test_a_later_format_is_refused() -> None:
    with pytest.raises(SchemaError, match="format 2"):
        Manifest.of({"manifest_version": 2, "features": []})


def test_a_manifest_by_hand_is_of_the_same_format(tmp_path: Path) -> None:
    made = Manifest(["a", "b"], model="m", ignore=["id"], more={"anything": 1})
    made.write(tmp_path / "m.json")
    read = Manifest.read(tmp_path / "m.json")
    assert (read.features, read.model, read.ignore, read.document) == (("a", "b"), "m", ("id",), made.document)
    SCHEMA.validate(read.document)
    assert read.document["anything"] == 1


def test_the_example_of_the_specification() -> None:
    [example] = re.findall(r"```json\n(.*?)```", SPEC.read_text(encoding="utf-8"), re.DOTALL)
    document = json.loads(example)
    SCHEMA.validate(document)
    assert Manifest.of(document).document == document
    [vector] = re.findall(r"`(sha256:[0-9a-f]{64})` is that of", SPEC.read_text(encoding="utf-8"))
    assert data_hash([{"id": 1, "name": "a"}, {"id": 2, "name": None}]) == vector


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, that keeps its runs in files."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install mlflow-skinny")
        mlflow.set_tracking_uri(tmp_path.as_uri())
        mlflow.set_experiment("fraud")
        made = lineage_manifest("fraud", "7", training_data=ROWS, offsets=("orders", 0, 1, 5), feature_version="2")
        with pytest.raises(SchemaError, match="no run of MLflow"):
            log_to_mlflow(made)
        with mlflow.start_run() as active:
            again = lineage_manifest("fraud", "7", features=["age"], mlflow=True)
        log_to_mlflow(made, active.info.run_id)
        client = mlflow.MlflowClient()
        kept = Path(client.download_artifacts(active.info.run_id, "lineage_manifest.json", str(tmp_path)))
        tags = client.get_run(active.info.run_id).data.tags
    assert again.features == ("age",)
    assert Manifest.read(kept).document == made.document
    ours = {name.removeprefix("stream_lineage."): value for name, value in tags.items() if name.startswith("stream")}
    assert ours == {
        "model": "fraud", "model_version": "7", "feature_version": "2", "topics": "orders",
        "training_data_hash": data_hash(ROWS),
    }  # fmt: skip


def test_without_mlflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match=r"stream-lineage\[mlflow\]"):
        lineage_manifest("fraud", "7", features=["age"], mlflow=True)

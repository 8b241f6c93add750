"""If this failed, a training baseline would be of other records than it says, or neither drift from it nor a pushed
metric that collapses would be told."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from collecting import CLICK, CLICK_2, COUNTRIES, Acknowledged, Answer, Lab, Running, click, eventually
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Where
from patience import patient

from stream_lineage.cli.main import run
from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka

Command = Callable[..., Answer]
COUNT = 600


@pytest.fixture
def baseline(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """``baseline`` commands, in this process."""
    for name in list(os.environ):
        if name.startswith("STREAM_LINEAGE_"):
            monkeypatch.delenv(name)
    own = [*lab.flags(), "--group-id", lab.group]
    registry = ["--schema-registry-url", lab.registry_url]

    def called(command: str, *arguments: str, settings: tuple[str, ...] = ()) -> Answer:
        capsys.readouterr()
        more = registry if command in ("create", "compare") else []
        code = run(["baseline", command, *arguments, *own, *more, *settings, "--output", "json"])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return called


def produced(
    lab: Lab, topic: str, schema: Mapping[str, Any] = CLICK, partitions: tuple[int, ...] = (0,)
) -> Acknowledged:
    """Clicks, ``COUNT`` in all."""
    known = Acknowledged()
    payloads = lab.clicks(topic, schema, COUNT)
    for place, partition in enumerate(partitions):
        lab.send(topic, payloads[place :: len(partitions)], known, partition=partition)
    return known


def kinds(answer: Answer) -> set[tuple[str, str | None]]:
    return {(row["kind"], row["field"]) for row in answer.json["findings"]}


def groups(lab: Lab) -> set[str]:
    listed = lab.admin.list_consumer_groups().result(30)
    return {group.group_id for group in listed.valid if group.group_id.startswith(lab.name)}


def test_a_range_is_kept_and_compared(lab: Lab, baseline: Command) -> None:
    topic = lab.topic("clicks", 2)
    known = produced(lab, topic, partitions=(0, 1))
    first, second = (sorted(known.of(topic)[number]) for number in (0, 1))

    made = baseline("create", "all", "--topic", topic)
    assert made.code == 0, made.err
    assert made.json["source"]["ranges"] == [
        {"partition": number, "first_offset": 0, "last_offset": len(own) - 1, "records": len(own)}
        for number, own in ((0, first), (1, second))
    ]
    assert (made.json["records"], made.json["left_out"]) == (COUNT, {})
    assert made.json["fields"] == ["user", "amount", "country"]
    [share] = made.json["schemas"]
    assert (share["schema"]["subject"], share["records"]) == (f"{topic}-value", COUNT)

    part = baseline("create", "part", "--topic", topic, "--from", "0:10-109,1:0-49", "--ignore", "user")
    assert part.json["source"]["ranges"] == [
        {"partition": 0, "first_offset": 10, "last_offset": 109, "records": 100},
        {"partition": 1, "first_offset": 0, "last_offset": 49, "records": 50},
    ]
    shown = baseline("show", "part").json
    fields = {field["path"]: field for field in shown["fields"]}
    assert {name: (field["slots"], field["types"]) for name, field in fields.items()} == {
        "user": (150, {"integer": 150}), "amount": (150, {"number": 150}), "country": (150, {"string": 150}),
    }  # fmt: skip
    expected = [
        value for number, low, high in ((0, 10, 109), (1, 0, 49)) for value in amounts(lab, topic, number, low, high)
    ]
    assert fields["amount"]["numeric"]["min"] == pytest.approx(min(expected))
    assert fields["amount"]["numeric"]["max"] == pytest.approx(max(expected))
    assert fields["amount"]["numeric"]["mean"] == pytest.approx(sum(expected) / len(expected))
    assert shown["ignored"] == ["user"]
    # Values are hidden unless their field is revealed.
    assert all(item.startswith("#") for item in fields["country"]["categories"])
    assert not any(country in json.dumps(shown) for country in COUNTRIES)

    assert {each["name"] for each in baseline("list").json} == {"all", "part"}
    same = baseline("compare", "all", "--from", "0", "--fail-on", "any")
    assert (same.code, same.json["findings"], same.json["judged"], same.json["fields_compared"]) == (0, [], True, 3)
    assert groups(lab) == set()  # nobody joined one, and nothing was committed

    again = baseline("create", "all", "--topic", topic)
    assert (again.code, "already" in again.err) == (1, True)
    few = baseline("compare", "all", "--from", "5", "--to", "9", "--fail-on", "any")
    assert (few.code, few.json["given"]["records"], few.json["judged"]) == (0, 10, False)
    assert baseline("delete", "part").json == {"deleted": "part"}
    gone = baseline("show", "part")
    assert (gone.code, gone.out) == (1, "")
    assert "There are: all" in gone.err


def amounts(lab: Lab, topic: str, partition: int, first: int, last: int) -> list[float]:
    """The field ``amount`` of records, as a plain consumer and fastavro read them."""
    import io

    import fastavro

    reader: Consumer = lab.consumer(auto_offset_reset="earliest")
    out: list[float] = []
    try:
        reader.assign([Where(topic, partition, first)])
        while len(out) < last - first + 1:
            message = reader.poll(30)
            assert message is not None
            assert message.error() is None
            value = fastavro.schemaless_reader(io.BytesIO((message.value() or b"")[5:]), dict(CLICK), None)
            out.append(value["amount"])
    finally:
        reader.close()
    return out


def test_drift_is_told(lab: Lab, baseline: Command, tmp_path: Path) -> None:
    """By the command at once, and by agents that know the baseline when the data come."""
    topic, live = lab.topic("clicks"), lab.topic("live")
    train = tmp_path / "train.csv"
    rows = [click(n) for n in range(COUNT)]
    train.write_text("user,amount,country\n" + "".join(f"{r['user']},{r['amount']!r},{r['country']}\n" for r in rows))
    filed = baseline("create", "file", "--file", str(train), "--topic", live)
    assert filed.code == 0, filed.err
    assert (filed.json["source"]["name"], filed.json["records"]) == ("train.csv", COUNT)
    collector = lab.collect("--include", re.escape(live), "--flush-interval-seconds", "0.2")
    agents = Running(agents_command(lab), lab.directory / "agents.log", lab.environment)
    try:
        collector.owns()
        agents.wait_for("training baselines", 60)
        # Training had no country XX, and every record a user.
        records = [{"country": "XX" if n % 2 else "DE", "amount": 1e6 + n} for n in range(2 * COUNT)]
        lines = [json.dumps(record) for record in records]
        lab.send(live, [(line.encode(), None) for line in [*lines, "{broken"]], Acknowledged())
        assert lab.run("metric", "push", *lab.flags(), "--file", str(accuracy(tmp_path))).code == 0
        drifted(baseline, topic, live, lab, filed.json["hash_key_id"])
        pushed, alert = first_alert(lab, "pushed-metric"), first_alert(lab, "training-drift")
    finally:
        agents.close()
    assert (alert["kind"], alert["topic"], alert["severity"]) == ("training-drift", live, "critical")
    assert ("missing-feature", "user") in {(each["kind"], each["path"]) for each in alert["changes"]}
    assert alert["first_offsets"] == {"0": 0}
    assert (pushed["topic"], pushed["phase"], pushed["changes"][0]["path"]) == ("churn-model", "open", "accuracy")
    with closing(SqliteStore(lab.directory / "metrics.sqlite")) as store:
        stored = store.range("lineage_pushed", NOW - timedelta(days=9), NOW, {"node": "churn-model"})
    assert [point.fields["value"] for point in stored] == [value for _, value in ACCURACY]


NOW = datetime.now(UTC)
CHANCE = random.Random(3)
ACCURACY = [
    (NOW - timedelta(minutes=1_500 - n), (0.4 if n > 1_470 else 0.9) + CHANCE.gauss(0, 0.005)) for n in range(1_500)
]
"""A model's accuracy, which collapses."""


def accuracy(directory: Path) -> Path:
    path = directory / "accuracy.csv"
    rows = [f"churn-model,accuracy,{value!r},{at.isoformat()}" for at, value in ACCURACY]
    path.write_text("\n".join(["node,metric,value,at", *rows]))
    return path


def drifted(baseline: Command, topic: str, live: str, lab: Lab, key: str) -> None:
    produced(lab, topic)
    assert baseline("create", "m", "--topic", topic).code == 0
    # A new version with one field more: more than training had is no drift.
    produced(lab, topic, CLICK_2)
    found = baseline("compare", "m", "--topic", topic, "--from", str(COUNT), "--fail-on", "any")
    assert kinds(found) == {("extra-feature", "age"), ("feature-count", None), ("schema-changed", None)}
    assert (found.code, found.json["drift"]) == (3, False)

    found = baseline("compare", "m", "--topic", live, "--from", "0", "--fail-on", "drift")
    assert found.code == 3
    assert kinds(found) >= {
        ("missing-feature", "user"), ("feature-count", None), ("new-category", "country"),
        ("shifted-distribution", "amount"), ("out-of-range", "amount"),
    }  # fmt: skip
    assert found.json["given"]["left_out"] == {"invalid-json": 1}
    assert found.json["given"]["hash_key_id"] == key
    # The same records from a file and from the topic.
    same = baseline("compare", "file", "--topic", topic, "--from", "0", "--to", str(COUNT - 1), "--fail-on", "any")
    assert (same.code, same.json["findings"], same.json["fields_compared"]) == (0, [], 3)


def agents_command(lab: Lab) -> list[str]:
    return [
        sys.executable, "-m", "stream_lineage.cli.main", "agents", *lab.flags(),
        "--agents-id", f"{lab.name}-agents",
        "--agents-state-dir", str(lab.directory / "agents"),
        "--sqlite-path", str(lab.directory / "metrics.sqlite"),
        "--baseline-window-seconds", "10",
    ]  # fmt: skip


def first_alert(lab: Lab, kind: str) -> dict[str, Any]:
    """The first alert of a kind, as a subscriber gets it."""
    reader = lab.consumer(auto_offset_reset="earliest")
    reader.assign([Where(f"{lab.prefix}anomaly-alerts", 0, 0)])

    def found() -> dict[str, Any] | None:
        message = reader.poll(1)
        if message is None or message.error() is not None:
            return None
        body: dict[str, Any] = json.loads(message.value() or b"")
        return body if body["kind"] == kind else None

    try:
        alert: dict[str, Any] = eventually(found, 60, "an alert")
        return alert
    finally:
        reader.close()


REFUSED = [
    (("create", "x", "--topic", "{topic}ss"), "Did you mean {topic}?", 1),
    (("create", "x", "--topic", "{topic}", "--from", "9:0"), "has no partition 9", 1),
    (("create", "x", "--topic", "{topic}", "--from", "0:0-99"), "does not hold offsets 0 to 99", 1),
    (("create", "x", "--topic", "{topic}", "--from", "2099-01-01"), "no offset of {topic} lies in that range", 1),
    (("create", "x", "--topic", "{topic}"), "none of the 10 records of {topic} in that range has fields: 10 opaque", 1),
    (("create", "x y", "--topic", "{topic}"), "a name is made of", 2),
    (("create", "x", "--topic", "{topic}", "--from", "soon"), "is not understood", 2),
    (("create", "x"), "--topic TOPIC", 2),
    (("compare", "x", "--topic", "{topic}"), "there is no baseline x", 1),
    (("delete", "x"), "there is no baseline x", 1),
]


def test_what_is_not_there(lab: Lab, baseline: Command) -> None:
    topic = lab.topic("texts")
    lab.send(topic, [(b"a,b,c", None)] * 10, Acknowledged())
    for arguments, said, code in REFUSED:
        answer = baseline(*(argument.format(topic=topic) for argument in arguments))
        assert (answer.code, answer.out) == (code, ""), answer
        assert said.format(topic=topic) in " ".join(answer.err.split())


@pytest.fixture
def interrupted(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is at work on many records."""
    topic = lab.topic("many")
    lab.send(topic, [(b'{"a": "%s"}' % (b"x" * 2_000), None)] * 20_000, Acknowledged())
    command = [sys.executable, "-m", "stream_lineage.cli.main", "baseline", "create", "half", "--topic", topic]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_LINEAGE_")}
    process = subprocess.Popen([*command, *lab.flags(), "--flush-max-records", "1"], env=environment)
    yield process
    process.kill()
    process.wait()


def test_ctrl_c_leaves_nothing(interrupted: subprocess.Popen[bytes], lab: Lab, baseline: Command) -> None:
    import psutil  # type: ignore[import-untyped]

    parent = psutil.Process(interrupted.pid)
    [worker] = eventually(lambda: parent.children(recursive=True), 30, "it decodes")
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(patient(20)) == 130
    eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 10, "its worker is gone")
    assert baseline("list").json == []

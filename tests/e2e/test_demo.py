"""If this failed, the demo would not show its fault found as it was planted, or would leave stray processes, or Grafana
would show panels without data of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Consumer, TopicPartition
from grafana_side import ALL, Answering, Board, Value, boards, rules, with_macros, with_variables
from incident_story import explained
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import parse
from pydantic import SecretStr

from stream_lineage.agents.alert_points import alert_points
from stream_lineage.agents.incident_labels import LabelRead, label_points
from stream_lineage.agents.incident_watch import incident_message
from stream_lineage.sandbox.artifacts import cache_directory
from stream_lineage.sandbox.ports import free_port, is_free
from stream_lineage.store.open import open_store
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd, find_influxd

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.usefixtures("sandbox_artifacts")]

SECONDS = 150.0
LINKED = re.compile(r"(http://127\.0\.0\.1:\d+)(/api/v1/\S+)")
STORY = {"topic": "customers", "field": "age", "group": "feature-builder"}
"""What the demo is about."""
PARTITION = re.compile(r"partition (\d) +(\d+) +acknowledged to the producer at (\d+) +(the same|DIFFERENT)")


@dataclass(frozen=True)
class Store:
    """A bucket of an InfluxDB."""

    url: str
    org: str
    bucket: str
    token: str


@dataclass(frozen=True)
class Shown:
    """A demo that runs since ``began``."""

    running: Demo
    telemetry_port: int
    store: Store | None
    began: datetime


class Demo:
    """The demo as a process, in a home directory of its own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.scratch = directory / "tmp"
        self.scratch.mkdir()
        self._home = directory / "home"
        self._home.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            "HOME": str(self._home),
            "TMPDIR": str(self.scratch),
            "STREAM_LINEAGE_CACHE_DIR": str(cache_directory()),
            # A cluster of somebody's own, which the demo must not touch.
            "STREAM_LINEAGE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "STREAM_LINEAGE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        }
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stream_lineage.cli.main", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            text=True,
        )

    def read_until(self, text: str) -> None:
        """Read what it says up to a line with this text."""
        while text not in (line := self._readline()):
            assert line, f"it ended before it said {text!r}:\n{self.told}"

    def read_all(self) -> None:
        while self._readline():
            pass

    def _readline(self) -> str:
        line = cast(Any, self.process.stdout).readline()
        self.lines.append(line.rstrip("\n"))
        return str(line)

    @property
    def told(self) -> str:
        return "\n".join(self.lines)

    def processes(self) -> list[psutil.Process]:
        """All that run in its home directory, however they were started."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("HOME") == str(self._home)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def left(self) -> list[str]:
        """Processes and files."""
        files = [*self.scratch.iterdir(), *self._home.iterdir()]
        return [*map(str, self.processes()), *map(str, files)]


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[Demo]:
    started = Demo(directory, *arguments)
    try:
        yield started
    finally:
        left = started.processes()
        for process in left:
            process.kill()
        started.process.wait()
        cast(Any, started.process.stdout).close()


def wait_until_nothing_is_left(running: Demo) -> None:
    deadline = time.monotonic() + 40
    while left := running.left():
        assert time.monotonic() < deadline, (left, running.told)
        time.sleep(0.1)


def test_it_finds_the_planted_fault_and_ends_by_itself(tmp_path: Path) -> None:
    with demo(tmp_path, "--exit", "--seconds", "3") as running:
        running.read_all()
        assert running.process.wait(SECONDS) == 0, running.told
        said = PARTITION.findall(running.told)
        # By the alert, and by the incident once the records were read again.
        assert [partition for partition, *_ in said] in (["0", "1", "2"], 2 * ["0", "1", "2"])
        assert all(alert == acknowledged and same == "the same" for _, alert, acknowledged, same in said)
        assert all(int(alert) > 0 for _, alert, *_ in said)  # there were good records before
        assert re.search(r"age  type-changed: int -> string", running.told)
        assert "Found: the first bad offset of every partition" in running.told
        assert "Right: that is what was planted, and where." in running.told
        assert re.search(r"broke first   customers  \w+ of age, confidence 0\.\d\d", running.told)
        assert re.search(r"feature-builder customers\[0\] +\d+ -> \d+ +reads", running.told), running.told
        assert re.search(r"The API answers at http://127\.0\.0\.1:\d+ while it runs:", running.told), running.told
        wait_until_nothing_is_left(running)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shown]:
    """A demo that has found its fault and runs on. Its metrics are in an InfluxDB where there is one to test with."""
    directory = tmp_path_factory.mktemp("shown")
    port, store = telemetry_port(), None
    arguments = ["--seconds", "3", "--telemetry-port", str(port)]
    if find_influxd() is not None:
        server: Influxd = request.getfixturevalue("influx")
        store = Store(server.url, server.org, f"demo-{uuid.uuid4().hex[:8]}", server.token)
        server.make_bucket(store.bucket)
        token = directory / "token"
        token.write_text(store.token)
        arguments += ["--influx-url", store.url, "--influx-org", store.org, "--influx-bucket", store.bucket]
        arguments += ["--influx-token-file", str(token)]
    began = datetime.now(UTC)
    with demo(directory, *arguments) as running:
        running.read_until("/api/v1/openapi.json")
        yield Shown(running, port, store, began)


def test_what_it_says_is_so(shown: Shown) -> None:
    running = shown.running
    first_bad = {int(partition): int(offset) for partition, offset, *_ in PARTITION.findall(running.told)}
    commands = [shlex.split(line) for line in running.lines if " -m stream_lineage.cli.main " in line]
    asked = " ".join(command[3] for command in commands)
    assert asked == "incident replay record record trace trace graph spans verify"
    answers = [answer(running, command) for command in commands]
    incident, plan, bad, good, became, made_from, graph, spans, verified = answers
    assert any(each["kind"] == "schema-drift" and each["topic"] == "customers" for each in incident["alerts"])
    planned = {each["partition"]: each["offset"] for each in plan["starts"] if each["topic"] == "customers"}
    assert planned == first_bad
    assert (bad["schema"]["version"], good["schema"]["version"]) == (2, 1)
    assert bad["offset"] == first_bad[bad["partition"]] == good["offset"] + 1
    assert {span["partition"]: span["first_offset"] for span in spans if span["schema"]["version"] == 2} == first_bad
    assert verified["ok"]
    assert (became["record"]["topic"], became["record"]["offset"]) == ("customers", bad["offset"])
    assert {each["topic"] for each in became["records"]} <= {"features", "predictions"}
    assert made_from["exact"]
    assert sorted(each["topic"] for each in made_from["records"]) == ["clicks", "customers", "features"]
    assert by_headers(graph) == {("clicks", "features"), ("customers", "features"), ("features", "predictions")}
    assert wire_types(running, first_bad) == {partition: ("int", "string") for partition in first_bad}


def test_its_links_lead_to_the_incident_and_to_the_bad_record(shown: Shown) -> None:
    """The one in the message, too. The first bad record is the one that was acknowledged to the producer."""
    running = shown.running
    incident, record, description = LINKED.findall(running.told.partition("The API answers at ")[2])
    messages = running.told.partition("The message that people get")[2].partition("Ask about any record")[0]
    assert incident in LINKED.findall(messages)
    opened, path, described = (
        httpx.get(address + rest, timeout=60, trust_env=False) for address, rest in (incident, record, description)
    )
    assert [each.status_code for each in (opened, path, described)] == [200, 200, 200], running.told
    assert incident[1].endswith(opened.json()["id"])
    assert any(each["kind"] == "schema-drift" and each["topic"] == "customers" for each in opened.json()["alerts"])
    bad = path.json()["record"]
    [acknowledged] = {int(offset) for partition, _, offset, _ in PARTITION.findall(running.told) if partition == "0"}
    assert (bad["topic"], bad["partition"], bad["offset"]) == ("customers", 0, acknowledged)
    assert described.json()["openapi"].startswith("3.1")


@pytest.mark.influx
def test_no_panel_of_grafana_is_without_data(shown: Shown, influxd_binary: Path) -> None:
    """Every question of every panel, variable, annotation and alert rule has an answer. Panels that say why they may be
    empty need one for some topic, field or group; all others for those of the story, and for those that are there when
    a dashboard is opened."""
    assert shown.store is not None
    store, bucket = shown.store, shown.store.bucket
    influx = Answering(store.url, store.org, store.token)

    def rows(text: str) -> list[dict[str, str]]:
        # Points are stored under the start of their window, which may be before the demo's.
        start, stop = shown.began - timedelta(seconds=10), datetime.now(UTC)
        return influx.rows(with_macros(text, bucket, start, stop))

    label_the_incident(rows, shown.running)
    write_explained_incidents(store, shown.began)
    wait_until_all_is_stored(rows, shown.running)
    empty = []
    for board in boards():
        story = chosen(board, rows, STORY)
        opened = chosen(board, rows, {})
        for asked in (*board.panels(), *board.annotations()):
            if asked.source != "influxdb":
                continue
            answers = [rows(with_variables(asked.text, each, board.all_values())) for each in (story, opened)]
            enough = any if asked.may_be_empty or "annotation" in asked.name else all
            if not enough(answers):
                empty.append(asked.name)
    empty += [asked.name for asked in rules() if not rows(asked.text)]
    influx.close()
    assert not empty, empty


def test_what_grafana_asks_prometheus_for_is_answered(shown: Shown) -> None:
    """Every metric, with every label that a question looks at, is in what the roles answer at present."""
    scraped: dict[str, set[str]] = {}
    for port in range(shown.telemetry_port, shown.telemetry_port + 3):
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                scraped.setdefault(sample.name, set()).update(sample.labels)
    asked = [each for board in boards() for each in board.panels() if each.source == "prometheus"]
    assert asked
    for each in asked:
        for name, labels in metrics_in(each.text).items():
            assert name in scraped, (each, sorted(scraped))
            assert labels <= scraped[name] | {"instance", "job"}, each


def test_ctrl_c_leaves_nothing_behind(shown: Shown) -> None:
    running = shown.running
    running.process.send_signal(signal.SIGINT)
    running.read_all()
    assert running.process.wait(SECONDS) == 0, running.told
    assert "Ended; nothing is left behind." in running.told
    wait_until_nothing_is_left(running)


def test_killed_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.read_until("All is well")
        assert len(running.processes()) > 10
        running.process.kill()
        wait_until_nothing_is_left(running)


def telemetry_port() -> int:
    """A port that is free, as are the two behind it."""
    while True:
        port = free_port()
        if is_free(port + 1) and is_free(port + 2):
            return port


def wait_until_all_is_stored(rows: Callable[[str], list[dict[str, str]]], running: Demo) -> None:
    """The window in which the fault came, looks at groups in two windows, and the deploy are in InfluxDB."""
    group = 'r._measurement == "lineage_group" and r.group == "feature-builder"'
    age = 'r._measurement == "lineage_field" and r.topic == "customers" and r.field == "age"'
    wanted = {
        f'{age} and r._field == "length_mean"': "",
        f'{age} and r._field == "mean"': "",
        'r._measurement == "lineage_topic" and r.topic == "predictions" and r.schema_version == "1"': "",
        f'{group} and r._field == "lag_seconds"': "",
        f'{group} and r._field == "committed"': "|> window(every: 10s) |> last()"
        ' |> group(columns: ["group", "topic", "partition"]) |> difference()',
        'r._measurement == "lineage_alert" and r._field == "summary"': "",
        'r._measurement == "lineage_incident_label" and r._field == "cause" and r._value == "customers"': "",
        'r._measurement == "lineage_deploy" and r._field == "reason"': "",
    }
    deadline = time.monotonic() + SECONDS
    for condition, then in wanted.items():
        found = (
            f"from(bucket: v.defaultBucket) |> range(start: v.timeRangeStart) |> filter(fn: (r) => {condition}) {then}"
        )
        while not rows(found):
            assert time.monotonic() < deadline, (condition, running.told)
            time.sleep(0.25)


def label_the_incident(rows: Callable[[str], list[dict[str, str]]], running: Demo) -> None:
    """Say of the demo's incident what broke first, as people do."""
    opened = 'r._measurement == "lineage_incident" and r._field == "revision"'
    asked = f"from(bucket: v.defaultBucket) |> range(start: v.timeRangeStart) |> filter(fn: (r) => {opened})"
    deadline = time.monotonic() + SECONDS
    while not (found := rows(asked)):
        assert time.monotonic() < deadline, running.told
        time.sleep(0.25)
    [address, *_] = re.findall(r"answers at (\S+)", running.told)
    label = [sys.executable, "-m", "stream_lineage.cli.main", "incident", "label", found[0]["incident"], "true"]
    label += ["--cause", "customers", "--bootstrap-servers", address]
    environment = {name: value for name, value in running.environment.items() if "STREAM_LINEAGE_" not in name}
    done = subprocess.run(label, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout, done.stderr, running.told)


def write_explained_incidents(store: Store, at: datetime) -> None:
    """One whose cause was named and confirmed, and one that was escalated, whatever becomes of the demo's own."""
    settings = StoreSettings(
        influx_url=store.url, influx_org=store.org, influx_bucket=store.bucket, influx_token=SecretStr(store.token)
    )
    with closing(open_store(settings)) as opened:
        opened.write(alert_points(incident_message(each, "lab", "http://ui") for each in explained(at)))
        opened.write(label_points([(LabelRead("a" * 32, True, "raw", True, at), True)], "lab", at))


def chosen(board: Board, rows: Callable[[str], list[dict[str, str]]], wanted: Mapping[str, str]) -> dict[str, Value]:
    """What a dashboard's variables hold: what is wanted, else what Grafana chooses when it is opened."""
    values: dict[str, Value] = dict(board.fixed())
    for name, asked in board.queries_of_variables().items():
        if asked.source != "influxdb":
            continue
        found = sorted(row["_value"] for row in rows(with_variables(asked.text, values, board.all_values())))
        assert found, asked.name
        assert name not in wanted or wanted[name] in found, (asked.name, found)
        values[name] = ALL if name in board.all_values() else wanted.get(name, found[0])
    return values


def metrics_in(expression: str) -> dict[str, set[str]]:
    """The metrics of an expression, and the labels that it looks at, each of which every one of them must have."""
    text = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
    parse(text)  # raises where Prometheus would not understand it
    grouped = {label for found in re.findall(r"\b(?:by|on) \(([^)]*)\)", text) for label in found.split(", ")}
    return {
        name: {label for label, _ in re.findall(r"(\w+)(=~|!=|=|!~)", matchers)} | (grouped - {""})
        for name, matchers in re.findall(r"\b((?:stream_lineage|process)_\w+)(?:\{([^}]*)\})?", text)
    }


def by_headers(graph: Any) -> set[tuple[str, str]]:
    """The names of the topics between which records say that there is an edge."""
    found = [edge for edge in graph["edges"] if any(each["class"] == "header" for each in edge["evidence"])]
    return {(edge["from"].rpartition("/")[2], edge["to"].rpartition("/")[2]) for edge in found}


def answer(running: Demo, command: list[str]) -> Any:
    """What a command that it printed says, typed by somebody with no settings of their own."""
    environment = {name: value for name, value in running.environment.items() if "STREAM_LINEAGE_" not in name}
    done = subprocess.run([*command, "--output", "json"], capture_output=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, (command, done.stdout, done.stderr, running.told)
    return json.loads(done.stdout)


def wire_types(running: Demo, first_bad: dict[int, int]) -> dict[int, tuple[str, str]]:
    """The type of ``age`` in the records before and at the first bad offsets, by nothing but the bytes in Kafka."""
    addresses = re.findall(r"answers at (\S+)", running.told)
    consumer = Consumer({"bootstrap.servers": addresses[0], "group.id": "test", "enable.auto.commit": False})
    found = {}
    try:
        for partition, offset in first_bad.items():
            consumer.assign([TopicPartition("customers", partition, offset - 1)])
            records: list[Any] = []
            deadline = time.monotonic() + 30
            while len(records) < 2 and time.monotonic() < deadline:
                records += consumer.consume(2 - len(records), 1.0)
            assert [record.offset() for record in records] == [offset - 1, offset]
            types = [age_type(addresses[1], int.from_bytes(record.value()[1:5], "big")) for record in records]
            found[partition] = (types[0], types[1])
    finally:
        consumer.close()
    return found


def age_type(registry: str, schema_id: int) -> str:
    schema = json.loads(httpx.get(f"{registry}/schemas/ids/{schema_id}").json()["schema"])
    return str(next(field["type"] for field in schema["fields"] if field["name"] == "age"))

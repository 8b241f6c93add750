"""If this failed, the service would need more than the documented ACLs, or would not say which of them is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from collecting import CLICK, CLICK_2, Acknowledged, eventually
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AclBinding
from securing import SecuredLab, acls_of, warmed_up

from stream_lineage.cli.main import run
from stream_lineage.doctor.check import Status
from stream_lineage.doctor.examination import examine
from stream_lineage.doctor.preflight import preflight
from stream_lineage.errors import SettingsError
from stream_lineage.sandbox import Sandbox
from stream_lineage.settings import load_settings

pytestmark = pytest.mark.kafka

ANYBODY = "User:anybody"
SERVICE = ("setup", "collector", "agents")


@dataclass
class Deployment:
    """A service at work under the documented ACLs, and a reader under its own."""

    lab: SecuredLab
    topic: str
    service: str
    service_settings: dict[str, str]
    known: Acknowledged = field(default_factory=Acknowledged)

    printed: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def documented(self, principal: str, *roles: str) -> list[AclBinding]:
        """What the command prints that the documentation names."""
        if roles not in self.printed:
            chosen = [word for role in roles for word in ("--role", role)]
            command = ("doctor", "--print-acls", "--principal", ANYBODY, "--include", f"{self.lab.name}.clicks")
            answer = self.lab.run(*command, *chosen)
            assert answer.code == 0, answer.err
            self.printed[roles] = answer.out.splitlines()
        lines = [line.replace(ANYBODY, principal) for line in self.printed[roles]]
        optional = {at for at, line in enumerate(lines) if line.startswith("# optional: ")}
        return list(
            dict.fromkeys(
                binding
                for at, line in enumerate(lines)
                if not line.startswith("#") and at - 1 not in optional
                for binding in acls_of(line)
            )
        )


@pytest.fixture(scope="module")
def deployment(secured: Sandbox, cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """It has been at work under the documented ACLs and nothing more: its topics are there, and what it observed."""
    registry_url = cluster.schema_registry_url  # type: ignore[attr-defined]
    lab = SecuredLab(warmed_up(secured), registry_url, tmp_path_factory.mktemp("acls"))
    lab.prefix = f"own-{lab.name}."  # so that what is granted on the watched topics is not granted on our own
    principal, settings = lab.user()
    lab.come_in(settings)
    made = Deployment(lab, lab.topic("clicks", 2), principal, settings)
    try:
        work(made)
        yield made
    finally:
        lab.close()


def work(deployment: Deployment) -> None:
    """Collector and agents as one user: records are observed, an alert comes, the doctor has nothing to say."""
    lab, known = deployment.lab, deployment.known
    lab.grant(deployment.documented(deployment.service, *SERVICE))
    first, second = lab.clicks(deployment.topic, CLICK, 200), lab.clicks(deployment.topic, CLICK_2, 200)
    collector, agents = lab.collect(), lab.agents()
    lab.send(deployment.topic, first, known)
    lab.caught_up(known)
    lab.send(deployment.topic, second, known)
    assert lab.alerted()["dataset"]["name"] == deployment.topic
    lab.caught_up(known)
    code, checks = lab.doctor()
    assert code == 0
    assert {name: check for name, check in checks.items() if check["status"] != "ok"} == {}
    for process in (collector, agents):
        assert process.terminate() == 0
        assert "authorization" not in process.log()


def test_the_whole_service_under_nothing_more(deployment: Deployment) -> None:
    """What the collector and the agents did (``work``) can be read by another user, who may do nothing else."""
    lab, known = deployment.lab, deployment.known
    reader = SecuredLab(lab.sandbox, lab.registry_at_home, lab.directory)
    principal, settings = reader.user()
    lab.come_in(settings)
    try:
        lab.grant(deployment.documented(principal, "reader"))
        lab.check(known, deployment.topic)
        assert lab.record(deployment.topic, 0, 0).code == 0
    finally:
        lab.come_in(deployment.service_settings)


@contextmanager
def without(lab: SecuredLab, *taken: AclBinding) -> Iterator[None]:
    lab.revoke(list(taken))
    try:
        yield
    finally:
        lab.grant(taken)


@contextmanager
def environment(lab: SecuredLab) -> Iterator[None]:
    """This process's settings are the lab's."""
    before = dict(os.environ)
    os.environ.update({name: text for name, text in lab.environment.items() if name.startswith("STREAM_LINEAGE_")})
    os.environ["STREAM_LINEAGE_INCLUDE"] = f"{lab.name}.clicks"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def refused(role: str) -> Callable[[], str]:
    """What stands in the way of a role, as soon as the brokers know of it; empty while nothing does."""

    def ask() -> str:
        try:
            preflight(load_settings(), role)  # type: ignore[arg-type]
        except SettingsError as error:
            return f"{error.message} -> {error.hint}"
        return ""

    return ask


# Each that a role needs (by what it is about) with what must be said when it is missing.
COLLECTOR = {
    ("READ", "{group}"): "READ on consumer group {group}",
    ("DESCRIBE", "{group}."): "DESCRIBE on consumer group {group}.reader",
    ("READ", "{name}.clicks"): "READ on topic {name}.clicks",
    ("READ", "{prefix}observations"): "READ on topic {prefix}observations",
    ("WRITE", "{prefix}observations"): "WRITE on topic {prefix}observations",
    ("WRITE", "{prefix}dead-letters"): "WRITE on topic {prefix}dead-letters",
    ("WRITE", "{prefix}edges"): "WRITE on topic {prefix}edges",
    ("DESCRIBE", "{prefix}"): "DESCRIBE on topics that start with {prefix}",
}
AGENTS = {
    ("READ", "{agents}"): "READ on consumer group {agents}",
    ("READ", "{prefix}observations"): "READ on topic {prefix}observations",
    ("WRITE", "{prefix}drift-alerts"): "WRITE on topic {prefix}drift-alerts",
    ("WRITE", "{prefix}anomaly-alerts"): "WRITE on topic {prefix}anomaly-alerts",
    ("READ", "{prefix}drift-alerts"): "READ on topic {prefix}drift-alerts",
    ("READ", "{prefix}anomaly-alerts"): "READ on topic {prefix}anomaly-alerts",
    ("READ", "{prefix}incidents"): "READ on topic {prefix}incidents",
    ("WRITE", "{prefix}incidents"): "WRITE on topic {prefix}incidents",
    ("READ", "{prefix}state"): "READ on topic {prefix}state",
    ("READ", "{prefix}baselines"): "READ on topic {prefix}baselines",
    ("READ", "{prefix}metrics"): "READ on topic {prefix}metrics",
    ("READ", "{prefix}graph"): "READ on topic {prefix}graph",
    ("WRITE", "{prefix}graph"): "WRITE on topic {prefix}graph",
    ("READ", "{prefix}edges"): "READ on topic {prefix}edges",
    ("READ", "{changelog}"): "READ on topic {changelog}",
    ("WRITE", "{changelog}"): "WRITE on topic {changelog}",
    ("DESCRIBE", "{prefix}"): "DESCRIBE on topics that start with {prefix}",
}
READER = {
    ("READ", "{prefix}observations"): "READ on topic {prefix}observations",
    ("DESCRIBE", "{group}."): "DESCRIBE on consumer group {group}.reader",
    ("DESCRIBE", "{group}"): "DESCRIBE on consumer group {group}",
}
BASELINE = {
    ("READ", "{prefix}baselines"): "READ on topic {prefix}baselines",
    ("WRITE", "{prefix}baselines"): "WRITE on topic {prefix}baselines",
    ("DESCRIBE", "{group}."): "DESCRIBE on consumer group {group}.reader",
    ("DESCRIBE", "{prefix}"): "DESCRIBE on topics that start with {prefix}",
}
METRIC = {
    ("WRITE", "{prefix}metrics"): "WRITE on topic {prefix}metrics",
    ("DESCRIBE", "{prefix}"): "DESCRIBE on topics that start with {prefix}",
}
TEXTS = {"collector": COLLECTOR, "agents": AGENTS, "reader": READER, "baseline": BASELINE, "metric": METRIC}
EACH = [(role, key) for role, wanted in TEXTS.items() for key in wanted]
CREATE = ("baseline", "create", "training", "--topic", "{name}.clicks", "--from", "0")
PUSH = ("metric", "push", "model", "accuracy", "0.9")
COMMANDS = {
    "collector": ("collect",), "agents": ("agents",), "reader": ("verify",), "baseline": CREATE, "metric": PUSH,
}  # fmt: skip


def filled(text: str, lab: SecuredLab) -> str:
    return text.format(
        group=lab.group, name=lab.name, prefix=lab.prefix, agents=lab.agents_id,
        changelog=f"{lab.agents_id}-state-changelog",
    )  # fmt: skip


def told_apart(binding: AclBinding) -> tuple[str, str]:
    return binding.operation.name, binding.name


@pytest.mark.parametrize(("role", "key"), EACH, ids=lambda part: part if isinstance(part, str) else "-".join(part))
def test_one_that_is_missing_is_named(
    role: str, key: tuple[str, str], deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the doctor, and by the command that needs it, at once."""
    lab = deployment.lab
    principal, _ = lab.user()
    mine = deployment.documented(principal, role)
    about = (key[0], filled(key[1], lab))
    [taken] = [binding for binding in mine if told_apart(binding) == about]
    said = filled(TEXTS[role][key], lab)
    lab.revoke(list(lab.granted))
    lab.grant(binding for binding in mine if binding != taken)
    with environment(lab):
        missing = eventually(refused(role), 20, f"{said} is missed")
        told, _, mend = missing.partition(" -> ")
        assert told == f"not allowed: {said}" or told.startswith(f"not allowed: {said} (")
        assert "--print-acls" in mend
        assert run([filled(word, lab) for word in COMMANDS[role]]) == 1
        answer = capsys.readouterr()
        assert answer.out == ""
        assert f"error: not allowed: {said}" in answer.err
        checks = {check.name: check for check in examine(load_settings(), roles=(role,))}  # type: ignore[arg-type]
        assert checks["permissions"].status is Status.FAIL
        assert said in checks["permissions"].detail
        assert "--print-acls" in checks["permissions"].mend


def test_each_that_is_documented_is_missed(deployment: Deployment) -> None:
    """The table above leaves none out but those that are looked at below."""
    lab = deployment.lab
    for role, texts in TEXTS.items():
        documented = {told_apart(binding) for binding in deployment.documented("User:x", role)}
        elsewhere = {("WRITE", f"{lab.group}-"), ("READ", f"{lab.name}.clicks")} if role != "agents" else set()
        assert documented - elsewhere == {(op, filled(name, lab)) for op, name in texts} - elsewhere


def test_a_transactional_id_that_may_not_be_used(deployment: Deployment) -> None:
    lab = deployment.lab
    principal, _ = lab.user()
    mine = deployment.documented(principal, *SERVICE)
    [taken] = [binding for binding in mine if told_apart(binding) == ("WRITE", f"{lab.group}-")]
    lab.revoke(list(lab.granted))
    lab.grant(binding for binding in mine if binding != taken)
    answer = lab.run(*lab.collect_command()[3:], seconds=60)
    assert answer.code == 1
    assert f"transactional id {lab.group}-" in answer.err
    assert "--print-acls" in answer.err
    code, checks = lab.doctor()
    assert code == 1
    assert checks["permissions"]["detail"] == f"not allowed: WRITE on transactional ids that start with {lab.group}-"


@pytest.mark.parametrize("command", ["collect", "agents"])
def test_topics_that_may_not_be_created(command: str, deployment: Deployment, tmp_path: Path) -> None:
    lab = deployment.lab
    new = SecuredLab(lab.sandbox, lab.registry_at_home, tmp_path)
    principal, settings = new.user()
    new.come_in(settings)
    own = Deployment(new, "", principal, settings)
    wanted = own.documented(principal, *SERVICE)
    keep = [binding for binding in wanted if binding.operation.name != "CREATE"]
    new.grant(keep)
    line = new.collect_command()[3:] if command == "collect" else new.agents_command()[3:]
    answer = new.run(*line, seconds=60)
    assert answer.code == 1
    assert f"{new.prefix}observations" in answer.err
    assert "--print-acls" in answer.err
    code, checks = new.doctor()
    assert code == 1
    assert checks["own topics"]["status"] == "fail"
    assert f"{new.prefix}observations" in checks["own topics"]["detail"]
    assert "--print-acls" in checks["own topics"]["mend"]
    if command == "agents":  # and the changelog by itself
        new.grant(binding for binding in wanted if binding.name == new.prefix)
        answer = new.run(*line, seconds=60)
        assert answer.code == 1
        assert f"{new.agents_id}-state-changelog" in answer.err
        assert f"{new.agents_id}-state-changelog" in new.doctor()[1]["own topics"]["detail"]


def test_the_tap_under_nothing_more(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    lab = deployment.lab
    principal, _ = lab.user()
    traced = f"{deployment.topic}.traced"
    line = ("doctor", "--print-acls", "--role", "tap", "--tap", deployment.topic, "--principal", principal)
    [tap] = [line for line in lab.run(*line).out.splitlines() if not line.startswith("#")]
    lab.revoke(list(lab.granted))
    lab.grant(deployment.documented(principal, "collector", "setup"))
    with environment(lab):
        os.environ["STREAM_LINEAGE_TAP"] = deployment.topic
        assert run(["collect"]) == 1
        answer = capsys.readouterr()
    assert f"not allowed: CREATE and WRITE on topic {traced}" in answer.err
    assert "--print-acls" in answer.err
    lab.grant(acls_of(tap))
    lab.send(deployment.topic, lab.clicks(deployment.topic, CLICK, 20), deployment.known)
    lab.collect_until_end("--tap", deployment.topic)
    assert lab.admin.list_topics(timeout=10).topics[traced].partitions.keys() == {0, 1}
    assert sum(len(lab.visible(traced, partition)) for partition in (0, 1)) >= 20


def test_training_baselines_under_nothing_more(deployment: Deployment) -> None:
    lab = deployment.lab
    principal, _ = lab.user()
    mine = deployment.documented(principal, "baseline")
    create = [*(filled(word, lab) for word in CREATE), "--schema-registry-url", lab.registry_at_home]
    lab.revoke(list(lab.granted))
    lab.grant(binding for binding in mine if binding.name != deployment.topic)
    hidden = lab.run(*create)
    assert hidden.code == 1
    assert f"not allowed: READ on topic {deployment.topic}" in hidden.err
    lab.grant(mine)
    made = lab.run(*create)
    assert made.code == 0, made.err
    asked = ("--from", "0", "--schema-registry-url", lab.registry_at_home)
    compared = lab.run("baseline", "compare", "training", *asked)
    assert compared.code == 0, compared.err
    assert "training" in lab.run("baseline", "list").out
    assert lab.run("baseline", "delete", "training").code == 0
    assert "authorization" not in (made.err + compared.err).lower()


def test_metrics_are_pushed_under_nothing_more(deployment: Deployment) -> None:
    lab = deployment.lab
    principal, _ = lab.user()
    before = len(lab.visible(f"{lab.prefix}metrics"))
    lab.revoke(list(lab.granted))
    lab.grant(deployment.documented(principal, "metric"))
    pushed = lab.run(*PUSH)
    assert pushed.code == 0, pushed.err
    assert "authorization" not in pushed.err.lower()
    assert len(lab.visible(f"{lab.prefix}metrics")) == before + 1


def test_groups_go_back_under_nothing_more(deployment: Deployment, tmp_path: Path) -> None:
    lab, topic = deployment.lab, deployment.topic
    group = f"{lab.name}-billing"
    there = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 5)])
    lab.admin.alter_consumer_group_offsets([there])[group].result(30)
    principal, _ = lab.user()
    reader, replay = deployment.documented(principal, "reader"), deployment.documented(principal, "replay")
    command = ("replay", topic, "0:2", "--group", group, "--execute", "--yes", "--output", "json")
    lab.revoke(list(lab.granted))
    lab.grant(reader)
    hidden = lab.run(*command)
    assert hidden.code == 1
    assert "--print-acls" in hidden.err
    lab.grant(replay)
    answers: list[str] = []

    def back() -> bool:
        answer = lab.run(*command, "--go-back", str(tmp_path / f"{len(answers)}.csv"))
        answers.append(answer.err)
        return answer.code == 0

    eventually(back, 60, lambda: f"the group did not go back: {answers[-1]}")
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    [stands] = lab.admin.list_consumer_group_offsets([asked])[group].result(30).topic_partitions
    assert stands.offset == 2


def test_a_reader_who_may_not_read_the_records(deployment: Deployment) -> None:
    lab = deployment.lab
    principal, _ = lab.user()
    mine = deployment.documented(principal, "reader")
    lab.revoke(list(lab.granted))
    lab.grant(binding for binding in mine if binding.name != deployment.topic)
    answer = lab.record(deployment.topic, 0, 0)
    assert (answer.code, answer.out) == (1, "")
    assert f"not allowed: READ on topic {deployment.topic}" in answer.err
    verified = lab.verify()
    assert verified.code == 0
    assert "the end of the log is not proven" in verified.out  # what is committed of it is hidden


def test_a_topic_that_is_named_and_hidden(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Describe a topic looks as if it were not there: nothing would ever be observed of it."""
    lab = deployment.lab
    principal, _ = lab.user()
    hidden = lab.topic("hidden")
    mine = deployment.documented(principal, "collector")
    lab.revoke(list(lab.granted))
    lab.grant(binding for binding in mine if binding.name != f"{lab.name}.clicks")
    with environment(lab):
        os.environ["STREAM_LINEAGE_INCLUDE"] = hidden
        eventually(refused("collector"), 20, "it is missed")
        assert run(["collect"]) == 1
    assert f"not allowed: READ on topic {hidden}" in capsys.readouterr().err

"""If this failed, the doctor would call a broken hop healthy, or give advice that does not mend it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from stream_lineage.collect.settings import CollectSettings
from stream_lineage.doctor.brokers import check_advertised, check_brokers
from stream_lineage.doctor.check import Check, Status
from stream_lineage.doctor.examination import examine
from stream_lineage.doctor.machine import check_clock, check_outbox, check_state, check_store
from stream_lineage.doctor.network import reachable
from stream_lineage.doctor.permissions import check_permissions
from stream_lineage.doctor.registry import check_registry
from stream_lineage.doctor.topics import check_own, check_watched
from stream_lineage.errors import KafkaRefused, KafkaUnavailable, NotFound, SettingsError, StreamLineageError
from stream_lineage.settings import Settings, load_settings
from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry
from stream_lineage.wire.cluster_probe import Cluster, WantedTopic
from stream_lineage.wire.settings import KafkaSettings, RegistrySettings

ALL = frozenset({"READ", "WRITE", "DESCRIBE", "CREATE"})
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Probe:
    """Answers like a ClusterProbe, from what it is given."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def describe(self) -> Any:
        return self._given("cluster")

    def topic_operations(self, names: Iterable[str]) -> Mapping[str, Any]:
        known = self._given("operations")
        return {name: known.get(name, ALL) for name in names}

    def group(self, _: str) -> Any:
        return self._given("group")

    def may_transact(self, _: str) -> StreamLineageError | None:
        answer: StreamLineageError | None = self._answers["transactions"]
        return answer

    def would_create(self, topics: Iterable[WantedTopic]) -> Mapping[str, StreamLineageError | None]:
        refused = self._given("refused")
        return {topic.name: refused.get(topic.name) for topic in topics}

    def _given(self, name: str) -> Any:
        answer = self._answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


def probe(**answers: Any) -> Any:
    return Probe(**answers)


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        good = server.getsockname()[:2]
        bad = ("127.0.0.1", closed_port())
        assert reachable("a", [good], timeout_seconds=5, mend="m") == Check(
            "a", Status.OK, f"127.0.0.1:{good[1]} can be connected to"
        )
        both = reachable("a", [good, bad], timeout_seconds=5, mend="m")
        assert (both.status, both.mend) == (Status.WARN, "m")
        assert f"127.0.0.1:{bad[1]}: connection refused" in both.detail
        none = reachable("a", [bad, ("no-such-host.invalid", 1)], timeout_seconds=5, mend="m")
        assert none.status is Status.FAIL
        assert "no such host" in none.detail


def test_a_name_lookup_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    started = time.monotonic()
    found = reachable("a", [("host", 1)], timeout_seconds=0.1, mend="m")
    assert time.monotonic() - started < 2.5
    assert "name lookup took longer" in found.detail


CLUSTER = Cluster("id-1", 1, (("127.0.0.1", 1), ("::1", 2)), ALL)


def test_brokers_that_answer() -> None:
    cluster, (brokers, security) = check_brokers(probe(cluster=CLUSTER), KafkaSettings(), connected=True)
    assert cluster is CLUSTER
    assert brokers.status is security.status is Status.OK
    assert "id-1" in brokers.detail
    assert "[::1]:2" in brokers.detail
    assert "controller 1" in brokers.detail


def test_a_password_in_the_open() -> None:
    settings = KafkaSettings(
        bootstrap_servers="far.example:9092",
        kafka={
            "security.protocol": "sasl_plaintext",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "me",
            "sasl.password": SecretStr("pppppppp"),
        },
    )
    _, (_, security) = check_brokers(probe(cluster=CLUSTER), settings, connected=True)
    assert security.status is Status.WARN
    assert "as me" in security.detail
    assert "pppppppp" not in security.detail


@pytest.mark.parametrize(
    ("error", "connected", "brokers", "security"),
    [
        (KafkaRefused("Kafka at a:1 does not let in user u", hint="do this"), True, Status.FAIL, Status.FAIL),
        (KafkaRefused("Kafka at a:1 has a certificate that has expired", hint="x"), True, Status.FAIL, Status.FAIL),
        (KafkaUnavailable("Timed out", hint="do this"), True, Status.FAIL, Status.SKIPPED),
        (KafkaUnavailable("Connection refused", hint="do this"), False, Status.FAIL, Status.SKIPPED),
    ],
)
def test_brokers_that_refuse_are_told_from_those_that_are_away(
    error: KafkaUnavailable, connected: bool, brokers: Status, security: Status
) -> None:
    cluster, checks = check_brokers(probe(cluster=error), KafkaSettings(), connected=connected)
    assert cluster is None
    assert [check.status for check in checks] == [brokers, security]
    assert all(check.mend for check in checks if check.status is Status.FAIL)
    assert any(error.message in check.detail for check in checks)


def test_one_broker_out_of_reach_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        brokers = (server.getsockname()[:2], ("127.0.0.1", closed_port()))
        found = check_advertised(Cluster("c", 1, brokers, None), timeout_seconds=5)
    assert found.status is Status.FAIL
    assert "advertised.listeners" in found.mend


TOPICS = {"clicks": 4, "orders-eu": 2, "orders-us": 2, "__consumer_offsets": 50, "lineage.observations": 6}


@pytest.mark.parametrize(
    ("include", "exclude", "status", "said"),
    [
        ((".*",), (), Status.OK, "3 of 5 topics, 8 partitions: clicks, orders-eu, orders-us"),
        (("orders-.*",), (".*-us",), Status.OK, "1 of 5 topics, 2 partitions: orders-eu"),
        (("clicks", "clikcs"), (), Status.WARN, "1 of 5 topics, 4 partitions; nothing matches include 'clikcs'"),
        (("clicks",), ("payments",), Status.WARN, "nothing matches exclude 'payments'"),
        (("nothing",), (), Status.WARN, "none of 5 topics is watched"),
        (("lineage.*",), (), Status.WARN, "none of 5 topics is watched"),
    ],
)
def test_watched_topics(include: tuple[str, ...], exclude: tuple[str, ...], status: Status, said: str) -> None:
    found = check_watched(TOPICS, KafkaSettings(), CollectSettings(include=include, exclude=exclude))
    assert found.status is status
    assert said in found.detail
    assert bool(found.mend) is (status is Status.WARN)


WANTED = [WantedTopic(f"lineage.{name}", 1, -1, {}) for name in ("observations", "graph", "state")]


def test_own_topics() -> None:
    fresh = check_own(probe(refused={}), WANTED, {}, {})
    assert (fresh.status, fresh.detail) == (Status.OK, "3 will be created at the start")
    there = {topic.name: 1 for topic in WANTED}
    assert check_own(probe(refused={}), WANTED, there, {"lineage.graph": ()}).detail == "3 exist"
    wrong = check_own(probe(refused={}), WANTED, there, {"lineage.state": ("has 2 partitions instead of 1",)})
    assert (wrong.status, wrong.detail) == (Status.WARN, "lineage.state has 2 partitions instead of 1")
    error = SettingsError("could not create topic lineage.graph: not allowed", hint="Ask for access.")
    refused = check_own(
        probe(refused={"lineage.graph": error, "lineage.state": error}), WANTED, {"lineage.observations": 1}, {}
    )
    assert refused.status is Status.FAIL
    assert refused.detail == "cannot create lineage.graph, lineage.state: not allowed"
    assert refused.mend == "Ask for access."


def permissions(**answers: Any) -> Check:
    given = {"operations": {}, "group": ("stable", 3, ALL), "transactions": None, **answers}
    settings = Settings(collect=CollectSettings(include=("clicks",), group_id="g"))
    visible = ("clicks", "lineage.observations", "lineage.of-old", "stream-lineage-agents-state-changelog")
    return check_permissions(probe(**given), settings, ("collector", "agents"), visible=visible, watched=["clicks"])


def test_all_that_is_needed_is_allowed() -> None:
    fine = permissions()
    assert fine.status is Status.OK
    assert fine.detail == (
        "3 topics may be used; consumer group g is stable with 3 members; "
        "consumer group stream-lineage-agents is stable with 3 members"
    )


NOT_ALLOWED = SettingsError("not allowed", hint="ask")


@pytest.mark.parametrize(
    ("answers", "status", "detail"),
    [
        ({"operations": {"clicks": frozenset({"DESCRIBE"})}}, Status.FAIL, "not allowed: READ on topic clicks"),
        (
            {"operations": {"lineage.observations": frozenset({"READ", "DESCRIBE"})}},
            Status.FAIL,
            "not allowed: WRITE on topic lineage.observations",
        ),
        (
            {"operations": {"stream-lineage-agents-state-changelog": frozenset()}},
            Status.FAIL,
            "not allowed: READ and WRITE on topic stream-lineage-agents-state-changelog",
        ),
        # Nobody of these roles uses this one.
        ({"operations": {"lineage.of-old": frozenset()}}, Status.OK, "3 topics may be used"),
        ({"operations": {"clicks": None}}, Status.OK, "3 topics may be used"),  # an old broker does not say
        ({"operations": {"clicks": KafkaUnavailable("no answer")}}, Status.WARN, "no answer"),
        (
            {"group": ("dead", 0, frozenset({"DESCRIBE"}))},
            Status.FAIL,
            "not allowed: READ on consumer group g; READ on consumer group stream-lineage-agents",
        ),
        (
            {"group": NOT_ALLOWED},
            Status.FAIL,
            "not allowed: READ on consumer group g; READ on consumer group stream-lineage-agents; "
            "DESCRIBE on consumer group g.reader",
        ),
        (
            {"transactions": NOT_ALLOWED},
            Status.FAIL,
            "not allowed: WRITE on transactional ids that start with g-",
        ),
    ],
)
def test_what_is_not_allowed_is_named(answers: dict[str, Any], status: Status, detail: str) -> None:
    found = permissions(**answers)
    assert found.status is status, found
    assert found.detail.startswith(detail)
    assert ("--print-acls" in found.mend) is (status is Status.FAIL)


def test_a_topic_that_is_named_and_hidden() -> None:
    settings = Settings(collect=CollectSettings(include=("orders", "shop-.*"), group_id="g"))
    answers = {"operations": {"orders": NOT_ALLOWED}, "group": ("stable", 3, ALL), "transactions": None}
    hidden = check_permissions(probe(**answers), settings, ("collector",), visible=(), watched=())
    assert (hidden.status, hidden.detail) == (Status.FAIL, "not allowed: READ on topic orders")
    answers["operations"] = {"orders": NotFound("no such topic")}
    absent = check_permissions(probe(**answers), settings, ("collector",), visible=(), watched=())
    assert absent.status is Status.OK


@pytest.mark.parametrize(
    ("behaviour", "status", "mend"),
    [
        (Behaviour.ANSWER, Status.OK, ""),
        (Behaviour.HTML, Status.FAIL, "must end where the API begins"),
        (Behaviour.FAIL, Status.FAIL, "Check that a registry runs"),
        (Behaviour.HANG, Status.FAIL, "Check that a registry runs"),
    ],
)
def test_registry(behaviour: Behaviour, status: Status, mend: str) -> None:
    with FakeRegistry(behaviour=behaviour) as fake:
        found = check_registry(RegistrySettings(schema_registry_url=fake.url, registry_timeout_seconds=0.5))
    assert found.status is status, found
    assert mend in found.mend


def test_registry_credentials_paths_and_several_addresses() -> None:
    with FakeRegistry(credentials="a:b") as fake, FakeRegistry() as open_:
        locked = check_registry(RegistrySettings(schema_registry_url=fake.url))
        assert locked.status is Status.FAIL
        assert "schema_registry_basic_auth" in locked.mend
        one_of_two = check_registry(RegistrySettings(schema_registry_url=f"{open_.url},{fake.url}"))
        assert one_of_two.status is Status.WARN
        wrong_path = check_registry(RegistrySettings(schema_registry_url=f"{open_.url}/v9"))
        assert wrong_path.status is Status.FAIL
        assert "must end where the API begins" in wrong_path.mend
    assert check_registry(RegistrySettings()).status is Status.SKIPPED
    no_ca = RegistrySettings(schema_registry_url="https://h:1", schema_registry_ca_location=Path("/no/such"))
    assert "/no/such" in check_registry(no_ca).detail


def test_store_and_state(tmp_path: Path) -> None:
    assert check_store(tmp_path / "new" / "deep" / "m.sqlite").status is Status.OK
    text = tmp_path / "notes.txt"
    text.write_text("this is a text and no database", encoding="utf-8")
    assert "not an SQLite file" in check_store(text).detail
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert check_store(empty).status is Status.OK
    in_a_file = check_store(text / "m.sqlite")
    assert in_a_file.status is Status.FAIL
    assert "sqlite_path" in in_a_file.mend
    assert check_store(tmp_path).status is Status.FAIL
    assert check_state(text / "state").status is Status.FAIL
    assert check_state(tmp_path / "state").status is Status.OK
    assert check_outbox(tmp_path / "outbox").status is Status.OK
    assert "outbox_path" in check_outbox(text / "outbox").mend


def test_clock() -> None:
    assert check_clock(NOW, None).status is Status.OK
    assert check_clock(NOW, (NOW - timedelta(days=400), "t")).status is Status.OK
    assert check_clock(NOW, (NOW + timedelta(seconds=59), "t")).status is Status.OK
    ahead = check_clock(NOW, (NOW + timedelta(hours=2), "clicks"))
    assert ahead.status is Status.WARN
    assert "clicks is 2:00:00 in the future" in ahead.detail
    assert check_clock(datetime(1970, 1, 1, tzinfo=UTC), None).status is Status.FAIL


def test_everything_is_looked_at_when_nothing_answers(tmp_path: Path) -> None:
    settings: Settings = load_settings(
        {"bootstrap_servers": f"127.0.0.1:{closed_port()}", "state_dir": str(tmp_path)}, {}
    )
    found = {check.name: check for check in examine(settings, timeout_seconds=1)}
    assert list(found) == [
        *("settings", "addresses", "brokers", "security", "advertised", "watched topics", "own topics", "permissions"),
        *("registry", "state", "store", "clock"),
    ]
    failed = {name for name, check in found.items() if check.status is Status.FAIL}
    assert failed == {"addresses", "brokers"}
    assert all(found[name].mend for name in failed)


def test_a_wrong_kafka_setting_is_named(tmp_path: Path) -> None:
    settings = load_settings({"kafka": ("fetch.min.byte=1",), "state_dir": str(tmp_path)}, {})
    found = {check.name: check for check in examine(settings, timeout_seconds=1)}
    assert found["brokers"].status is Status.FAIL
    assert "fetch.min.byte" in found["brokers"].detail

"""If this failed, a supervisor would restart roles that are well, or scrape nothing, or hang a role by asking."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from stream_lineage.agents.telemetry import AgentsTelemetry
from stream_lineage.collect.pipeline import Totals
from stream_lineage.collect.standing import Standing
from stream_lineage.collect.telemetry import CollectorTelemetry
from stream_lineage.errors import SettingsError
from stream_lineage.model.telemetry import Condition, Metric, Sample, Telemetry
from stream_lineage.serve.endpoint import Endpoint, answering
from stream_lineage.serve.settings import TelemetrySettings
from stream_lineage.store.health import Health
from stream_lineage.supervision.telemetry import RolesTelemetry

DOCUMENT = Path(__file__).parents[3] / "docs" / "telemetry.md"


class Told:
    """A role that can be told how it is."""

    def __init__(self) -> None:
        self.lives, self.works = True, True
        self.value = 3.0

    def metrics(self) -> Sequence[Metric]:
        return [
            Metric(
                "things_total", "counter", 'Things, "quoted"\nand broken.', [Sample(self.value, {"kind": 'a"\\\n'})]
            ),
            Metric("level", "gauge", "A level.", [Sample(0.5)]),
            Metric("nothing_total", "counter", "Nothing yet.", []),
        ]

    def alive(self) -> Sequence[Condition]:
        return [Condition("lives", self.lives, "so it is")]

    def ready(self) -> Sequence[Condition]:
        return [Condition("lives", self.lives, ""), Condition("works", self.works, "since today")]


@pytest.fixture
def role() -> Told:
    return Told()


@pytest.fixture
def url(role: Told) -> Iterator[str]:
    with Endpoint(("127.0.0.1", 0), role, role="test", version="1.2.3") as endpoint:
        yield f"http://127.0.0.1:{endpoint.port}"


def test_metrics_as_prometheus_reads_them(url: str, role: Told) -> None:
    answer = httpx.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert r'things_total{kind="a\"\\\n"} 3.0' in lines
    assert "level 0.5" in lines
    assert 'stream_lineage_ready{condition="works"} 1.0' in lines
    assert any(line.startswith("stream_lineage_build_info{") and 'version="1.2.3"' in line for line in lines)
    assert "# TYPE things_total counter" in lines
    role.value, role.works = 4.0, False
    again = httpx.get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert again.headers["content-type"].startswith("application/openmetrics-text")
    assert again.text.endswith("# EOF\n")
    assert 'stream_lineage_ready{condition="works"} 0.0' in again.text
    assert "} 4.0" in again.text


def test_health_says_what_does_not_hold(url: str, role: Told) -> None:
    assert httpx.get(f"{url}/healthz").json() == {
        "status": "ok",
        "conditions": {"lives": {"holds": True, "detail": "so it is"}},
    }
    role.works = False
    assert httpx.get(f"{url}/healthz").status_code == 200
    ready = httpx.get(f"{url}/readyz")
    assert ready.status_code == 503
    assert ready.json()["status"] == "failing"
    assert ready.json()["conditions"]["works"] == {"holds": False, "detail": "since today"}
    role.lives = False
    assert httpx.get(f"{url}/healthz?verbose=1").status_code == 503


def test_other_questions(url: str) -> None:
    unknown = httpx.get(f"{url}/../etc/passwd")
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    head = httpx.head(f"{url}/metrics")
    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) > 100
    assert httpx.post(f"{url}/metrics", content=b"x").status_code == 501


def test_those_who_only_connect_are_in_nobodys_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(url.rpartition(":")[2])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.get(f"{url}/healthz", timeout=30).status_code, range(40)))
        assert answers == [200] * 40
    finally:
        for connection in idle:
            connection.close()


def test_an_address_that_is_taken_is_named(role: Told) -> None:
    with Endpoint(("127.0.0.1", 0), role, role="test", version="1") as first:
        with pytest.raises(SettingsError, match=f"telemetry_listen: cannot listen at 127.0.0.1:{first.port}") as error:
            Endpoint(("127.0.0.1", first.port), role, role="test", version="1").__enter__()
        assert error.value.hint


def test_nothing_listens_unless_told_to(role: Told) -> None:
    with answering(TelemetrySettings(), role, "test"):
        pass
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if port <= 65_533:
        with answering(TelemetrySettings(telemetry_listen=f"127.0.0.1:{port}"), role, "test"):
            assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")


@pytest.mark.parametrize("text", ["9464", ":9464", "host:", "host:port", "host:0", "host:65534", "::1:9464", "h:٣"])
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="telemetry_listen"):
        TelemetrySettings(telemetry_listen=text)


def test_the_next_ports() -> None:
    assert TelemetrySettings(telemetry_listen="192.0.2.1:9464").moved(2).address == ("192.0.2.1", 9466)
    six = TelemetrySettings(telemetry_listen="[::1]:9464").moved(1)
    assert (six.telemetry_listen, six.address) == ("[::1]:9465", ("::1", 9465))
    assert TelemetrySettings().moved(1).address is None


def test_each_metric_is_documented_and_no_other() -> None:
    """What a dashboard is built on is what the document names."""
    roles: dict[str, Telemetry] = {
        "collect": CollectorTelemetry(lambda: Standing(Totals(), 0.0)),
        "agents": AgentsTelemetry(Health),
        "run": RolesTelemetry([]),
    }
    rows = re.findall(r"^\| (\w+) \| `(stream_lineage_\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = {role: {name for own, name in rows if own == role} for role in ("all", *roles)}
    assert documented["all"] == {"stream_lineage_build_info", "stream_lineage_alive", "stream_lineage_ready"}
    for role, telemetry in roles.items():
        assert documented[role] == {metric.name for metric in telemetry.metrics()}

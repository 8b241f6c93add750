"""If this failed, InfluxDB would keep everything for ever, or nothing, or its tokens could do more than they need."""

from __future__ import annotations

import json
import stat
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from stream_lineage.cli.main import run
from stream_lineage.errors import ConnectionFailed, NotFound
from stream_lineage.store.influx_setup import InfluxSetup
from stream_lineage.store.open import influx_api, open_setup, open_store
from stream_lineage.store.ports import Point
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd

pytestmark = pytest.mark.influx
WAIT_SECONDS = 120.0


def settings(influx: Influxd, **changed: Any) -> StoreSettings:
    given = {
        "influx_url": influx.url, "influx_org": influx.org, "influx_admin_token": SecretStr(influx.token),
        "influx_token": SecretStr(influx.token), "influx_bucket": f"set-up-{uuid.uuid4().hex[:8]}",
    }  # fmt: skip
    return StoreSettings(**{**given, **changed})


def changes(setup: InfluxSetup, **how: Any) -> list[str]:
    return [each.change for each in setup.run(**how)]


def asked(influx: Influxd, path: str) -> Any:
    with httpx.Client(base_url=influx.url, headers={"Authorization": f"Token {influx.token}"}, trust_env=False) as http:
        return http.get(path).raise_for_status().json()


def test_it_makes_what_is_missing_and_leaves_the_rest_alone(influx: Influxd) -> None:
    wanted = settings(influx)
    done = list(open_setup(wanted).run())
    assert [(each.kind, each.change) for each in done] == [
        *[("bucket", "created")] * 3, *[("task", "created")] * 2, *[("token", "created")] * 2,
    ]  # fmt: skip
    name = wanted.influx_bucket
    kept = {
        each["name"]: each["retentionRules"][0]["everySeconds"]
        for each in asked(influx, "/api/v2/buckets?limit=100")["buckets"]
        if each["name"].startswith(name)
    }
    assert kept == {name: 30 * 86_400, f"{name}_5m": 180 * 86_400, f"{name}_1h": 1095 * 86_400}
    assert changes(open_setup(wanted)) == ["unchanged"] * 7
    longer = wanted.model_copy(update={"retention_days": 60.0})
    assert changes(open_setup(longer)) == ["changed", *["unchanged"] * 6]
    again = changes(open_setup(longer), renew=["agents", "reader"])
    assert again == [*["unchanged"] * 5, "replaced", "replaced"]


def test_its_tokens_may_do_what_they_must_and_no_more(influx: Influxd) -> None:
    wanted = settings(influx)
    tokens = {each.name.rpartition(" ")[2]: each.token for each in open_setup(wanted).run() if each.token}
    other = f"other-{uuid.uuid4().hex[:8]}"
    influx.make_bucket(other)
    now = datetime.now(UTC)
    points = [Point("m", {}, {"n": 1}, now - timedelta(seconds=5))]

    def opened(role: str, bucket: str = wanted.influx_bucket) -> Any:
        token = SecretStr(tokens[role] or "")
        return open_store(wanted.model_copy(update={"influx_token": token, "influx_bucket": bucket}))

    writer, reader = opened("agents"), opened("reader")
    writer.write(points)
    assert [p.fields for p in reader.range("m", now - timedelta(hours=1), now)] == [{"n": 1}]
    assert len(writer.latest("m")) == 1
    attempts: list[Callable[[], Any]] = [
        lambda: reader.write(points),
        lambda: reader.forget(now),
        lambda: opened("agents", other).write(points),
        lambda: opened("reader", other).latest("m"),
        lambda: opened("agents", f"{wanted.influx_bucket}_5m").write(points),
    ]
    for refused in attempts:
        with pytest.raises(ConnectionFailed, match=r"40[134]"):
            refused()
    with pytest.raises(NotFound, match="that this token may see"):
        changes(open_setup(wanted.model_copy(update={"influx_admin_token": SecretStr(tokens["agents"] or "")})))


def test_without_an_organisation_it_says_so(influx: Influxd) -> None:
    with pytest.raises(NotFound, match="no organisation nobody"):
        changes(open_setup(settings(influx, influx_org="nobody")))


def test_its_tasks_run(influx: Influxd) -> None:
    wanted = settings(influx)
    list(open_setup(wanted).run())
    now = datetime.now(UTC)
    store = open_store(wanted)
    first = now.timestamp() // 300 * 300 - 900
    at = datetime.fromtimestamp(first, UTC)
    store.write([Point("lineage_topic", {"topic": "t"}, {"records": n, "decoder": "x"}, at + timedelta(seconds=10 * n))
                 for n in range(30)])  # fmt: skip
    # What is no number is not copied, and ends no task.
    store.write([Point("lineage_group", {"group": "g"}, {"lag": 7, "empty": True}, at),
                 Point("lineage_topic", {"topic": "t"}, {"key_decoder": "x"}, at)])  # fmt: skip
    store.close()
    name = f"{wanted.influx_bucket} 5m"
    [task] = asked(influx, f"/api/v2/tasks?name={name}")["tasks"]
    api = influx_api(wanted, wanted.influx_token)
    api.client.tasks_api().run_manually(task["id"], scheduled_for=now)
    copies = open_store(wanted.model_copy(update={"influx_bucket": f"{wanted.influx_bucket}_5m"}))
    until = time.monotonic() + WAIT_SECONDS
    path = f"/api/v2/tasks/{task['id']}"
    while "success" not in (states := [each["status"] for each in asked(influx, f"{path}/runs")["runs"]]):
        assert "failed" not in states, asked(influx, f"{path}/logs")
        assert time.monotonic() < until
        time.sleep(0.1)
    found = copies.latest("lineage_topic", {"statistic": "last"})
    assert [each.fields for each in copies.latest("lineage_group", {"statistic": "sum"})] == [{"lag": 7}]
    copies.close()
    api.close()
    assert found == [Point("lineage_topic", {"topic": "t", "statistic": "last"}, {"records": 29}, at)]


def test_the_command_keeps_tokens_for_their_owner(
    influx: Influxd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings(influx)
    (tmp_path / "admin").write_text(influx.token)
    given = ["--influx-url", influx.url, "--influx-org", influx.org, "--influx-bucket", wanted.influx_bucket,
             "--influx-admin-token-file", str(tmp_path / "admin")]  # fmt: skip
    assert run(["store", "setup", *given, "--token-dir", str(tmp_path / "tokens"), "--output", "json"]) == 0
    printed = capsys.readouterr().out
    done = json.loads(printed)["done"]
    file = tmp_path / "tokens" / "influx_agents_token"
    assert str(file) in [each["token"] for each in done]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in printed
    store = open_store(wanted.model_copy(update={"influx_token": SecretStr(file.read_text().strip())}))
    store.write([Point("m", {}, {"n": 1}, datetime.now(UTC))])
    store.close()
    kept = ["--token-dir", str(tmp_path / "tokens"), "--reader-token-dir", str(tmp_path / "reader"), "--output", "json"]
    before = file.read_text()
    assert run(["store", "setup", *given, *kept]) == 0
    done = json.loads(capsys.readouterr().out)["done"]
    assert [each["change"] for each in done if each["kind"] == "token"] == ["unchanged", "replaced"]
    assert [path.name for path in (tmp_path / "reader").iterdir()] == ["influx_reader_token"]
    reading = SecretStr((tmp_path / "reader" / "influx_reader_token").read_text().strip())
    assert len(open_store(wanted.model_copy(update={"influx_token": reading})).latest("m")) == 1
    file.unlink()
    assert run(["store", "setup", *given, *kept]) == 0
    capsys.readouterr()
    assert file.read_text() != before
    assert run(["store", "downsample", *given, "--since", "2h"]) == 0
    assert f"{wanted.influx_bucket}_1h" in capsys.readouterr().out
    assert run(["store", "downsample", *given, "--since", "yesterday or so"]) == 2

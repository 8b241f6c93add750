"""If this failed, what is older than the points would be missing in trends, or be another number than it was."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from stream_lineage.store.open import open_setup, open_store
from stream_lineage.store.ports import Aggregation, Point
from stream_lineage.store.settings import StoreSettings
from stream_lineage.store.windows import aggregated

Filled = tuple[StoreSettings, list[Point], datetime]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("influx", marks=pytest.mark.influx)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A store with a day of points, the coarser copies made, and the points gone but for the last hours."""
    where: dict[str, Any]
    if request.param == "influx":
        server = request.getfixturevalue("influx")
        token = SecretStr(server.token)
        where = {
            "influx_url": server.url, "influx_org": server.org, "influx_admin_token": token, "influx_token": token,
            "influx_bucket": f"copies-{uuid.uuid4().hex[:8]}",
        }  # fmt: skip
    else:
        where = {"sqlite_path": Path(tmp_path_factory.mktemp("copies")) / "metrics.sqlite"}
    longer = StoreSettings(**where, retention_days=10.0)
    assert {each.change for each in open_setup(longer).run()} == {"created"}
    assert {each.change for each in open_setup(longer).run()} == {"unchanged"}
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    points = [
        Point("lineage_field", {"field": f"f{k}"}, {"mean": float((n * 7 + k) % 50), "decoder": "ROWS"}, at)
        for k in range(2)
        for n in range(24 * 20)
        if (at := now - timedelta(hours=24) + timedelta(seconds=180 * n + 1))
    ]
    store = open_store(longer)
    store.write(points)
    assert [each.kind for each in open_setup(longer).copy_again(now - timedelta(hours=24), now)] == ["copy"] * 2
    store.forget(now - timedelta(hours=7))
    store.close()
    return longer.model_copy(update={"retention_days": 0.25}), points, now


@pytest.mark.parametrize("aggregation", ["mean", "min", "max", "sum", "count", "last"])
@pytest.mark.parametrize("hours", [1, 2])
def test_what_is_older_than_the_points_comes_from_the_copies(
    filled: Filled, aggregation: Aggregation, hours: int
) -> None:
    wanted, points, now = filled
    store = open_store(wanted)
    start = now.replace(hour=now.hour // 2 * 2) - timedelta(hours=22)
    found = store.aggregate("lineage_field", "mean", start, now, window_seconds=3600 * hours, aggregation=aggregation)
    one = store.aggregate("lineage_field", "mean", start, now, window_seconds=3600 * hours, tags={"field": "f1"})
    text = store.aggregate("lineage_field", "decoder", start, now, window_seconds=3600 * hours)
    finer = store.aggregate("lineage_field", "mean", start, now, window_seconds=60)
    store.close()
    inside = sorted((each for each in points if start <= each.time < now), key=lambda each: each.time)
    expected = aggregated(inside, "mean", 3600 * hours, aggregation)
    assert [(each.tags, each.time) for each in found] == [(each.tags, each.time) for each in expected]
    assert [each.value for each in found] == pytest.approx([each.value for each in expected])
    assert {each.tags["field"] for each in one} == {"f1"}
    assert len(one) == len(expected) / 2
    assert text == []
    assert {each.time >= now - timedelta(hours=7) for each in finer} == {True}

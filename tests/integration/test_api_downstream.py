"""If this failed, the API would call a downstream answer exact that lacks records, or would never call one exact."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.model.schema import OPAQUE
from stream_lineage.model.span import OffsetSpan
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.provenance.topics import EDGES, OBSERVATIONS, ensure_topics
from stream_lineage.serve.guard import Entrance
from stream_lineage.serving.run import application
from stream_lineage.settings import Settings, load_settings
from stream_lineage.wire import acknowledged, kafka

pytestmark = pytest.mark.kafka
DEADLINE_SECONDS = 120.0


def write(settings: Settings, offset: int) -> None:
    """Record ``offset`` of ``made``, of record 0 of ``raw``, is observed."""
    now = datetime.now(UTC)
    edges = EdgeBatch("b", "test", "made", "m", "c", now, (RecordEdge(0, offset, (ParentRange("raw", 0, 0, 0),)),))
    acknowledged.write(settings.kafka, settings.kafka.topic(EDGES), [(b"made", encode_edges(edges))])
    for topic, id_, at in (("raw", "r", 0), ("made", "m", offset)):
        seen = Observation(
            f"{topic}{at}", ObservationKind.OBSERVATION, "test", topic, id_, "c", now, OPAQUE, OPAQUE, 1, 0, 0, None,
            (OffsetSpan(0, at, at, 1, ()),), None, (),
        )  # fmt: skip
        observed = [(topic.encode(), encode_observation(seen))]
        acknowledged.write(settings.kafka, settings.kafka.topic(OBSERVATIONS), observed)


def test_what_was_there_when_the_question_came_is_in_an_exact_answer(cluster: Any, tmp_path: Path) -> None:
    settings = load_settings(
        {
            "bootstrap_servers": cluster.bootstrap_servers, "topic_prefix": f"{tmp_path.name}.", "cluster": "test",
            "index_path": str(tmp_path / "index.sqlite"),
        },
        {},
    )  # fmt: skip
    ensure_topics(kafka.admin(settings.kafka), settings.kafka)
    with application(settings, Entrance(None)) as (app, _):
        client = TestClient(app)

        def asked() -> Any:
            return client.get("/api/v1/records/raw/0/0/downstream", params={"wait": 10_000}).json()

        for offset in range(3):
            write(settings, offset)
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not (found := asked()).get("exact"):
                assert time.monotonic() < deadline, found
            assert [(each["topic"], each["ranges"]) for each in found["records"]] == [("made", [[0, offset]])]
        for _ in range(3):  # nothing comes any more, and it stays so
            assert asked()["exact"]
        # It says that it has all of that, too.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while "stream_lineage_serve_index_missing_messages 0.0" not in (text := client.get("/metrics").text):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        index = client.get("/readyz").json()["conditions"]["index"]
        assert index["holds"]
        assert index["detail"].startswith("as of ")
        assert "stream_lineage_serve_index_age_seconds " in text

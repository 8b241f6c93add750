"""If this failed, `stream-lineage explain TARGET` would not find what broke a node of the graph that is in Kafka."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alerting import deployed
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.cli.main import run
from stream_lineage.graph.codec import encode_event, message_key
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka


def test_what_broke_a_topic_is_found_two_hops_before_it(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = deployed(cluster, tmp_path, "explain")
    now = datetime.now(UTC)
    topic = deployment.topic("graph")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    names = [Node(NodeKind.DATASET, "kafka://lab", name) for name in ("raw", "clean", "scores")]
    for source, target in itertools.pairwise(names):
        known = Evidence(EvidenceClass.DECLARED, "test", now - timedelta(hours=2), now, 1.0)
        event = GraphEvent(GraphEdge(source, target), known)
        producer.produce(topic, encode_event(event), message_key(event))
    assert producer.flush(30) == 0
    store = SqliteStore(tmp_path / "metrics.sqlite")
    random = np.random.default_rng(3)
    for hop, node in enumerate(names):
        tags = {"cluster": "lab", "topic": node.name, "field": "amount"}
        ratios = 0.03 + 0.003 * random.normal(size=300)
        ratios[270 + hop :] += 0.5
        times = (now - timedelta(seconds=10 * (300 - window)) for window in range(300))
        store.write(
            Point("lineage_field", tags, {"null_ratio": float(ratio)}, at)
            for at, ratio in zip(times, ratios, strict=True)
        )
    store.close()
    given = ["--bootstrap-servers", cluster.bootstrap_servers, "--topic-prefix", deployment.prefix, "--cluster", "lab",
             "--sqlite-path", str(tmp_path / "metrics.sqlite"), "--output", "json"]  # fmt: skip
    bundle = tmp_path / "incident.json"
    assert run(["explain", "scores:amount", "--metric", "null_ratio", "--export", str(bundle), *given]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["ranking"][0]["path"]) == ("root-cause", ["raw", "clean", "scores"])
    assert run(["explain", str(bundle), "--output", "json"]) == 0
    offline = json.loads(capsys.readouterr().out)
    assert offline["ranking"] == answer["ranking"]
    assert run(["explain", "score", "--metric", "null_ratio", *given]) == 1
    assert "Did you mean scores" in capsys.readouterr().err
    assert run(["explain", "scores", "--metric", "nulls", *given]) == 1
    assert "null_ratio (of amount)" in capsys.readouterr().err
    assert run(["explain", "scores", "--metric", "null_ratio", "--at", "3h", *given]) == 1
    assert "nothing was known of the graph at that time" in capsys.readouterr().err

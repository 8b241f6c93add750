"""If this fails, whoever tries the product or runs its tests has no Kafka, or is left with stray Java processes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.kafka


def test_the_session_cluster_answers(cluster: Any) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    assert admin.list_topics(timeout=10).brokers
    assert httpx.get(f"{cluster.schema_registry_url}/subjects").status_code == 200

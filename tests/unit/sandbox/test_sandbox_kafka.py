"""If this fails, one sandbox in some dozens does not start."""

from __future__ import annotations

import base64

from stream_lineage.sandbox.kafka import random_cluster_id


def test_cluster_ids_are_no_options_of_a_command_line() -> None:
    ids = [random_cluster_id() for _ in range(1_000)]
    assert len(set(ids)) == len(ids)
    assert not any(cluster_id.startswith("-") for cluster_id in ids)
    assert all(len(base64.urlsafe_b64decode(f"{cluster_id}==")) == 16 for cluster_id in ids)

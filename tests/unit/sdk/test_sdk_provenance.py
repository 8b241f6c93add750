"""If this failed, an application could not tell where a message comes from, or would be told what is not so."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from sdk_broker import SECONDS, Broker

from stream_lineage.model.record_edge import EdgeSource, ParentRange
from stream_lineage.sdk import Lineage, LineageProducer, provenance_of
from stream_lineage.wire.lineage_headers import PARENTS_HEADER

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_what_a_message_says(broker: Broker) -> None:
    out = broker.topic("out")
    producer = LineageProducer(broker.config(), lineage=Lineage(run_id="nightly-7"))
    guid = uuid.uuid4()
    now = int(time.time() * 1000)
    producer.produce(out, b"\0\0\0\0\7x", partition=0, timestamp=now, parents=[("in", 1, 2), ("in", 1, 3)])
    producer.produce(
        out,
        b"x",
        partition=0,
        parents=[],
        headers=[
            ("__value_schema_id", b"\1" + guid.bytes),
            ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
            ("lineage-provenance", json.dumps({"version": 1, "topic": "orders"}).encode()),
        ],
    )
    assert producer.flush(SECONDS) == 0
    first, second = map(provenance_of, broker.read(out, 2))
    assert first is not None
    assert second is not None
    assert (first.topic, first.partition, first.offset) == (out, 0, 0)
    assert first.timestamp is not None
    assert int(first.timestamp.timestamp() * 1000) == now
    assert (first.timestamp_type, first.schema_id, first.schema_guid) == ("create", 7, None)
    assert (first.parents, first.source, first.exact) == ((ParentRange("in", 1, 2, 3),), EdgeSource.LINEAGE, True)
    assert (first.run_id, first.trace_id, first.traced) == ("nightly-7", None, None)
    assert (second.schema_id, second.schema_guid) == (None, str(guid))
    assert (second.parents, second.source, second.exact) == ((), None, False)
    assert (second.run_id, second.trace_id) == ("nightly-7", TRACE)
    assert second.traced == {"version": 1, "topic": "orders"}


@pytest.mark.parametrize(
    ("headers", "parents", "source"),
    [
        ([(PARENTS_HEADER, b"\1\0")], (), EdgeSource.LINEAGE),
        ([(PARENTS_HEADER, None)], (), EdgeSource.LINEAGE),
        ([(PARENTS_HEADER, bytes.fromhex("01000750375e010c636c69636b73010301e80700"))], (), None),
        (
            [("k2k_topic", b"a"), ("k2k_partition", b"1"), ("k2k_offset", b"2")],
            (ParentRange("a", 1, 2, 2, cluster=""),),
            EdgeSource.LENSES_K2K,
        ),
        ([("lineage-provenance", b"[" * 60_000), ("lineage-run", b"\xff")], (), None),
    ],
)
def test_headers_of_others(broker: Broker, headers: Any, parents: Any, source: EdgeSource | None) -> None:
    out = broker.topic("out")
    broker.put(out, headers)
    found = provenance_of(*broker.read(out, 1))
    assert found is not None
    assert (found.parents, found.source, found.traced, found.run_id) == (parents, source, None, None)
    assert not found.exact  # headers of others are copied on: an ancestor at least


def test_what_is_no_message() -> None:
    for thing in (None, 7, object()):
        assert provenance_of(thing) is None  # type: ignore[arg-type]

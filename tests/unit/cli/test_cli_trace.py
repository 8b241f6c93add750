"""If this failed, `trace FIELD=VALUE` would trace a record that its hash alone speaks for, without saying so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_lineage import indexing, searching, tracing
from stream_lineage.cli.main import run
from stream_lineage.connections import hash_key_of
from stream_lineage.index.kept import Kept
from stream_lineage.index.writer import Entry, IndexWriter, Source
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.profile.key_hashes import KeyHasher
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.provenance.key_codec import encode_keys
from stream_lineage.settings import load_settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOTE = "found by its hash, not verified"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Says that orders[0]@7 has the id o-7."""
    monkeypatch.setenv("STREAM_LINEAGE_HASH_KEY", "sixteen letters or more")
    monkeypatch.setenv("STREAM_LINEAGE_KEY_FIELDS", "orders:id")
    monkeypatch.setattr(indexing, "behind", lambda *_, **__: [])
    hasher = KeyHasher(hash_key_of(load_settings(), None), "orders", "id")
    run_ = KeyRun(0, np.array([7], np.int64), np.array(sorted(hasher.wanted("o-7")), np.uint64))
    keys = KeyBatch("b", "test", "orders", "life", "id", hasher.check, "c", NOW, (run_,), 0)
    edges = EdgeBatch("b", "test", "orders", "life", "c", NOW, (RecordEdge(0, 7, (ParentRange("clicks", 0, 1, 2),)),))
    path = tmp_path / "index.sqlite"
    writer = IndexWriter(path)
    entries = [Entry("edges", encode_edges(edges), topic="orders"), Entry("keys", encode_keys(keys))]
    assert writer.write(entries, {Source("lineage.edges", 0, "x"): 1}) == 0
    writer.close()
    return path


def traced(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    code = run(["trace", "id=o-7", "--index-path", str(path), *more])
    return code, capsys.readouterr()


def test_a_hit_that_nobody_compares_is_not_called_exact(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = traced(index, capsys, "--offline")
    assert (code, NOTE in " ".join(printed.out.split())) == (0, True)
    code, printed = traced(index, capsys, "--offline", "--output", "json")
    document = json.loads(printed.out)
    assert (document["record"]["offset"], document["exact"]) == (7, False)
    assert [note for note in document["notes"] if NOTE in note]


@pytest.mark.parametrize(("has", "noted"), [(True, False), (None, True)])
def test_a_hit_is_compared_with_what_kafka_has(
    index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, has: bool | None, noted: bool
) -> None:
    asked: list[tuple[Any, ...]] = []

    def has_value(_: object, *said: Any) -> bool | None:
        asked.append(said)
        return has

    monkeypatch.setattr(searching, "has_value", has_value)
    monkeypatch.setattr(tracing, "kept", lambda *_: Kept())
    code, printed = traced(index, capsys, "--no-update", "--output", "json")
    assert code == 0
    assert asked == [("orders", "life", 0, 7, "id", "o-7")]
    assert any(NOTE in note for note in json.loads(printed.out)["notes"]) is noted


def test_all_that_have_the_value_are_traced_within_a_bound(
    tmp_path: Path, index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = KeyHasher(hash_key_of(load_settings(), None), "orders", "id")
    [one] = sorted(hasher.wanted("o-7"))[:1]
    more = np.arange(20, 31, dtype=np.int64)  # eleven, with offset 7 twelve
    keys = KeyBatch(
        "b", "test", "orders", "life", "id", hasher.check, "c", NOW, (KeyRun(1, more, np.full(11, one, np.uint64)),), 0
    )
    edges = [RecordEdge(1, int(n), (ParentRange("clicks", 0, int(n), int(n)),)) for n in more[:10]]
    writer = IndexWriter(index)
    batch = EdgeBatch("b2", "test", "orders", "life", "c", NOW, tuple(edges))
    assert (
        writer.write([Entry("edges", encode_edges(batch), topic="orders"), Entry("keys", encode_keys(keys))], {}) == 0
    )
    writer.close()
    code, printed = traced(index, capsys, "--offline", "--output", "json")
    document = json.loads(printed.out)
    assert (code, document["found"]) == (0, 12)
    shown = [(each["record"]["partition"], each["record"]["offset"]) for each in document["traces"]]
    assert shown == [(0, 7), *((1, n) for n in range(20, 29))]
    assert [each["ends"][0]["ranges"] for each in document["traces"][1:]] == [[[n, n]] for n in range(20, 29)]
    assert all(not each["exact"] and NOTE in str(each["notes"]) for each in document["traces"])
    assert [(each["partition"], each["offset"]) for each in document["not_traced"]] == [(1, 29), (1, 30)]
    code, printed = traced(index, capsys, "--offline")
    assert (code, "12 records have that value in id: orders 0 7, orders 1 20" in printed.out) == (0, True)
    assert "orders 1 30 is not traced: only 10 are traced" in printed.err
    code, printed = traced(index, capsys, "--offline", "--output", "mermaid")
    assert (code, "say which one" in printed.err) == (1, True)
    # What Kafka says to have another value is none of them; if one is left, it is traced as if it had been alone.
    monkeypatch.setattr(
        searching, "has_value", lambda _s, _t, _i, partition, offset, *_: (partition, offset) == (1, 22)
    )
    monkeypatch.setattr(tracing, "kept", lambda *_: Kept())
    monkeypatch.setattr("stream_lineage.cli.found_records.MOST_TRACED", 12)
    code, printed = traced(index, capsys, "--no-update", "--output", "json")
    document = json.loads(printed.out)
    assert (code, document["record"]["offset"], NOTE in str(document["notes"])) == (0, 22, False)


def test_a_record_that_does_not_have_the_value_is_not_traced(
    index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "has_value", lambda *_: False)
    monkeypatch.setattr("stream_lineage.doctor.preflight.preflight", lambda *_, **__: None)
    monkeypatch.setattr(searching, "find_value", lambda *_: searching.Hits("orders", (), 8, 0, False))
    code, printed = traced(index, capsys, "--no-update")
    assert code == 1
    assert "8 were looked at" in printed.err

"""If this failed, a question that takes long would keep all others, or what is wrong with the index would be hidden."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.errors import IndexUnusable, NotFound
from stream_lineage.graph.graph import Graph
from stream_lineage.index.writer import IndexWriter
from stream_lineage.serve.ports import TakesLonger
from stream_lineage.serving.at_once import AtOnce
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.settings import load_settings

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
NOTHING: Any = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "index.sqlite"
    IndexWriter(where).close()
    return where


def test_a_long_query_is_left_to_others(path: Path) -> None:
    pool = IndexPool(path)
    with pytest.raises(TakesLonger), pool.open_at_once():
        pass  # nobody has asked in a thread yet
    with pool.open() as index:
        pass
    for _ in range(2):
        with pytest.raises(TakesLonger), pool.open_at_once() as hasty:
            hasty.rows(ENDLESS)
        with pytest.raises(TakesLonger), pool.open_at_once():
            pass
        with pool.open() as other:  # that very one has time now, and what it reads meanwhile is known at once then
            assert other is index
            assert len(other.rows(f"{ENDLESS} LIMIT 100000")) == 100_000
            assert other.rows("PRAGMA busy_timeout") == [(10_000,)]
        with pool.open_at_once() as hasty:
            assert hasty.rows("PRAGMA busy_timeout") == [(0,)]
    with pool.open_at_once() as hasty, pool.open() as other:
        assert hasty is index
        assert other is not index
        assert hasty.rows(f"{ENDLESS} LIMIT 100") == [(n,) for n in range(1, 101)]
        assert len(other.rows(f"{ENDLESS} LIMIT 100000")) == 100_000
    for _ in range(1000):  # many short ones are no long one
        with pool.open_at_once() as hasty:
            assert len(hasty.rows(f"{ENDLESS} LIMIT 100")) == 100
    with pytest.raises(NotFound), pool.open_at_once():
        raise NotFound("what a handler says is no harm to the reader")
    with pool.open_at_once() as hasty:
        assert hasty is index
    pool.close()
    with pytest.raises(TakesLonger), pool.open_at_once():
        pass


def test_what_is_wrong_with_the_index_is_told_in_a_thread(path: Path) -> None:
    pool = IndexPool(path)
    with pool.open():
        pass
    with pytest.raises(TakesLonger), pool.open_at_once() as hasty:
        hasty.rows("SELECT * FROM nothing")
    with pytest.raises(TakesLonger), pool.open_at_once():
        pass  # that reader is gone
    with pytest.raises(IndexUnusable), pool.open() as index:
        index.rows("SELECT * FROM nothing")
    pool.close()


def test_the_graph_is_asked_only_where_nobody_waits(path: Path) -> None:
    fold = GraphFold(NOTHING, NOTHING)
    settings = load_settings({"index_path": str(path)}, {})
    lineage = LiveLineage(settings, fold, NOTHING, IndexPool(path))
    at_once = lineage.at_once
    assert isinstance(at_once, AtOnce)
    assert (lineage.room, at_once.room is None) == (None, False)
    with pytest.raises(TakesLonger):
        at_once.ask(lambda graph: graph.size)  # who leads to whom is not known yet
    _ = fold.graph.index
    assert at_once.ask(lambda graph: graph.size) == (0, 0)
    assert at_once.ask(lambda _: None) is None
    taking, done = threading.Event(), threading.Event()

    def taken_in(_: Graph) -> None:
        taking.set()
        assert done.wait(60)

    other = threading.Thread(target=lambda: fold.ask(taken_in), daemon=True)
    other.start()
    assert taking.wait(60)
    with pytest.raises(TakesLonger):
        at_once.ask(lambda graph: graph.size)
    done.set()
    other.join(60)
    assert at_once.ask(lambda graph: graph.size) == (0, 0)
    lineage.close()

"""If this failed, what was written to the index would not be seen by whoever keeps it open."""

from __future__ import annotations

from pathlib import Path

from stream_lineage.index.layout import WHOLE_AT
from stream_lineage.index.reader import Log, Logs, ProvenanceIndex
from stream_lineage.index.writer import IndexWriter, Source


def test_what_was_asked_is_asked_again_once_something_was_written(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    writer = IndexWriter(path)
    writer.write([], {Source("lineage.edges", 0, "x"): 1}, facts={WHOLE_AT: "2026-03-01T00:00:00+00:00"})
    with ProvenanceIndex(path) as index:
        for offset, day in ((1, 1), (5, 2)):
            for _ in range(2):
                with index.snapshot():
                    assert index.positions() == {("lineage.edges", 0): offset}
                    assert index.whole_at() == f"2026-03-0{day}T00:00:00+00:00"
            if offset == 1:
                with index.snapshot():
                    writer.write(
                        [], {Source("lineage.edges", 0, "x"): 5}, facts={WHOLE_AT: "2026-03-02T00:00:00+00:00"}
                    )
                    assert index.positions() == {("lineage.edges", 0): 1}
        writer.write([], {Source("lineage.edges", 0, "x"): 9})
        assert index.positions() == {("lineage.edges", 0): 9}  # in no snapshot
    writer.close()


def test_which_life_is_meant_depends_on_the_time_only_where_there_are_two() -> None:
    rows = [
        (1, "", "a", "", 0),
        (2, "", "a", "one", 0),
        (3, "", "b", "", 0),
        (4, "", "b", "old", 0),
        (5, "", "b", "new", 0),
    ]
    logs = Logs(rows, [("a", "one", 0, 900), ("b", "old", 0, 90), ("b", "new", 100, 900)])
    assert logs[2] == Log("a", "one", 0)
    for _ in range(2):
        assert [logs.resolved(1, seen) for seen in (0, 50, 500)] == [2, 2, 2]
        assert [logs.resolved(3, seen) for seen in (0, 50, 500)] == [4, 4, 5]
        assert [logs.resolved(number, 0) for number in (2, 4, 5)] == [2, 4, 5]

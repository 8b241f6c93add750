"""Paths of records, asked as the command asks, held against what a pipeline is known to have done."""

from __future__ import annotations

from typing import Any

from collecting import Lab
from lineage_pipeline import Planted, Record

from stream_lineage import indexing
from stream_lineage.index.documents import notes
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.trace import trace
from stream_lineage.settings import Settings, load_settings
from stream_lineage.tracing import kept


def settings_of(lab: Lab) -> Settings:
    """As the command line has them."""
    flags: dict[str, Any] = {
        "bootstrap_servers": lab.bootstrap_servers,
        "topic_prefix": lab.prefix,
        "group_id": lab.group,
        "state_dir": str(lab.directory / "state"),
    }
    return load_settings(flags, {})


def records(index: ProvenanceIndex, found: dict[int, Ranges]) -> set[Record]:
    return {
        (index.logs[number].topic, index.logs[number].partition, offset)
        for number, ranges in found.items()
        for first, last in ranges
        for offset in range(first, last + 1)
    }


def paths_are_exact(lab: Lab, planted: Planted) -> None:
    """Of 1,000 outputs the path ends in the source records that were planted, in all of them and in no other; and the
    other way round. Also when the sources are deleted, which is said."""
    settings = settings_of(lab)
    read = indexing.update(settings)
    assert (read.left_out, read.lost, read.behind) == (0, 0, 0)
    with ProvenanceIndex(settings.index.index_path) as index:
        for record in planted.sampled(1_000):
            found = trace(index, *record)
            assert records(index, found.ends) == planted.outputs[record], record
            assert found.exact
        made: dict[Record, set[Record]] = {}
        for output, sources in planted.outputs.items():
            for source in sources:
                made.setdefault(source, set()).add(output)
        for source in sorted(made)[:: len(made) // 200]:
            assert records(index, trace(index, *source, "downstream").walk.reached) == made[source], source
        some = planted.sampled(5, seed=3)
        for topic, partitions in ((planted.clicks, 3), (planted.purchases, 2)):
            for partition in range(partitions):
                lab.delete_records(topic, partition, -1)  # all of them
        for record in some:
            found = trace(index, *record)
            assert records(index, found.ends) == planted.outputs[record]
            left = kept(settings, found)
            assert records(index, left.gone) == planted.outputs[record]
            assert all(left.how_much(n, index.logs[n], ranges) == "none" for n, ranges in found.ends.items())
            assert "no longer in Kafka" in str(notes(index, found, left))
            stored = left.records[record]
            assert stored.run_id == planted.run_id
            assert stored.timestamp is not None

"""A record's path, with what Kafka itself still knows of the records on it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.connections import hash_key_of, log_reader
from stream_lineage.errors import StreamLineageError
from stream_lineage.index.kept import Kept
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.trace import Stretch, Trace
from stream_lineage.provenance.lookup import hash_key_bytes
from stream_lineage.provenance.reread import Coordinates, reread
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka

_MOST_READ = 60
"""Records that are read again for one answer."""


def kept(settings: Settings, found: Trace, *, most: int = _MOST_READ) -> Kept:
    """Ask Kafka what it still has of the records of a path, and read the first and the last one of each stretch again,
    the nearest stretches first. Never fails: what goes wrong is said in ``trouble``."""
    answer = Kept()
    try:
        stretches = [each for each in (found.start, *found.stretches) if each.log.cluster is None]
        facts = ClusterFacts(kafka.admin(settings.kafka))
        ids = facts.topic_ids({each.log.topic for each in stretches})
        there = {each.number: each for each in stretches if _is_there(each, ids)}
        starts = facts.log_starts({(each.log.topic, each.log.partition) for each in there.values()})
        for topic in sorted({each.log.topic for each in there.values()}):
            policy = facts.cleanup_policy(topic)
            if policy is None:
                answer.unsure.add(topic)
            elif "compact" in policy:
                answer.compacted.add(topic)
        answer.asked = True
        for each in stretches:
            start = starts.get((each.log.topic, each.log.partition)) if each.number in there else None
            before = each.ranges if start is None else each.ranges & Ranges.single(-1, start - 1)
            if before:
                known = answer.gone.get(each.number, Ranges.empty())
                answer.gone[each.number] = known | before
        wanted = _chosen(stretches, answer, most)
        if wanted:
            secret = hash_key_of(settings, facts.cluster_id())
            with closing(log_reader(settings)) as consumer:
                answer.records = reread(consumer, wanted, lambda key: hash_key_bytes(key, secret))
    except StreamLineageError as error:
        answer.trouble = error.message
    return answer


def _is_there(stretch: Stretch, ids: dict[str, str | None]) -> bool:
    """Whether the topic is there, and the one that the record was in."""
    if stretch.log.topic not in ids:
        return False
    now = ids[stretch.log.topic]
    return now is None or stretch.log.topic_id is None or now == stretch.log.topic_id


def _chosen(stretches: Iterable[Stretch], answer: Kept, most: int) -> list[Coordinates]:
    out: list[Coordinates] = []
    for each in stretches:
        left = each.ranges - answer.gone.get(each.number, Ranges.empty())
        if left:
            ends = dict.fromkeys((int(left.firsts[0]), int(left.lasts[-1])))
            out += [(each.log.topic, each.log.partition, offset) for offset in ends]
        if len(out) >= most:
            break
    return out[:most]

"""What a reader of a replay plan has to know of the logs: retention, compaction, groups that stand where no log is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stream_lineage.explain.replay import GroupPlan, Means, Start


def log_notes(
    starts: Iterable[Start], groups: Sequence[GroupPlan], policies: Mapping[str, str | None]
) -> Iterator[str]:
    """Sentences. ``policies`` has ``cleanup.policy`` by topic, null where it may not be known."""
    for each in starts:
        if each.lost:
            gone = min(each.bounds.start, each.bounds.end) - 1
            yield (
                f"{each.topic}[{each.partition}]: {each.lost:,} offsets can no longer be read again ({each.offset} to"
                f" {gone}): Kafka has it from {each.bounds.start} on"
            )
        elif each.means is Means.TIME and each.offset == each.bounds.start > 0:
            yield (
                f"{each.topic}[{each.partition}] begins at {each.bounds.start}: records before it, some of which may be"
                " of that time, can no longer be read again"
            )
    for topic, policy in policies.items():
        if policy is None:
            yield f"{topic}: whether it is compacted may not be known here"
        elif "compact" in policy:
            yield (
                f"{topic} is compacted (cleanup.policy={policy}): records that were replaced by later ones of their key"
                " may be gone and are not read again"
            )
    for group in groups:
        for reset in group.partitions:
            where, log = f"{group.group}: {reset.topic}[{reset.partition}]", reset.start.bounds
            if reset.committed > log.end:
                yield f"{where} stands at {reset.committed}, beyond the end of the log, {log.end}"
            elif reset.committed < log.start:
                yield (
                    f"{where} stands at {reset.committed}, before the log's begin, {log.start}: its setting"
                    " auto.offset.reset decides where it reads on"
                )
    for group in groups:
        if group.resets and not group.stopped:
            yield f"{group.group} has members ({group.state.lower()}): stop them before it is reset"

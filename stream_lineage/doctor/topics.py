"""Which topics are watched, and how our own stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_lineage.collect.settings import CollectSettings
from stream_lineage.collect.watch import TopicFilter
from stream_lineage.doctor.check import Check, fail, ok, warn
from stream_lineage.errors import StreamLineageError
from stream_lineage.wire.cluster_probe import ClusterProbe, WantedTopic
from stream_lineage.wire.settings import KafkaSettings

_SHOWN = 5


def watched_topics(topics: Iterable[str], kafka: KafkaSettings, collect: CollectSettings) -> list[str]:
    """The topics that a collector with these settings observes."""
    return _filter(collect.include, collect.exclude, kafka, collect).watched(topics)


def check_watched(topics: Mapping[str, int], kafka: KafkaSettings, collect: CollectSettings) -> Check:
    """The check ``watched topics``: how many there are, and which patterns match nothing."""
    watched = watched_topics(topics, kafka, collect)
    idle = [f"include '{p}'" for p in collect.include if not _filter([p], (), kafka, collect).watched(topics)]
    idle += [f"exclude '{p}'" for p in collect.exclude if not _filter([p], (), kafka, collect).watched(topics)]
    count = f"{len(watched)} of {len(topics)} topics, {sum(topics[name] for name in watched)} partitions"
    if not watched:
        mend = "Create the topics, mend include and exclude, or ask for DESCRIBE on the topics that should be seen."
        return warn("watched topics", f"none of {len(topics)} topics is watched", mend)
    if idle:
        return warn("watched topics", f"{count}; nothing matches {', '.join(idle)}", "Mend or remove these patterns.")
    return ok("watched topics", f"{count}: {_some(watched)}")


def check_own(
    probe: ClusterProbe,
    wanted: Iterable[WantedTopic],
    existing: Mapping[str, int],
    problems: Mapping[str, tuple[str, ...]],
) -> Check:
    """The check ``own topics``: those that exist are as they must be, the others could be created.

    ``problems`` says by name what is wrong with those that exist.
    """
    missing = [topic for topic in wanted if topic.name not in existing]
    refused = {name: error for name, error in probe.would_create(missing).items() if error is not None}
    wrong = [f"{name} {', '.join(said)}" for name, said in problems.items() if said and name in existing]
    if refused:
        return fail("own topics", _reasons(refused), _mend(refused))
    creatable = f"{len(missing)} will be created at the start" if missing else ""
    if wrong:
        detail = "; ".join([*wrong, *([creatable] if creatable else [])])
        return warn("own topics", detail, "Change the topics' configuration; partitions can only be added.")
    there = f"{len(existing)} exist" if existing else ""
    return ok("own topics", ", ".join(part for part in (there, creatable) if part))


def _filter(
    include: Iterable[str], exclude: Iterable[str], kafka: KafkaSettings, collect: CollectSettings
) -> TopicFilter:
    return TopicFilter(
        list(include),
        list(exclude),
        own_prefix=kafka.topic_prefix,
        traced_suffix=collect.tap_suffix,
        include_internal=collect.include_internal,
    )


def _reasons(refused: Mapping[str, StreamLineageError]) -> str:
    """Each reason once, with the topics that it stands in the way of."""
    topics: dict[str, list[str]] = {}
    for name, error in refused.items():
        topics.setdefault(error.message.partition(": ")[2] or error.message, []).append(name)
    return "; ".join(f"cannot create {_some(names)}: {reason}" for reason, names in topics.items())


def _mend(refused: Mapping[str, StreamLineageError]) -> str:
    hints = [error.hint for error in refused.values() if error.hint]
    return hints[0] if hints else "Create them by hand, or change replication_factor and observation_partitions."


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

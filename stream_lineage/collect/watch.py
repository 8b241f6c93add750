"""Which topics are watched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_lineage.collect.settings import CollectSettings

_INTERNAL_SUFFIXES = ("-changelog", "-repartition")


class TopicFilter:
    """Include and exclude patterns; exclude wins.

    A pattern must match the whole name. One that starts with ``^`` and does not end in ``$`` matches from the start, as
    the subscriptions of Kafka clients do: ``^orders`` covers ``orders-eu``. Our own topics are never watched; internal
    ones (``_`` at the start, ``-changelog``, ``-repartition`` or the suffix of traced topics at the end) only with
    ``include_internal``.
    """

    def __init__(
        self,
        include: Sequence[str],
        exclude: Sequence[str] = (),
        *,
        own_prefix: str,
        traced_suffix: str,
        include_internal: bool = False,
    ) -> None:
        self._include = [compiled(pattern) for pattern in include]
        self._exclude = [compiled(pattern) for pattern in exclude]
        self._internal_suffixes = (*_INTERNAL_SUFFIXES, traced_suffix)
        self._own_prefix = own_prefix
        self._include_internal = include_internal

    @classmethod
    def configured(cls, collect: CollectSettings, own_prefix: str) -> TopicFilter:
        """What a collector with these settings watches."""
        return cls(
            collect.include,
            collect.exclude,
            own_prefix=own_prefix,
            traced_suffix=collect.tap_suffix,
            include_internal=collect.include_internal,
        )

    def watches(self, topic: str) -> bool:
        if topic.startswith(self._own_prefix):
            return False
        if not self._include_internal and (topic.startswith("_") or topic.endswith(self._internal_suffixes)):
            return False
        return any(p.match(topic) for p in self._include) and not any(p.match(topic) for p in self._exclude)

    def watched(self, topics: Iterable[str]) -> list[str]:
        """The watched ones, sorted."""
        return sorted(topic for topic in topics if self.watches(topic))


class Mirrored:
    """Which topics hold copies of another cluster's records under the same name, and of which cluster: the setting
    ``mirrored``. The first entry that matches counts."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._patterns = [(compiled(pattern), cluster) for cluster, pattern in map(mirror, entries)]

    def copied_from(self, topic: str) -> str | None:
        """The cluster's name, empty where it has none; null: the records were written where they are."""
        return next((cluster for pattern, cluster in self._patterns if pattern.match(topic)), None)


def mirror(entry: str) -> tuple[str, str]:
    """Cluster (empty: nobody knows it) and pattern of an entry ``cluster=pattern`` or ``pattern``. What has a bracket
    before its first ``=`` is all pattern."""
    cluster, found, pattern = entry.partition("=")
    return (cluster, pattern) if found and "(" not in cluster else ("", entry)


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of include, exclude or tap, to be used with ``match``."""
    if pattern.startswith("^") and not pattern.endswith("$"):
        return re.compile(pattern)
    return re.compile(f"(?:{pattern})\\Z")

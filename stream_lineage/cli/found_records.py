"""The records that ``trace FIELD=VALUE`` stands for: by the index where the field is declared, else by a search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import click

from stream_lineage.cli.index import filling
from stream_lineage.cli.times import moment_before
from stream_lineage.errors import NotFound
from stream_lineage.settings import Settings

Place = tuple[str, int, int]
"""Topic, partition, offset."""
MOST_TRACED = 10
"""Records that are traced, and before that compared with Kafka's."""
_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Hit:
    """A record, and the life of its topic; null means the one that it has now. ``unverified``: its hash alone says that
    it has the value."""

    place: Place
    topic_id: str | None = None
    unverified: bool = False


def with_value(
    settings: Settings,
    said: str,
    topic: str | None,
    topic_id: str | None,
    times: tuple[str, str | None],
    *,
    of_a_time: bool,
    offline: bool,
) -> list[Hit]:
    """The records that have the value, at least one. ``times``: since when, and until when; ``of_a_time``: somebody
    has said so.

    Raises:
        NotFound: there is none.
        UsageError: nobody says where to look.
        KafkaUnavailable, IndexUnusable: what has to be asked does not answer.
    """
    path = said.partition("=")[0]
    topics = settings.index.topics_with(path) if topic is None else [topic]
    if not topics:
        raise click.UsageError(f"--topic says where to look for {path}, unless it is one of key_fields")
    hits = [] if of_a_time else _by_index(settings, said, topics, topic_id, offline=offline)
    hits = _true(settings, said, hits, offline=offline)
    if hits:
        return hits
    if offline:
        raise NotFound("the index knows no record that has that value", hint="Without --offline Kafka is searched.")
    return [Hit(place, topic_id) for place in _found(settings, said, topics, *times)]


def several(hits: list[Hit], said: str) -> str:
    """How many there are, and where the first of them."""
    shown = ", ".join("{} {} {}".format(*hit.place) for hit in hits[:_MOST_SHOWN])
    more = "" if len(hits) <= _MOST_SHOWN else " and others"
    return f"{len(hits)} records have that value in {said.partition('=')[0]}: {shown}{more}"


def _by_index(settings: Settings, said: str, topics: list[str], topic_id: str | None, *, offline: bool) -> list[Hit]:
    """By the index alone. Of several lives of a topic the newest one that has the value is meant."""
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.searching import find_indexed

    path, _, value = said.partition("=")
    if offline and settings.collect.hash_key is None:
        raise click.UsageError("FIELD=VALUE with --offline needs hash_key: else Kafka is asked for the cluster's id")
    hits: list[Hit] = []
    with ProvenanceIndex(settings.index.index_path) as index, index.snapshot():
        for name in topics:
            found = find_indexed(settings, index, name, path, value)
            if found.other_key and not found.hits:
                click.echo(f"hashes of {name}:{path} are under another hash_key, and are not looked at", err=True)
            lives = [each.log.topic_id for each in found.hits]
            current = topic_id or next(
                (life for life in reversed(index.logs.lives_of(name)) if life in lives), lives[-1] if lives else None
            )
            hits += [
                Hit((name, each.log.partition, each.offset), each.log.topic_id)
                for each in found.hits
                if each.log.topic_id == current
            ]
    return hits


def _true(settings: Settings, said: str, hits: list[Hit], *, offline: bool) -> list[Hit]:
    """Without those of which Kafka says that they have another value, whose hash is the same."""
    from stream_lineage.searching import has_value

    path, _, value = said.partition("=")
    kept = []
    for number, hit in enumerate(hits):
        name, partition, offset = hit.place
        true = None
        if not offline and number < MOST_TRACED:
            true = has_value(settings, name, hit.topic_id, partition, offset, path, value)
        if true is not False:
            kept.append(replace(hit, unverified=true is None))
    return kept


def _found(settings: Settings, said: str, topics: list[str], since: str, until: str | None) -> list[Place]:
    """By reading a stretch of time."""
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.searching import find_value

    path, _, value = said.partition("=")
    now = datetime.now(UTC)
    start, end = moment_before(since, now), None if until is None else moment_before(until, now)
    preflight(settings, "reader", named=topics)
    hits: list[Place] = []
    read = unreadable = 0
    for name in topics:
        with filling(f"looking through {name}") as progress:
            found = find_value(settings, name, path, value, start, end, progress)
        hits += [(name, *place) for place in found.found]
        read, unreadable = read + found.records, unreadable + found.unreadable
        if found.cut:
            click.echo(f"{name} has more records with that value: the search ended with {len(found.found)}", err=True)
    if hits:
        return hits
    where = f"in {' and '.join(topics)} since {start:%F %T}Z"
    rest = f"; {unreadable:,} could not be decoded" if unreadable else ""
    raise NotFound(
        f"no record {where} has that value in {path}: {read:,} were looked at{rest}",
        hint="--since goes further back; `stream-lineage spans` shows what has been observed of a topic.",
    )

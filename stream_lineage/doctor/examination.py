"""All checks, in the order in which data flows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from stream_lineage.agents.faust_app import changelog_topic
from stream_lineage.agents.topics import CHANGELOG_CONFIG
from stream_lineage.doctor.acls import Role
from stream_lineage.doctor.brokers import check_advertised, check_brokers
from stream_lineage.doctor.check import Check, Status, failed_by, ok, skipped
from stream_lineage.doctor.influx import check_influx
from stream_lineage.doctor.machine import check_clock, check_outbox, check_state, check_store
from stream_lineage.doctor.network import reachable
from stream_lineage.doctor.notify import check_hooks, check_notifications
from stream_lineage.doctor.permissions import DEFAULT_ROLES, check_permissions
from stream_lineage.doctor.registry import check_registry
from stream_lineage.doctor.topics import check_own, check_watched, watched_topics
from stream_lineage.errors import StreamLineageError
from stream_lineage.provenance.topics import OWN_TOPICS, check_topics
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka
from stream_lineage.wire.cluster_probe import Cluster, ClusterProbe, WantedTopic

_CONNECT_SECONDS = 3.0
_NEED_BROKERS = ("advertised", "watched topics", "own topics", "permissions")
_CLOCK_TOPICS = 20


def examine(
    settings: Settings, *, roles: Collection[Role] = DEFAULT_ROLES, timeout_seconds: float = 10.0
) -> Iterator[Check]:
    """Each check as soon as it is done, for those who mean to play these roles.

    Writes no record, and waits for no answer longer than ``timeout_seconds``.
    """
    if "collector" in roles and settings.collect.tap:
        roles = {*roles, "tap"}
    yield ok("settings", "complete and valid")
    addresses = reachable(
        "addresses",
        settings.kafka.addresses,
        timeout_seconds=min(timeout_seconds, _CONNECT_SECONDS),
        mend="Check bootstrap_servers, that brokers listen there, and the network in between.",
    )
    yield addresses
    newest = None
    try:
        probe = ClusterProbe(settings.kafka, timeout_seconds=timeout_seconds)
    except StreamLineageError as error:
        yield failed_by("brokers", error)
        yield from (skipped(name, "no Kafka client could be made") for name in ("security", *_NEED_BROKERS))
        cluster = None
    else:
        cluster, checks = check_brokers(probe, settings.kafka, connected=addresses.status is not Status.FAIL)
        yield from checks
        if cluster is None:
            yield from (skipped(name, "no broker has answered") for name in _NEED_BROKERS)
        else:
            pending = list(_NEED_BROKERS)
            try:
                for check in _topics(probe, cluster, settings, roles, timeout_seconds):
                    pending.remove(check.name)
                    yield check
            except StreamLineageError as error:
                yield failed_by(pending[0], error, "Try again.")
                yield from (skipped(name, f"{pending[0]} could not be looked at") for name in pending[1:])
            else:
                newest = _newest(probe, settings)
    yield check_registry(settings.registry)
    yield check_state(settings.collect.state_dir)
    if settings.notify.notifications is not None:
        yield check_notifications(settings.notify)
    if settings.notify.hooks is not None:
        yield check_hooks(settings.notify, settings.agents.connect_urls)
    if settings.store.kind == "influx":
        yield check_influx(settings.store, timeout_seconds=timeout_seconds)
        yield check_outbox(settings.store.outbox_path)
    else:
        yield check_store(settings.store.sqlite_path)
    yield check_clock(datetime.now(UTC), newest)


def _topics(
    probe: ClusterProbe, cluster: Cluster, settings: Settings, roles: Collection[Role], timeout_seconds: float
) -> Iterator[Check]:
    yield check_advertised(cluster, timeout_seconds=min(timeout_seconds, _CONNECT_SECONDS))
    topics = probe.topics()
    yield check_watched(topics, settings.kafka, settings.collect)
    wanted = _wanted(settings, roles)
    existing = {topic.name: topics[topic.name] for topic in wanted if topic.name in topics}
    report = check_topics(kafka.admin(settings.kafka), settings.kafka, timeout_seconds=timeout_seconds)
    yield check_own(probe, wanted, existing, {state.name: state.problems for state in report.topics})
    watched = watched_topics(topics, settings.kafka, settings.collect)
    yield check_permissions(probe, settings, roles, visible=topics, watched=watched)


def _wanted(settings: Settings, roles: Collection[Role]) -> list[WantedTopic]:
    own = [
        WantedTopic(
            settings.kafka.topic(topic.name),
            topic.partitions or settings.kafka.observation_partitions,
            settings.kafka.replication_factor,
            topic.config(settings.kafka),
        )
        for topic in OWN_TOPICS
    ]
    if "agents" not in roles:
        return own
    changelog, partitions = changelog_topic(settings.agents.agents_id), settings.kafka.observation_partitions
    return [*own, WantedTopic(changelog, partitions, settings.kafka.replication_factor, CHANGELOG_CONFIG)]


def _newest(probe: ClusterProbe, settings: Settings) -> tuple[datetime, str] | None:
    """The newest timestamp in a few of the watched topics; None where it cannot be told."""
    try:
        topics = probe.topics()
        watched = watched_topics(topics, settings.kafka, settings.collect)[:_CLOCK_TOPICS]
        return probe.newest_timestamp({name: topics[name] for name in watched})
    except StreamLineageError:
        return None

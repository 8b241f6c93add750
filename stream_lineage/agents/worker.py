"""The agent worker as a process: everything wired, run by Faust's worker, ended by SIGTERM."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

from stream_lineage.agents.alert_rules import read_alert_rules
from stream_lineage.agents.connect_poll import ConnectPoll
from stream_lineage.agents.deploy_points import DeployPoints
from stream_lineage.agents.detection import Detection
from stream_lineage.agents.edge_watch import EdgeWatch
from stream_lineage.agents.faust_app import FaustOutlet, changelog_topic, make_app
from stream_lineage.agents.feeds import Feeds
from stream_lineage.agents.graph_alerts import GraphAlerts
from stream_lineage.agents.graph_evidence import GraphEvidence
from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.graph_upkeep import wire_graph, wire_openlineage
from stream_lineage.agents.graph_watch import REFRESH, GraphWatch
from stream_lineage.agents.group_offsets import GroupFilter, GroupOffsets, group_client
from stream_lineage.agents.group_watch import GroupWatch
from stream_lineage.agents.home import Home
from stream_lineage.agents.incident_cause import IncidentCause
from stream_lineage.agents.incident_labels import wire_labels
from stream_lineage.agents.incident_watch import IncidentWatch
from stream_lineage.agents.incidents import Locate, alert_feeds, wire_incidents
from stream_lineage.agents.looks import Looks
from stream_lineage.agents.metric_watch import MetricWatch
from stream_lineage.agents.mutes import Mutes
from stream_lineage.agents.muting import Muting
from stream_lineage.agents.notify_role import incident_side
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.agents.progress import Progress
from stream_lineage.agents.pushed_watch import PushedWatch
from stream_lineage.agents.registry_poll import RegistryPoll
from stream_lineage.agents.schema_texts import RegistryTexts
from stream_lineage.agents.security import security
from stream_lineage.agents.series_watch import SeriesWatch
from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.agents.silence import Silence
from stream_lineage.agents.stream import wire_stream
from stream_lineage.agents.telemetry import AgentsTelemetry
from stream_lineage.agents.topics import prepare_topics, topic_names
from stream_lineage.agents.training_watch import TrainingWatch
from stream_lineage.agents.transactions import TransactionLook
from stream_lineage.agents.value_look import ValueLook
from stream_lineage.agents.watchdog import Watchdog, observation_waits
from stream_lineage.agents.watches import (
    wire_deploys,
    wire_edges,
    wire_groups,
    wire_pushed,
    wire_registry,
    wire_series,
    wire_training,
)
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.plugins import plugins
from stream_lineage.detect.registry import RESERVED, detectors
from stream_lineage.errors import SettingsError
from stream_lineage.graph.declarations import read_declarations
from stream_lineage.graph.from_declarations import claims_of_file, claims_of_rules
from stream_lineage.graph.from_headers import HeaderFlows
from stream_lineage.graph.naming import naming
from stream_lineage.logs import get_logger
from stream_lineage.notify.settings import NotifySettings
from stream_lineage.provenance.topics import (
    OBSERVATIONS,
)
from stream_lineage.store.ports import MetricStore
from stream_lineage.wire.kafka import admin
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import KafkaSettings, RegistrySettings

_log = get_logger("stream_lineage.agents")


def run_worker(
    kafka: KafkaSettings,
    registry: RegistrySettings,
    agents: AgentsSettings,
    store: MetricStore,
    telemetry: AgentsTelemetry | None = None,
    *,
    notify: NotifySettings,
    watches: Callable[[str], bool],
    own_groups: Sequence[str],
    kept: timedelta,
    locate: Locate | None = None,
) -> NoReturn:
    """Run until SIGTERM or SIGINT, then leave the group and exit with 0; exit with another code on failure.
    ``watches``: which topics consumer groups are looked at for. ``own_groups`` are ours beside the agents' own.
    ``kept`` is how long the store keeps points. ``locate`` looks for the first bad records of what broke.

    Raises:
        KafkaUnavailable: Kafka did not answer at start.
        SettingsError: a setting that the agents cannot work with.
    """
    rules = read_alert_rules(agents.alert_rules)
    try:
        agents.agents_state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"agents_state_dir: {agents.agents_state_dir} cannot be made: {error}") from error
    app = make_app(kafka, agents.agents_id, agents.agents_state_dir)
    log = kafka.topic(OBSERVATIONS)
    home = Home(app, log)
    partitions = prepare_topics(admin(kafka), kafka, changelog_topic(agents.agents_id))
    asked = SchemaRegistry(registry) if registry.urls else None
    schemas = RegistryTexts(asked)
    ours = detectors()
    others = plugins((*ours, *RESERVED))[0] if agents.detector_plugins else {}
    _log.info("detectors", ours=sorted(ours), plugins=sorted(others))
    detection = Detection([*ours.values(), *others.values()], schemas, agents.public_url)
    declared = read_declarations(agents.lineage_declarations)
    names = naming(kafka.cluster_name, kafka.addresses, declared.aliases(), kafka.cluster_aliases)
    feeds = Feeds(kafka, agents.agents_id)
    fold = GraphFold(feeds.graph(), names)
    outlet = FaustOutlet(app, kafka, partitions, fold.reached)
    training = TrainingWatch(agents.public_url, seconds=agents.baseline_window_seconds)
    mutes = Mutes(kafka, agents.agents_id)
    muting = Muting(rules, mutes)
    metrics = MetricAnomalies(
        sensitivity=agents.metric_sensitivity, window_seconds=agents.metric_window_seconds,
        expectations=rules.expected(),
    )  # fmt: skip
    edges = rules.edges()
    passed_on = {topic for edge in edges for topic in (edge.input, edge.output)}
    watch = MetricWatch(metrics, agents.public_url, muting, passed_on=passed_on)
    pipeline: Pipeline[Any] = Pipeline(
        detection, outlet, store, lambda event: event.ack(), watch, tap=training, muting=muting,
        at_end=lambda partition: app.consumer.at_end(partition),  # noqa: PLW0108  (made when the app starts)
    )  # fmt: skip
    progress = Progress(time.monotonic)
    if telemetry is not None:
        telemetry.attach(progress, outlet.published)
    looks = Looks(app)
    wire_stream(app, looks, kafka, pipeline, progress)
    if asked is not None and agents.registry_poll_seconds > 0:
        poll = RegistryPoll(asked, schemas, kafka.cluster_name, agents.public_url)
        wire_registry(app, looks, log, pipeline, outlet, poll, agents.registry_poll_seconds)
    wire_training(looks, pipeline, training, feeds.baselines())
    pushed = PushedWatch(store, kafka.cluster_name, agents.public_url, sensitivity=agents.metric_sensitivity)
    wire_pushed(looks, home, pipeline, outlet, pushed, feeds.pushed())
    wire_series(looks, pipeline, SeriesWatch(store.health, kafka.cluster_name, agents.public_url))
    wire_deploys(looks, pipeline, DeployPoints(rules.deploys, kafka.cluster_name, kept))
    if edges:
        edge_watch = EdgeWatch(edges, agents.public_url, sensitivity=agents.metric_sensitivity, muting=muting)
        wire_edges(looks, home, pipeline, outlet, edge_watch, feeds.windows())
    charted = [*claims_of_file(declared, names), *claims_of_rules(edges, names)]
    graph_watch = GraphWatch(charted, names) if agents.graph_poll_seconds > 0 else None
    offsets, transactions = None, None
    if agents.group_poll_seconds > 0:
        groups = GroupFilter(agents.groups_include, agents.groups_exclude, (*own_groups, agents.agents_id), watches)
        let_in = security(kafka.client_config())
        bootstrap = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in kafka.addresses]
        offsets = GroupOffsets(admin(kafka), group_client(bootstrap, let_in), groups)
        transactions = TransactionLook(admin(kafka), group_client(bootstrap, let_in), groups.takes)
        seconds = agents.group_poll_seconds
        group_watch = GroupWatch(store, kafka.cluster_name, agents.public_url, seconds=seconds, muting=muting)
        wire_groups(app, looks, home, pipeline, offsets, group_watch, graph_watch, seconds)
    if graph_watch is not None:
        values = None
        if agents.values_poll_seconds > 0:
            values = ValueLook(feeds.newest_observations().read, names, seconds=agents.values_poll_seconds)
        evidence = GraphEvidence(
            graph_watch, HeaderFlows(names, REFRESH), feeds.record_edges(), Silence(admin(kafka)), offsets,
            transactions, connect_poll(agents), feeds.applications(timedelta(days=agents.declarations_days)), values,
        )  # fmt: skip
        told = GraphAlerts(names, agents.public_url)
        topics_of = partial(topic_names, admin(kafka))
        wire_graph(
            app, looks, home, pipeline, outlet, fold, evidence, told, topics_of, watches, agents.graph_poll_seconds
        )
        wire_openlineage(looks, home, outlet, fold, feeds.openlineage(names))
    incidents = IncidentWatch(kafka.cluster_name, agents.public_url)
    cause = IncidentCause(fold, names, store)
    alerts = alert_feeds(kafka, agents.agents_id)
    graphed = graph_watch is not None
    wire_incidents(app, home, pipeline, outlet, incidents, cause, alerts, graphed=graphed, locate=locate)
    wire_labels(looks, home, pipeline, feeds.labels(), feeds.merges(), kafka.cluster_name, kept)
    side = incident_side(kafka, agents, notify, home, fold, graphed=graph_watch is not None)
    if telemetry is not None:
        telemetry.attach_told(side.metrics)
    waits = observation_waits(kafka, log, agents.agents_id)
    # A disk that is full is no reason to start again: the worker waits for it.
    watchdog = Watchdog(progress, lambda *place: store.health().ready and waits(*place))
    watchdog.start()
    mutes.start()
    side.start()
    try:
        _execute(app)
    finally:
        watchdog.stop()
        mutes.stop()
        side.stop()
        store.close()  # before the pipeline, which may be waiting for a disk
        pipeline.close()


def connect_poll(settings: AgentsSettings) -> ConnectPoll | None:
    """Asks Kafka Connect, if one is configured."""
    if not settings.connect_urls:
        return None
    return ConnectPoll(settings.connect_urls, settings.connect_credentials, seconds=settings.connect_timeout_seconds)


def _execute(app: Any) -> NoReturn:
    import faust

    worker = faust.Worker(
        app, quiet=True, override_logging=False, redirect_stdouts=False, loglevel="WARNING", debug=False
    )
    worker.spinner = None
    worker.execute_from_commandline()
    raise AssertionError("the worker exits by itself")

"""The agent worker as a process: everything wired, run by Faust's worker, ended by SIGTERM."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

from stream_lineage.agents.alert_rules import read_alert_rules
from stream_lineage.agents.application_feed import ApplicationFeed
from stream_lineage.agents.application_feed import said as said_by_application
from stream_lineage.agents.connect_poll import ConnectPoll
from stream_lineage.agents.deploy_points import DeployPoints
from stream_lineage.agents.detection import Detection
from stream_lineage.agents.edge_feed import EdgeFeed
from stream_lineage.agents.edge_watch import EdgeWatch
from stream_lineage.agents.faust_app import FaustOutlet, changelog_topic, make_app, observations_topic
from stream_lineage.agents.graph_alerts import GraphAlerts
from stream_lineage.agents.graph_evidence import GraphEvidence
from stream_lineage.agents.graph_fold import GraphFold, Written, written
from stream_lineage.agents.graph_watch import REFRESH, GraphWatch
from stream_lineage.agents.group_offsets import SAID_AGAIN_SECONDS, GroupFilter, GroupOffsets, group_client
from stream_lineage.agents.group_watch import GroupWatch
from stream_lineage.agents.home import Home
from stream_lineage.agents.incident_cause import IncidentCause
from stream_lineage.agents.incident_labels import label_feed, wire_labels
from stream_lineage.agents.incident_watch import IncidentWatch
from stream_lineage.agents.incidents import alert_feeds, wire_incidents
from stream_lineage.agents.metric_watch import MetricWatch
from stream_lineage.agents.mutes import Mutes
from stream_lineage.agents.muting import Muting
from stream_lineage.agents.observation_tail import ObservationTail
from stream_lineage.agents.one_partition import OnePartition, first_offset
from stream_lineage.agents.openlineage_watch import OpenLineageWatch, sent
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.agents.progress import Progress
from stream_lineage.agents.pushed_watch import PushedFeed, PushedWatch
from stream_lineage.agents.registry_poll import RegistryPoll
from stream_lineage.agents.schema_texts import RegistryTexts
from stream_lineage.agents.security import security
from stream_lineage.agents.series_watch import SeriesWatch
from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.agents.silence import Silence
from stream_lineage.agents.telemetry import AgentsTelemetry
from stream_lineage.agents.topics import prepare_topics, topic_names
from stream_lineage.agents.training_watch import TrainingWatch
from stream_lineage.agents.transactions import TransactionLook
from stream_lineage.agents.value_look import ValueLook
from stream_lineage.agents.watchdog import Watchdog, observation_waits
from stream_lineage.agents.window_log import decode_window
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.plugins import plugins
from stream_lineage.detect.registry import RESERVED, detectors
from stream_lineage.detect.window import Window
from stream_lineage.errors import SettingsError, StreamLineageError
from stream_lineage.graph.declarations import read_declarations
from stream_lineage.graph.from_declarations import claims_of_file, claims_of_rules
from stream_lineage.graph.from_headers import HeaderFlows
from stream_lineage.graph.naming import Naming, naming
from stream_lineage.logs import get_logger
from stream_lineage.provenance.baselines import BaselineFeed
from stream_lineage.provenance.topics import (
    BASELINES,
    DECLARATIONS,
    EDGES,
    GRAPH,
    METRICS,
    OBSERVATIONS,
    OPENLINEAGE,
    WINDOWS,
)
from stream_lineage.store.ports import MetricStore
from stream_lineage.wire.kafka import admin, consumer
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import KafkaSettings, RegistrySettings

WINDOW_CHECK_SECONDS = 1.0
TRAINING_CHECK_SECONDS = 5.0
PUSHED_CHECK_SECONDS = 1.0
SERIES_CHECK_SECONDS = 10.0
EDGE_CHECK_SECONDS = 1.0
GRAPH_CHECK_SECONDS = 5.0
OPENLINEAGE_CHECK_SECONDS = 2.0
DEPLOY_CHECK_SECONDS = 5.0
_log = get_logger("stream_lineage.agents")


def run_worker(
    kafka: KafkaSettings,
    registry: RegistrySettings,
    agents: AgentsSettings,
    store: MetricStore,
    telemetry: AgentsTelemetry | None = None,
    *,
    watches: Callable[[str], bool],
    own_groups: Sequence[str],
    kept: timedelta,
) -> NoReturn:
    """Run until SIGTERM or SIGINT, then leave the group and exit with 0; exit with another code on failure.
    ``watches``: which topics consumer groups are looked at for. ``own_groups`` are ours beside the agents' own.
    ``kept`` is how long the store keeps points.

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
    home = Home(app, kafka.topic(OBSERVATIONS))
    partitions = prepare_topics(admin(kafka), kafka, changelog_topic(agents.agents_id))
    asked = SchemaRegistry(registry) if registry.urls else None
    schemas = RegistryTexts(asked)
    ours = detectors()
    others = plugins((*ours, *RESERVED))[0] if agents.detector_plugins else {}
    _log.info("detectors", ours=sorted(ours), plugins=sorted(others))
    detection = Detection([*ours.values(), *others.values()], schemas, agents.public_url)
    declared = read_declarations(agents.lineage_declarations)
    names = naming(kafka.cluster_name, kafka.addresses, declared.aliases(), kafka.cluster_aliases)
    fold = GraphFold(graph_feed(kafka, agents.agents_id), names)
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
    _wire(app, kafka, pipeline, progress)
    if asked is not None and agents.registry_poll_seconds > 0:
        poll = RegistryPoll(asked, schemas, kafka.cluster_name, agents.public_url)
        _wire_poll(app, kafka, pipeline, outlet, poll, agents.registry_poll_seconds)
    _wire_training(app, pipeline, training, baseline_feed(kafka, agents.agents_id))
    pushed = PushedWatch(store, kafka.cluster_name, agents.public_url, sensitivity=agents.metric_sensitivity)
    _wire_pushed(app, home, pipeline, outlet, pushed, pushed_feed(kafka, agents.agents_id))
    _wire_series(app, pipeline, SeriesWatch(store.health, kafka.cluster_name, agents.public_url))
    _wire_deploys(app, pipeline, DeployPoints(rules.deploys, kafka.cluster_name, kept))
    if edges:
        edge_watch = EdgeWatch(edges, agents.public_url, sensitivity=agents.metric_sensitivity, muting=muting)
        _wire_edges(app, home, pipeline, outlet, edge_watch, window_feed(kafka, agents.agents_id))
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
        _wire_groups(app, home, pipeline, offsets, group_watch, graph_watch, seconds)
    if graph_watch is not None:
        headers = HeaderFlows(names, REFRESH)
        told = GraphAlerts(names, agents.public_url)
        records = record_edges(kafka, agents.agents_id)
        silence = Silence(admin(kafka))
        asked_connect = connect_poll(agents)
        applications = application_feed(kafka, agents)
        values = value_look(kafka, agents, names) if agents.values_poll_seconds > 0 else None
        evidence = GraphEvidence(
            graph_watch, headers, records, silence, offsets, transactions, asked_connect, applications, values
        )
        _wire_graph(app, kafka, home, pipeline, outlet, fold, evidence, told, watches, agents.graph_poll_seconds)
        _wire_openlineage(app, home, outlet, fold, openlineage_watch(kafka, agents.agents_id, names))
    incidents = IncidentWatch(kafka.cluster_name, agents.public_url)
    cause = IncidentCause(fold, names, store)
    alerts = alert_feeds(kafka, agents.agents_id)
    wire_incidents(app, home, pipeline, outlet, incidents, cause, alerts, graphed=graph_watch is not None)
    wire_labels(app, home, pipeline, label_feed(kafka, agents.agents_id), kafka.cluster_name, kept)
    topic = kafka.topic(OBSERVATIONS)
    waits = observation_waits(kafka, topic, agents.agents_id)
    # A disk that is full is no reason to start again: the worker waits for it.
    watchdog = Watchdog(progress, lambda *place: store.health().ready and waits(*place))
    watchdog.start()
    mutes.start()
    try:
        _execute(app)
    finally:
        watchdog.stop()
        mutes.stop()
        store.close()  # before the pipeline, which may be waiting for a disk
        pipeline.close()


def _wire(app: Any, kafka: KafkaSettings, pipeline: Pipeline[Any], progress: Progress) -> None:
    topic = kafka.topic(OBSERVATIONS)
    mine: list[int] = []

    async def rewind() -> None:
        _log.info("observations are read again: some were dropped in a rebalance")
        pipeline.revoked()
        await app.consumer.rewind()

    async def observations(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            verdict = app.deliveries.arrived(message.partition, message.offset)
            if verdict == "rewind":
                await rewind()
            if verdict != "take":
                continue
            try:
                await pipeline.take(message.partition, message.offset, message.value, event)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Faust would log it, drop the observation and go on.
                _log.exception("observation cannot be processed", partition=message.partition, offset=message.offset)
                await app.crash(error)
                raise
            progress.processed(message.partition, message.offset)

    async def close_windows() -> None:
        try:
            await pipeline.close_due()
            if not pipeline.busy and app.deliveries.overdue():
                await rewind()
        except Exception as error:
            _log.exception("windows cannot be stored")
            await app.crash(error)
            raise

    async def beat() -> None:
        progress.beat()

    async def assigned(_: Any, assigned: Any, **__: Any) -> None:
        mine[:] = sorted(tp.partition for tp in assigned if tp.topic == topic)
        progress.assigned(mine)
        _log.info("partitions assigned", partitions=mine)

    async def recovered(*_: Any, **__: Any) -> None:
        pipeline.recovered(mine)

    async def revoked(*_: Any, **__: Any) -> None:
        progress.revoked()
        app.deliveries.expect_start()
        pipeline.revoked()

    app.agent(observations_topic(app), name="observations", concurrency=1)(observations)
    app.timer(WINDOW_CHECK_SECONDS)(close_windows)
    app.timer(WINDOW_CHECK_SECONDS)(beat)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.on_rebalance_complete.connect(recovered, weak=False)


def _wire_poll(
    app: Any, kafka: KafkaSettings, pipeline: Pipeline[Any], outlet: FaustOutlet, poll: RegistryPoll, seconds: float
) -> None:
    topic = kafka.topic(OBSERVATIONS)

    async def look() -> None:
        if app.rebalancing or app.in_recovery:
            return  # the table is not what it will be
        rows = dict(outlet.rows)  # the thread that asks must not see it change
        try:
            answers = await asyncio.to_thread(poll.ask, rows)
            await pipeline.aside(lambda kept: poll.judge(answers, kept))
        except Exception as error:
            _log.exception("what the registry holds cannot be judged")
            await app.crash(error)
            raise

    async def assigned(_: Any, assigned: Any, **__: Any) -> None:
        poll.assigned(tp.partition for tp in assigned if tp.topic == topic)

    async def revoked(*_: Any, **__: Any) -> None:
        poll.assigned(())

    app.timer(seconds)(look)
    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)


def baseline_feed(settings: KafkaSettings, agents_id: str) -> BaselineFeed:
    """Reads the training baselines, in no group."""
    reader = consumer(settings, agents_id, {"auto.offset.reset": "earliest"})
    return BaselineFeed(reader, settings.topic(BASELINES))


def _wire_training(app: Any, pipeline: Pipeline[Any], training: TrainingWatch, feed: BaselineFeed) -> None:
    async def look() -> None:
        if app.rebalancing or app.in_recovery:
            return  # the table is not what it will be
        try:
            news = await asyncio.to_thread(feed.news)
        except StreamLineageError as error:
            _log.warning("the training baselines cannot be read", error=error.message)
            return
        try:
            await pipeline.aside(lambda rows: training.turn(news, rows))
        except Exception as error:
            _log.exception("live data cannot be compared with training baselines")
            await app.crash(error)
            raise

    app.timer(TRAINING_CHECK_SECONDS)(look)


def pushed_feed(settings: KafkaSettings, agents_id: str) -> PushedFeed:
    """Reads pushed metrics, in no group."""
    reader = consumer(settings, agents_id, {"auto.offset.reset": "earliest"})
    return PushedFeed(reader, settings.topic(METRICS))


def _wire_pushed(
    app: Any, home: Home, pipeline: Pipeline[Any], outlet: FaustOutlet, watch: PushedWatch, feed: PushedFeed
) -> None:
    async def look() -> None:
        if not home.settled:
            return
        try:
            points, through = await asyncio.to_thread(feed.read, watch.place(outlet.rows))
        except StreamLineageError as error:
            _log.warning("pushed metrics cannot be read", error=error.message)
            return
        try:
            await pipeline.aside(lambda rows: watch.judge(points, through, rows) if home.held else [])
        except Exception as error:
            _log.exception("pushed metrics cannot be judged")
            await app.crash(error)
            raise

    app.timer(PUSHED_CHECK_SECONDS)(look)


def _wire_series(app: Any, pipeline: Pipeline[Any], watch: SeriesWatch) -> None:
    async def look() -> None:
        if app.rebalancing or app.in_recovery:
            return
        try:
            if due := watch.look():
                await pipeline.publish(due)
                watch.told()
        except Exception as error:
            _log.exception("nobody can be told that there are too many series")
            await app.crash(error)
            raise

    app.timer(SERIES_CHECK_SECONDS)(look)


def _wire_deploys(app: Any, pipeline: Pipeline[Any], deploys: DeployPoints) -> None:
    async def look() -> None:
        try:
            await pipeline.store(deploys.due)
        except Exception as error:
            _log.exception("deploy windows cannot be stored")
            await app.crash(error)
            raise

    app.timer(DEPLOY_CHECK_SECONDS)(look)


def window_feed(settings: KafkaSettings, agents_id: str) -> OnePartition[Window]:
    """Reads the windows of the topics of declared jobs, in no group."""
    reader = consumer(settings, agents_id, {"auto.offset.reset": "earliest"})
    return OnePartition(reader, settings.topic(WINDOWS), lambda message: decode_window(message.value() or b""))


def _wire_edges(
    app: Any,
    home: Home,
    pipeline: Pipeline[Any],
    outlet: FaustOutlet,
    watch: EdgeWatch,
    feed: OnePartition[Window],
) -> None:
    dropped = False

    async def look() -> None:
        nonlocal dropped
        if not home.settled:
            return
        if dropped:
            dropped = False
            watch.drop()
        try:
            windows, through = await asyncio.to_thread(feed.read, watch.place(outlet.rows))
        except StreamLineageError as error:
            _log.warning("windows of declared jobs cannot be read", error=error.message)
            return
        try:
            await pipeline.aside(lambda rows: watch.judge(windows, through, rows) if home.held and not dropped else [])
        except Exception as error:
            _log.exception("declared jobs cannot be judged")
            await app.crash(error)
            raise

    def lost() -> None:
        nonlocal dropped
        dropped = True

    app.timer(EDGE_CHECK_SECONDS)(look)
    home.when_lost(lost)


def _wire_groups(
    app: Any,
    home: Home,
    pipeline: Pipeline[Any],
    offsets: GroupOffsets,
    watch: GroupWatch,
    graph: GraphWatch | None,
    seconds: float,
) -> None:
    async def look() -> None:
        if not home.settled:
            return
        try:
            found = await offsets.ask()
            if graph is not None:
                graph.groups(found)
            await pipeline.aside(lambda rows: watch.judge(found, rows) if home.held else [])
        except Exception as error:
            _log.exception("consumer groups cannot be judged")
            await app.crash(error)
            raise

    async def ended(*_: Any, **__: Any) -> None:
        await offsets.close()

    app.timer(seconds)(look)
    app.on_before_shutdown.connect(ended, weak=False)


def graph_feed(settings: KafkaSettings, agents_id: str) -> OnePartition[Written]:
    """Reads the graph, in no group."""
    reader = consumer(settings, agents_id, {"auto.offset.reset": "earliest"})
    return OnePartition(reader, settings.topic(GRAPH), written)


def application_feed(settings: KafkaSettings, agents: AgentsSettings) -> ApplicationFeed:
    """Reads what applications declare, in no group."""
    reader = consumer(settings, agents.agents_id, {"auto.offset.reset": "earliest", "enable.partition.eof": "true"})
    feed = OnePartition(reader, settings.topic(DECLARATIONS), said_by_application)
    return ApplicationFeed(feed, timedelta(days=agents.declarations_days))


def value_look(settings: KafkaSettings, agents: AgentsSettings, names: Naming) -> ValueLook:
    """Compares the values of topics, as the newest observations sketch them; in no group."""
    reader = consumer(settings, agents.agents_id, {"auto.offset.reset": "earliest", "enable.partition.eof": "true"})
    tail = ObservationTail(reader, settings.topic(OBSERVATIONS))
    return ValueLook(tail.read, names, seconds=agents.values_poll_seconds)


def connect_poll(settings: AgentsSettings) -> ConnectPoll | None:
    """Asks Kafka Connect, if one is configured."""
    if not settings.connect_urls:
        return None
    return ConnectPoll(settings.connect_urls, settings.connect_credentials, seconds=settings.connect_timeout_seconds)


def record_edges(settings: KafkaSettings, agents_id: str) -> EdgeFeed:
    """Reads record edges, in no group."""
    reader = consumer(settings, agents_id, {"auto.offset.reset": "earliest", "enable.partition.eof": "true"})
    return EdgeFeed(reader, settings.topic(EDGES))


def _wire_graph(
    app: Any,
    kafka: KafkaSettings,
    home: Home,
    pipeline: Pipeline[Any],
    outlet: FaustOutlet,
    fold: GraphFold,
    evidence: GraphEvidence,
    told: GraphAlerts,
    watches: Callable[[str], bool],
    seconds: float,
) -> None:
    """All workers know the graph; the one that has the first partition of the observation log keeps it up to date."""
    own = admin(kafka)
    due, said = 0.0, -SAID_AGAIN_SECONDS

    async def look() -> None:
        nonlocal due, said
        try:
            read = await asyncio.to_thread(fold.catch_up, told.event)
            if not read or not home.settled:
                return
            through = fold.offset
            await pipeline.aside(lambda rows: told.judge(through, rows) if home.held else [])
            if time.monotonic() < due:
                return
            topics = await asyncio.to_thread(topic_names, own)
            await evidence.look(fold.graph, topics, [topic for topic in topics if watches(topic)])
        except StreamLineageError as error:
            if time.monotonic() - said >= SAID_AGAIN_SECONDS:
                said = time.monotonic()
                _log.warning("the lineage graph cannot be read", error=error.message, hint=error.hint)
            return
        due = time.monotonic() + (seconds if evidence.whole else 0.0)
        try:
            events = await asyncio.to_thread(evidence.events, fold.graph, topics)
            if home.held and events:
                await outlet.chart(events)
                _log.info("lineage graph brought up to date", events=len(events))
        except Exception as error:
            _log.exception("the lineage graph cannot be brought up to date")
            await app.crash(error)
            raise

    async def ended(*_: Any, **__: Any) -> None:
        await evidence.close()

    app.timer(min(seconds, GRAPH_CHECK_SECONDS))(look)
    home.when_lost(evidence.drop)
    app.on_before_shutdown.connect(ended, weak=False)


def openlineage_watch(settings: KafkaSettings, agents_id: str, names: Naming) -> OpenLineageWatch:
    """Reads OpenLineage's events, in no group."""
    topic = settings.topic(OPENLINEAGE)
    reader = consumer(settings, agents_id, {"auto.offset.reset": "earliest", "enable.partition.eof": "true"})
    return OpenLineageWatch(OnePartition(reader, topic, sent), partial(first_offset, reader, topic), names, REFRESH)


def _wire_openlineage(app: Any, home: Home, outlet: FaustOutlet, fold: GraphFold, watch: OpenLineageWatch) -> None:
    said = -SAID_AGAIN_SECONDS

    async def look() -> None:
        nonlocal said
        if not home.settled or not fold.whole:
            return
        try:
            events = await asyncio.to_thread(watch.look, fold.ask)
        except StreamLineageError as error:
            if time.monotonic() - said >= SAID_AGAIN_SECONDS:
                said = time.monotonic()
                _log.warning("events of OpenLineage cannot be read", error=error.message, hint=error.hint)
            return
        except Exception:  # noqa: BLE001 - nothing that others send may end the agents
            if time.monotonic() - said >= SAID_AGAIN_SECONDS:
                said = time.monotonic()
                _log.exception("events of OpenLineage cannot be read")
            return
        try:
            if not home.held:
                watch.drop()
                return
            if events:
                await outlet.chart(events)
                _log.info("OpenLineage's events brought into the lineage graph", events=len(events))
            watch.written()
        except Exception as error:
            _log.exception("OpenLineage's events cannot be brought into the lineage graph")
            await app.crash(error)
            raise

    app.timer(OPENLINEAGE_CHECK_SECONDS)(look)
    home.when_lost(watch.drop)


def _execute(app: Any) -> NoReturn:
    import faust

    worker = faust.Worker(
        app, quiet=True, override_logging=False, redirect_stdouts=False, loglevel="WARNING", debug=False
    )
    worker.spinner = None
    worker.execute_from_commandline()
    raise AssertionError("the worker exits by itself")

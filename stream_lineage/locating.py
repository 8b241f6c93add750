"""Where the first bad records of an answer are, what is made of them, and how their readers get back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from stream_lineage.errors import StreamLineageError
from stream_lineage.explain.first_bad import FirstBad, sought_of
from stream_lineage.explain.located import Located
from stream_lineage.explain.replay import Plan
from stream_lineage.explain.spots import Spot
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.graph.walk import reach
from stream_lineage.model.graph import NodeKind
from stream_lineage.pinpointing import Place, pinpoint
from stream_lineage.replay_survey import Question
from stream_lineage.replaying import plan_replay
from stream_lineage.settings import Settings

NO_TOPIC = "What broke first is no topic of this cluster, and leads to none that deviates: there are no records of it."


def located(settings: Settings, spots: Sequence[Spot], graph: Graph | None = None) -> Located:
    """Of each cause. What one of them lacks is said in the notes: nothing that Kafka does not tell is an error.

    Args:
        settings: of the cluster.
        spots: where to look, see ``spots_of``.
        graph: says what is made of the topics, and who reads them.
    """
    first_bad: list[tuple[str, FirstBad]] = []
    plans: list[Plan] = []
    notes: list[str] = [] if spots else [NO_TOPIC]
    columns: dict[str, None] = {}
    for spot in spots:
        if spot.cause != spot.topic:
            notes.append(f"{spot.cause} has no records of its own: these are of {spot.topic}, which it leads to.")
        columns |= dict.fromkeys(_columns(settings, spot, graph))
        try:
            found = pinpoint(settings, _place(spot))
        except StreamLineageError as error:
            notes.append(f"{spot.topic}: {error.message}")
            continue
        first_bad += [(spot.cause, each) for each in found.first_bad]
        notes += found.notes
        plan = _plan(settings, spot, found.first_bad, graph, notes)
        if plan is not None:
            plans.append(plan)
    return Located(tuple(first_bad), tuple(columns), tuple(plans), tuple(dict.fromkeys(notes)))


def _place(spot: Spot) -> Place:
    changed = spot.schema_at is not None
    since, until = spot.since, spot.until
    if spot.schema_at is not None:
        since, until = min(since, spot.schema_at), max(until, spot.schema_at)
    sought = sought_of(spot.metric, spot.field, spot.usual, spot.found)
    return Place(spot.topic, sought, _moment(since), _moment(until), changed)


def _plan(
    settings: Settings, spot: Spot, first_bad: Sequence[FirstBad], graph: Graph | None, notes: list[str]
) -> Plan | None:
    """From the first bad records on: all groups go to before them."""
    if not first_bad:
        return None
    offsets, topic_id = {each.partition: each.start for each in first_bad}, first_bad[0].topic_id
    lost = any(each.timestamp is None for each in first_bad)
    question = Question(
        f"{spot.metric} of {spot.topic} deviates", spot.topic, offsets, downstream=True,
        since=_moment(spot.since) if lost else None, topic_id=topic_id,
    )  # fmt: skip
    try:
        return plan_replay(settings, question, graph=graph)
    except StreamLineageError as error:
        notes.append(f"No replay plan for {spot.topic}: {error.message}.")
        return None


def _columns(settings: Settings, spot: Spot, graph: Graph | None) -> list[str]:
    """The columns that are made of the field, the nearest first."""
    if graph is None or spot.field is None:
        return []
    start = naming(settings.kafka.cluster_name, settings.kafka.addresses).column(spot.topic, spot.field)
    found = reach(graph, start, "downstream")
    nodes = sorted(found.nodes.items(), key=lambda each: (each[1], graph.nodes[each[0]]))
    return [graph.nodes[number].label for number, _ in nodes if graph.nodes[number].kind is NodeKind.COLUMN]


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)

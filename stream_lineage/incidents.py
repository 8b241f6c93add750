"""Incidents and what people said of them, read from Kafka."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import orjson

from stream_lineage.connections import log_reader
from stream_lineage.errors import DecodeError, NotFound, SettingsError
from stream_lineage.explain.live import Bundle, Progress
from stream_lineage.explain.live import Question as Asked
from stream_lineage.explain.neighbourhood import neighbourhood
from stream_lineage.explain.replay import Plan
from stream_lineage.explaining import Meant, bundle_of
from stream_lineage.graph.lookup import find
from stream_lineage.graphing import graph_at, lineage_graph
from stream_lineage.logs import get_logger
from stream_lineage.model.incident import Incident
from stream_lineage.provenance.incident_codec import incident_of, remains
from stream_lineage.provenance.log import Progress as OnRead
from stream_lineage.provenance.log import read_messages
from stream_lineage.provenance.topics import INCIDENTS, STATE
from stream_lineage.replay_survey import Question
from stream_lineage.replaying import plan_replay
from stream_lineage.settings import Settings
from stream_lineage.wire import acknowledged

_LABEL = b"incident-label/"
_log = get_logger("stream_lineage.incidents")


@dataclass(frozen=True, slots=True)
class Label:
    """What people found: whether it was one, and which node broke first, where they say so."""

    verdict: bool
    cause: str | None
    at: datetime

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"verdict": self.verdict, "cause": self.cause, "at": self.at.isoformat(timespec="seconds")}


@dataclass(frozen=True, slots=True)
class Told:
    """An incident in its newest revision, the body of the message, and its label: what was said last of it, or of one
    that has become one with it."""

    incident: Incident
    body: dict[str, Any]
    label: Label | None

    def document(self) -> dict[str, Any]:
        """As JSON: the body, with the label."""
        return {**self.body, "label": None if self.label is None else self.label.document()}


def incidents(settings: Settings, progress: OnRead | None = None) -> list[Told]:
    """All that the topic holds, the newest first.

    Raises:
        NotFound: there is no such topic.
        KafkaUnavailable: no broker answered.
    """
    found: dict[str, tuple[Incident, dict[str, Any]]] = {}
    with closing(log_reader(settings)) as reader:
        for message in read_messages(reader, settings.kafka.topic(INCIDENTS), progress=progress):
            try:
                incident = incident_of(message.value() or b"")
            except DecodeError as error:
                _log.warning("an incident cannot be read and is left out", error=error.message)
                continue
            if incident.id not in found or found[incident.id][0].revision <= incident.revision:
                found[incident.id] = incident, orjson.loads(message.value() or b"")
    merged, labels = _merged(each for each, _ in found.values()), _labels(settings)
    said: dict[str, Label] = {}
    for name in sorted(labels, key=lambda each: labels[each].at):
        said[remains(name, merged)] = labels[name]
    told = [Told(incident, body, said.get(remains(name, merged))) for name, (incident, body) in found.items()]
    return sorted(told, key=lambda each: (each.incident.opened_at, each.incident.id), reverse=True)


def incident(settings: Settings, name: str, *, whole: bool = False) -> Told:
    """One by its id, or by the beginning of it; ``whole``: where it has turned out to be part of another one, that one.

    Raises:
        NotFound: there is none, or more than one.
        KafkaUnavailable: no broker answered.
    """
    known = incidents(settings)
    found = [each for each in known if each.incident.id == name] or [
        each for each in known if name and each.incident.id.startswith(name)
    ]
    if len(found) == 1:
        one = remains(found[0].incident.id, _merged(each.incident for each in known)) if whole else None
        return next((each for each in known if each.incident.id == one), found[0])
    if found:
        raise NotFound(f"{name} may be one of {len(found)} incidents", hint="Say more digits of its id.")
    raise NotFound(f"there is no incident {name}", hint="`stream-lineage incident list` shows all.")


def put_label(settings: Settings, told: Told, label: Label) -> None:
    """Say of an incident what it was, which is not part of another one. What was said before is replaced.

    Raises:
        KafkaUnavailable, SettingsError: it could not be written, or may not be.
    """
    key = _LABEL + told.incident.id.encode()
    body = {**label.document(), "confirms": confirms(told.incident, label)}
    acknowledged.write(settings.kafka, settings.kafka.topic(STATE), [(key, orjson.dumps(body))])


def confirms(incident: Incident, label: Label) -> bool | None:
    """Whether what was named as the cause is what people found. Null where nothing was named, where it was a false
    alarm, and where they did not say what broke first."""
    named = [each["node"] for each in (incident.cause or {}).get("ranking", ()) if each["named"]]
    if not named or not label.verdict or label.cause is None:
        return None
    return any(label.cause in (name, unquote(name.rpartition("/")[2])) for name in named)


def bundle_of_incident(
    settings: Settings, told: Told, *, on_graph: OnRead | None = None, progress: Progress | None = None
) -> Bundle:
    """What ``explain`` reads, of the breach of an incident.

    Raises:
        NotFound: there is no graph of that time, no such node in it, nothing is measured, or it is in no metric.
        ConnectionFailed: Kafka or the store did not answer.
    """
    breach = told.incident.breach
    if breach.metric is None:
        raise NotFound(
            f"incident {told.incident.id} was noticed in no metric: there is nothing to be explained",
            hint="`stream-lineage explain TARGET --metric M --at TIME` asks about any other.",
        )
    graph = graph_at(settings, told.incident.updated_at, on_graph)
    around = neighbourhood(graph, find(graph, breach.node))
    return bundle_of(settings, Meant(graph, around, Asked(breach.metric, breach.field, breach.at)), progress)


def label_of(settings: Settings, incident_ids: Collection[str]) -> Label | None:
    """What people said last of incidents that are one; null where nobody did.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    said = [label for name, label in _labels(settings).items() if name in incident_ids]
    return max(said, key=lambda each: each.at, default=None)


def replays(settings: Settings, incident: Incident) -> list[Plan]:
    """The way back of each consumer group as it stands now, from the first bad records that are known of an incident;
    one plan for each topic.

    Raises:
        NotFound: none are known, or a topic is gone.
        KafkaUnavailable: no broker answered.
    """
    starts: dict[str, dict[int, int]] = {}
    ids: dict[str, str | None] = {}
    for each in (incident.cause or {}).get("first_bad") or ():
        offset = int(each["offset"] if each["exact"] else each["first"])
        known = starts.setdefault(str(each["topic"]), {})
        ids[str(each["topic"])] = each.get("topic_id")
        known[int(each["partition"])] = min(offset, known.get(int(each["partition"]), offset))  # of two causes
    if not starts:
        raise NotFound(
            f"the first bad records of incident {incident.id} are not known",
            hint="`stream-lineage replay TOPIC --since TIME` goes back to a time.",
        )
    try:
        graph = lineage_graph(settings)
    except (NotFound, SettingsError):  # there is none, or we may not read it
        graph = None
    since = min(each["onset_interval"][0] for each in (incident.cause or {})["ranking"] if each["named"])
    why = f"incident {incident.id[:12]}"
    return [
        plan_replay(
            settings,
            Question(
                f"{why}: {topic}",
                topic,
                offsets,
                downstream=True,
                since=datetime.fromtimestamp(since, UTC),
                topic_id=ids[topic],
            ),
            graph=graph,
        )
        for topic, offsets in starts.items()
    ]


def _merged(incidents: Iterable[Incident]) -> dict[str, str]:
    return {each.id: each.merged_into for each in incidents if each.merged_into is not None}


def _labels(settings: Settings) -> dict[str, Label]:
    found: dict[str, Label] = {}
    try:
        with closing(log_reader(settings)) as reader:
            for message in read_messages(reader, settings.kafka.topic(STATE)):
                key, value = message.key() or b"", message.value()
                if not key.startswith(_LABEL):
                    continue
                name = key.removeprefix(_LABEL).decode(errors="replace")
                label = None if value is None else _label(value)
                if label is None:
                    found.pop(name, None)
                else:
                    found[name] = label
    except NotFound:
        pass  # nobody has ever said anything
    return found


def _label(value: bytes) -> Label | None:
    try:
        document = orjson.loads(value)
        cause = document["cause"]
        at = datetime.fromisoformat(document["at"]).astimezone(UTC)
        return Label(bool(document["verdict"]), None if cause is None else str(cause), at)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None

"""Which ACLs the service needs: the exact set, from which the documentation, the doctor and the tests take it.

Kafka's own implications are used: Read and Write imply Describe; a topic's Write implies idempotent writes (from Kafka
2.8 on, before that the cluster's IdempotentWrite is needed too).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from stream_lineage.agents.faust_app import changelog_topic
from stream_lineage.provenance.topics import (
    ACTIONS,
    ANOMALY_ALERTS,
    BASELINES,
    DEAD_LETTERS,
    DECLARATIONS,
    DELIVERIES,
    DRIFT_ALERTS,
    EDGES,
    GRAPH,
    INCIDENTS,
    KEYS,
    METRICS,
    OBSERVATIONS,
    OPENLINEAGE,
    STATE,
    TOKENS,
    WINDOWS,
)
from stream_lineage.settings import Settings

Role = Literal[
    "setup", "collector", "tap", "agents", "reader", "replay", "baseline", "metric", "mute", "declarer", "serve",
    "token",
]  # fmt: skip
ROLES: dict[Role, str] = {
    "setup": "Whoever starts first creates our topics. Not needed where they exist, nor any more once they do.",
    "collector": "`collect`.",
    "tap": "`collect --tap`, beside what the collector needs.",
    "agents": "`agents`.",
    "reader": "`spans`, `record`, `verify`, `graph`, `index`, `trace`, `explain`, `incident` and `replay`.",
    "replay": "`replay --execute`, beside what the reader needs.",
    "serve": "`serve`, beside what the reader needs.",
    "token": "`token`.",
    "mute": "`mute`.",
    "baseline": "`baseline`.",
    "metric": "`metric push`.",
    "declarer": "Applications that use `@declare_lineage`.",
}
"""What each role is. ``run`` is collector and agents; ``doctor`` needs nothing beyond what it looks for."""

Resource = Literal["topic", "group", "transactional-id"]
_LITERAL = re.compile(r"[A-Za-z0-9_.-]*")
_QUANTIFIERS = "*+?{"


@dataclass(frozen=True, slots=True)
class Grant:
    """One or more operations on a resource. ``prefixed``: on all whose names start so. ``optional``: what is lost
    without it is said in ``why``."""

    role: Role
    resource: Resource
    name: str
    operations: tuple[str, ...]
    why: str
    prefixed: bool = False
    optional: bool = False
    watched: bool = False
    """About the topics that are watched, or the groups that read them, as narrow as Kafka can say it: a name, a prefix,
    or ``*``."""

    def covers(self, resource: Resource, name: str) -> bool:
        """Whether it is about a resource of this name."""
        if self.resource != resource:
            return False
        return self.name == "*" or (name.startswith(self.name) if self.prefixed else name == self.name)


def grants(settings: Settings) -> tuple[Grant, ...]:
    """Everything that may be needed under these settings, by role."""
    collect, topic = settings.collect, settings.kafka.topic
    own, changelog = settings.kafka.topic_prefix, changelog_topic(settings.agents.agents_id)
    watched = [_pattern(pattern) for pattern in collect.include]
    tapped = [_pattern(pattern) for pattern in collect.tap]
    readers = [_pattern(pattern) for pattern in settings.agents.groups_include]
    groups = readers if _looks_at_groups(settings) else []
    helpers = f"{collect.group_id}."
    quiet = settings.notify.notifications is None
    return (
        Grant("setup", "topic", own, ("Create",), "create our own topics", prefixed=True),
        Grant("setup", "topic", changelog, ("Create",), "create the changelog of the agents' table"),
        Grant("collector", "group", collect.group_id, ("Read",), "share the partitions, commit offsets"),
        Grant("collector", "group", helpers, ("Describe",), "read our own log back, look into gaps", prefixed=True),
        Grant(
            "collector", "transactional-id", f"{collect.group_id}-", ("Write",),
            "commit observations and offsets together", prefixed=True,
        ),
        *(
            Grant("collector", "topic", name, ("Read",), "observe the records", prefixed=prefixed, watched=True)
            for name, prefixed in watched
        ),
        *(
            Grant(
                "collector", "topic", name, ("DescribeConfigs",),
                "tell why offsets are missing (compaction, retention); without it the reason is `unknown`",
                prefixed=prefixed, optional=True, watched=True,
            )
            for name, prefixed in watched
        ),
        Grant("collector", "topic", own, ("Describe",), "see which of our own topics exist", prefixed=True),
        Grant("collector", "topic", topic(OBSERVATIONS), ("Read", "Write"), "write the log; find its last links"),
        Grant("collector", "topic", topic(DEAD_LETTERS), ("Write",), "report what cannot be decoded"),
        Grant("collector", "topic", topic(EDGES), ("Write",), "record which records others were made from"),
        Grant("collector", "topic", topic(KEYS), ("Write",), "write hashes of the `key_fields`",
              optional=not settings.index.key_fields),
        *(
            Grant("tap", "topic", name, ("Create", "Write", "Alter"), "create, write and enlarge traced topics",
                  prefixed=prefixed, watched=True)
            for name, prefixed in (_traced(pattern, collect.tap_suffix) for pattern in tapped)
        ),
        Grant("agents", "group", settings.agents.agents_id, ("Read",), "share the partitions of the log"),
        Grant("agents", "topic", own, ("Describe",), "see which of our own topics exist", prefixed=True),
        Grant("agents", "topic", topic(OBSERVATIONS), ("Read",), "read what was observed"),
        Grant("agents", "topic", topic(OPENLINEAGE), ("Read",), "chart OpenLineage's events", optional=True),
        Grant("agents", "topic", topic(DRIFT_ALERTS), ("Read", "Write"), "tell of schema drift, and of incidents"),
        Grant("agents", "topic", topic(ANOMALY_ALERTS), ("Read", "Write"), "tell of anomalies, and of incidents"),
        Grant("agents", "topic", topic(INCIDENTS), ("Read", "Write"), "tell of incidents, and know which became one"),
        Grant("agents", "topic", topic(DELIVERIES), ("Read", "Write"), "know who was told of which incident",
              optional=quiet),
        Grant("agents", "topic", topic(ACTIONS), ("Read", "Write"), "do what hooks say, and note it",
              optional=settings.notify.hooks is None),
        Grant("agents", "topic", topic(BASELINES), ("Read",), "compare with training baselines"),
        Grant("agents", "topic", topic(METRICS), ("Read",), "judge pushed metrics"),
        Grant(
            "agents", "topic", topic(WINDOWS), ("Read", "Write"), "judge the jobs that `alert_rules` declares",
            optional=settings.agents.alert_rules is None,
        ),
        Grant("agents", "topic", topic(GRAPH), ("Read", "Write"), "keep the lineage graph up to date"),
        Grant("agents", "topic", topic(EDGES), ("Read",), "know from records what topics are made of"),
        Grant("agents", "topic", topic(DECLARATIONS), ("Read",), "know what applications declare (`@declare_lineage`)",
              optional=True),
        Grant("agents", "topic", changelog, ("Read", "Write"), "keep the states of the detectors"),
        Grant("agents", "topic", topic(STATE), ("Read",), "know what people muted"),
        Grant(
            "agents", "topic", changelog, ("Alter",),
            "add partitions after the observation topic has got more; without it, add them by hand", optional=True,
        ),
        *(
            Grant(
                "agents", "group", name, ("Describe",),
                "watch the lag of consumer groups; those that we may not describe are not watched",
                prefixed=prefixed, optional=True,
            )
            for name, prefixed in groups
        ),
        *(
            Grant(
                "agents", "topic", name, ("Describe",),
                "see what consumer groups have committed of them, log ends, and which topics that records name exist",
                prefixed=prefixed, optional=True, watched=True,
            )
            for name, prefixed in (watched if groups else ())
        ),
        *(
            Grant(
                "agents", "topic", name, ("Read",),
                "find the first bad records of an incident; tell by transactions which job writes a topic",
                prefixed=prefixed, optional=True, watched=True,
            )
            for name, prefixed in ([("__consumer_offsets", False)] if groups else []) + watched
        ),
        Grant("agents", "group", helpers, ("Describe",), "find the first bad records of an incident", prefixed=True,
              optional=True),
        Grant("reader", "topic", topic(OBSERVATIONS), ("Read",), "read the log"),
        Grant("reader", "topic", topic(GRAPH), ("Read",),
              "show the lineage graph (`graph`), search it (`explain`), name readers (`replay`)", optional=True),
        Grant("reader", "topic", topic(INCIDENTS), ("Read",), "show incidents (`incident`)", optional=True),
        Grant("reader", "topic", topic(STATE), ("Read",), "show what people said of incidents", optional=True),
        Grant("reader", "topic", topic(ACTIONS), ("Read",), "show what hooks did (`hooks log`)", optional=True),
        Grant("reader", "topic", topic(DELIVERIES), ("Read",), "show who was told (`notify list`)", optional=True),
        *(
            Grant(
                "reader", "topic", topic(name), ("Read",), "follow records, show alerts (`index`, `trace`)",
                optional=True,
            )
            for name in (EDGES, KEYS, DRIFT_ALERTS, ANOMALY_ALERTS)
        ),
        Grant("serve", "topic", own, ("Describe",), "see which of our own topics exist", prefixed=True),
        *(
            Grant("serve", "topic", topic(name), ("Read",), why)
            for name, why in (
                (OBSERVATIONS, "keep the index"),
                (EDGES, "keep the index"),
                (DRIFT_ALERTS, "show alerts"),
                (ANOMALY_ALERTS, "show alerts"),
                (INCIDENTS, "keep the index"),
                (GRAPH, "show the lineage graph, and keep it in the index"),
                (TOKENS, "know the tokens"),
            )
        ),
        Grant("serve", "topic", topic(OPENLINEAGE), ("Write",), "keep OpenLineage's events (`POST /api/v1/lineage`)"),
        Grant("serve", "topic", topic(STATE), ("Read", "Write"), "show and take what people say of incidents",
              optional=True),
        Grant("serve", "group", helpers, ("Describe",), "read without joining a group", prefixed=True),
        Grant("token", "topic", topic(TOKENS), ("Read", "Write"), "make, list and revoke tokens"),
        Grant("token", "topic", own, ("Describe",), "see which of our own topics exist", prefixed=True),
        Grant("token", "group", helpers, ("Describe",), "read without joining a group", prefixed=True),
        Grant("mute", "topic", topic(STATE), ("Read", "Write"), "see, add and lift mutes"),
        Grant("mute", "group", settings.agents.agents_id, ("Describe",), "read without joining a group"),
        Grant("reader", "group", helpers, ("Describe",), "read without joining a group", prefixed=True),
        Grant("reader", "group", collect.group_id, ("Describe",), "compare with what is committed (`verify`)"),
        *(
            Grant(
                "reader", "topic", name, ("Read",),
                "read the record itself (`record`), see what is committed of it (`verify`)",
                prefixed=prefixed, watched=True,
            )
            for name, prefixed in watched
        ),
        *(
            Grant(
                "reader", "group", name, ("Describe",), "see where groups stand that read bad records (`replay`)",
                prefixed=prefixed, optional=True,
            )
            for name, prefixed in readers
        ),
        *(
            Grant(
                "reader", "topic", name, ("DescribeConfigs",), "know which topics are compacted (`replay`, `trace`)",
                prefixed=prefixed, optional=True, watched=True,
            )
            for name, prefixed in watched
        ),
        *(
            Grant(
                "replay", "group", name, ("Read",), "commit the offsets that groups go back to",
                prefixed=prefixed, watched=True,
            )
            for name, prefixed in readers
        ),
        *(
            Grant("replay", "topic", name, ("Read",), "commit offsets of these topics", prefixed=prefixed, watched=True)
            for name, prefixed in watched
        ),
        Grant("baseline", "topic", topic(BASELINES), ("Read", "Write"), "keep the baselines; `list`, `show` and "
              "`compare` only read them"),
        Grant("baseline", "topic", own, ("Describe",), "see which of our own topics exist", prefixed=True),
        Grant("baseline", "group", helpers, ("Describe",), "read without joining a group", prefixed=True),
        *(
            Grant("baseline", "topic", name, ("Read",), "read the records", prefixed=prefixed, watched=True)
            for name, prefixed in watched
        ),
        Grant("metric", "topic", topic(METRICS), ("Write",), "push metrics"),
        Grant("metric", "topic", own, ("Describe",), "see which of our own topics exist", prefixed=True),
        Grant("declarer", "topic", topic(DECLARATIONS), ("Write",), "declare what they read and write"),
        Grant("declarer", "topic", topic(OPENLINEAGE), ("Write",), "tell the runs of their transformations",
              optional=True),
    )  # fmt: skip


def needed(found: Iterable[Grant], resource: Resource, name: str) -> frozenset[str]:
    """The operations on a group or one of our own topics, as Kafka's API calls them: ``READ``. The optional ones are
    left out."""
    return frozenset(
        operation.upper()
        for grant in found
        if not (grant.optional or grant.watched or grant.role == "setup") and grant.covers(resource, name)
        for operation in grant.operations
    )


def commands(found: Sequence[Grant], *, principal: str, bootstrap_servers: str) -> list[str]:
    """``kafka-acls.sh`` lines, one for each grant."""
    tool = f"kafka-acls.sh --bootstrap-server {shlex.quote(bootstrap_servers)} --command-config admin.properties"
    lines = []
    for grant in found:
        operations = " ".join(f"--operation {operation}" for operation in grant.operations)
        pattern = " --resource-pattern-type prefixed" if grant.prefixed else ""
        lines.append(
            f"{tool} --add --allow-principal {shlex.quote(principal)} {operations} "
            f"--{grant.resource} {shlex.quote(grant.name)}{pattern}"
        )
    return lines


def _looks_at_groups(settings: Settings) -> bool:
    return settings.agents.group_poll_seconds > 0


def literal_name(pattern: str) -> str | None:
    """The topic that a pattern of ``include`` names, when it can be taken for a name; a dot is taken for a dot."""
    name, prefixed = _pattern(pattern)
    return None if prefixed or name == "*" else name


def _pattern(pattern: str) -> tuple[str, bool]:
    """The narrowest that Kafka can say for a regular expression: a name, a prefix, or everything."""
    if "|" in pattern:
        return "*", False
    text = pattern.removeprefix("^").removesuffix("$")
    plain, rest = _leading(text)
    if not plain:
        return "*", False
    open_ended = pattern.startswith("^") and not pattern.endswith("$")
    return plain, bool(rest) or open_ended


def _leading(text: str) -> tuple[str, str]:
    """What a regular expression starts with that stands for itself, and the rest."""
    found, at = "", 0
    while at < len(text):
        letter, step = text[at], 1
        if letter == "\\" and text[at + 1 : at + 2] in (".", "-"):
            letter, step = text[at + 1], 2
        elif not _LITERAL.fullmatch(letter):
            break
        if text[at + step : at + step + 1] in tuple(_QUANTIFIERS):
            break
        found, at = found + letter, at + step
    return found, text[at:]


def _traced(pattern: tuple[str, bool], suffix: str) -> tuple[str, bool]:
    name, prefixed = pattern
    return (name, prefixed) if prefixed or name == "*" else (f"{name}{suffix}", False)
